//! What went wrong below the trait, in the words of the contract.

use std::fmt::Display;
use std::io;

use stepwell_contract::{BackendError, Fault, FaultKind};

/// Nothing was written.
pub(crate) fn definite(kind: FaultKind, words: impl Into<String>) -> BackendError {
    BackendError::Definite(Fault::new(kind, words))
}

/// Stored data contradicts its checksum or itself; `place` names the key.
pub(crate) fn corrupt(place: impl Display, what: impl Display) -> BackendError {
    definite(FaultKind::Corrupt, format!("{place}: {what}"))
}

/// The store's threads are gone.
pub(crate) fn closed() -> BackendError {
    definite(FaultKind::Closed, "the sled store is closed")
}

/// A file operation failed before anything was written to the store.
pub(crate) fn file(what: impl Display, error: io::Error) -> BackendError {
    BackendError::Definite(Fault::new(io_kind(&error), format!("{what}: {error}")).caused_by(error))
}

/// A call to sled failed while reading or opening.
pub(crate) fn sled(what: impl Display, error: sled::Error) -> BackendError {
    let kind = match &error {
        sled::Error::Io(error) => io_kind(error),
        sled::Error::Corruption { .. } => FaultKind::Corrupt,
        sled::Error::Unsupported(_) => FaultKind::Refused,
        _ => FaultKind::Other,
    };
    BackendError::Definite(Fault::new(kind, format!("{what}: {error}")).caused_by(error))
}

/// What an operating system's error means to the caller.
pub(crate) fn io_kind(error: &io::Error) -> FaultKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::Full,
        io::ErrorKind::ReadOnlyFilesystem => FaultKind::ReadOnly,
        io::ErrorKind::PermissionDenied => FaultKind::Refused,
        _ => FaultKind::Other,
    }
}
