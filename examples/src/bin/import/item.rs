//! The workflow of one file: analyze, check for duplicates, copy, write the catalogue, verify.
//!
//! Every step can be repeated: an attempt whose result was not yet written when the process died runs again, finds what
//! it did, and gives the same result.

use serde::{Deserialize, Serialize};
use stepwell::contract::{RunId, RunKey};
use stepwell::prelude::*;
use stepwell::{RunError, workflow::definition::BuildError};
use stepwell_examples::progress::Progress;
use stepwell_examples::signals::Stop;

use crate::alive::on_disk;
use crate::content::{self, Content};
use crate::fault::FileFault;
use crate::ledger::Ledger;
use crate::library::{Claim, Entry, Importer, Library};
use crate::path::FilePath;

/// The name of the workflow.
pub(crate) const ITEM: &str = "import-item";

pub(crate) fn workflow() -> Result<Workflow<Source, Outcome>, BuildError> {
    let policy = StepPolicy::default()
        .retry(Retry::exponential(millis(100)).max_attempts(3).jitter())
        // One file that cannot be imported must not hold the session.
        .on_exhausted(OnExhausted::Fail)
        // A file may be of any size: it has to show life, not to be quick.
        .no_attempt_timeout()
        .heartbeat_timeout(mins(2))
        // A person runs the command again after each crash and sees it happen; that can be more often than a worker
        // that starts again by itself should try.
        .crash_max(100);
    Workflow::named(ITEM)
        .step_policy(policy)
        .step(Analyze)
        .step(CheckDuplicates)
        .step(Copy)
        .step(WriteCatalogue)
        .step(Verify)
        .build()
}

/// A file to import.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) session: String,
    /// The folder that is imported.
    pub(crate) folder: FilePath,
    /// The file, relative to the folder.
    pub(crate) path: FilePath,
    /// Why it could not even be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl Source {
    fn full_path(&self) -> std::path::PathBuf {
        self.folder.as_path().join(self.path.as_path())
    }

    fn importer(&self, ctx: &StepContext) -> Importer {
        Importer { session: self.session.clone(), item: ctx.run_id().to_string() }
    }
}

/// A file and what it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Analyzed {
    source: Source,
    content: Content,
}

/// What became of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The library has it, here.
    Imported(FilePath),
    /// The library had its content already, here.
    Duplicate(FilePath),
}

/// Whether a file is to be copied.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Its content is new, and this item is the one to import it.
    New,
    /// The library has its content already, here.
    Duplicate(FilePath),
}

struct Analyze;

#[async_trait]
impl Step for Analyze {
    type Input = Source;
    type Output = Analyzed;
    const NAME: &'static str = "analyze";

    async fn run(&self, ctx: &StepContext, source: Source) -> StepResult<Analyzed> {
        let path = source.full_path();
        if let Some(problem) = source.problem {
            let fix = "mend that, then import again";
            return Err(FileFault::new("list", &path, problem, fix).into_step_error());
        }
        let content = on_disk(ctx, move |alive| content::examine(&path, alive)).await?;
        if let Some(warning) = &content.warning {
            ctx.warn(warning);
            ctx.resource::<Progress>()?.aside(|| eprintln!("  {}: {warning}", source.path));
        }
        Ok(Analyzed { source, content })
    }
}

struct CheckDuplicates;

#[async_trait]
impl Step for CheckDuplicates {
    type Input = Analyzed;
    type Output = Verdict;
    const NAME: &'static str = "check_duplicates";

    fn policy(&self) -> StepPolicy {
        // It may wait for another item, however long that takes, and be stopped over it many times.
        StepPolicy::default().no_heartbeat_timeout().retry(Retry::fixed(millis(100)).max_attempts(600))
    }

    async fn run(&self, ctx: &StepContext, file: Analyzed) -> StepResult<Verdict> {
        let by = file.source.importer(ctx);
        let mut dead = None;
        loop {
            let library = ctx.resource::<Library>()?;
            let (sha256, by, given_up) = (file.content.sha256.clone(), by.clone(), dead.take());
            let claim = on_disk(ctx, move |_| library.claim(&sha256, &by, given_up.as_ref())).await?;
            let twin = match claim {
                Claim::Granted => return Ok(Verdict::New),
                Claim::Present(path) => return Ok(Verdict::Duplicate(path)),
                Claim::Held(twin) => twin,
            };
            // Another file of this session has the same content. Only when it has arrived is this one a duplicate; if it
            // fails, this one is imported in its place.
            match outcome_of(ctx, &twin.item).await? {
                Some(Outcome::Imported(path) | Outcome::Duplicate(path)) => {
                    return Ok(Verdict::Duplicate(path));
                }
                None => dead = Some(twin),
            }
        }
    }
}

/// Waits for another item. Returns its outcome; `None` when it has failed.
async fn outcome_of(ctx: &StepContext, item: &str) -> StepResult<Option<Outcome>> {
    let key = RunKey::new(ctx.tenant().clone(), RunId::new(item)?);
    let twin = match ctx.runs()?.find(&key).await {
        Ok(twin) => twin,
        Err(stepwell::Error::NoSuchRun(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let stop = ctx.resource::<Stop>()?;
    let result = tokio::select! {
        result = twin.result::<Outcome>() => result,
        () = stop.0.cancelled() => return Err(stopped()),
    };
    match result {
        Ok(outcome) => Ok(Some(outcome)),
        Err(RunError::Engine(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// How a step that waits for other runs lets go when the process is told to stop. It is tried again by the next one.
pub(crate) fn stopped() -> StepError {
    StepError::transient("the process was told to stop; the next one goes on").code("stopped")
}

struct Copy;

#[async_trait]
impl Step for Copy {
    type Input = Verdict;
    type Output = Outcome;
    const NAME: &'static str = "copy";

    async fn run(&self, ctx: &StepContext, verdict: Verdict) -> StepResult<Outcome> {
        if let Verdict::Duplicate(path) = verdict {
            return Ok(Outcome::Duplicate(path));
        }
        let Analyzed { source, content } = ctx.output::<Analyze>()?;
        let library = ctx.resource::<Library>()?;
        let by = source.importer(ctx);
        let outcome = on_disk(ctx, move |alive| {
            // While this run was held, another may have been given the content.
            match library.claim(&content.sha256, &by, None)? {
                Claim::Granted => {}
                Claim::Present(path) => return Ok(Outcome::Duplicate(path)),
                Claim::Held(twin) => {
                    let why = format!("its content was taken over by {}", twin.item);
                    let fix = "import again";
                    return Err(FileFault::new("import", &source.full_path(), why, fix));
                }
            }
            let place = library.place(&source.full_path(), source.path.as_path(), &content, &by, alive)?;
            Ok(Outcome::Imported(place))
        })
        .await?;
        if let Outcome::Imported(_) = outcome {
            ctx.resource::<Ledger>()?.tell(ctx).await?;
        }
        Ok(outcome)
    }
}

struct WriteCatalogue;

#[async_trait]
impl Step for WriteCatalogue {
    type Input = Outcome;
    type Output = Outcome;
    const NAME: &'static str = "write_catalogue";

    async fn run(&self, ctx: &StepContext, outcome: Outcome) -> StepResult<Outcome> {
        let Outcome::Imported(path) = outcome else { return Ok(outcome) };
        let Analyzed { source, content } = ctx.output::<Analyze>()?;
        let library = ctx.resource::<Library>()?;
        let (full_path, by) = (FilePath::new(source.full_path()), source.importer(ctx));
        let entry = Entry { path: path.clone(), content, source: full_path, by };
        on_disk(ctx, move |_| library.write_entry(&entry)).await?;
        Ok(Outcome::Imported(path))
    }
}

struct Verify;

#[async_trait]
impl Step for Verify {
    type Input = Outcome;
    type Output = Outcome;
    const NAME: &'static str = "verify";

    async fn run(&self, ctx: &StepContext, outcome: Outcome) -> StepResult<Outcome> {
        let Outcome::Imported(path) = outcome else { return Ok(outcome) };
        let Analyzed { source, content } = ctx.output::<Analyze>()?;
        let library = ctx.resource::<Library>()?;
        let by = source.importer(ctx);
        on_disk(ctx, move |alive| {
            if !library.is_intact(&path, &content, alive)? {
                // The catalogue must not promise what is not there; the copy is left for people to look at.
                library.remove_entry(&content.sha256)?;
                let why = "what was read back from it is not what was written";
                let fix = "check the disk, remove the copy, then import again";
                return Err(FileFault::new("trust the copy", &library.root().join(path.as_path()), why, fix));
            }
            library.release(&content.sha256, &by)?;
            Ok(Outcome::Imported(path))
        })
        .await
    }
}
