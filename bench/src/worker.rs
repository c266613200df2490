//! This program in another process.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::Failure;

/// A process of this program in another role.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Self, Failure> {
        let mut child =
            Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let says = BufReader::new(child.stdout.take().ok_or("the child has no output")?);
        Ok(Self { child, says })
    }

    /// Waits for its next line; `None` when it has ended.
    pub(crate) fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        let bytes = self.says.read_line(&mut line)?;
        Ok((bytes > 0).then(|| line.trim_end().to_owned()))
    }

    /// Waits until it says this.
    pub(crate) fn hear(&mut self, word: &str) -> Result<(), Failure> {
        while let Some(line) = self.line()? {
            if line == word {
                return Ok(());
            }
        }
        Err(format!("a process of the measurement ended before it said {word:?}").into())
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("a process of the measurement failed: {status}").into())
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Gone already, unless the measurement was given up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
