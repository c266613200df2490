//! What the threads of an open store share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use stepwell_contract::{BackendError, Clock, Fault, FaultKind, StoreId};
use tokio::sync::Notify;

use crate::state::State;

/// The memory of an open store.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: StoreId,
    pub(crate) clock: Arc<dyn Clock>,
    /// The last group of the former openings: leases written up to it have ended.
    pub(crate) opened_at: u64,
    /// Woken at each write.
    pub(crate) written: Notify,
    state: Mutex<State>,
    poison: OnceLock<(FaultKind, String)>,
    stuck: OnceLock<String>,
    writes: AtomicU64,
    writes_at_claim: AtomicU64,
    revivals: AtomicU64,
    log_bytes: AtomicU64,
    live_bytes: AtomicU64,
}

impl Shared {
    pub(crate) fn new(id: StoreId, clock: Arc<dyn Clock>, opened_at: u64, state: State) -> Self {
        Self {
            id,
            clock,
            opened_at,
            written: Notify::new(),
            state: Mutex::new(state),
            poison: OnceLock::new(),
            stuck: OnceLock::new(),
            writes: AtomicU64::new(1),
            writes_at_claim: AtomicU64::new(0),
            revivals: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
        }
    }

    /// The runs in memory. Held for short, never while waiting for the disk.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Only the writer changes it; when it panics the store is poisoned, and what is here was applied before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no later write in.
    pub(crate) fn poison(&self, kind: FaultKind, why: String) -> BackendError {
        tracing::error!(why, "the sled store takes no more writes until it is opened again");
        let (kind, why) = self.poison.get_or_init(|| (kind, why));
        BackendError::Poisoned(Fault::new(*kind, why.clone()))
    }

    /// The error of a write to a poisoned store; `None` while it can be written.
    pub(crate) fn poisoned(&self) -> Option<BackendError> {
        self.poison.get().map(|(kind, why)| BackendError::Poisoned(Fault::new(*kind, why.clone())))
    }

    /// Space is no longer freed in this opening.
    pub(crate) fn stick(&self, why: String) {
        tracing::error!(why, "the sled store frees no more space until it is opened again");
        self.stuck.get_or_init(|| why);
    }

    /// Why space is no longer freed.
    pub(crate) fn stuck(&self) -> Option<&str> {
        self.stuck.get().map(String::as_str)
    }

    /// Tells whoever waits that something was written.
    pub(crate) fn announce(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.written.notify_waiters();
    }

    /// Marks that a claim looks at all that was written so far.
    pub(crate) fn claiming(&self) {
        self.writes_at_claim.store(self.writes.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Whether something was written since the last claim.
    pub(crate) fn is_news(&self) -> bool {
        self.writes.load(Ordering::SeqCst) != self.writes_at_claim.load(Ordering::SeqCst)
    }

    /// How often a finished run came back to memory. A scan that spans such a move looks again.
    pub(crate) fn revivals(&self) -> u64 {
        self.revivals.load(Ordering::SeqCst)
    }

    pub(crate) fn revived(&self) {
        self.revivals.fetch_add(1, Ordering::SeqCst);
    }

    /// Bytes of the log, and bytes of records in it that are still needed.
    pub(crate) fn log_totals(&self) -> (u64, u64) {
        (self.log_bytes.load(Ordering::Relaxed), self.live_bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn set_log_totals(&self, (bytes, live): (u64, u64)) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
        self.live_bytes.store(live, Ordering::Relaxed);
    }
}
