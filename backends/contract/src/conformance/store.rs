//! A store under test: opens it, writes and reads with the outcome that a law expects, and says what else came.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Harness;
use crate::backend::Backend;
use crate::batch::{Batch, Verdict};
use crate::clock::Timestamp;
use crate::error::{BackendError, FaultKind};
use crate::head::{Head, Version};
use crate::info::StoreInfo;
use crate::key::RunKey;
use crate::limits::PAGE_ITEMS_MAX;
use crate::message::Message;
use crate::query::{Claim, Cursor, Order, Query};
use crate::record::{Record, Seq};
use crate::tally::Tally;

/// Everything that can be read of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its head.
    pub head: Option<Head>,
    /// Its whole journal.
    pub journal: Vec<Record>,
    /// Its inbox, up to one page.
    pub inbox: Vec<Message>,
}

/// An open store and the harness that opens it again.
pub struct Store<'h> {
    harness: &'h dyn Harness,
    backend: Option<Arc<dyn Backend>>,
    /// The store's clock when it was first opened.
    pub start: Timestamp,
}

impl std::fmt::Debug for Store<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.backend)
    }
}

impl<'h> Store<'h> {
    /// Makes and opens the store of the harness.
    pub async fn open(harness: &'h dyn Harness) -> Self {
        let backend = must(harness.open().await, "open");
        let start = must(backend.info().await, "info").now;
        Self { harness, backend: Some(backend), start }
    }

    /// The open backend.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.backend.as_ref().expect("a store is closed only while `reopen` runs")
    }

    /// Closes the store and opens it again. Clones of the backend's handle must be dropped before.
    pub async fn reopen(&mut self) {
        self.backend = None;
        self.backend = Some(must(self.harness.open().await, "open again after every handle was dropped"));
    }

    /// Opens the store a second time, while this opening lives.
    ///
    /// # Errors
    /// Those of the harness: `Locked`, of an exclusive store.
    pub async fn open_beside(&self) -> Result<Store<'h>, BackendError> {
        let backend = self.harness.open().await?;
        Ok(Store { harness: self.harness, backend: Some(backend), start: self.start })
    }

    /// Moves the store's clock.
    pub fn advance_ms(&self, ms: i64) {
        self.harness.advance_ms(ms);
    }

    /// What the store says of itself.
    pub async fn info(&self) -> StoreInfo {
        must(self.backend().info().await, "info")
    }

    /// The store's clock.
    pub async fn now(&self) -> Timestamp {
        self.info().await.now
    }

    /// Commits; one verdict per batch came back.
    pub async fn commit(&self, batches: &[Batch]) -> Vec<Verdict> {
        let verdicts = must(self.backend().commit(batches).await, "commit");
        assert_eq!(
            verdicts.len(),
            batches.len(),
            "commit must return one verdict for each batch: {verdicts:?}"
        );
        verdicts
    }

    /// Commits one batch, which must be accepted.
    pub async fn accept(&self, batch: &Batch) {
        self.accept_all(std::slice::from_ref(batch)).await;
    }

    /// Commits batches in one call; all must be accepted.
    pub async fn accept_all(&self, batches: &[Batch]) {
        for (batch, verdict) in batches.iter().zip(self.commit(batches).await) {
            assert!(verdict.is_accepted(), "expected Accepted, got {verdict:?} for {}", named(batch));
        }
    }

    /// Makes a run from its first head and returns the head as stored.
    pub async fn create(&self, head: Head) -> Head {
        let key = head.key.clone();
        self.accept(&Batch::create(head, Vec::new())).await;
        self.head(&key).await
    }

    /// Replaces a head by an edited one, which must be accepted, and returns it as stored.
    pub async fn edit(&self, head: &Head, edit: impl FnOnce(&mut Head)) -> Head {
        self.accept(&super::sample::edited(head, edit)).await;
        self.head(&head.key).await
    }

    /// Commits one batch, which must be rejected, and returns the present version that the verdict names.
    pub async fn reject(&self, batch: &Batch) -> Option<Version> {
        match self.commit(std::slice::from_ref(batch)).await[0] {
            Verdict::Rejected { current } => current,
            Verdict::Accepted => panic!("expected Rejected, got Accepted for {}", named(batch)),
        }
    }

    /// Commits batches in one call, which must fail as `Definite` of this kind.
    pub async fn refuse(&self, batches: &[Batch], kind: FaultKind) {
        match self.backend().commit(batches).await {
            Err(BackendError::Definite(fault)) if fault.kind == kind => {}
            other => panic!("expected the whole call to fail as Definite({kind:?}), got {other:?}"),
        }
    }

    /// The head of a run, which must be there.
    pub async fn head(&self, key: &RunKey) -> Head {
        match self.find(key).await {
            Some(head) => head,
            None => panic!("expected a head of {key}, there is no such run"),
        }
    }

    /// The head of a run.
    pub async fn find(&self, key: &RunKey) -> Option<Head> {
        let head = must(self.backend().head(key).await, "head");
        if let Some(head) = &head {
            assert_eq!(head.key, *key, "the head of {key} must carry its key");
        }
        head
    }

    /// The whole journal of a run, read in the largest pages.
    pub async fn journal(&self, key: &RunKey) -> Vec<Record> {
        self.journal_by(key, PAGE_ITEMS_MAX).await
    }

    /// The whole journal of a run, read in pages of `limit`.
    pub async fn journal_by(&self, key: &RunKey, limit: usize) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let from = records.last().map_or(Seq::FIRST, |record| record.seq.plus(1));
            let page = must(self.backend().journal(key, from, limit).await, "journal");
            assert!(page.len() <= limit, "a journal page of {} for a limit of {limit}", page.len());
            let is_last = page.len() < limit;
            records.extend(page);
            if is_last {
                return records;
            }
        }
    }

    /// The first page of the inbox of a run.
    pub async fn inbox(&self, key: &RunKey) -> Vec<Message> {
        must(self.backend().inbox(key, PAGE_ITEMS_MAX).await, "inbox")
    }

    /// The ids of the messages that wait for a run, oldest first.
    pub async fn mail(&self, key: &RunKey) -> Vec<String> {
        self.inbox(key).await.into_iter().map(|message| message.id.to_string()).collect()
    }

    /// Everything of a run.
    pub async fn trace(&self, key: &RunKey) -> Trace {
        Trace { head: self.find(key).await, journal: self.journal(key).await, inbox: self.inbox(key).await }
    }

    /// Everything of every run.
    pub async fn traces(&self) -> BTreeMap<RunKey, Trace> {
        let mut traces = BTreeMap::new();
        for head in self.scan(&Query { order: Order::Oldest, ..Query::default() }).await {
            traces.insert(head.key.clone(), self.trace(&head.key).await);
        }
        traces
    }

    /// Every head that fits the query, page by page to the end, in the largest pages.
    pub async fn scan(&self, query: &Query) -> Vec<Head> {
        self.scan_by(query, PAGE_ITEMS_MAX).await
    }

    /// Every head that fits the query, page by page to the end, in pages of `limit`.
    pub async fn scan_by(&self, query: &Query, limit: usize) -> Vec<Head> {
        let mut heads: Vec<Head> = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let page = must(self.backend().scan(query, after.clone(), limit).await, "scan");
            assert!(page.items.len() <= limit, "a scan page of {} for a limit of {limit}", page.items.len());
            heads.extend(page.items);
            if page.next.is_none() {
                return heads;
            }
            assert_ne!(page.next, after, "the next page of a scan must begin behind this one");
            after = page.next;
        }
    }

    /// The run ids of every head that fits the query, in its order.
    pub async fn runs(&self, query: &Query) -> Vec<String> {
        names(&self.scan(query).await)
    }

    /// The run ids of what may be claimed now, oldest first.
    pub async fn due(&self) -> Vec<String> {
        self.runs(&Query { due: true, order: Order::Oldest, ..Query::default() }).await
    }

    /// Claims.
    pub async fn claim(&self, claim: &Claim) -> Vec<Head> {
        must(self.backend().claim(claim).await, "claim")
    }

    /// The tally, in order.
    pub async fn tally(&self) -> Vec<Tally> {
        let mut tally = must(self.backend().tally().await, "tally");
        tally.sort_unstable();
        tally
    }

    /// Removes runs and returns how many were deleted.
    pub async fn remove(&self, keys: &[RunKey]) -> usize {
        must(self.backend().remove(keys).await, "remove")
    }
}

/// The run ids of heads, in their order.
#[must_use]
pub fn names(heads: &[Head]) -> Vec<String> {
    heads.iter().map(|head| head.key.run.to_string()).collect()
}

/// The value of a call that must work.
///
/// # Panics
/// When it failed.
pub fn must<T>(outcome: Result<T, BackendError>, call: &str) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("{call} must work here, and failed: {error:?}"),
    }
}

fn named(batch: &Batch) -> String {
    format!(
        "the batch for {} under {:?} ({} records, {} posts, {} takes)",
        batch.key,
        batch.guard,
        batch.append.len(),
        batch.post.len(),
        batch.take.len()
    )
}
