//! The store of a rehearsal: memory, with a count of what is written, and an end when it is to crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stepwell_contract::pass_on::PassOn;
use stepwell_contract::{Backend, BackendError, Batch, Claim, Head, MemoryBackend, Verdict};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::testing::clock::Pulse;
use crate::testing::history::words;

/// How long leases last: a thousand years. They end with their process, not because time was skipped, which gave nobody
/// the chance to renew one.
const LEASE_MS: u64 = 1_000 * 365 * 86_400_000;

fn held_for_good(mut batch: Batch) -> Batch {
    if let Some(lease) = batch.head.as_mut().and_then(|head| head.lease.as_mut()) {
        lease.ttl_ms = LEASE_MS;
    }
    batch
}

/// On which side of a write the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Nothing of it is in the store: what led to it has happened, and nobody knows.
    Before,
    /// It is in the store, and the process never hears of it.
    After,
}

/// The write at which the process is to die.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    pub(crate) nth: u64,
    pub(crate) side: Side,
}

/// The store as one process sees it. Once that has died nothing it still tries reaches the store.
#[derive(Debug)]
pub(crate) struct Stage {
    store: MemoryBackend,
    pulse: Pulse,
    writes: Mutex<Writes>,
    /// What was being written when the process died.
    died: watch::Sender<Option<String>>,
    /// The beats of the pulse when a claim was made last: what came later is news to the worker.
    claimed: AtomicU64,
}

#[derive(Debug)]
struct Writes {
    done: u64,
    death: Option<Death>,
}

impl Stage {
    pub(crate) fn new(store: MemoryBackend, death: Option<Death>, pulse: Pulse) -> Arc<Self> {
        let writes = Mutex::new(Writes { done: 0, death });
        let (died, claimed) = (watch::Sender::new(None), AtomicU64::new(0));
        Arc::new(Self { store, pulse, writes, died, claimed })
    }

    /// The store as the next process finds it.
    pub(crate) fn reopened(&self) -> MemoryBackend {
        self.store.reopened()
    }

    /// What was being written when the process died; `None` while it lives.
    pub(crate) fn death(&self) -> Option<String> {
        self.died.borrow().clone()
    }

    /// Returns once the process has died.
    pub(crate) async fn died(&self) {
        // The sender lives in `self`: waiting for it cannot fail.
        let _ = self.died.subscribe().wait_for(Option::is_some).await;
    }

    /// Keeps everybody from writing until it is dropped: what is read meanwhile belongs together.
    pub(crate) async fn still(&self) -> impl Sized {
        self.writes.lock().await
    }

    /// The process is dead: whoever called is never answered.
    async fn gone<T>(&self, writes: MutexGuard<'_, Writes>) -> T {
        drop(writes);
        self.pulse.beat();
        std::future::pending().await
    }
}

#[async_trait]
impl PassOn for Stage {
    fn inner(&self) -> &dyn Backend {
        &self.store
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let mut writes = self.writes.lock().await;
        if self.death().is_some() {
            return self.gone(writes).await;
        }
        // A renewed lease is no point of its own: nothing is lost with it.
        let says_something = batches.iter().any(|batch| !batch.append.is_empty() || !batch.post.is_empty());
        writes.done += u64::from(says_something);
        let death = writes.death.filter(|death| says_something && death.nth == writes.done);
        if let Some(Death { side: Side::Before, .. }) = death {
            self.died.send_replace(Some(words(batches)));
            return self.gone(writes).await;
        }
        let held: Vec<Batch> = batches.iter().cloned().map(held_for_good).collect();
        let verdicts = self.store.commit(&held).await;
        if death.is_some() {
            self.died.send_replace(Some(words(batches)));
            return self.gone(writes).await;
        }
        drop(writes);
        self.pulse.beat();
        verdicts
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        self.claimed.store(self.pulse.beats(), Ordering::Release);
        let writes = self.writes.lock().await;
        if self.death().is_some() {
            return self.gone(writes).await;
        }
        let claimed = self.store.claim(&Claim { ttl_ms: LEASE_MS, ..claim.clone() }).await?;
        if !claimed.is_empty() {
            self.pulse.beat();
        }
        drop(writes);
        Ok(claimed)
    }

    async fn changed(&self, up_to: Duration) {
        let news = self.pulse.after(self.claimed.load(Ordering::Acquire));
        let _ = tokio::time::timeout(up_to, news).await;
    }
}
