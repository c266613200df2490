//! Children that are watched, signalled and never left behind.

use std::fs::File;
use std::io::Error;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

use crate::wait::wait_for;

/// How much of what a child said is kept for a report, in bytes.
const LAST_WORDS: u64 = 4 << 10;

/// The path of a binary of this package, beside the one that runs now.
///
/// # Panics
/// When it is not there: build the whole package.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a running program has a path");
    path.pop();
    // Tests lie one folder below the binaries.
    if path.ends_with("deps") {
        path.pop();
    }
    path.push(name);
    assert!(path.exists(), "{} is not built: `cargo build -p stepwell-tests`", path.display());
    path
}

/// A child in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    said: File,
    status: Option<ExitStatus>,
}

impl Watched {
    /// Starts the command; what it says goes to a file that [`last_words`](Self::last_words) reads.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self, Error> {
        use std::os::unix::process::CommandExt as _;
        let said = tempfile::tempfile()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?)
            .process_group(0)
            .spawn()?;
        Ok(Self { child, said, status: None })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. One that has ended already is left alone.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none()
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            // It may end at this very moment; whoever waits for it finds out.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it takes longer than `limit`; it is killed then.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        let waited = wait_for("the end of the child", limit, || self.ended());
        if waited.is_err() {
            self.kill();
        }
        waited.map_err(|late| format!("{late}; it said: {}", self.last_words()))
    }

    /// Kills it and what it has started, and waits for its end.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
            self.status = self.child.wait().ok();
        }
    }

    /// The end of what it said.
    #[must_use]
    pub fn last_words(&self) -> String {
        let len = self.said.metadata().map_or(0, |metadata| metadata.len());
        let from = len.saturating_sub(LAST_WORDS);
        let mut text = vec![0; usize::try_from(len - from).unwrap_or(0)];
        // Read in place: the child shares the file's position.
        match self.said.read_exact_at(&mut text, from) {
            Ok(()) => String::from_utf8_lossy(&text).trim().to_owned(),
            Err(error) => format!("(cannot be read: {error})"),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the process was ended by this signal, as seen directly or through a shell.
#[must_use]
pub fn was_ended_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal.as_raw()) || status.code() == Some(128 + signal.as_raw())
}
