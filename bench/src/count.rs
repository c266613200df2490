//! Counts what an engine asks of its store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use stepwell_contract::pass_on::PassOn;
use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Cursor, Head, Message, Page, Query, Record, RunKey, Seq, Tally,
    Verdict,
};

/// A store that counts the calls to another one.
#[derive(Debug)]
pub(crate) struct Counted {
    inner: Arc<dyn Backend>,
    commits: AtomicU64,
    batches: AtomicU64,
    commit_nanos: AtomicU64,
    claims: AtomicU64,
    reads: AtomicU64,
}

/// How often a store was called.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Calls of `commit`; a store that is of level D2 waits for the disk once in each.
    pub(crate) commits: u64,
    /// Batches in them.
    pub(crate) batches: u64,
    /// Time from call to return of the commits.
    pub(crate) commit_nanos: u64,
    pub(crate) claims: u64,
    /// Heads, journals, inboxes, scans and tallies.
    pub(crate) reads: u64,
}

impl Counts {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            batches: self.batches - before.batches,
            commit_nanos: self.commit_nanos - before.commit_nanos,
            claims: self.claims - before.claims,
            reads: self.reads - before.reads,
        }
    }
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Backend>) -> Self {
        let zero = AtomicU64::default;
        Self { inner, commits: zero(), batches: zero(), commit_nanos: zero(), claims: zero(), reads: zero() }
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            commits: of(&self.commits),
            batches: of(&self.batches),
            commit_nanos: of(&self.commit_nanos),
            claims: of(&self.claims),
            reads: of(&self.reads),
        }
    }

    fn count(count: &AtomicU64, n: u64) {
        count.fetch_add(n, Ordering::Relaxed);
    }
}

#[async_trait]
impl PassOn for Counted {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let begun = Instant::now();
        let verdicts = self.inner.commit(batches).await;
        Self::count(&self.commit_nanos, u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        Self::count(&self.commits, 1);
        Self::count(&self.batches, batches.len() as u64);
        verdicts
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        Self::count(&self.reads, 1);
        self.inner.head(key).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        Self::count(&self.reads, 1);
        self.inner.journal(key, from, limit).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        Self::count(&self.reads, 1);
        self.inner.inbox(key, limit).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        Self::count(&self.reads, 1);
        self.inner.scan(query, after, limit).await
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        Self::count(&self.reads, 1);
        self.inner.tally().await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        Self::count(&self.claims, 1);
        self.inner.claim(claim).await
    }
}
