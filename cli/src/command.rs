//! What is done for each command.

mod audit;
mod check;
mod config;
mod doctor;
mod explain;
mod follow;
mod groups;
mod logging;
mod outside;
mod queues;
mod runs;
mod schedules;
mod selection;
mod serve;
mod shell;
mod system;
mod token;
mod value;
mod verbs;
mod wait;
mod workflows;

use clap::FromArgMatches as _;

use crate::args::part::Part;
use crate::args::system::{SchedulesCommand, WorkflowsCommand};
use crate::args::{AskCommand, Cli, Command, Form, Place, grammar};
use crate::called::Called;
use crate::client::{Call, Client, Items};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::Column;
use crate::output::{Output, more, note};
use crate::settings::Settings;
use crate::target::Target;

/// What every command that asks something has at hand.
pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) called: Called,
}

impl Desk {
    /// Prints a part of a list: as lines of JSON page by page, as they come.
    async fn list(
        &self,
        call: Call,
        part: impl Into<Part>,
        columns: &[Column],
        none: &str,
    ) -> Result<Exit, Failure> {
        let part = part.into();
        if self.output.form == Form::Jsonl {
            let print = |items| self.output.list(columns, &Items { items, next_cursor: None }, none);
            if let Some(cursor) = self.client.each_page(call, part, print).await? {
                more(&cursor);
            }
        } else {
            self.output.list(columns, &self.client.list(call, part).await?, none)?;
        }
        Ok(Exit::Ok)
    }
}

/// Does what the arguments of the process say, and returns how it ended.
#[must_use]
pub fn main() -> Exit {
    let parsed = grammar().try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let is_wrong = error.use_stderr();
            // Where there is nobody to read it there is nobody to tell.
            let _ = error.print();
            return if is_wrong { Exit::Usage } else { Exit::Ok };
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(interruptible(cli));
            // Whoever was interrupted may have been reading from the terminal: nobody waits for that to end.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Failure::other(error)),
    };
    done.unwrap_or_else(|failure| {
        let text = failure.text();
        if !text.is_empty() {
            note(text.trim_end());
        }
        failure.exit()
    })
}

async fn interruptible(cli: Cli) -> Result<Exit, Failure> {
    // A server has its own way to stop.
    if matches!(cli.command, Command::Serve(_)) {
        return run(cli).await;
    }
    // On a thread of its own: a question at the terminal waits for an answer, and the interrupt must not wait for that.
    let running = tokio::spawn(run(cli));
    tokio::select! {
        done = running => done.unwrap_or_else(|error| Err(Failure::other(error))),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { place, shown, command } = cli;
    let output = Output::new(&shown);
    let reader = match &command {
        Command::Serve(args) => logging::Reader::Operator(args.log),
        _ => logging::Reader::Caller,
    };
    logging::start(shown.verbose, reader)?;
    let settings = || Settings::read(place.config.as_deref());
    match command {
        Command::Ask(command) => ask(&place, &settings()?, output, command).await,
        Command::Doctor(args) => doctor::doctor(&args, &place, &settings(), output).await,
        Command::Explain(args) => explain::explain(&args, output),
        Command::Config(command) => config::config(&command, &place, &settings()?, output),
        Command::Serve(args) => serve::serve(&args, &place, &settings()?).await,
        Command::Token(command) => token::token(&command, &place, output),
        Command::Completions(args) => shell::completions(&args, output),
        Command::Man(args) => shell::man(&args, output),
    }
}

async fn ask(
    place: &Place,
    settings: &Settings,
    output: Output,
    command: AskCommand,
) -> Result<Exit, Failure> {
    let target = Target::choose(place, settings)?;
    let client = Client::open(&target, place.tenant.clone(), makes_a_store(&command)).await?;
    let desk = Desk { client, output, called: Called::of(place) };
    let done = match command {
        AskCommand::Runs(command) => runs::runs(&desk, command).await,
        AskCommand::Groups(command) => groups::groups(&desk, command).await,
        AskCommand::Outside(command) => outside::outside(&desk, command).await,
        AskCommand::Workflows(command) => workflows::workflows(&desk, command).await,
        AskCommand::Workers(args) => system::workers(&desk, &args).await,
        AskCommand::Queues(command) => queues::queues(&desk, command).await,
        AskCommand::Schedules(command) => schedules::schedules(&desk, command).await,
        AskCommand::Stats(args) => system::stats(&desk, &args).await,
        AskCommand::Audit(args) => audit::audit(&desk, args).await,
        AskCommand::Changes(args) => audit::changes(&desk, args).await,
        AskCommand::Check(args) => check::check(&desk, &args).await,
    };
    desk.client.close().await;
    done
}

/// Whether a command has its place in a store that nobody has made yet. A run is none: nobody could go on with it.
fn makes_a_store(command: &AskCommand) -> bool {
    matches!(
        command,
        AskCommand::Workflows(WorkflowsCommand::Post(_)) | AskCommand::Schedules(SchedulesCommand::Put(_))
    )
}
