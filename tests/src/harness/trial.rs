//! One store, the workers that come to it one after the other, and what is left in the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stepwell_contract::RunKey;

use crate::audit::{Audit, audit};
use crate::chain;
use crate::place::{Kind, folder_in_memory};
use crate::process::{Watched, binary};
use crate::witness::{self, Line};

/// How long a worker may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A store, a witness and the workers that come to it.
#[derive(Debug)]
pub struct Trial {
    folder: tempfile::TempDir,
    disk: Option<PathBuf>,
    url: Option<String>,
    kind: Kind,
    size: (u32, u32),
    more: Vec<String>,
}

impl Trial {
    /// An empty store of that kind for so many runs of so many steps. The workers get `more` arguments.
    #[must_use]
    pub fn new(kind: Kind, size: (u32, u32), more: &[&str]) -> Self {
        let more = more.iter().map(|&word| word.to_owned()).collect();
        Self { folder: folder_in_memory(), disk: None, url: None, kind, size, more }
    }

    /// Puts the store, not the witness, on another disk.
    #[must_use]
    pub fn on(self, disk: &Path) -> Self {
        Self { disk: Some(disk.to_owned()), ..self }
    }

    /// Takes the store at a URL in place of one in a folder.
    #[must_use]
    pub fn at(self, url: String) -> Self {
        Self { url: Some(url), ..self }
    }

    /// The folder of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.disk.as_deref().unwrap_or(self.folder.path()).join("store")
    }

    /// The URL of the store.
    #[must_use]
    pub fn url(&self) -> String {
        let of_folder = || format!("{}:{}", self.kind.as_str(), self.store().display());
        self.url.clone().unwrap_or_else(of_folder)
    }

    /// A file beside the store.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds what a worker on this store needs to be told.
    pub fn arguments<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let (runs, steps) = self.size;
        command.args(["chain", "--store", &self.url(), "--runs", &runs.to_string()]);
        // The same calls in every trial: what workers tell of themselves comes at its own time.
        command.args(["--heartbeat-ms", "0"]);
        command.args(["--steps", &steps.to_string()]).arg("--witness").arg(self.beside("witness"));
        command.args(&self.more)
    }

    /// What the workers witnessed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&self) -> Result<Vec<Line>, String> {
        witness::read(&self.beside("witness")).map_err(|error| error.to_string())
    }

    /// Lets a fresh worker finish what is there, and audits the store.
    ///
    /// # Errors
    /// When the worker does not finish.
    pub fn finish(&self) -> Result<Audit, String> {
        let mut command = Command::new(binary("worker"));
        let mut successor =
            Watched::start(self.arguments(&mut command)).map_err(|error| error.to_string())?;
        let status = successor.wait(PATIENCE)?;
        if !status.success() {
            let last = self.lines()?.into_iter().rev().take(3).collect::<Vec<_>>();
            return Err(format!("the successor ended with {status}: {} {last:?}", successor.last_words()));
        }
        self.audit()
    }

    /// Audits the store, in which all runs have ended.
    ///
    /// # Errors
    /// When the store does not open.
    pub fn audit(&self) -> Result<Audit, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let lines = self.lines()?;
        runtime.block_on(async {
            let backend = stepwell_backends::open(&self.url()).await.map_err(|error| error.to_string())?;
            let padding = self.more.iter().skip_while(|word| *word != "--padding").nth(1);
            let padding = padding.and_then(|text| text.parse().ok()).unwrap_or(0);
            let mut audit =
                audit(backend.as_ref(), &expected(self.size.0, self.size.1, padding), &lines).await;
            audit.violations.extend(panics(&lines));
            Ok(audit)
        })
    }
}

/// The runs and their results.
#[must_use]
pub fn expected(runs: u32, steps: u32, padding: usize) -> Vec<(RunKey, String)> {
    let result =
        |nth: u32| format!("[{},\"{}\"]", chain::result_of(u64::from(nth), steps), "x".repeat(padding));
    (1..=runs).map(|nth| (chain::key(nth), result(nth))).collect()
}

/// Panics that the witness heard of.
pub fn panics(lines: &[Line]) -> impl Iterator<Item = String> {
    lines.iter().filter_map(|line| match line {
        Line::Said(words) if words[0] == "panic" => Some(words.join(" ")),
        _ => None,
    })
}
