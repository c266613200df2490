//! One step with a long loop in it: makes an index of a folder of photos, and goes on at the same photo after a stop.
//!
//! ```text
//! photos --crash-at 3       the process dies when the third photo is in the index, before its place was saved
//! photos                    goes on at the third photo; the index has each photo once
//! ```
//!
//! A run with a step for each photo would keep a record of each. Here the whole batch is one step that keeps its place
//! itself, with `ctx.checkpoint`: cheaper where there are very many items and nobody asks for the result of a single one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::contract::{RunId, Status};
use stepwell::prelude::*;
use stepwell::{BuildError, Error, RunError};
use stepwell_examples::exit::{self, Trouble};
use stepwell_examples::{logging, progress::Progress, signals::Stop, store::StoreFlag};

// ---- the workflow: list the photos, then all of them in one step

fn workflow() -> Result<Workflow<Batch, Summary>, BuildError> {
    Workflow::named("photos").step(List).step(Index).build()
}

// ---- the values between the steps

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Batch {
    folder: PathBuf,
    index: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    batch: Batch,
    photos: Vec<PathBuf>,
}

/// Where the loop is. What it needs to go on, and nothing else: it is written once for each photo.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Cursor {
    /// The number of the photo that comes next.
    next: usize,
    /// How long the index is with all photos before that one.
    bytes: u64,
    tally: Tally,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Tally {
    broken: usize,
    /// Photos that were in the index when the process died and that no cursor told of: taken out and done again.
    again: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    photos: usize,
    tally: Tally,
    attempts: u32,
}

/// A line of the index.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    path: &'a Path,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<(usize, usize)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
}

// ---- the steps

struct List;

#[async_trait]
impl Step for List {
    type Input = Batch;
    type Output = Listed;
    const NAME: &'static str = "list";

    async fn run(&self, _ctx: &StepContext, batch: Batch) -> StepResult<Listed> {
        let mut photos = Vec::new();
        for entry in walkdir::WalkDir::new(&batch.folder).sort_by_file_name() {
            let entry = entry.map_err(|error| StepError::config(error.to_string()))?;
            // In this order: reading from a pipe would wait for a writer.
            if entry.file_type().is_file() && infer::get_from_path(entry.path())?.is_some_and(is_image) {
                photos.push(entry.into_path());
            }
        }
        // The loop counts in this list. It is recorded, so that a number means the same photo in every attempt.
        Ok(Listed { batch, photos })
    }
}

fn is_image(kind: infer::Type) -> bool {
    kind.matcher_type() == infer::MatcherType::Image
}

struct Index;

#[async_trait]
impl Step for Index {
    type Input = Listed;
    type Output = Summary;
    const NAME: &'static str = "index";

    fn policy(&self) -> StepPolicy {
        // A long step needs no limit as a whole: it shows signs of life with each checkpoint.
        StepPolicy::default()
            .no_attempt_timeout()
            .no_deadline()
            .heartbeat_timeout(mins(5))
            // Killed by hand again and again, it is to go on each time instead of being held as dangerous.
            .crash_max(1_000)
    }

    async fn run(&self, ctx: &StepContext, Listed { batch, photos }: Listed) -> StepResult<Summary> {
        let progress = ctx.resource::<Progress>()?;
        // What an earlier attempt saved last; nothing in the first.
        let mut cursor: Cursor = ctx.cursor()?.unwrap_or_default();
        let (mut index, cut) = open_at(&batch.index, cursor.bytes)?;
        cursor.tally.again += cut;
        if ctx.attempt() > 1 {
            progress.aside(|| {
                println!("goes on at photo {} of {}; done again: {cut}", cursor.next + 1, photos.len());
            });
        }
        progress.begin(cursor.next as u64, photos.len() as u64);
        let stopping = ctx.stopping();
        while let Some(photo) = photos.get(cursor.next) {
            if stopping.is_cancelled() {
                // The photo before this one is saved: the next worker loses nothing.
                return Err(StepError::cancelled("the worker stops; the batch goes on at the next photo"));
            }
            let entry = look_at(photo, &batch.folder, ctx.resource::<Pace>()?.0).await?;
            cursor.tally.broken += usize::from(entry.broken.is_some());
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            index.write_all(&line)?;
            // First the effect, on the disk; then the word that it is there. The other way round a crash would lose a photo.
            index.sync_data()?;
            progress.aside(|| println!("  {}", entry.path.display()));
            cursor.next += 1;
            if ctx.resource::<CrashAt>()?.0 == Some(cursor.next) {
                println!(
                    "  the process dies here: photo {} is in the index, and nothing says so yet",
                    cursor.next
                );
                std::process::abort();
            }
            cursor.bytes += line.len() as u64;
            ctx.checkpoint(&cursor, cursor.next as f64 / photos.len() as f64).await?;
            progress.done();
        }
        Ok(Summary { photos: photos.len(), tally: cursor.tally, attempts: ctx.attempt() })
    }
}

/// Opens the index for writing at `bytes`, and cuts off what is behind: lines that no cursor tells of. Returns how many.
fn open_at(path: &Path, bytes: u64) -> StepResult<(File, usize)> {
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let there = file.metadata()?.len();
    if there < bytes {
        return Err(StepError::config(format!(
            "{} has {there} bytes and should have {bytes}: put it back, or begin anew with another --id",
            path.display()
        )));
    }
    let mut behind = Vec::new();
    file.seek(SeekFrom::Start(bytes))?;
    file.read_to_end(&mut behind)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes))?;
    // A line without an end was being written when the process died.
    Ok((file, behind.split_inclusive(|byte| *byte == b'\n').count()))
}

/// What the index tells of a photo. One that is broken is told as such and holds nothing up.
async fn look_at<'a>(photo: &'a Path, folder: &Path, pace: Duration) -> StepResult<Entry<'a>> {
    tokio::time::sleep(pace).await;
    let path = photo.strip_prefix(folder).unwrap_or(photo);
    let bytes = match fs::read(photo) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            let broken = Some(error.to_string());
            return Ok(Entry { path, bytes: 0, sha256: None, pixels: None, broken });
        }
        // Anything else may pass: the step is tried again, from this photo on.
        Err(error) => return Err(error.into()),
    };
    let (pixels, broken) = match imagesize::blob_size(&bytes) {
        Ok(size) => (Some((size.width, size.height)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Entry { path, bytes: bytes.len() as u64, sha256: Some(sha256), pixels, broken })
}

/// How long it takes to look at a photo, at least: small ones are read too fast to be watched.
struct Pace(Duration);

/// Behind which photo the process dies.
struct CrashAt(Option<usize>);

// ---- the program

/// The photos that come with the program.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// Makes an index of the photos in a folder: size, pixels and hash, one JSON line each. Goes on where it was stopped.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 not done, 2 wrong usage, 5 the store does not open, 130 stopped by a signal (the same \
command goes on).

Try:
  photos --crash-at 3        the process dies when the third photo is in the index
  photos                     goes on there: that one is done again, none is twice or missing
  jq . photos.jsonl"
)]
struct Flags {
    /// The folder [default: the photos that come with the program]
    folder: Option<PathBuf>,
    /// The index
    #[arg(long, value_name = "FILE", default_value = "photos.jsonl")]
    into: PathBuf,
    /// The run. The same id is the same batch; another folder or index needs another id
    #[arg(long, value_name = "ID", default_value = "photos-1")]
    id: String,
    /// Let the process die when so many photos are in the index, before the place of the last is saved
    #[arg(long, value_name = "N")]
    crash_at: Option<usize>,
    /// Let each photo take at least so many milliseconds, to have something to kill
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
    let absolute = |path: &Path, found: std::io::Result<PathBuf>, fix: &str| {
        found.map_err(|error| Trouble::new(exit::USAGE, format!("cannot use {}", path.display()), error, fix))
    };
    let batch = Batch {
        folder: absolute(&folder, fs::canonicalize(&folder), "name a folder that is there")?,
        index: absolute(&flags.into, std::path::absolute(&flags.into), "name a file with --into")?,
    };
    let stop = Stop::on_signals(&progress)?;
    let (backend, store) = flags.store.open().await?;
    let workflow = workflow()?;
    let engine = Engine::builder(backend)
        .register(workflow)
        .resource(Pace(Duration::from_millis(flags.pace_ms)))
        .resource(CrashAt(flags.crash_at))
        .resource(progress.clone())
        .start()
        .await?;
    let handle = match engine.start_run("photos", run.as_str(), &batch).await {
        Err(error @ Error::Conflict { .. }) => {
            let fix = "give this folder and index an id of their own with --id";
            return Err(Trouble::new(exit::USAGE, "that id is another batch's", error, fix));
        }
        handle => handle?,
    };
    let how = match (handle.is_new(), handle.head().await?.status) {
        (true, _) => "is new",
        (false, Status::Succeeded) => "was done before: its summary is read",
        (false, _) => "was begun before",
    };
    println!("{run} {how} (store {store})");
    let Some(result) = stop.or(&engine, handle.result::<Summary>()).await else {
        progress.end();
        println!("given up for now; the same command goes on");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    engine.shutdown().await;
    progress.end();
    let Summary { photos, tally: Tally { broken, again }, attempts } =
        result.map_err(|error| stuck(&error))?;
    println!("the index is {}", batch.index.display());
    println!("photos={photos} broken={broken} again={again} attempts={attempts}");
    Ok(ExitCode::SUCCESS)
}

fn stuck(error: &RunError) -> Trouble {
    let fix = "mend the cause and give the batch another id with --id";
    Trouble::new(exit::FAILED, "the index is not made", error, fix)
}
