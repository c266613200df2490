//! The laws hold for a shared store on a clock that runs by itself, too: the other half of each law that asks
//! `info().exclusive`, and the room that laws leave for the time that calls take.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use stepwell_contract::conformance::Harness;
use stepwell_contract::pass_on::PassOn;
use stepwell_contract::{
    Backend, BackendError, Clock, Cursor, Head, MemoryBackend, Page, Query, SystemClock, Timestamp,
    async_trait,
};

/// The system's clock, put forward or back.
#[derive(Debug, Clone, Default)]
struct RunningClock(Arc<AtomicI64>);

impl Clock for RunningClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

/// A server that goes on while its clients come and go.
#[derive(Default)]
struct Server {
    clock: RunningClock,
    store: OnceLock<Arc<MemoryBackend>>,
}

#[async_trait]
impl Harness for Server {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        let store = self
            .store
            .get_or_init(|| Arc::new(MemoryBackend::with_clock(Arc::new(self.clock.clone())).shared()));
        Ok(Arc::new(Client(Arc::clone(store))))
    }

    fn advance_ms(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// Pages are short, as the contract allows.
#[derive(Debug)]
struct Client(Arc<MemoryBackend>);

#[async_trait]
impl PassOn for Client {
    fn inner(&self) -> &dyn Backend {
        &*self.0
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        self.0.scan(query, after, limit.min(3)).await
    }
}

stepwell_contract::conformance!(Server::default());
