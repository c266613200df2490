//! A store with faults of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use stepwell::contract::pass_on::PassOn;
use stepwell::contract::{
    Backend, BackendError, Batch, Cursor, Fault, FaultKind, Head, MemoryBackend, Message, Page, Query,
    Record, RunKey, Seq, Status, Timestamp, Verdict,
};
use stepwell::prelude::*;

use crate::damage::key;

/// A store does not answer once it has recorded an issue, when a run is read after that.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) run: RunKey,
    pub(crate) is_due: AtomicBool,
    pub(crate) is_made: AtomicBool,
}

/// A store with faults of its own.
#[derive(Debug)]
pub(crate) struct Odd {
    pub(crate) store: Arc<MemoryBackend>,
    /// A record that it has lost.
    pub(crate) lost: Option<(RunKey, Seq)>,
    /// A run whose inbox it cannot read.
    pub(crate) torn: Option<RunKey>,
    /// It does not answer once.
    pub(crate) cut: Option<Arc<Cut>>,
    /// It finds nothing on the first page of runs that succeeded, and has a next one.
    pub(crate) is_slow: bool,
}

impl Odd {
    pub(crate) fn of(store: &Arc<MemoryBackend>) -> Self {
        Self { store: Arc::clone(store), lost: None, torn: None, cut: None, is_slow: false }
    }
}

#[async_trait]
impl PassOn for Odd {
    fn inner(&self) -> &dyn Backend {
        &*self.store
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let verdicts = self.store.commit(batches).await?;
        let mut records = batches.iter().flat_map(|batch| &batch.append);
        if let Some(cut) = &self.cut
            && records.any(|record| record.kind.as_str() == "issue_found")
        {
            cut.is_due.store(!cut.is_made.load(Relaxed), Relaxed);
        }
        Ok(verdicts)
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let mut records = self.store.journal(key, from, limit).await?;
        records
            .retain(|record| self.lost.as_ref().is_none_or(|(run, lost)| key != run || record.seq != *lost));
        Ok(records)
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        if let Some(cut) = self.cut.as_ref().filter(|cut| cut.run == *key)
            && cut.is_due.swap(false, Relaxed)
        {
            cut.is_made.store(true, Relaxed);
            return Err(BackendError::Definite(Fault::new(FaultKind::Unavailable, "no answer")));
        }
        if self.torn.as_ref() == Some(key) {
            return Err(BackendError::Definite(Fault::new(FaultKind::Corrupt, "a message is torn")));
        }
        self.store.inbox(key, limit).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        if self.is_slow && after.is_none() && query.statuses == [Status::Succeeded] {
            let first = Cursor { created_at: Timestamp(i64::MAX), key: key("z") };
            return Ok(Page { items: Vec::new(), next: Some(first) });
        }
        self.store.scan(query, after, limit).await
    }
}
