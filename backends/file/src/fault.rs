//! What an error of the file system means to the caller.

use std::io;

use rustix::io::Errno;
use stepwell_contract::{BackendError, Fault, FaultKind};

/// The kind of an error.
pub(crate) fn kind_of(error: &io::Error) -> FaultKind {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => FaultKind::Full,
        Some(Errno::ROFS) => FaultKind::ReadOnly,
        Some(Errno::ACCESS | Errno::PERM) => FaultKind::Refused,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => FaultKind::Unavailable,
        _ if error.kind() == io::ErrorKind::UnexpectedEof => FaultKind::Corrupt,
        _ => FaultKind::Other,
    }
}

/// The cause, told with the file and what was being done.
pub(crate) fn fault(place: &str, doing: &str, error: io::Error) -> Fault {
    Fault::new(kind_of(&error), format!("{place}: cannot {doing}: {error}")).caused_by(error)
}

/// An error before anything was changed.
pub(crate) fn definite(place: &str, doing: &str, error: io::Error) -> BackendError {
    BackendError::Definite(fault(place, doing, error))
}

/// Damage that nothing may be built on.
pub(crate) fn corrupt(what: String) -> BackendError {
    BackendError::Definite(Fault::new(FaultKind::Corrupt, what))
}
