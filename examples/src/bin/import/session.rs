//! The workflow of a whole import: list the files, import each as a run of its own, add up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stepwell::prelude::*;
use stepwell::{RunError, Runs, StartRun, workflow::definition::BuildError};
use stepwell_examples::progress::Progress;
use stepwell_examples::signals::Stop;
use walkdir::WalkDir;

use crate::alive::{Alive, on_disk};
use crate::fault::{FileFault, FileResult};
use crate::item::{ITEM, Outcome, Source, stopped};
use crate::library::Library;
use crate::path::{FilePath, hex};
use crate::tally::{SESSION_TAG, Tally, tally};

/// The name of the workflow.
pub(crate) const SESSION: &str = "import";
/// After how many more items the place is saved where a crash goes on.
const CHECKPOINT_ITEMS: usize = 64;
/// Longest path in a tag, in bytes.
const TAG_BYTES: usize = 200;

pub(crate) fn workflow() -> Result<Workflow<Session, Summary>, BuildError> {
    let policy = StepPolicy::default()
        .on_exhausted(OnExhausted::Fail)
        .no_attempt_timeout()
        // The steps of a session do nothing that could take a process down, and every crash costs one attempt.
        .crash_max(u32::MAX);
    Workflow::named(SESSION).step_policy(policy).step(Scan).step(ImportItems).step(Summarize).build()
}

/// What is imported, and where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) folder: FilePath,
    pub(crate) library: FilePath,
}

/// The list of what a session found. The list itself may be longer than a result can be: it is a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listing {
    folder: FilePath,
    list: FilePath,
    sha256: String,
    files: usize,
    links: usize,
}

/// One line of the list.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    path: FilePath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// How an import ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) files: usize,
    /// Symbolic links that were passed over.
    pub(crate) links: usize,
}

/// How many items are imported at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concurrency(pub(crate) usize);

/// Folders that a scan passes over although they lie in the folder: the library and the store.
#[derive(Debug, Clone)]
pub(crate) struct Excluded(pub(crate) Vec<PathBuf>);

// ---- scan

struct Scan;

#[async_trait]
impl Step for Scan {
    type Input = Session;
    type Output = Listing;
    const NAME: &'static str = "scan";

    async fn run(&self, ctx: &StepContext, session: Session) -> StepResult<Listing> {
        let (library, excluded) = (ctx.resource::<Library>()?, ctx.resource::<Excluded>()?);
        let id = ctx.run_id().to_string();
        let folder = session.folder;
        on_disk(ctx, move |alive| {
            let (lines, links) = find(folder.as_path(), &excluded.0, alive)?;
            let mut text = Vec::new();
            for line in &lines {
                let wrote = serde_json::to_writer(&mut text, line);
                wrote.map_err(|error| {
                    FileFault::new("list", line.path.as_path(), error.to_string(), "report this")
                })?;
                text.push(b'\n');
            }
            let list = library.write_list(&id, &text)?;
            let sha256 = hex(&Sha256::digest(&text));
            Ok(Listing { folder, list: FilePath::new(list), sha256, files: lines.len(), links })
        })
        .await
    }
}

/// Lists what is to be imported, in the order of the names, and counts the symbolic links it passed over.
fn find(folder: &Path, excluded: &[PathBuf], alive: &Alive) -> FileResult<(Vec<Line>, usize)> {
    let mut lines = Vec::new();
    let mut links = 0;
    let mut walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
    while let Some(found) = walk.next() {
        alive.check().map_err(|error| FileFault::io("list", folder, &error))?;
        match found {
            Ok(entry) if entry.file_type().is_dir() => {
                if excluded.iter().any(|excluded| excluded == entry.path()) {
                    walk.skip_current_dir();
                }
            }
            Ok(entry) if entry.file_type().is_symlink() => links += 1,
            // Pipes and the like too: as items they fail, and that is told. Nothing is passed over in silence.
            Ok(entry) => lines.push(Line { path: relative(folder, entry.path()), problem: None }),
            // The folder itself: there is nothing to go on with.
            Err(error) if error.depth() == 0 => {
                let error = error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::Other.into());
                return Err(FileFault::io("list", folder, &error));
            }
            Err(error) => {
                let path = relative(folder, error.path().unwrap_or(folder));
                let problem = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                lines.push(Line { path, problem: Some(problem) });
            }
        }
    }
    Ok((lines, links))
}

fn relative(folder: &Path, path: &Path) -> FilePath {
    FilePath::new(path.strip_prefix(folder).unwrap_or(path))
}

// ---- import

struct ImportItems;

#[async_trait]
impl Step for ImportItems {
    type Input = Listing;
    type Output = usize;
    const NAME: &'static str = "import_items";

    fn policy(&self) -> StepPolicy {
        // What fails here is the engine or its store; as long as that can pass, it is tried again. The delay does not
        // grow: each stop by a signal counts as a failed attempt too, and the next process should not wait for it.
        StepPolicy::default().retry(Retry::fixed(millis(200)).unlimited_attempts())
    }

    async fn run(&self, ctx: &StepContext, listing: Listing) -> StepResult<usize> {
        let runs = ctx.runs()?;
        let (stop, progress) = (ctx.resource::<Stop>()?, ctx.resource::<Progress>()?);
        let Concurrency(at_once) = *ctx.resource::<Concurrency>()?;
        let files = listing.files;
        let sources = {
            let (session, listing) = (ctx.run_id().to_string(), listing.clone());
            on_disk(ctx, move |_| read_list(&session, &listing)).await?
        };
        // Everything before the cursor has ended. Behind it, items may have been begun or have ended too: starting them
        // again finds them.
        let mut prefix = Prefix { ended: ctx.cursor::<usize>()?.unwrap_or(0), ahead: BTreeSet::new() };
        let mut saved = prefix.ended;
        progress.begin(prefix.ended as u64, files as u64);
        let mut waiting = sources.into_iter().enumerate().skip(prefix.ended);
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < at_once
                && let Some((number, source)) = waiting.next()
            {
                let runs = runs.clone();
                under_way.push(async move { (number, import(&runs, source).await) });
            }
            let ended = tokio::select! {
                ended = under_way.next() => ended,
                () = stop.0.cancelled() => return Err(stopped()),
            };
            let Some((number, ended)) = ended else { break };
            ended?;
            progress.done();
            prefix.add(number);
            if prefix.ended - saved >= CHECKPOINT_ITEMS {
                saved = prefix.ended;
                ctx.checkpoint(&saved, saved as f64 / files as f64).await?;
            }
        }
        Ok(files)
    }
}

/// Imports one file as a run of its own, and waits for its end, whatever it is.
async fn import(runs: &Runs, source: Source) -> StepResult<()> {
    let item = item_id(&source);
    let run = StartRun::new(ITEM, &item, &source)?
        .tag(SESSION_TAG, &source.session)?
        .tag("path", shortened(source.path.to_string()))?
        .queue(stepwell::contract::Name::new(&source.session)?);
    let handle = runs.start_with(run).await?;
    match handle.result::<Outcome>().await {
        Err(RunError::Engine(error)) => Err(error.into()),
        // How it ended is in its own journal, where the summary reads it.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The id of a file's run: the same whenever the session comes to this file.
fn item_id(source: &Source) -> String {
    let hash = Sha256::digest(source.path.bytes());
    format!("{}.{}", source.session, hex(&hash[..12]))
}

fn shortened(mut text: String) -> String {
    if text.len() > TAG_BYTES {
        let end = (0..=TAG_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

fn read_list(session: &str, listing: &Listing) -> FileResult<Vec<Source>> {
    let path = listing.list.as_path();
    let damaged = || {
        let fix = "import again: that begins a new session";
        FileFault::new("use the list", path, "it is not what the scan wrote", fix)
    };
    let text = fs::read(path).map_err(|error| FileFault::io("read", path, &error))?;
    if hex(&Sha256::digest(&text)) != listing.sha256 {
        return Err(damaged());
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let Line { path, problem } = serde_json::from_slice(line).map_err(|_| damaged())?;
            Ok(Source { session: session.to_owned(), folder: listing.folder.clone(), path, problem })
        })
        .collect()
}

/// How many of the first items have ended, without gap.
#[derive(Debug)]
struct Prefix {
    ended: usize,
    ahead: BTreeSet<usize>,
}

impl Prefix {
    fn add(&mut self, number: usize) {
        self.ahead.insert(number);
        while self.ahead.remove(&self.ended) {
            self.ended += 1;
        }
    }
}

// ---- summarize

struct Summarize;

#[async_trait]
impl Step for Summarize {
    type Input = usize;
    type Output = Summary;
    const NAME: &'static str = "summarize";

    async fn run(&self, ctx: &StepContext, files: usize) -> StepResult<Summary> {
        let tally = tally(&ctx.runs()?, ctx.run_id().as_str()).await?;
        let counted = tally.imported + tally.duplicates + tally.failed;
        if counted != files || tally.unfinished > 0 {
            return Err(StepError::bug(format!(
                "{files} files were imported, but {counted} runs have ended"
            )));
        }
        Ok(Summary { tally, files, links: ctx.output::<Scan>()?.links })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_to_go_on_from_has_no_gap_before_it() {
        let mut prefix = Prefix { ended: 2, ahead: BTreeSet::new() };
        for (number, ended) in [(4, 2), (2, 3), (5, 3), (3, 6)] {
            prefix.add(number);
            assert_eq!(prefix.ended, ended, "after {number}");
        }
    }

    #[test]
    fn a_scan_lists_files_in_order_and_follows_no_link_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("sub/library")).expect("made");
        for name in ["b.txt", "a.txt", "sub/c.txt", "sub/library/d.txt"] {
            fs::write(at(name), name).expect("written");
        }
        std::os::unix::fs::symlink("/etc", at("out")).expect("linked");
        std::os::unix::fs::symlink("nowhere", at("dangling")).expect("linked");
        let found = find(folder.path(), &[at("sub/library")], &Alive::for_test()).expect("listed");
        let names: Vec<_> = found.0.iter().map(|line| line.path.to_string()).collect();
        assert_eq!((names, found.1), (vec!["a.txt".to_owned(), "b.txt".into(), "sub/c.txt".into()], 2));
    }
}
