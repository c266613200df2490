//! Group commit, once for all backends: whatever queued up while the last commit was in flight goes into the next.
//!
//! No timer and no fixed size: a lone run pays one write, a thousand share one. Where the store gathers what is written
//! at the same time, a few writers go to it straight: that saves each of them two changes of thread, while for many it
//! is cheaper to be gathered here. This is also the one place that knows what to do when the outcome of a write is not
//! known.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use stepwell_contract::{Backend, BackendError, Batch, Fault, FaultKind, StoreInfo, Verdict};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::clock::StoreTime;

/// Most batches in one commit.
const GROUP_MAX: usize = 1_024;
/// Most writes that go each by itself to a store that gathers them.
const ALONE_MAX: usize = 64;
/// Groups that are on their way to the store at once, at most.
const GROUPS_IN_FLIGHT: usize = 2;
/// Most batches that wait to be taken up; who comes later waits to be let in.
const QUEUE_MAX: usize = 8_192;
/// First wait before a failed commit is tried again; it doubles from there.
const RETRY_FIRST_MS: u64 = 20;
/// Longest wait before a failed commit is tried again.
const RETRY_MAX_MS: u64 = 2_000;

/// What became of a batch: the store's verdict, or why there is none. After an error the batch may have been applied
/// only when the error is not `Definite`.
pub(crate) type Answer = Result<Verdict, Arc<BackendError>>;

/// The way to the committer. Clones lead to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    work: Work,
    queue: mpsc::Sender<Entry>,
    /// Below so many writes under way a batch goes to the store by itself.
    alone_max: usize,
    under_way: Arc<AtomicUsize>,
}

/// A write under way, until it is dropped.
struct UnderWay<'a> {
    count: &'a AtomicUsize,
    /// How many there were before it.
    before: usize,
}

impl<'a> UnderWay<'a> {
    fn one_more(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Entry {
    batch: Batch,
    reply: oneshot::Sender<Answer>,
}

impl Committer {
    /// Starts the committer of a store in the present runtime. It ends when the last way to it is gone and everything
    /// queued is written.
    pub(crate) fn start(
        backend: Arc<dyn Backend>,
        store: &StoreInfo,
        time: Arc<StoreTime>,
        patience_ms: u64,
    ) -> Self {
        let work = Work { backend, time, patience_ms, poisoned: Arc::default() };
        let (queue, entries) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(work.clone().run(entries));
        let alone_max = if store.gathers { ALONE_MAX } else { 0 };
        Self { work, queue, alone_max, under_way: Arc::default() }
    }

    /// Writes a batch together with others and returns when it is durable or refused.
    ///
    /// # Cancellation
    /// Dropping the future leaves it unknown whether the batch was written.
    pub(crate) async fn commit(&self, batch: Batch) -> Answer {
        let under_way = UnderWay::one_more(&self.under_way);
        if under_way.before < self.alone_max {
            return self.work.write(batch).await;
        }
        let closed = || Fault::new(FaultKind::Closed, "the engine has shut down");
        let (reply, answer) = oneshot::channel();
        self.queue.send(Entry { batch, reply }).await.map_err(|_| BackendError::Definite(closed()))?;
        answer.await.map_err(|_| BackendError::Indefinite(closed()))?
    }

    /// Why the store must not be written any more, once it has said so.
    pub(crate) fn poison(&self) -> Option<Arc<BackendError>> {
        self.work.poisoned.get().cloned()
    }
}

#[derive(Debug, Clone)]
struct Work {
    backend: Arc<dyn Backend>,
    time: Arc<StoreTime>,
    patience_ms: u64,
    poisoned: Arc<OnceLock<Arc<BackendError>>>,
}

impl Work {
    /// While one group is being synced the next is made ready: a store that encodes before it queues then never waits
    /// for that. The batches of one run are never in two groups at once, since its driver waits for each answer.
    async fn run(self, mut entries: mpsc::Receiver<Entry>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut in_flight = JoinSet::new();
        while entries.recv_many(&mut group, GROUP_MAX).await > 0 {
            let (batches, replies): (Vec<Batch>, Vec<_>) =
                group.drain(..).map(|entry| (entry.batch, entry.reply)).unzip();
            let work = self.clone();
            in_flight.spawn(async move { work.write_group(batches, replies).await });
            while in_flight.len() >= GROUPS_IN_FLIGHT {
                if let Some(Err(error)) = in_flight.join_next().await {
                    // Whoever waited for the group is told that its outcome is unknown: the replies are gone with it.
                    tracing::error!(%error, "a commit panicked");
                }
            }
        }
        while in_flight.join_next().await.is_some() {}
    }

    /// Writes one batch until there is an answer.
    async fn write(&self, batch: Batch) -> Answer {
        let written = self.backend.commit(std::slice::from_ref(&batch)).await;
        if let Ok(&[verdict]) = written.as_deref() {
            return Ok(verdict);
        }
        let (reply, answer) = oneshot::channel();
        self.settle(written, vec![batch], vec![reply]).await;
        let unanswered = || Fault::new(FaultKind::Other, "the committer gave no answer");
        answer.await.map_err(|_| BackendError::Indefinite(unanswered()))?
    }

    /// Writes the batches, in their order, until each has an answer.
    async fn write_group(&self, batches: Vec<Batch>, replies: Vec<oneshot::Sender<Answer>>) {
        let written = self.backend.commit(&batches).await;
        self.settle(written, batches, replies).await;
    }

    /// Answers what was `written`, and tries again what may succeed.
    async fn settle(
        &self,
        mut written: Result<Vec<Verdict>, BackendError>,
        mut batches: Vec<Batch>,
        mut replies: Vec<oneshot::Sender<Answer>>,
    ) {
        let began_at = self.time.own_now();
        let mut wait_ms = RETRY_FIRST_MS;
        loop {
            let error = match written {
                Ok(verdicts) if verdicts.len() == batches.len() => {
                    for (reply, verdict) in replies.into_iter().zip(verdicts) {
                        answer(reply, Ok(verdict));
                    }
                    return;
                }
                Ok(verdicts) => BackendError::Indefinite(Fault::new(
                    FaultKind::Other,
                    format!("the backend gave {} verdicts for {} batches", verdicts.len(), batches.len()),
                )),
                Err(error) => error,
            };
            if let BackendError::Poisoned(fault) = &error {
                tracing::error!(%fault, "the store takes no more writes: reopen it");
                let error = Arc::new(error);
                // The first word stands.
                let _ = self.poisoned.set(Arc::clone(&error));
                return answer_all(replies, &error);
            }
            if matches!(error, BackendError::Definite(_)) && !error.is_passing() {
                // One batch spoils the call for its neighbours: each goes alone, so that only its owner hears of it.
                if batches.len() > 1 {
                    for (batch, reply) in batches.into_iter().zip(replies) {
                        Box::pin(self.write_group(vec![batch], vec![reply])).await;
                    }
                    return;
                }
                return answer_all(replies, &Arc::new(error));
            }
            if self.time.own_now().since_ms(began_at) >= self.patience_ms {
                tracing::error!(%error, "giving up on a commit");
                return answer_all(replies, &Arc::new(error));
            }
            tracing::warn!(%error, batches = batches.len(), wait_ms, "a commit failed; trying again");
            self.time.sleep(wait_ms).await;
            wait_ms = (wait_ms * 2).min(RETRY_MAX_MS);
            if matches!(error, BackendError::Indefinite(_)) {
                (batches, replies) = self.read_back(batches, replies).await;
                if batches.is_empty() {
                    return;
                }
            }
            written = self.backend.commit(&batches).await;
        }
    }

    /// Finds out which batches of a commit with an unknown outcome were applied. A head that carries the version a
    /// batch was to write was written by it. The rest is returned, to be tried again: a repetition can do no harm,
    /// since the guard decides.
    async fn read_back(
        &self,
        batches: Vec<Batch>,
        replies: Vec<oneshot::Sender<Answer>>,
    ) -> (Vec<Batch>, Vec<oneshot::Sender<Answer>>) {
        let mut open = (Vec::new(), Vec::new());
        for (batch, reply) in batches.into_iter().zip(replies) {
            let written = match (batch.written_version(), self.backend.head(&batch.key).await) {
                (Some(version), Ok(Some(head))) => head.version == version,
                // A post is repeated: it is idempotent by its id. An unreadable head is looked at again next time.
                _ => false,
            };
            if written {
                answer(reply, Ok(Verdict::Accepted));
            } else {
                open.0.push(batch);
                open.1.push(reply);
            }
        }
        open
    }
}

fn answer(reply: oneshot::Sender<Answer>, verdict: Answer) {
    // Who asked may have gone: a dropped future is told nothing.
    let _ = reply.send(verdict);
}

fn answer_all(replies: Vec<oneshot::Sender<Answer>>, error: &Arc<BackendError>) {
    for reply in replies {
        answer(reply, Err(Arc::clone(error)));
    }
}
