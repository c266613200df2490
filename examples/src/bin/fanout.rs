//! Many items at once, several steps for each: counts the words of the files in a folder.
//!
//! ```text
//! fanout                  the files that come with the program; some are pictures, and it says so
//! fanout ~/notes          a folder of your own
//! ```
//!
//! Kill it at any moment and run the same command again: files that were counted are not counted again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};
use stepwell::contract::{Name, RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::{BuildError, Error, ItemResult, RunError};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{
    logging,
    progress::Progress,
    signals::Stop,
    store::{StoreFlag, wait_for_lease},
};

// ---- the workflow: list the files, do three steps with each of them, several files at once, then add up

fn workflow(concurrency: u32) -> Result<Workflow<PathBuf, Report>, BuildError> {
    // A file that is no text is no reason to stop; when no file is, something else is wrong.
    let tolerance = Tolerance { count: 2, share: 0.9 };
    Workflow::named("fanout")
        .step(List)
        .map_flow_tolerant(concurrency, tolerance, |file| file.step(Open).step(Count).step(Rank))
        .step(AddUp)
        .build()
}

// ---- the values between the steps: small ones. The texts stay where they are, the journal has their paths

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TextFile {
    path: PathBuf,
    bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    words: u64,
    /// The commonest of the longer words, and how often they are there.
    often: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ranked {
    bytes: u64,
    words: u64,
    /// The word that is there most often, and how often.
    top: Option<(String, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    counted: Vec<(PathBuf, Ranked)>,
    failed: Vec<(PathBuf, String)>,
}

// ---- the steps

struct List;

#[async_trait]
impl Step for List {
    type Input = PathBuf;
    type Output = Vec<PathBuf>;
    const NAME: &'static str = "list";

    async fn run(&self, ctx: &StepContext, folder: PathBuf) -> StepResult<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
            let entry = entry.map_err(|error| StepError::config(error.to_string()))?;
            if entry.file_type().is_file() {
                files.push(entry.into_path());
            }
        }
        // What is recorded here is the list, for good: a file that comes later belongs to another run.
        ctx.resource::<Progress>()?.begin(0, files.len() as u64);
        Ok(files)
    }
}

struct Open;

#[async_trait]
impl Step for Open {
    type Input = PathBuf;
    type Output = TextFile;
    const NAME: &'static str = "open";

    async fn run(&self, ctx: &StepContext, path: PathBuf) -> StepResult<TextFile> {
        let opened =
            fs::read(&path).map_err(|error| format!("it cannot be read: {error}")).and_then(|bytes| {
                let text = std::str::from_utf8(&bytes);
                text.map_err(|error| format!("it is no text: byte {} is not UTF-8", error.valid_up_to()))?;
                Ok(bytes.len() as u64)
            });
        match opened {
            Ok(bytes) => Ok(TextFile { path, bytes }),
            Err(why) => {
                ctx.resource::<Progress>()?.done();
                // Of class `validation`: no other attempt would succeed. The map has one failed item, and goes on.
                Err(StepError::validation(why))
            }
        }
    }
}

struct Count;

#[async_trait]
impl Step for Count {
    type Input = TextFile;
    type Output = Counted;
    const NAME: &'static str = "count";

    async fn run(&self, ctx: &StepContext, file: TextFile) -> StepResult<Counted> {
        tokio::time::sleep(ctx.resource::<Pace>()?.0).await;
        // `?` takes the error of the file system and finds its class: a disk that is busy is tried again.
        let text = fs::read_to_string(&file.path)?;
        let mut often: BTreeMap<String, u64> = BTreeMap::new();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *often.entry(word.to_lowercase()).or_default() += 1;
        }
        let words = often.values().sum();
        // Short words such as "the" tell nothing of a text.
        often.retain(|word, _| word.chars().count() > 3);
        ctx.resource::<Progress>()?.aside(|| println!("  counted {}", file.path.display()));
        // The commonest are enough for what comes next.
        let mut common: Vec<(String, u64)> = often.into_iter().collect();
        common.sort_by(|(a, a_times), (b, b_times)| b_times.cmp(a_times).then(a.cmp(b)));
        Ok(Counted { words, often: common.into_iter().take(20).collect() })
    }
}

struct Rank;

#[async_trait]
impl Step for Rank {
    type Input = Counted;
    type Output = Ranked;
    const NAME: &'static str = "rank";

    async fn run(&self, ctx: &StepContext, counted: Counted) -> StepResult<Ranked> {
        let top = counted.often.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        // What an earlier step gave for the same file.
        let bytes = ctx.output::<Open>()?.bytes;
        ctx.resource::<Progress>()?.done();
        Ok(Ranked { bytes, words: counted.words, top })
    }
}

struct AddUp;

#[async_trait]
impl Step for AddUp {
    type Input = Vec<ItemResult<Ranked>>; // one for each file, in the order of the list
    type Output = Report;
    const NAME: &'static str = "add_up";

    async fn run(&self, ctx: &StepContext, ended: Vec<ItemResult<Ranked>>) -> StepResult<Report> {
        let mut report = Report { counted: Vec::new(), failed: Vec::new() };
        for (path, ended) in ctx.output::<List>()?.into_iter().zip(ended) {
            match ended {
                ItemResult::Ok(ranked) => report.counted.push((path, ranked)),
                ItemResult::Failed(failure) => report.failed.push((path, failure.message)),
            }
        }
        Ok(report)
    }
}

/// How long it takes to count a file, at least: small files are counted too fast to be watched.
struct Pace(Duration);

// ---- the program

/// The files that come with the program.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// Counts the words of all files in a folder: each is opened, counted and ranked, several files at once.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, what failed is told; 1 more failed than is tolerated; 2 wrong usage; 5 the store \
does not open; 130 stopped by a signal (the same command goes on).

Try:
  fanout --pace-ms 500       kill it in the middle (kill -9, or Ctrl-C)
  fanout                     goes on: what was counted is not counted again
  fanout                     the run is done: its report is read, nothing runs"
)]
struct Flags {
    /// The folder [default: the few files that come with the program]
    folder: Option<PathBuf>,
    /// The run. The same id is the same run; another folder needs another id
    #[arg(long, value_name = "ID", default_value = "fanout-1")]
    id: String,
    /// How many files are at work at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    /// Let each file take at least so many milliseconds, to have something to kill
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pace_ms: u64,
    #[command(flatten)]
    store: StoreFlag,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::with(run(Flags::parse()).await)
}

async fn run(flags: Flags) -> Result<ExitCode, Trouble> {
    let progress = Progress::new();
    logging::start(&progress);
    let run = RunId::new(&flags.id)?;
    let folder = flags.folder.unwrap_or_else(|| PathBuf::from(SAMPLES));
    let folder = fs::canonicalize(&folder).map_err(|error| {
        let what = format!("cannot read {}", folder.display());
        Trouble::new(exit::USAGE, what, error, "name a folder that is there")
    })?;
    let stop = Stop::on_signals(&progress)?;
    let (backend, store) = flags.store.open().await?;
    let workflow = workflow(flags.concurrency)?;
    let engine = Engine::builder(backend)
        .register(workflow)
        .resource(Pace(Duration::from_millis(flags.pace_ms)))
        .resource(progress.clone())
        .build()
        .await?;
    tell_what_is_there(&engine, &RunKey::new(TenantId::default(), run.clone()), &store, &progress).await?;
    engine.work();
    let handle = match engine.start_run("fanout", run.as_str(), &folder).await {
        Err(error @ Error::Conflict { .. }) => {
            let fix = "give this folder an id of its own with --id";
            return Err(Trouble::new(exit::USAGE, "that id is another folder's", error, fix));
        }
        handle => handle?,
    };
    let Some(result) = stop.or(&engine, handle.result::<Report>()).await else {
        progress.end();
        println!("given up for now; the same command goes on");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    engine.shutdown().await;
    progress.end();
    tell(&result.map_err(|error| stuck(&error))?, &folder);
    Ok(ExitCode::SUCCESS)
}

async fn tell_what_is_there(
    engine: &Engine,
    key: &RunKey,
    store: &str,
    progress: &Progress,
) -> Result<(), Trouble> {
    let Some(head) = engine.get(key).await? else {
        println!("{} is new; its journal is kept in {store}", key.run);
        return Ok(());
    };
    if head.status == Status::Succeeded {
        println!("{} was done before; its report is read from {store}, nothing runs", key.run);
        return Ok(());
    }
    let state = engine.state(key).await?;
    let listed = state.outputs.iter().find(|(step, _)| step.as_str() == List::NAME);
    let total = listed.and_then(|(_, list)| list.decode::<Vec<PathBuf>>().ok()).map_or(0, |list| list.len());
    let of = |step: &str| Name::new(step).ok().and_then(|step| state.steps.get(&step));
    let counted = of(Rank::NAME).map_or(0, |group| group.succeeded);
    let failed = of(Open::NAME).map_or(0, |group| group.failed);
    println!(
        "{} was begun before and is {}: {counted} of {total} files are counted, {failed} cannot be",
        key.run, head.status
    );
    if let Some(wait) = wait_for_lease(&head, engine.now()) {
        println!("  {wait}");
    }
    if total > 0 {
        progress.begin((counted + failed) as u64, total as u64);
    }
    Ok(())
}

fn tell(report: &Report, folder: &Path) {
    let shown = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    for (path, ranked) in &report.counted {
        let top = ranked.top.as_ref().map(|(word, times)| format!(", {times} × {word}")).unwrap_or_default();
        println!("  {:<28} {:>6} words in {} bytes{top}", shown(path), ranked.words, ranked.bytes);
    }
    for (path, why) in &report.failed {
        println!("  {:<28} failed: {why}", shown(path));
    }
    let words: u64 = report.counted.iter().map(|(_, ranked)| ranked.words).sum();
    println!("files={} words={words} failed={}", report.counted.len(), report.failed.len());
}

fn stuck(error: &RunError) -> Trouble {
    let fix = "mend the cause and give the run another id with --id";
    Trouble::new(exit::FAILED, "the folder is not counted", error, fix)
}
