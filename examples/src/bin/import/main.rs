//! Imports a folder of files into a library, durably: kill it at any moment, run the same command again, and it goes on.
//!
//! A session is one run, and each file is a run of its own, so a file that fails is one failed run and the others go on.
//!
//! * `session`: the workflow of the whole import. `item`: the workflow of one file.
//! * `library`: the copies, the catalogue and the claims. `content`: what a file is. `tally`: how the items stand.

mod alive;
mod content;
mod fault;
mod item;
mod library;
mod path;
mod session;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use clap::Parser;
use sha2::{Digest, Sha256};
use stepwell::contract::{Name, Query, RunId, RunKey, Status, StoreInfo, TenantId};
use stepwell::prelude::*;
use stepwell::{EngineOptions, RunError, StartRun};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::logging;
use stepwell_examples::progress::Progress;
use stepwell_examples::signals::Stop;
use stepwell_examples::store::{StoreFlag, wait_for_lease};

use crate::library::Library;
use crate::path::{FilePath, hex};
use crate::session::{Concurrency, EngineSlot, Excluded, SESSION, Session, Summary};
use crate::tally::{Tally, items, tally};

/// The files that come with the program.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
/// The tag by which the sessions of one folder and library are found.
const ORIGIN_TAG: &str = "origin";
/// Longest session id: the ids of its items are longer.
const SESSION_BYTES_MAX: usize = 90;
/// Room for the items at hand, for those that a dead process left behind, and for the session.
const RUNS_AT_ONCE: usize = 1_024;

/// Import a folder of files into a library: each is analyzed, checked for duplicates, copied, catalogued and verified.
///
/// Kill it at any moment and run the same command again: it goes on where it was, copies nothing twice and leaves no
/// half file. Run it again after it has ended, and it imports what is new.
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
    #[command(flatten)]
    store: StoreFlag,
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
    let stop = Stop::on_signals()?;
    let (folder, into) = places(&flags)?;
    let (backend, store) = flags.store.open().await?;
    let info = backend.info().await.map_err(stepwell::Error::from)?;
    let library = Library::open(&into)?;
    let excluded = excluded(&into, &info);

    let input = Session { folder: FilePath::new(&folder), library: FilePath::new(&into) };
    let engine_of = |queues: Vec<Name>| {
        let options =
            EngineOptions { queues, concurrency: RUNS_AT_ONCE, lease_ms: 5_000, ..EngineOptions::default() };
        Engine::builder(Arc::clone(&backend)).options(options)
    };
    // First a look, to know which session it is: the engine that works takes runs of that session alone.
    let session = match flags.session {
        Some(id) => given(id)?,
        None => next_session(&engine_of(Vec::new()).build().await?, &input).await?,
    };
    let slot = EngineSlot::default();
    let engine = engine_of(vec![Name::new(&session).map_err(stepwell::Error::from)?])
        .register(session::workflow().map_err(unsound)?)
        .register(item::workflow().map_err(unsound)?)
        .resource(library)
        .resource(excluded)
        .resource(Concurrency(usize::from(flags.concurrency)))
        .resource(progress.clone())
        .resource(stop.clone())
        .resource(slot.clone())
        .build()
        .await?;
    slot.set(Some(engine.clone()));

    let before = items(&engine, &session).await?;
    let resumed = before.iter().filter(|head| head.status != Status::Queued).count();
    println!("importing {} into {} (session {session}, store {store})", input.folder, input.library);
    let key = RunKey::new(TenantId::default(), RunId::new(&session).map_err(stepwell::Error::from)?);
    tell_what_is_there(&engine, &key, resumed).await?;

    engine.work();
    let origin = origin(&input);
    let run =
        StartRun::new(SESSION, &session, &input)?.tag(ORIGIN_TAG, origin).map_err(stepwell::Error::from)?;
    let handle = engine.start_with(run.queue(Name::new(&session).map_err(stepwell::Error::from)?)).await;
    let handle = handle.map_err(|error| not_started(error, &session))?;
    let result = stop.or(&engine, until_poisoned(&engine, handle.result::<Summary>())).await;
    progress.end();
    let (result, tally) = match result {
        None => (Ended::Stopped, tally(&engine, &session).await?),
        Some(Err(poisoned)) => return Err(poisoned),
        Some(Ok(Ok(summary))) => {
            let Summary { files, links, .. } = summary;
            let passed_over = match links {
                0 => String::new(),
                links => format!(", {links} symbolic links passed over"),
            };
            println!("{files} files{passed_over}");
            (Ended::Done, summary.tally)
        }
        Some(Ok(Err(error))) => (Ended::Failed(error), tally(&engine, &session).await?),
    };
    engine.shutdown().await;
    slot.set(None);
    let code = tell(&result, &tally, &input);
    let elapsed = started.elapsed().as_secs_f64();
    let Tally { imported, duplicates, failed, .. } = tally;
    println!(
        "imported={imported} duplicates={duplicates} failed={failed} resumed={resumed} elapsed={elapsed:.2}s"
    );
    Ok(ExitCode::from(code))
}

/// How this process ends.
enum Ended {
    Done,
    Stopped,
    Failed(RunError),
}

/// The folder to import and the library, as full paths.
fn places(flags: &Flags) -> Result<(PathBuf, PathBuf), Trouble> {
    let folder = flags.folder.clone().unwrap_or_else(|| PathBuf::from(SAMPLES));
    let shown = FilePath::new(&folder);
    let usage = |why: &dyn std::fmt::Display, fix: &str| {
        Trouble::new(exit::USAGE, format!("cannot import {shown}"), why, fix)
    };
    let folder = fs::canonicalize(&folder).map_err(|error| usage(&error, "name a folder that is there"))?;
    if !folder.is_dir() {
        return Err(usage(&"it is not a folder", "name the folder that it is in"));
    }
    // The library may not be there yet, but what is there of its path is looked at.
    let into =
        std::path::absolute(&flags.into).map_err(|error| usage(&error, "name a library with --into"))?;
    let into = canonical(&into);
    if folder.starts_with(&into) {
        return Err(usage(
            &"it lies in the library",
            "choose another folder, or another library with --into",
        ));
    }
    Ok((folder, into))
}

/// The path with the links in it resolved, as far as it is there.
fn canonical(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => canonical(above).join(name),
        _ => path.to_owned(),
    }
}

/// The library and the store are not imported, should they lie in the folder.
fn excluded(into: &Path, store: &StoreInfo) -> Excluded {
    let of_store = ["folder", "path"].iter().filter_map(|fact| store.facts.get(*fact));
    let of_store = of_store.filter_map(|path| fs::canonicalize(path).ok());
    Excluded(of_store.chain([into.to_owned()]).collect())
}

fn given(id: String) -> Result<String, Trouble> {
    let wrong = |why: &dyn std::fmt::Display| {
        Trouble::new(exit::USAGE, format!("{id:?} is no session id"), why, "give another one with --session")
    };
    RunId::new(&id).map_err(|error| wrong(&error))?;
    if id.len() > SESSION_BYTES_MAX {
        return Err(wrong(&format!("it is longer than {SESSION_BYTES_MAX} bytes")));
    }
    Ok(id)
}

/// What the sessions of one folder and one library have in common: part of their names.
fn origin(input: &Session) -> String {
    let mut hash = Sha256::new();
    hash.update(input.folder.bytes());
    hash.update(b"\0");
    hash.update(input.library.bytes());
    let name = input.folder.as_path().file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("{}-{}", if name.is_empty() { "import" } else { &name }, hex(&hash.finalize()[..5]))
}

/// The session of this folder and library that has not ended; else a new one, with the next number.
async fn next_session(engine: &Engine, input: &Session) -> Result<String, Trouble> {
    let origin = origin(input);
    let query = Query {
        workflow: Some(Name::new(SESSION).map_err(stepwell::Error::from)?),
        tag: Some((Name::new(ORIGIN_TAG).map_err(stepwell::Error::from)?, origin.clone())),
        ..Query::default()
    };
    let latest = engine.list(&query, None, 1).await?.items.into_iter().next();
    let number_of = |id: &str| id.strip_prefix(&format!("{origin}."))?.parse::<u64>().ok();
    Ok(match latest {
        Some(head) if !head.status.is_finished() => head.key.run.to_string(),
        Some(head) => format!("{origin}.{}", number_of(head.key.run.as_str()).unwrap_or(0) + 1),
        None => format!("{origin}.1"),
    })
}

/// Shows what a former process did, and lets a session go on that is held.
async fn tell_what_is_there(engine: &Engine, key: &RunKey, resumed: usize) -> Result<(), Trouble> {
    let Some(head) = engine.get(key).await? else { return Ok(()) };
    match head.status {
        status if status.is_finished() => {
            println!("this session has {status} before; this is how it ended");
        }
        Status::Paused => {
            engine.retry(key, "the import was run again").await?;
            println!("the session was held; it goes on");
        }
        _ => {
            println!("the session goes on: {resumed} files were begun or done before");
            if let Some(wait) = wait_for_lease(&head, engine.now()) {
                println!("{wait}");
            }
        }
    }
    Ok(())
}

/// Returns what `work` gives, or why it never will: a store that must not be written any more.
async fn until_poisoned<T>(engine: &Engine, work: impl Future<Output = T>) -> Result<T, Trouble> {
    let poisoned = async {
        while !engine.is_poisoned() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        done = work => Ok(done),
        () = poisoned => Err(Trouble::new(
            exit::STORE,
            "the store takes no more writes",
            "a write to its disk failed, and after that nothing is certain before it is opened again",
            "check the disk, then run the same command again: it goes on",
        )),
    }
}

fn unsound(error: stepwell::BuildError) -> Trouble {
    Trouble::new(exit::FAILED, "the workflow is not sound", error, "mend its definition")
}

fn not_started(error: stepwell::Error, session: &str) -> Trouble {
    match error {
        stepwell::Error::Conflict { .. } => Trouble::new(
            exit::USAGE,
            format!("session {session} is another import"),
            error,
            "give the same folder and library as then, or another name with --session",
        ),
        error => error.into(),
    }
}

/// Tells people how it ended. Returns the exit code.
fn tell(ended: &Ended, tally: &Tally, input: &Session) -> u8 {
    if tally.failed > 0 {
        eprintln!("{} failed:", tally.failed);
        for failure in &tally.failures {
            eprintln!("  {failure}");
        }
        if tally.failed > tally.failures.len() {
            eprintln!("  … and {} more", tally.failed - tally.failures.len());
        }
    }
    match ended {
        Ended::Done => {
            println!("done; the catalogue is in {}/catalogue", input.library);
            if tally.failed > 0 { exit::FAILED } else { 0 }
        }
        Ended::Stopped => {
            println!("stopped before the end; run the same command to go on");
            exit::INTERRUPTED
        }
        Ended::Failed(error) => {
            let fix = "mend that, then run the same command again";
            eprintln!("{}", Trouble::new(exit::FAILED, "the import ended early", error, fix));
            exit::FAILED
        }
    }
}
