//! The laws in code: a store in memory, as plain as they allow. The reference that every backend is compared with.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::backend::Backend;
use crate::batch::{Batch, Judgement, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::error::BackendError;
use crate::head::Head;
use crate::info::{Durability, Health, StoreId, StoreInfo};
use crate::key::{MessageId, RunKey};
use crate::limits::PAGE_ITEMS_MAX;
use crate::message::Message;
use crate::query::{Cursor, Order, Page, Query};
use crate::record::{Record, Seq};
use crate::tally::{Tallies, Tally};

/// A store that lives as long as its last handle. Level D0; exclusive to its process, unless it is [shared](Self::shared).
#[derive(Debug)]
pub struct MemoryBackend {
    id: StoreId,
    clock: Arc<dyn Clock>,
    runs: Mutex<BTreeMap<RunKey, Run>>,
    written: Notify,
    exclusive: bool,
}

#[derive(Debug)]
struct Run {
    head: Head,
    journal: Vec<Record>,
    inbox: Vec<Message>,
    seen: HashSet<MessageId>,
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBackend {
    /// An empty store on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on the given clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            id: StoreId(Uuid::new_v4()),
            clock,
            runs: Mutex::new(BTreeMap::new()),
            written: Notify::new(),
            exclusive: true,
        }
    }

    /// The same, as a server gives a store to several processes: nobody concludes from having it that the others are gone.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.exclusive = false;
        self
    }

    /// A store with the same runs and identity, as an exclusive store is after it was opened again: every lease
    /// has ended.
    #[must_use]
    pub fn reopened(&self) -> Self {
        let runs = self.lock();
        let copies = runs.iter().map(|(key, run)| {
            let run = Run {
                head: run.head.clone().with_lease_ended(),
                journal: run.journal.clone(),
                inbox: run.inbox.clone(),
                seen: run.seen.clone(),
            };
            (key.clone(), run)
        });
        Self {
            id: self.id,
            clock: Arc::clone(&self.clock),
            runs: Mutex::new(copies.collect()),
            written: Notify::new(),
            exclusive: self.exclusive,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunKey, Run>> {
        // A panic between two writes cannot happen: nothing that can panic runs under the lock.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let now = self.clock.now();
        let mut runs = self.lock();
        // Everything that can fail comes before the first write: a failed call has changed nothing.
        let mut rehearsal: BTreeMap<&RunKey, Head> = BTreeMap::new();
        let mut judgements = Vec::with_capacity(batches.len());
        for batch in batches {
            batch.check()?;
            let current = rehearsal.get(&batch.key).or_else(|| runs.get(&batch.key).map(|run| &run.head));
            let judgement = batch.judge(current)?;
            if let (Judgement::Apply, Some(head)) = (judgement, &batch.head) {
                rehearsal.insert(&batch.key, head.stamped(now));
            }
            judgements.push(judgement);
        }
        let apply = |(batch, judgement): (&Batch, Judgement)| match judgement {
            Judgement::Reject(current) => Verdict::Rejected { current },
            Judgement::Repeat => Verdict::Accepted,
            Judgement::Apply => {
                let stamped = batch.head.as_ref().map(|head| head.stamped(now));
                match (runs.get_mut(&batch.key), stamped) {
                    (Some(run), stamped) => run.apply(stamped, batch),
                    (None, Some(head)) => {
                        let mut run =
                            Run { head, journal: Vec::new(), inbox: Vec::new(), seen: HashSet::new() };
                        run.apply(None, batch);
                        runs.insert(batch.key.clone(), run);
                    }
                    (None, None) => return Verdict::Rejected { current: None },
                }
                Verdict::Accepted
            }
        };
        let verdicts = batches.iter().zip(judgements).map(apply).collect();
        drop(runs);
        self.written.notify_waiters();
        Ok(verdicts)
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        Ok(self.lock().get(key).map(|run| run.head.clone()))
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let runs = self.lock();
        let Some(run) = runs.get(key) else { return Ok(Vec::new()) };
        let from = run.journal.partition_point(|record| record.seq < from);
        Ok(run.journal[from..].iter().take(limit.min(PAGE_ITEMS_MAX)).cloned().collect())
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let runs = self.lock();
        let Some(run) = runs.get(key) else { return Ok(Vec::new()) };
        Ok(run.inbox.iter().take(limit.min(PAGE_ITEMS_MAX)).cloned().collect())
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let now = self.clock.now();
        let runs = self.lock();
        let mut found: Vec<&Head> = runs
            .values()
            .filter(|run| query.fits(&run.head, !run.inbox.is_empty(), now))
            .map(|run| &run.head)
            .filter(|head| query.is_after(head, after.as_ref()))
            .collect();
        found.sort_by_key(|head| Cursor::of(head));
        if query.order == Order::Newest {
            found.reverse();
        }
        let limit = limit.min(PAGE_ITEMS_MAX);
        let items: Vec<Head> = found.iter().take(limit).map(|head| Head::clone(head)).collect();
        let next = if found.len() > limit { items.last().map(Cursor::of) } else { None };
        Ok(Page { items, next })
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        let mut runs = self.lock();
        let before = runs.len();
        for key in keys {
            if runs.get(key).is_some_and(|run| run.head.status.is_finished()) {
                runs.remove(key);
            }
        }
        Ok(before - runs.len())
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        let runs = self.lock().len();
        Ok(StoreInfo {
            id: self.id,
            backend: "memory".to_owned(),
            durability: Durability::D0,
            exclusive: self.exclusive,
            gathers: true,
            now: self.clock.now(),
            health: Health::Ok,
            facts: BTreeMap::from([("runs".to_owned(), runs.to_string())]),
        })
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        // Counted anew each time: a reference that counted along could miscount as others do.
        let tallies: Tallies = self.lock().values().map(|run| &run.head).collect();
        Ok(tallies.list())
    }

    async fn changed(&self, up_to: Duration) {
        // A write before the wait begins is missed, as the trait allows: the caller asks again after `up_to`.
        let _ = tokio::time::timeout(up_to, self.written.notified()).await;
    }
}

impl Run {
    fn apply(&mut self, head: Option<Head>, batch: &Batch) {
        if let Some(head) = head {
            self.head = head;
        }
        self.journal.extend_from_slice(&batch.append);
        self.inbox.retain(|message| !batch.take.contains(&message.id));
        for message in &batch.post {
            if self.seen.insert(message.id.clone()) {
                self.inbox.push(message.clone());
            }
        }
    }
}
