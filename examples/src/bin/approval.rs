//! A request that waits for a person: with a reminder to somebody else, and without a process while it waits.
//!
//! ```text
//! approval start trip-7         the request is there, durably; nothing works on it yet
//! approval work                 a worker: asks the reviewer, waits, escalates; stop or kill it whenever you like
//! approval approve trip-7       the person's word; it may come before, while or after a worker is there
//! approval work                 goes on and decides
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use stepwell::contract::{Kind, Name, Query, RunId, RunKey, Status, TenantId, Timestamp};
use stepwell::prelude::*;
use stepwell::run::state::StepStatus;
use stepwell::{BuildError, Error};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{
    logging,
    progress::Progress,
    signals::Stop,
    store::{StoreFlag, wait_for_lease},
};

// ---- the workflow: ask, wait a while; without an answer ask somebody else, wait again; then decide

/// The signal by which a person answers.
const ANSWER: &str = "answer";

fn workflow(times: &Times) -> Result<Workflow<Request, Decision>, BuildError> {
    // The same part twice, each under a prefix of its own. Both wait for the same signal.
    let (first, second) = (wait_for_answer(times.escalate_after)?, wait_for_answer(times.give_up_after)?);
    Workflow::named(APPROVAL)
        .step(AskReviewer)
        .include_as("reviewer", &first)
        .branch(
            "unanswered",
            |so_far: &SoFar| so_far.word.is_none(),
            |unanswered| unanswered.step(Escalate).include_as("head", &second),
            |answered| answered,
        )
        .step(Decide)
        .build()
}

fn wait_for_answer(time: Duration) -> Result<Workflow<SoFar, SoFar>, BuildError> {
    Workflow::named("wait_for_answer")
        .input::<SoFar>()
        .wait_for_within::<Word>(ANSWER, time)
        .step(TakeIn)
        .build()
}

const APPROVAL: &str = "approval";

// ---- the values between the steps

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    what: String,
}

/// What a person says, and the payload of the signal.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Word {
    approves: bool,
    by: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SoFar {
    what: String,
    word: Option<Word>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Decision {
    approved: bool,
    why: String,
}

// ---- the steps

struct AskReviewer;

#[async_trait]
impl Step for AskReviewer {
    type Input = Request;
    type Output = SoFar;
    const NAME: &'static str = "ask_reviewer";

    async fn run(&self, ctx: &StepContext, request: Request) -> StepResult<SoFar> {
        // A real one sends a mail here, with `ctx.idempotency_key()` so that it is sent once.
        println!("{}: the reviewer is asked about {:?}", ctx.run_id(), request.what);
        Ok(SoFar { what: request.what, word: None })
    }
}

struct TakeIn;

#[async_trait]
impl Step for TakeIn {
    /// What flowed into the wait, and what the signal said; nothing when its time was over.
    type Input = (SoFar, Option<Word>);
    type Output = SoFar;
    const NAME: &'static str = "take_in";

    async fn run(&self, _ctx: &StepContext, (so_far, word): (SoFar, Option<Word>)) -> StepResult<SoFar> {
        Ok(SoFar { word, ..so_far })
    }
}

struct Escalate;

#[async_trait]
impl Step for Escalate {
    type Input = SoFar;
    type Output = SoFar;
    const NAME: &'static str = "escalate";

    async fn run(&self, ctx: &StepContext, so_far: SoFar) -> StepResult<SoFar> {
        println!("{}: no answer; the head of department is asked about {:?}", ctx.run_id(), so_far.what);
        Ok(so_far)
    }
}

struct Decide;

#[async_trait]
impl Step for Decide {
    type Input = SoFar;
    type Output = Decision;
    const NAME: &'static str = "decide";

    async fn run(&self, ctx: &StepContext, so_far: SoFar) -> StepResult<Decision> {
        let decision = match so_far.word {
            Some(Word { approves: true, by }) => {
                Decision { approved: true, why: format!("{by} approved it") }
            }
            Some(Word { approves: false, by }) => {
                Decision { approved: false, why: format!("{by} rejected it") }
            }
            None => Decision { approved: false, why: "nobody answered in time".to_owned() },
        };
        println!("{}: {}", ctx.run_id(), decision.shown());
        Ok(decision)
    }
}

impl Decision {
    fn shown(&self) -> String {
        format!("{}, since {}", if self.approved { "approved" } else { "rejected" }, self.why)
    }
}

// ---- the program

/// A request that waits for a person, and escalates when nobody answers. Waiting holds no worker and needs no process.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "On file: and sled: one process at a time has the store: stop the worker before you approve. On redis: \
several have it, and an approval reaches a worker that runs.

Exit codes: 0 done; 1 failed, or there is no such request; 2 wrong usage; 5 the store does not open; 130 stopped by a \
signal (the same command goes on).

Try:
  approval start trip-7 --what 'a trip to Chand Baori'
  approval work --escalate-after 5s --give-up-after 3days        until Ctrl-C or kill -9
  approval show trip-7
  approval approve trip-7 --by ada
  approval work --until-idle"
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    store: StoreFlag,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a request. The same id again is the same request
    Start {
        id: String,
        /// What it is about
        #[arg(long, value_name = "TEXT", default_value = "a new ladder")]
        what: String,
    },
    /// Say yes. It counts whether the request waits already or not
    Approve {
        id: String,
        /// Who says so
        #[arg(long, value_name = "NAME", default_value = "somebody")]
        by: String,
    },
    /// Say no
    Reject {
        id: String,
        /// Who says so
        #[arg(long, value_name = "NAME", default_value = "somebody")]
        by: String,
    },
    /// Tell how a request stands
    Show { id: String },
    /// Work on all requests until there is none left
    Work {
        #[command(flatten)]
        times: Times,
        /// Leave as soon as all that is left waits for somebody
        #[arg(long)]
        until_idle: bool,
    },
}

/// How long is waited. A wait that has begun keeps the end that it was given then.
#[derive(Debug, clap::Args)]
struct Times {
    /// How long the reviewer has, such as 90s or 2days
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    escalate_after: Duration,
    /// How long the head of department has after that
    #[arg(long, value_name = "TIME", default_value = "1day", value_parser = humantime::parse_duration)]
    give_up_after: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { escalate_after: hours(1), give_up_after: days(1) }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let (backend, _) = flags.store.open().await?;
    let times = match &flags.command {
        Command::Work { times, .. } => times,
        _ => &Times::default(),
    };
    let workflow = workflow(times)?;
    // Only `work` takes runs; the others make, ask and tell.
    let engine = Engine::builder(backend).register(workflow).build().await?;
    match flags.command {
        Command::Start { id, what } => start(&engine, &id, what).await,
        Command::Approve { id, by } => answer(&engine, &id, Word { approves: true, by }).await,
        Command::Reject { id, by } => answer(&engine, &id, Word { approves: false, by }).await,
        Command::Show { id } => show(&engine, &key_of(&id)?).await,
        Command::Work { until_idle, .. } => work(&engine, until_idle, &Stop::on_signals(&progress)?).await,
    }
}

fn key_of(id: &str) -> Result<RunKey, Trouble> {
    Ok(RunKey::new(TenantId::default(), RunId::new(id)?))
}

async fn start(engine: &Engine, id: &str, what: String) -> Result<ExitCode, Trouble> {
    key_of(id)?;
    let handle = match engine.start_run(APPROVAL, id, &Request { what }).await {
        Err(error @ Error::Conflict { .. }) => {
            let fix = "give this request an id of its own";
            return Err(Trouble::new(exit::USAGE, "there is another request of that id", error, fix));
        }
        handle => handle?,
    };
    let how = if handle.is_new() { "is there now" } else { "was there before" };
    println!("{id} {how}; `approval work` works on it");
    Ok(ExitCode::SUCCESS)
}

async fn answer(engine: &Engine, id: &str, word: Word) -> Result<ExitCode, Trouble> {
    let key = key_of(id)?;
    let verb = if word.approves { "approves" } else { "rejects" };
    // The id makes it one answer, however often it is sent.
    engine.signal(&key, ANSWER, &format!("{}-{verb}", word.by), &word).await.map_err(unsent)?;
    println!("{} {verb} {id}: that is durable, and counts as soon as a worker sees it", word.by);
    Ok(ExitCode::SUCCESS)
}

fn unsent(error: Error) -> Trouble {
    match error {
        Error::NoSuchRun(_) => {
            Trouble::new(exit::FAILED, "there is no such request", error, "make it with `approval start ID`")
        }
        Error::Refused { .. } => Trouble::new(
            exit::FAILED,
            "it was decided before",
            error,
            "see what was decided with `approval show ID`",
        ),
        Error::Id(_) => Trouble::new(exit::USAGE, "that is no name", error, "use letters, digits, - and _"),
        error => error.into(),
    }
}

async fn show(engine: &Engine, key: &RunKey) -> Result<ExitCode, Trouble> {
    let Some(head) = engine.get(key).await? else {
        return Err(unsent(Error::NoSuchRun(key.clone())));
    };
    println!("{} is {}", key.run, head.status);
    if let Some(wait) = wait_for_lease(&head, engine.now()) {
        println!("  {wait}");
    }
    let state = engine.state(key).await?;
    for (step, group) in &state.steps {
        if let Some(StepStatus::Awaiting(until)) = group.single.as_ref().map(|step| step.status) {
            println!(
                "  waits for {step}{}",
                until.map(|until| left(until, engine.now())).unwrap_or_default()
            );
        }
    }
    for message in engine.backend().inbox(key, 100).await.map_err(Error::from)? {
        if message.kind == Kind::of("signal") {
            println!("  the answer {} has arrived and is taken in by the next worker", message.id);
        }
    }
    if head.status == Status::Succeeded {
        let decision = engine.find(key).await?.result::<Decision>().await.map_err(|error| {
            Trouble::new(exit::FAILED, "the decision cannot be read", error, "use the program that made it")
        })?;
        println!("  {}", decision.shown());
    } else if let Some(pause) = state.pause {
        println!("  {}", pause.message);
    }
    Ok(ExitCode::SUCCESS)
}

/// For how long still, in whole seconds.
fn left(until: Timestamp, now: Timestamp) -> String {
    let left = Duration::from_secs(until.since_ms(now).div_ceil(1_000));
    format!(", {} left", humantime::format_duration(left))
}

async fn work(engine: &Engine, until_idle: bool, stop: &Stop) -> Result<ExitCode, Trouble> {
    engine.work();
    let ended = stop.or(engine, watch(engine, until_idle)).await;
    let Some(ended) = ended else {
        println!("stopped; what waits goes on waiting, and `approval work` goes on with it");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    ended?;
    engine.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Tells what waits, until nothing is left to do.
async fn watch(engine: &Engine, until_idle: bool) -> Result<(), Trouble> {
    let workflow = Name::new(APPROVAL)?;
    let mut told = String::new();
    loop {
        let open = Query {
            workflow: Some(workflow.clone()),
            statuses: vec![Status::Queued, Status::Running, Status::Waiting, Status::Cancelling],
            ..Query::default()
        };
        let heads = engine.list(&open, None, 1_000).await?.items;
        if heads.is_empty() {
            println!("nothing is left to do");
            return Ok(());
        }
        let running = engine.running();
        let mut is_idle = running == 0;
        let mut waiting = Vec::new();
        for head in &heads {
            let has_mail = !engine.backend().inbox(&head.key, 1).await.map_err(Error::from)?.is_empty();
            let is_due = head.wake_at.is_some_and(|at| at <= engine.now());
            is_idle &= head.status == Status::Waiting && !has_mail && !is_due;
            waiting.push(head.key.run.to_string());
        }
        if is_idle {
            // No lease, no task and no thread is held for them: this process may go.
            let now = format!("waiting for somebody: {}; held by this worker: {running}", waiting.join(", "));
            if until_idle {
                println!("{now}");
                return Ok(());
            }
            if now != told {
                println!("{now}");
                told = now;
            }
        }
        engine.backend().changed(Duration::from_millis(200)).await;
        // A busy store says all the time that something changed.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
