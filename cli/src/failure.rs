//! Why a command was not done, in at most three lines: what, why, what to do.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use stepwell_server::problem::{Code, Problem};

use crate::exit::Exit;
use crate::output::words::safe;

/// How unlike a name may be and still be meant.
pub(crate) const LIKENESS_MIN: f64 = 0.7;

/// Codes whose usual advice is to correct what the first line says already.
const GENERAL: [Code; 2] = [Code::BadRequest, Code::Unprocessable];

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused, by a server or by the same code in this process.
    Problem(Box<Problem>),
    /// What was said does not make sense, in words.
    Usage(String),
    /// The store or the server cannot be reached: what, and what to do.
    Unreachable { what: String, fix: String },
    /// Whoever answers cannot just now: too much to do, a restart, a store that does not answer.
    Passing { what: String, fix: String, retry_after: Option<Duration> },
    /// It would do harm: what, and what to do.
    Refused { what: String, fix: String },
    /// Nobody has confirmed it.
    NotConfirmed { what: String, fix: String },
    /// Whoever answers is no server of this kind.
    Foreign(String),
    /// Something else, in words.
    Other(String),
    /// What was to be printed could not be.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn usage(what: impl ToString) -> Self {
        Self::Usage(what.to_string())
    }

    pub(crate) fn other(what: impl ToString) -> Self {
        Self::Other(what.to_string())
    }

    /// How the program exits.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => exit_of(problem),
            Self::Usage(_) => Exit::Usage,
            Self::Unreachable { .. } | Self::Passing { .. } => Exit::Unreachable,
            Self::Refused { .. } | Self::NotConfirmed { .. } => Exit::Refused,
            // Whoever reads the output has had enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
            Self::Foreign(_) | Self::Other(_) | Self::Output(_) => Exit::Failed,
        }
    }

    /// What is said to people; empty when there is nothing to say.
    pub(crate) fn text(&self) -> String {
        let (what, fix) = match self {
            Self::Problem(problem) => {
                let is_over = problem.allowed.as_ref().is_some_and(Vec::is_empty);
                let fix = if is_over {
                    "nothing is asked of it any more: start or fork another one"
                } else if GENERAL
                    .iter()
                    .any(|code| code.as_str() == problem.code && code.fix() == problem.fix)
                {
                    ""
                } else {
                    &problem.fix
                };
                (format!("{} [{}]", problem.detail, problem.code), fix.to_owned())
            }
            Self::Usage(what) | Self::Other(what) => (what.clone(), String::new()),
            Self::Unreachable { what, fix }
            | Self::Passing { what, fix, .. }
            | Self::Refused { what, fix }
            | Self::NotConfirmed { what, fix } => (what.clone(), fix.clone()),
            Self::Foreign(what) => {
                (what.clone(), "is --server the address of `stepwell serve`, with its prefix?".to_owned())
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return String::new(),
            Self::Output(error) => (format!("the output could not be written: {error}"), String::new()),
        };
        let mut text = format!("error: {what}\n");
        if let Self::Problem(problem) = self
            && let Some(allowed) = problem.allowed.as_ref().filter(|allowed| !allowed.is_empty())
        {
            let _ = writeln!(text, "  allowed now: {}", allowed.join(", "));
        }
        if !fix.is_empty() {
            let _ = writeln!(text, "  to do: {fix}");
        }
        safe(&text)
    }
}

/// A name that nothing here has, with the one that was probably meant.
pub(crate) fn not_found<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    let near = known
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|near| likeness(near) >= LIKENESS_MIN);
    let meant =
        near.filter(|near| *near != name).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Problem::new(Code::NotFound, format!("there is no {what}{meant}")).into()
}

/// The codes that have an exit code of their own; what is not named is a plain failure.
fn exit_of(problem: &Problem) -> Exit {
    let known = Code::ALL.iter().find(|code| code.as_str() == problem.code);
    match known {
        Some(Code::BadRequest) => Exit::Usage,
        Some(Code::NotFound) => Exit::NotFound,
        Some(
            Code::Unauthorized
            | Code::Forbidden
            | Code::Refused
            | Code::Conflict
            | Code::Changed
            | Code::TooLarge
            | Code::Unprocessable
            | Code::KeyReused
            | Code::ForeignHost
            | Code::ForeignOrigin,
        ) => Exit::Refused,
        Some(Code::StoreDown | Code::Stopping | Code::TimedOut | Code::TooMany) => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// An error with what led to it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        let rows = [
            (Code::BadRequest, 2),
            (Code::NotFound, 3),
            (Code::Refused, 4),
            (Code::Forbidden, 4),
            (Code::StoreDown, 5),
            (Code::Internal, 1),
        ];
        for (code, exit) in rows {
            assert_eq!(Failure::from(Problem::new(code, "x")).exit().code(), exit, "{code:?}");
        }
    }
}
