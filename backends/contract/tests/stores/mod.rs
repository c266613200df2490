//! The memory backend as a store that can be closed, opened again and held by one opener only.

use std::sync::{Arc, Mutex};

use stepwell_contract::conformance::Harness;
use stepwell_contract::{
    Backend, BackendError, Fault, FaultKind, ManualClock, MemoryBackend, Timestamp, async_trait,
};

/// What a memory store leaves behind for its next opening.
pub(crate) struct Memory {
    clock: ManualClock,
    last: Mutex<Option<Arc<MemoryBackend>>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { clock: ManualClock::at(Timestamp(1_700_000_000_000)), last: Mutex::new(None) }
    }

    /// Opens it as the type it has.
    pub(crate) fn open_memory(&self) -> Result<Arc<MemoryBackend>, BackendError> {
        let mut last = self.last.lock().expect("no test panics while it opens");
        let next = match &*last {
            None => MemoryBackend::with_clock(Arc::new(self.clock.clone())),
            // This harness keeps one handle; a second one is an opener's.
            Some(held) if Arc::strong_count(held) > 1 => {
                let why = format!("the store is held by process {}", std::process::id());
                return Err(BackendError::Definite(Fault::new(FaultKind::Locked, why)));
            }
            Some(closed) => closed.reopened(),
        };
        Ok(Arc::clone(last.insert(Arc::new(next))))
    }
}

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        Ok(self.open_memory()?)
    }

    fn advance_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
    }
}
