//! Why a file cannot be imported: which file, what went wrong, what to do.

use std::io::{self, ErrorKind};
use std::path::Path;

use stepwell::prelude::*;
use stepwell_examples::exit::{self, Trouble};

use crate::path::FilePath;

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {why}; {fix}")]
pub(crate) struct FileFault {
    doing: &'static str,
    path: FilePath,
    why: String,
    fix: &'static str,
    kind: Option<ErrorKind>,
}

pub(crate) type FileResult<T> = Result<T, FileFault>;

impl FileFault {
    /// What was found makes it impossible, however often it is tried.
    pub(crate) fn new(doing: &'static str, path: &Path, why: impl Into<String>, fix: &'static str) -> Self {
        Self { doing, path: FilePath::new(path), why: why.into(), fix, kind: None }
    }

    /// The operating system refused it.
    pub(crate) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        let why = error.to_string();
        Self { doing, path: FilePath::new(path), why, fix: fix(error.kind()), kind: Some(error.kind()) }
    }

    /// The same as the reason why a whole program cannot go on.
    pub(crate) fn into_trouble(self, what: String) -> Trouble {
        let why = format!("cannot {} {}: {}", self.doing, self.path, self.why);
        Trouble::new(exit::FAILED, what, why, self.fix)
    }

    /// The engine told the step to stop.
    pub(crate) fn is_told_to_stop(&self) -> bool {
        self.kind == Some(ErrorKind::Interrupted)
    }

    fn may_pass(&self) -> bool {
        use ErrorKind as Kind;
        match self.kind {
            None => false,
            Some(kind) => !matches!(
                kind,
                Kind::NotFound
                    | Kind::PermissionDenied
                    | Kind::AlreadyExists
                    | Kind::NotADirectory
                    | Kind::IsADirectory
                    | Kind::InvalidInput
                    | Kind::InvalidFilename
                    | Kind::InvalidData
                    | Kind::StorageFull
                    | Kind::QuotaExceeded
                    | Kind::FileTooLarge
                    | Kind::ReadOnlyFilesystem
                    | Kind::CrossesDevices
                    | Kind::Unsupported
            ),
        }
    }

    /// The same as the end of a step. What the engine would hold a run for, such as a full disk or missing rights, fails
    /// the file here: the others go on, and the next import takes it up.
    pub(crate) fn into_step_error(self) -> StepError {
        let class = match () {
            () if self.is_told_to_stop() => ErrorClass::Cancelled,
            () if self.may_pass() => ErrorClass::Transient,
            () => ErrorClass::Permanent,
        };
        StepError::from(self).class(class)
    }
}

fn fix(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "it vanished: put it back, or import again without it",
        ErrorKind::PermissionDenied => "give this user the right to, then import again",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, then import again",
        ErrorKind::ReadOnlyFilesystem => {
            "make the file system writable or use another with --into, then import again"
        }
        ErrorKind::InvalidFilename => "give it a shorter name, then import again",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file stands where a folder is needed: rename one of them, then import again"
        }
        ErrorKind::FileTooLarge => {
            "the library's file system takes no file of this size: use another with --into"
        }
        _ => "mend the cause, then import again",
    }
}
