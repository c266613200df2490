//! A receiver that must not be flooded: a queue with limits, a rate, and starts that count once.
//!
//! Every mail is a run. The limits are those of the queue and hold for all processes that share the store: start this
//! program twice on Redis, and the two together send no more at once than one does.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::{Deserialize, Serialize};
use stepwell::contract::{Name, RunKey};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::{Queue, RunError, RunHandle, StartRun};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::store::StoreFlag;
use stepwell_examples::{logging, progress::Progress, signals::Stop};
use uuid::Uuid;

/// Sends mails through a queue with limits.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Try:
  limits                                 12 mails to 4 people: 3 at once, 1 to each person, 20 in a second
  limits --at-once 1                     one after the other
  limits --store redis://localhost/0     in two terminals: both keep to the same limits"
)]
struct Flags {
    /// How many mails are sent
    #[arg(long, value_name = "N", default_value_t = 12)]
    mails: u32,
    /// How many are sent at once, to different people
    #[arg(long, value_name = "N", default_value_t = 3)]
    at_once: u32,
    #[command(flatten)]
    store: StoreFlag,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mail {
    to: String,
    subject: String,
}

/// How many mails are on their way, and the most there ever were.
#[derive(Debug, Default)]
struct Outbox(Mutex<(HashMap<String, usize>, usize, usize)>);

impl Outbox {
    fn change(&self, to: &str, on_the_way: bool) {
        let mut outbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, most, most_to_one) = &mut *outbox;
        let count = now.entry(to.to_owned()).or_default();
        *count = if on_the_way { *count + 1 } else { count.saturating_sub(1) };
        *most_to_one = (*most_to_one).max(*count);
        *most = (*most).max(now.values().sum());
    }

    fn most(&self) -> (usize, usize) {
        let outbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (outbox.1, outbox.2)
    }
}

/// Stands for a mail server.
struct Send {
    outbox: Arc<Outbox>,
}

#[async_trait]
impl Step for Send {
    type Input = Mail;
    type Output = ();
    const NAME: &'static str = "send";

    async fn run(&self, ctx: &StepContext, mail: Mail) -> StepResult<()> {
        self.outbox.change(&mail.to, true);
        tokio::time::sleep(Duration::from_millis(150)).await;
        self.outbox.change(&mail.to, false);
        println!("sent {:?} to {} ({})", mail.subject, mail.to, ctx.run_id());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let stop = Stop::on_signals(&progress)?;
    let (backend, store) = flags.store.open().await?;
    let outbox = Arc::new(Outbox::default());
    let mail = Workflow::named("mail").queue("mail").step(Send { outbox: Arc::clone(&outbox) });
    let mail = mail.build()?;
    let limits = Queue::named("mail")?.concurrency(flags.at_once).per_key(1).rate(20, secs(1));
    let engine = Engine::builder(backend).register(mail).queue(limits).start().await?;
    let began = Instant::now();
    let session = Uuid::new_v4().simple().to_string();
    let mut sent = Vec::new();
    for nth in 1..=flags.mails {
        let to = ["ada", "grace", "edsger", "barbara"][nth as usize % 4];
        let mail = Mail { to: to.to_owned(), subject: format!("news {nth}") };
        // What the limits count by is the person.
        let start = StartRun::new("mail", &format!("mail-{session}-{nth}"), &mail)?.limit_key(Name::new(to)?);
        sent.push(engine.start_with(start).await?);
    }
    // A person who changes a thing three times in a row is told of the last change only.
    for change in 1..=3 {
        let mail = Mail { to: "ada".to_owned(), subject: format!("change {change}") };
        let start = StartRun::new("mail", &format!("change-{session}-{change}"), &mail)?;
        let start = start.limit_key(Name::new("ada")?).debounce(session.clone(), millis(300), secs(5));
        sent.push(engine.start_with(start).await?);
    }
    if let Some(cause) = first_cause(&engine, &sent).await? {
        println!("one of them waits: {cause}");
    }
    let Some(ended) = stop.or(&engine, all(&sent)).await else {
        println!("stopped; what is left is sent when this runs again on {store}");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    ended?;
    let (most, most_to_one) = outbox.most();
    let runs: HashSet<&RunKey> = sent.iter().map(RunHandle::key).collect();
    println!(
        "{} starts made {} mails; at most {most} at once, at most {most_to_one} to one person, in {:.1} s",
        sent.len(),
        runs.len(),
        began.elapsed().as_secs_f64()
    );
    engine.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// What one of the runs waits for that could begin.
async fn first_cause(engine: &Engine, runs: &[RunHandle]) -> Result<Option<Cause>, Trouble> {
    for run in runs.iter().rev() {
        if let Some(cause @ (Cause::Limit { .. } | Cause::NotBefore { .. })) = engine.cause(run.key()).await?
        {
            return Ok(Some(cause));
        }
    }
    Ok(None)
}

async fn all(runs: &[RunHandle]) -> Result<(), Trouble> {
    for run in runs {
        match run.result::<()>().await {
            Ok(()) => {}
            Err(RunError::Engine(error)) => return Err(error.into()),
            Err(error) => {
                let fix = "look at the run, mend the cause, then retry it";
                return Err(Trouble::new(exit::FAILED, format!("{} was not sent", run.key()), error, fix));
            }
        }
    }
    Ok(())
}
