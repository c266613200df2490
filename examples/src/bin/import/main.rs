//! Imports a folder of files into a library, durably: kill it at any moment, run the same command again, and it goes on.
//!
//! A session is one run, and each file is a run of its own, so a file that fails is one failed run and the others go on.
//!
//! * `session`: the workflow of the whole import. `item`: the workflow of one file.
//! * `library`: the copies, the catalogue and the claims. `content`: what a file is. `tally`: how the items stand.
//! * `ledger`: an outside world that is told of each copy.

mod alive;
mod content;
mod fault;
mod item;
mod ledger;
mod library;
mod naming;
mod path;
mod places;
mod session;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use stepwell::contract::{Name, RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::{EngineOptions, RunError, StartRun};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::logging;
use stepwell_examples::progress::Progress;
use stepwell_examples::serve::ServeFlag;
use stepwell_examples::signals::Stop;
use stepwell_examples::store::{StoreFlag, wait_for_lease};

use crate::ledger::Ledger;
use crate::library::Library;
use crate::naming::ORIGIN_TAG;
use crate::path::FilePath;
use crate::places::{excluded, places};
use crate::session::{Concurrency, SESSION, Session, Summary};
use crate::tally::{Tally, items, tally};

/// The files that come with the program.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
/// Room for the items at hand, for those that a dead process left behind, and for the session.
const RUNS_AT_ONCE: usize = 1_024;

/// Import a folder of files into a library: each is analyzed, checked for duplicates, copied, catalogued and verified.
///
/// Kill it at any moment and run the same command again: it goes on where it was, copies nothing twice and leaves no
/// half file. Run it again after it has ended, and it imports what is new.
///
/// On a store of several processes, such as Redis, run the same command as often as you like at once: the processes share
/// the work of one session, take over from one that dies, and end with the same counts.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 nothing failed, 1 something failed, 2 wrong usage, 5 the store does not open,
130 stopped by a signal (the same command goes on).

Examples:
  import                                   the files that come with it, into ./library
  import ~/photos --into /srv/library      a folder of your own
  import ~/photos --store sled:./runs      with its runs kept in a sled database
  jq -r '[.sha256, .path] | @tsv' library/catalogue/*.json"
)]
struct Flags {
    /// The folder to import [default: the few files that come with the program]
    folder: Option<PathBuf>,
    /// The library; it is made when it is not there
    #[arg(long, value_name = "DIR", default_value = "library")]
    into: PathBuf,
    /// How many files are imported at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Give the session a name of its own [default: made of folder and library, and numbered]
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// On a store of several processes, how soon the others take over from one that was killed, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(500..=600_000))]
    lease_ms: u64,
    /// Tell this ledger of each copy: a line with the idempotency key and the fencing token, answered by "new", "known" or
    /// "stale"
    #[arg(long, value_name = "IP:PORT")]
    ledger: Option<SocketAddr>,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    serve: ServeFlag,
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    match run(Flags::parse(), started).await {
        Ok(code) => code,
        Err(trouble) => trouble.report(),
    }
}

async fn run(flags: Flags, started: Instant) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let stop = Stop::on_signals(&progress)?;
    let folder = flags.folder.unwrap_or_else(|| PathBuf::from(SAMPLES));
    let (folder, into) = places(&folder, &flags.into)?;
    let (backend, store) = flags.store.open().await?;
    let info = backend.info().await.map_err(stepwell::Error::from)?;
    let input = Session { folder: FilePath::new(folder), library: FilePath::new(&into) };

    // A look first, at which session it is: the engine that works takes the runs of that session alone.
    let look = Engine::builder(Arc::clone(&backend)).build().await?;
    let session = match flags.session {
        Some(id) => naming::given(id)?,
        None => naming::next(&look, &input, &into).await?,
    };
    let library = Library::open(&into, info.id, &session)?;
    let queue = Name::new(&session)?;
    let options = EngineOptions {
        queues: vec![queue.clone()],
        concurrency: RUNS_AT_ONCE,
        lease_ms: flags.lease_ms,
        ..EngineOptions::default()
    };
    let engine = Engine::builder(backend)
        .options(options)
        .register(session::workflow().map_err(unsound)?)
        .register(item::workflow().map_err(unsound)?)
        .resource(library.clone())
        .resource(excluded(&into, &info))
        .resource(Concurrency(usize::from(flags.concurrency)))
        .resource(Ledger(flags.ledger))
        .resource(progress.clone())
        .resource(stop.clone())
        .build()
        .await?;

    println!("importing {} into {} (session {session}, store {store})", input.folder, input.library);
    let resumed = tell_what_is_there(&engine, &session).await?;
    engine.work();
    let dashboard = flags.serve.start(&engine, &stop).await?;
    let run = StartRun::new(SESSION, &session, &input)?;
    let run = run.tag(ORIGIN_TAG, naming::origin(&input))?.queue(queue);
    let handle = engine.start_with(run).await.map_err(|error| not_started(error, &session))?;
    let result = stop.or(&engine, handle.result::<Summary>()).await;
    progress.end();

    let (tally, code) = match result {
        Some(Ok(summary)) => {
            tell_done(&summary, &input);
            let code = if summary.tally.failed > 0 { exit::FAILED } else { 0 };
            (summary.tally, code)
        }
        Some(Err(error)) => (tally(&engine.runs(), &session).await?, tell_failed(error)),
        None => {
            println!("stopped before the end; run the same command to go on");
            (tally(&engine.runs(), &session).await?, exit::INTERRUPTED)
        }
    };
    tell_failures(&tally);
    let elapsed = started.elapsed().as_secs_f64();
    let Tally { imported, duplicates, failed, .. } = tally;
    println!(
        "imported={imported} duplicates={duplicates} failed={failed} resumed={resumed} elapsed={elapsed:.2}s"
    );
    if let Some(dashboard) = dashboard {
        dashboard.stays().await?;
    }
    engine.shutdown().await;
    // Only now the session is over for people too: from here on the same command begins a new one.
    if code != exit::INTERRUPTED
        && let Err(fault) = library.remove_list(&session)
    {
        eprintln!("the next import will tell of this one again: {fault}");
    }
    if let Err(fault) = library.leave() {
        eprintln!("the next import will clear it: {fault}");
    }
    Ok(ExitCode::from(code))
}

/// Shows what former processes did, and lets a session go on that is held. Returns how many items they had begun.
async fn tell_what_is_there(engine: &Engine, session: &str) -> Result<usize, Trouble> {
    let key = RunKey::new(TenantId::default(), RunId::new(session)?);
    let Some(head) = engine.get(&key).await? else { return Ok(0) };
    let items = items(&engine.runs(), session).await?;
    let resumed = items.iter().filter(|head| head.status != Status::Queued).count();
    match head.status {
        status if status.is_finished() => println!("this session has {status} before; this is how it ended"),
        Status::Paused if head.workflow.as_str() == SESSION => {
            engine.retry(&key, "the import was run again").await?;
            println!("the session was held; it goes on");
        }
        _ => {
            println!("the session goes on: {resumed} files were begun or done before");
            if let Some(wait) = wait_for_lease(&head, engine.now()) {
                println!("{wait}");
            }
        }
    }
    Ok(resumed)
}

fn tell_done(summary: &Summary, input: &Session) {
    let Summary { files, links, .. } = summary;
    let passed_over =
        if *links > 0 { format!(", {links} symbolic links passed over") } else { String::new() };
    println!("{files} files{passed_over}; the catalogue is in {}/catalogue", input.library);
}

/// Tells why the whole import ended early. Returns the code of the program.
fn tell_failed(error: RunError) -> u8 {
    let fix = "mend that, then run the same command again";
    let code = match &error {
        RunError::Engine(stepwell::Error::Store(_)) => exit::STORE,
        _ => exit::FAILED,
    };
    eprintln!("{}", Trouble::new(code, "the import ended early", error, fix));
    code
}

fn tell_failures(tally: &Tally) {
    if tally.failed == 0 {
        return;
    }
    eprintln!("{} failed:", tally.failed);
    for failure in &tally.failures {
        eprintln!("  {failure}");
    }
    if tally.failed > tally.failures.len() {
        eprintln!("  … and {} more", tally.failed - tally.failures.len());
    }
}

fn unsound(error: stepwell::BuildError) -> Trouble {
    Trouble::new(exit::FAILED, "the workflow is not sound", error, "mend its definition")
}

fn not_started(error: stepwell::Error, session: &str) -> Trouble {
    match error {
        stepwell::Error::Conflict { .. } => Trouble::new(
            exit::USAGE,
            format!("session {session} is something else"),
            error,
            "give the same folder and library as then, or another name with --session",
        ),
        error => error.into(),
    }
}
