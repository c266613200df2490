//! How a program ends: a code for scripts, and three lines for people.

use std::fmt;
use std::process::ExitCode;

/// Something failed.
pub const FAILED: u8 = 1;
/// The command makes no sense as given.
pub const USAGE: u8 = 2;
/// The store cannot be opened or does not answer.
pub const STORE: u8 = 5;
/// Stopped by a signal before the work was done; the same command goes on.
pub const INTERRUPTED: u8 = 130;

/// Why a program cannot go on: what, why, and what to do.
#[derive(Debug)]
pub struct Trouble {
    code: u8,
    what: String,
    why: String,
    todo: String,
}

impl Trouble {
    /// A trouble that ends the program with `code`.
    #[must_use]
    pub fn new(code: u8, what: impl Into<String>, why: impl fmt::Display, todo: impl Into<String>) -> Self {
        Self { code, what: what.into(), why: why.to_string(), todo: todo.into() }
    }

    /// Prints it to stderr and returns the code of the program.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(self.code)
    }
}

/// The code that a program ends with; a trouble is told first.
#[must_use]
pub fn with(ended: Result<ExitCode, Trouble>) -> ExitCode {
    ended.unwrap_or_else(|trouble| trouble.report())
}

impl From<stepwell::Error> for Trouble {
    fn from(error: stepwell::Error) -> Self {
        let code = if matches!(error, stepwell::Error::Store(_)) { STORE } else { FAILED };
        Self::new(code, "the engine cannot go on", error, "mend the cause, then run the same command again")
    }
}

impl From<stepwell::BuildError> for Trouble {
    fn from(error: stepwell::BuildError) -> Self {
        Self::new(FAILED, "the workflow is not sound", error, "mend its definition")
    }
}

impl From<stepwell::contract::IdError> for Trouble {
    fn from(error: stepwell::contract::IdError) -> Self {
        Self::new(USAGE, "that is no id", error, "give another one")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  why: {}\n  fix: {}", self.what, self.why, self.todo)
    }
}
