//! What a failed call means to the caller.

use std::error::Error;
use std::fmt;

/// What went wrong, for people and for back-off; what to do follows from the variant of [`BackendError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The store cannot be reached or is starting up: wait and try again.
    Unavailable,
    /// It did not answer in time.
    Timeout,
    /// No space or memory is left in the store: free some.
    Full,
    /// The store can be read but not written now.
    ReadOnly,
    /// Stored data fails its checksum or contradicts itself: the message names the place.
    Corrupt,
    /// Another process has the store open: the message names it.
    Locked,
    /// The caller's data is over a limit.
    TooLarge,
    /// The caller's request contradicts itself.
    Invalid,
    /// The store is not the one it was: it came back empty, or with another identity.
    IdentityLost,
    /// The store's settings would lose data, or the login is refused: change the configuration.
    Refused,
    /// The backend was closed.
    Closed,
    /// Anything else; the message tells.
    Other,
}

/// The cause of a failed call.
#[derive(Debug)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A cause told in words. They say what to do where that is known, and never hold a secret.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the error that led to it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

/// Why a whole call failed, by what the caller may do next.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Nothing happened. Trying again is safe.
    #[error("{0}")]
    Definite(#[source] Fault),
    /// It is unknown whether it happened. Read back before doing anything else.
    #[error("outcome unknown: {0}")]
    Indefinite(#[source] Fault),
    /// The store must not be written any more by this process: reopen it. Never try the write again.
    #[error("store is closed to writing: {0}")]
    Poisoned(#[source] Fault),
}

impl BackendError {
    /// What went wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Definite(fault) | Self::Indefinite(fault) | Self::Poisoned(fault) => fault,
        }
    }

    /// The kind of what went wrong.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.fault().kind
    }

    /// Whether waiting can help: the same call may work later, with nothing changed by the caller.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Poisoned(_))
            && matches!(
                self.kind(),
                FaultKind::Unavailable
                    | FaultKind::Timeout
                    | FaultKind::Full
                    | FaultKind::ReadOnly
                    | FaultKind::Other
            )
    }
}
