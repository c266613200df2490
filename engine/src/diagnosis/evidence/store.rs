//! What the store answered.

use stepwell_contract::{FaultKind, Timestamp};

/// One call to the store that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFault {
    /// Which store, by the scheme of its URL: `file`, `sled`, `redis`, `memory` …
    pub backend: String,
    /// What went wrong.
    pub kind: FaultKind,
    /// Whether the store must not be written any more.
    pub poisoned: bool,
    /// The store's own code, where it has one, such as `OOM` or `ENOSPC`.
    pub code: Option<String>,
    /// Its text, without secrets.
    pub text: String,
    /// When.
    pub at: Timestamp,
}
