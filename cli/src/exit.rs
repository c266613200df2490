//! With what the program exits: documented in `docs/cli.md` and at the end of `--help`.

use std::process::ExitCode;

/// How a command ended, as the shell sees it. Of several runs that were asked, the greatest counts: what one of them alone would
/// have ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It was done.
    Ok,
    /// The run failed or is held, or something else went wrong.
    Failed,
    /// The command is not understood.
    Usage,
    /// There is no such thing.
    NotFound,
    /// The present state, the caller's role or a missing confirmation did not allow it.
    Refused,
    /// The store or the server could not be reached.
    Unreachable,
    /// `check` or `doctor` found something wrong.
    Found,
    /// The time that `wait` was given is over.
    TimedOut,
    /// Someone interrupted it.
    Interrupted,
}

impl Exit {
    /// Every way, with what it means.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Ok, "done"),
        (Self::Failed, "the run failed or is held; or anything not named below"),
        (Self::Usage, "the command is not understood"),
        (Self::NotFound, "there is no such thing"),
        (Self::Refused, "refused: by the present state, by the role, or not confirmed"),
        (Self::Unreachable, "the store or the server cannot be reached"),
        (Self::Found, "`check` or `doctor` found something wrong"),
        (Self::TimedOut, "`wait` ran out of time"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
            Self::Found => 6,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
