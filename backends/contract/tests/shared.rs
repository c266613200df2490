//! The laws hold for a shared store on a clock that runs by itself, too: the other half of each law that asks
//! `info().exclusive`, and the room that laws leave for the time that calls take.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use stepwell_contract::conformance::Harness;
use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Clock, Cursor, Head, MemoryBackend, Message, Page, Query, Record,
    RunKey, Seq, StoreInfo, SystemClock, Timestamp, Verdict, async_trait,
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
        let store =
            self.store.get_or_init(|| Arc::new(MemoryBackend::with_clock(Arc::new(self.clock.clone()))));
        Ok(Arc::new(Client(Arc::clone(store))))
    }

    fn advance_ms(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Client(Arc<MemoryBackend>);

#[async_trait]
impl Backend for Client {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        self.0.commit(batches).await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        self.0.head(key).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        self.0.journal(key, from, limit).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        self.0.inbox(key, limit).await
    }

    /// Pages are short, as the contract allows.
    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        self.0.scan(query, after, limit.min(3)).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        self.0.remove(keys).await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        Ok(StoreInfo { exclusive: false, ..self.0.info().await? })
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        self.0.claim(claim).await
    }
}

stepwell_contract::conformance!(Server::default());
