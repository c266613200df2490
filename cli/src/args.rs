//! What can be said: the grammar of the command line.

pub(crate) mod care;
pub(crate) mod outside;
pub(crate) mod own;
pub(crate) mod part;
pub(crate) mod runs;
pub(crate) mod system;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;
use outside::OutsideCommand;
use own::{CheckArgs, ConfigCommand, DoctorArgs, ExplainArgs, ManArgs, ServeArgs, ShellArgs, TokenCommand};
use runs::RunsCommand;
use system::{
    AuditArgs, ChangesArgs, GroupsCommand, QueuesCommand, SchedulesCommand, StatsArgs, WorkersArgs,
    WorkflowsCommand,
};

/// See durable workflows and steer them, in a store or through a server.
#[derive(Debug, Parser)]
#[command(
    name = "stepwell",
    version,
    infer_subcommands = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the runs are.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct Place {
    /// The store: `file:DIR`, `sled:DIR`, `redis://HOST/0` [env: STEPWELL_STORE] [default: file:./data]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "server")]
    pub(crate) store: Option<String>,
    /// A server in front of the store, as in `http://127.0.0.1:8080` [env: STEPWELL_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A file with the token for that server [env: STEPWELL_TOKEN, the token itself]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Whose runs [default: everyone's in lists, `default` elsewhere]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// The settings file [default: ./stepwell.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// How answers are shown.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Shown {
    /// How data is printed
    #[arg(short, long, global = true, value_enum, value_name = "FORM", default_value_t = Form::Table)]
    pub(crate) output: Form,
    /// When colours are used; NO_COLOR and CLICOLOR_FORCE count with `auto`
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// How times are shown in tables
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = Times::Human)]
    pub(crate) time_format: Times,
    /// Says more on stderr; twice for even more (RUST_LOG wins)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The form of data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    // For people.
    Table,
    // What the API answers, indented.
    Json,
    // One item a line.
    Jsonl,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    // On a terminal.
    Auto,
    // Always.
    Always,
    // Never.
    Never,
}

/// The form of times in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Times {
    // As in `3m ago`.
    Human,
    // RFC 3339.
    Iso,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Ask(AskCommand),
    /// Whether this installation works: settings, store, clock, space, workers
    Doctor(DoctorArgs),
    /// What a code means and what to do, as in `stepwell explain SW1203`
    Explain(ExplainArgs),
    /// The settings, and where each came from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Serves the API and the dashboard
    Serve(ServeArgs),
    /// Tokens for a server
    #[command(subcommand)]
    Token(TokenCommand),
    /// Completions for a shell, printed
    Completions(ShellArgs),
    /// The manual page, printed
    Man(ManArgs),
}

/// What is asked of a store or a server.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommand {
    /// Runs: list, look at, start, follow, steer
    #[command(visible_alias = "run", subcommand)]
    Runs(RunsCommand),
    /// Failures of one cause: look at, and steer all their runs
    #[command(alias = "group", subcommand)]
    Groups(GroupsCommand),
    /// Steps that are done outside: which wait, and reports on them
    #[command(subcommand)]
    Outside(OutsideCommand),
    /// Who works, and who is gone
    Workers(WorkersArgs),
    /// Workflows: those that programs have registered, and those that were posted as data
    #[command(alias = "workflow", subcommand)]
    Workflows(WorkflowsCommand),
    /// Queues: list, pause, resume, drain
    #[command(alias = "queue", subcommand)]
    Queues(QueuesCommand),
    /// Schedules: list, look at, make, pause, trigger, backfill, delete
    #[command(alias = "schedule", subcommand)]
    Schedules(SchedulesCommand),
    /// How runs and steps did: counts, rates, durations
    Stats(StatsArgs),
    /// Everything that happened, searched
    Audit(AuditArgs),
    /// What callers have changed, with logins and those that failed
    Changes(ChangesArgs),
    /// Whether what is stored agrees with itself; mends what is safe to mend
    Check(CheckArgs),
}

/// The commands in the order and groups of the help.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Runs", &["runs", "groups", "outside"]),
    ("The system", &["workers", "workflows", "queues", "schedules", "stats", "audit", "changes"]),
    ("When something is wrong", &["explain", "check", "doctor"]),
    ("This program", &["serve", "token", "config", "completions", "man"]),
];

const EXAMPLES: &str = "\
Examples:
  stepwell runs list status:failed since:2h
  stepwell runs explain order-1042
  stepwell runs retry order-1042 --reason 'the gateway is back'
  stepwell runs cancel --query 'workflow:import status:queued' --dry-run
  stepwell --server http://127.0.0.1:8080 runs logs order-1042 -f
";

/// The whole grammar, as the program itself uses it.
#[must_use]
pub fn grammar() -> clap::Command {
    let command = Cli::command();
    let mut template = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (title, names) in GROUPS {
        let _ = write!(template, "\n{title}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let _ = writeln!(template, "  {name:<12} {}", about.cloned().unwrap_or_default());
        }
    }
    template.push_str("\nOptions:\n{options}{after-help}");
    let exits = Exit::ALL.iter().fold(String::from("Exit codes:\n"), |mut text, (exit, means)| {
        let _ = writeln!(text, "  {:<4} {means}", exit.code());
        text
    });
    command.help_template(template).after_help(format!("{EXAMPLES}\n{exits}"))
}
