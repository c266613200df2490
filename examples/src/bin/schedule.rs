//! A nightly report: started by the clock, whoever is there; what was missed is caught up with or counted.
//!
//! ```text
//! schedule work                          a worker: makes the schedule if it is not there, and starts reports; stop or kill it
//! schedule show                          what comes next, what was started, what was missed or skipped
//! schedule pause --reason 'no paper'     nothing is started by the clock until `schedule resume`
//! schedule trigger monday                a report now
//! schedule backfill FROM TO --dry-run    which reports of times gone by would be started
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use stepwell::contract::{Name, Query, Status, Timestamp};
use stepwell::prelude::*;
use stepwell::schedule::{Overlap, Schedule, ScheduleError, ScheduleView, Schedules, Times, time_of};
use stepwell::{Actor, BuildError};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{logging, progress::Progress, signals::Stop, store::StoreFlag};

// ---- what is started, and when

/// The name of the schedule.
const NIGHTLY: &str = "nightly";

fn workflow() -> Result<Workflow<String, String>, BuildError> {
    Workflow::named("report").step(Write).build()
}

struct Write;

#[async_trait]
impl Step for Write {
    type Input = String;
    type Output = String;
    const NAME: &'static str = "write";

    async fn run(&self, ctx: &StepContext, about: String) -> StepResult<String> {
        // The time that it is for, not the time at which it runs: after an outage they differ.
        let what = match time_of(ctx.run_id()) {
            Some(time) => format!("{about} until {}", shown(time)),
            None => format!("{about} until now"),
        };
        println!("{}: {what}", ctx.run_id());
        Ok(what)
    }
}

fn schedule(rule: &Rule) -> Result<Schedule, ScheduleError> {
    let times: Times = match &rule.every {
        Some(interval) => Schedule::every(*interval),
        None => Schedule::cron(&rule.cron).timezone(&rule.timezone),
    };
    let schedule = times.starts("report", "sales")?;
    Ok(schedule.overlap(rule.overlap.into()).catch_up(rule.catch_up).jitter(rule.jitter))
}

// ---- the program

/// A report that is written by the clock. The schedule is in the store: any worker keeps it, and it outlives all of them.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "On file: and sled: one process at a time has the store: stop the worker before you pause, resume or show. \
What you said counts from when you said it.

Exit codes: 0 done; 1 failed, or there is no schedule yet; 2 wrong usage; 5 the store does not open; 130 stopped by a \
signal (the same command goes on).

Try:
  schedule work --every 5s --catch-up 1min        until Ctrl-C or kill -9; wait a while, then again
  schedule show"
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    store: StoreFlag,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the schedule; make it, or make it this one, first
    Work {
        #[command(flatten)]
        rule: Rule,
        /// Leave once so many reports are done in all
        #[arg(long, value_name = "N")]
        until_done: Option<usize>,
    },
    /// Tell how the schedule stands
    Show,
    /// Start nothing by the clock
    Pause {
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Go on with the next time
    Resume,
    /// Start a report now. The same id again is the same report
    Trigger { id: String },
    /// Start the reports of times gone by that were not started
    Backfill {
        /// Such as 2030-01-31T09:00:00Z
        from: humantime::Timestamp,
        to: humantime::Timestamp,
        /// List them and start none
        #[arg(long)]
        dry_run: bool,
    },
    /// End the schedule
    Delete,
}

#[derive(Debug, clap::Args)]
struct Rule {
    /// When: minute, hour, day of month, month, day of week
    #[arg(long, value_name = "EXPRESSION", default_value = "0 9 * * MON-FRI")]
    cron: String,
    /// By the clocks of which place
    #[arg(long, value_name = "ZONE", default_value = "Europe/Berlin")]
    timezone: String,
    /// Every so often instead, such as 5s or 6h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    every: Option<Duration>,
    /// What happens when the last report is not done yet
    #[arg(long, value_enum, default_value_t = OnOverlap::Skip)]
    overlap: OnOverlap,
    /// How late a report may be started after an outage
    #[arg(long, value_name = "TIME", default_value = "1day", value_parser = humantime::parse_duration)]
    catch_up: Duration,
    /// Start each up to so much later
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    jitter: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnOverlap {
    /// Pass the time over
    Skip,
    /// Let one wait
    Queue,
    /// Cancel the old one
    CancelOld,
    /// Start it beside the old one
    Allow,
}

impl From<OnOverlap> for Overlap {
    fn from(on: OnOverlap) -> Self {
        match on {
            OnOverlap::Skip => Self::Skip,
            OnOverlap::Queue => Self::Queue,
            OnOverlap::CancelOld => Self::CancelOld,
            OnOverlap::Allow => Self::Allow,
        }
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
    let workflow = workflow()?;
    // Only `work` takes runs; the others ask and tell.
    let engine = Engine::builder(backend).register(workflow).keep_schedules().build().await?;
    let schedules = engine.schedules().by(Actor::Person("operator".to_owned()));
    match flags.command {
        Command::Work { rule, until_done } => {
            let wanted = schedule(&rule).map_err(trouble)?;
            return work(&engine, &schedules, wanted, until_done, &Stop::on_signals(&progress)?).await;
        }
        Command::Show => tell(&schedules.get(NIGHTLY).await.map_err(trouble)?),
        Command::Pause { reason } => {
            schedules.pause(NIGHTLY, &reason).await.map_err(trouble)?;
            println!("{NIGHTLY} is paused: nothing is started by the clock until `schedule resume`");
        }
        Command::Resume => tell(&schedules.resume(NIGHTLY, "").await.map_err(trouble)?),
        Command::Trigger { id } => {
            let run = schedules.trigger(NIGHTLY, &id, "").await.map_err(trouble)?;
            println!("{} is started by the worker", run.run);
        }
        Command::Backfill { from, to, dry_run } => backfill(&schedules, at(from), at(to), dry_run).await?,
        Command::Delete => {
            schedules.delete(NIGHTLY, "").await.map_err(trouble)?;
            println!("{NIGHTLY} ends; its reports stay");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn work(
    engine: &Engine,
    schedules: &Schedules,
    wanted: Schedule,
    until_done: Option<usize>,
    stop: &Stop,
) -> Result<ExitCode, Trouble> {
    let view = match schedules.create(NIGHTLY, wanted.clone()).await {
        Err(ScheduleError::Conflict { what, .. }) => {
            println!("{NIGHTLY} gets other settings: {}", what.join(", "));
            schedules.update(NIGHTLY, wanted, "asked for on the command line").await.map_err(trouble)?
        }
        made => made.map_err(trouble)?,
    };
    tell(&view);
    engine.work();
    let done =
        Query { workflow: Some(Name::new("report")?), statuses: vec![Status::Succeeded], ..Query::default() };
    let enough = async {
        while until_done.is_none_or(|enough| enough > 0) {
            let page = engine.list(&done, None, 1_000).await?;
            if until_done.is_some_and(|enough| page.items.len() >= enough) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok::<(), stepwell::Error>(())
    };
    let Some(ended) = stop.or(engine, enough).await else {
        println!("stopped; times that come now are caught up with by the next `schedule work`");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    ended?;
    engine.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

async fn backfill(
    schedules: &Schedules,
    from: Timestamp,
    to: Timestamp,
    dry_run: bool,
) -> Result<(), Trouble> {
    let times = match dry_run {
        true => schedules.dry_run_backfill(NIGHTLY, from, to).await.map_err(trouble)?,
        false => schedules.backfill(NIGHTLY, from, to, "").await.map_err(trouble)?,
    };
    for time in &times {
        let before = time.status.map(|status| format!(", which was started before and is {status}"));
        println!("  {}: {}{}", shown(time.time), time.run, before.unwrap_or_default());
    }
    println!("{} times{}", times.len(), if dry_run { "; nothing was started" } else { "" });
    Ok(())
}

fn tell(view: &ScheduleView) {
    println!("{} is {}", view.name, view.status);
    if let Some(paused) = &view.paused {
        println!("  paused by {} at {}: {}", paused.by, shown(paused.at), paused.reason);
    }
    for next in &view.next {
        println!("  next {}", shown(next.time));
    }
    for run in &view.recent {
        println!("  started {} at {}", run.run, shown(run.at));
    }
    for passed in &view.passed_over {
        let why = passed.skipped.map_or("missed".to_owned(), |why| format!("skipped, {why:?}"));
        println!("  {} from {}: {why}", passed.span.count, shown(passed.span.first));
    }
    let counts = view.counts;
    println!("  {} started, {} skipped, {} missed", counts.started, counts.skipped, counts.missed);
}

fn at(time: humantime::Timestamp) -> Timestamp {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn shown(time: Timestamp) -> String {
    let since = Duration::from_millis(u64::try_from(time.0).unwrap_or(0));
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}

fn trouble(error: ScheduleError) -> Trouble {
    match error {
        ScheduleError::Engine(error) => error.into(),
        error @ ScheduleError::NoSuchSchedule { .. } => {
            Trouble::new(exit::FAILED, "there is no schedule yet", error, "make it with `schedule work`")
        }
        error => Trouble::new(exit::USAGE, "that is no schedule", error, "see `schedule work --help`"),
    }
}
