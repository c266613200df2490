//! Group commit, once for all backends: whatever queued up while the last commit was in flight goes into the next.
//!
//! No timer and no fixed size: a lone run pays one write, a thousand share one. Where the store gathers what is written
//! at the same time, a few writers go to it straight: that saves each of them two changes of thread, while for many it
//! is cheaper to be gathered here. This is also the one place that knows what to do when the outcome of a write is not
//! known, and that keeps a part of the store that fails from holding up what goes to the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use stepwell_contract::{Backend, BackendError, Batch, Fault, FaultKind, StoreInfo, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use crate::exec::time::StoreTime;

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
    reply: Reply,
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
        let work = Work { backend, time, patience_ms, has_parts: !store.exclusive, poisoned: Arc::default() };
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

    /// The store that it writes to.
    pub(crate) fn backend(&self) -> &dyn Backend {
        self.work.backend.as_ref()
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
    /// Whether one run's writes can fail while another's do not: the store is shared, and may have several places.
    has_parts: bool,
    poisoned: Arc<OnceLock<Arc<BackendError>>>,
}

type Reply = oneshot::Sender<Answer>;

impl Work {
    /// While one group is being synced the next is made ready: a store that encodes before it queues then never waits
    /// for that. The batches of one run are never in two groups at once, since its driver waits for each answer.
    async fn run(self, mut entries: mpsc::Receiver<Entry>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut in_flight = JoinSet::new();
        let places = Arc::new(Semaphore::new(GROUPS_IN_FLIGHT));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            if entries.recv_many(&mut group, GROUP_MAX).await == 0 {
                break;
            }
            let (batches, replies): (Vec<Batch>, Vec<_>) =
                group.drain(..).map(|entry| (entry.batch, entry.reply)).unzip();
            let work = self.clone();
            in_flight.spawn(async move { work.write_group(batches, replies, Some(place)).await });
            while let Some(ended) = in_flight.try_join_next() {
                tell_of_panic(ended);
            }
        }
        while let Some(ended) = in_flight.join_next().await {
            tell_of_panic(ended);
        }
    }

    /// Writes one batch until there is an answer.
    async fn write(&self, batch: Batch) -> Answer {
        let written = self.backend.commit(std::slice::from_ref(&batch)).await;
        if let Ok(&[verdict]) = written.as_deref() {
            return Ok(verdict);
        }
        let (reply, answer) = oneshot::channel();
        self.settle(written, vec![batch], vec![reply], None).await;
        let unanswered = || Fault::new(FaultKind::Other, "the committer gave no answer");
        answer.await.map_err(|_| BackendError::Indefinite(unanswered()))?
    }

    /// Writes the batches, in their order, until each has an answer.
    async fn write_group(
        &self,
        batches: Vec<Batch>,
        replies: Vec<Reply>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let written = self.backend.commit(&batches).await;
        self.settle(written, batches, replies, place).await;
    }

    /// Answers what was `written`, and tries again what may succeed. Where the store has parts, its `place` is left to
    /// the next group once that has failed twice, and now and then each batch is tried alone.
    async fn settle(
        &self,
        mut written: Result<Vec<Verdict>, BackendError>,
        mut batches: Vec<Batch>,
        mut replies: Vec<Reply>,
        mut place: Option<OwnedSemaphorePermit>,
    ) {
        let began_at = self.time.own_now();
        let mut wait_ms = RETRY_FIRST_MS;
        let mut failures: u32 = 0;
        loop {
            let error = match written {
                Ok(verdicts) if verdicts.len() == batches.len() => {
                    for (reply, verdict) in replies.into_iter().zip(verdicts) {
                        answer(reply, Ok(verdict));
                    }
                    return;
                }
                Ok(verdicts) => miscounted(verdicts.len(), batches.len()),
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
                if batches.len() == 1 {
                    return answer_all(replies, &Arc::new(error));
                }
                let Some(rest) = self.write_each(batches, replies).await else { return };
                (batches, replies) = (rest.batches, rest.replies);
                written = Err(rest.error);
                continue;
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
            failures += 1;
            if self.has_parts && failures >= 2 {
                drop(place.take());
            }
            // Each time after twice as many failures: a store that is gone altogether is not asked a thousand things.
            if self.has_parts && batches.len() > 1 && failures >= 2 && failures.is_power_of_two() {
                let Some(rest) = self.write_each(batches, replies).await else { return };
                (batches, replies) = (rest.batches, rest.replies);
                written = Err(rest.error);
            } else {
                written = self.backend.commit(&batches).await;
            }
        }
    }

    /// Writes each batch by itself, all at the same time, and answers those of which there is something to say. Returns
    /// what may still succeed.
    async fn write_each(&self, batches: Vec<Batch>, replies: Vec<Reply>) -> Option<Rest> {
        let tries = batches.iter().map(|batch| self.backend.commit(std::slice::from_ref(batch)));
        let written = join_all(tries).await;
        let mut rest: Option<Rest> = None;
        for ((batch, reply), written) in batches.into_iter().zip(replies).zip(written) {
            let error = match written {
                Ok(verdicts) => match verdicts[..] {
                    [verdict] => {
                        answer(reply, Ok(verdict));
                        continue;
                    }
                    _ => miscounted(verdicts.len(), 1),
                },
                Err(error @ BackendError::Definite(_)) if !error.is_passing() => {
                    answer(reply, Err(Arc::new(error)));
                    continue;
                }
                Err(error) => error,
            };
            match &mut rest {
                None => rest = Some(Rest { batches: vec![batch], replies: vec![reply], error }),
                Some(rest) => {
                    rest.batches.push(batch);
                    rest.replies.push(reply);
                    if gravity(&error) > gravity(&rest.error) {
                        rest.error = error;
                    }
                }
            }
        }
        rest
    }

    /// Finds out which batches of a commit with an unknown outcome were applied. A head that carries the version a
    /// batch was to write was written by it. The rest is returned, to be tried again: a repetition can do no harm,
    /// since the guard decides.
    async fn read_back(&self, batches: Vec<Batch>, replies: Vec<Reply>) -> (Vec<Batch>, Vec<Reply>) {
        let mut open = (Vec::new(), Vec::new());
        // At the same time: where a part of the store does not answer, each of its heads would be waited for.
        let heads = join_all(batches.iter().map(|batch| self.backend.head(&batch.key))).await;
        for ((batch, reply), head) in batches.into_iter().zip(replies).zip(heads) {
            let written = match (batch.written_version(), head) {
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

/// What is left of a group after each of its batches was tried alone.
struct Rest {
    batches: Vec<Batch>,
    replies: Vec<Reply>,
    /// The gravest error of theirs.
    error: BackendError,
}

/// What has to be done after the error comes before what has to be done after a lesser one.
fn gravity(error: &BackendError) -> u8 {
    match error {
        BackendError::Definite(_) => 0,
        BackendError::Indefinite(_) => 1,
        BackendError::Poisoned(_) => 2,
    }
}

fn miscounted(verdicts: usize, batches: usize) -> BackendError {
    let message = format!("the backend gave {verdicts} verdicts for {batches} batches");
    BackendError::Indefinite(Fault::new(FaultKind::Other, message))
}

fn tell_of_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // Whoever waited for the group is told that its outcome is unknown: the replies are gone with it.
        tracing::error!(%error, "a commit panicked");
    }
}

fn answer(reply: Reply, verdict: Answer) {
    // Who asked may have gone: a dropped future is told nothing.
    let _ = reply.send(verdict);
}

fn answer_all(replies: Vec<Reply>, error: &Arc<BackendError>) {
    for reply in replies {
        answer(reply, Err(Arc::clone(error)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stepwell_contract::fault::{Effect, FaultBackend, FaultPlan, Method};
    use stepwell_contract::{
        Clock, Fence, Head, MemoryBackend, Name, Payload, RunId, RunKey, Seq, Status, TenantId, Timestamp,
        Version,
    };

    use super::*;
    use crate::clock::SimulatedTime;

    const START: Timestamp = Timestamp(1_000_000);

    /// A batch that makes a run.
    fn made(run: &str) -> Batch {
        let name = |text| Name::new(text).expect("a name");
        let head = Head {
            key: RunKey::new(TenantId::default(), RunId::new(run).expect("an id")),
            version: Version { counter: 1, nonce: 7 },
            workflow: name("w"),
            workflow_version: 1,
            queue: name("default"),
            priority: 0,
            status: Status::Queued,
            wake_at: None,
            lease: None,
            fence: Fence(0),
            next_seq: Seq::FIRST,
            created_at: START,
            updated_at: START,
            finished_at: None,
            tags: Arc::default(),
            summary: Payload::null(),
        };
        Batch::create(head, Vec::new())
    }

    /// A shared store of which the part that holds the runs `sick-…` fails, and a committer on it.
    struct Scene {
        time: SimulatedTime,
        store: Arc<FaultBackend>,
        committer: Committer,
    }

    impl Scene {
        async fn new(effect: Effect) -> Self {
            let is_sick =
                |batches: &[Batch]| batches.iter().any(|batch| batch.key.run.as_str().starts_with("sick"));
            let plan = FaultPlan::seeded(1).chance_of_commit_that(is_sick, 1.0, effect);
            let time = SimulatedTime::at(START);
            let memory = MemoryBackend::with_clock(Arc::new(time.clone()));
            let store = Arc::new(FaultBackend::new(Arc::new(memory), plan));
            let info = StoreInfo {
                exclusive: false,
                gathers: false,
                ..store.info().await.expect("the store answers")
            };
            let timers = tokio::runtime::Handle::current();
            let committer = Committer::start(
                Arc::clone(&store) as Arc<dyn Backend>,
                &info,
                Arc::new(StoreTime::new(Arc::new(time.clone()), timers)),
                60_000,
            );
            Self { time, store, committer }
        }

        /// Begins to write, all in one group: nothing is taken up before this task waits.
        fn write(&self, runs: &[&str]) -> Vec<tokio::task::JoinHandle<Answer>> {
            runs.iter()
                .map(|run| {
                    let (committer, batch) = (self.committer.clone(), made(run));
                    tokio::spawn(async move { committer.commit(batch).await })
                })
                .collect()
        }

        /// Lets everybody do what can be done without time passing, and then a little time pass.
        async fn pass(&self, ms: u64) {
            for _ in 0..ms {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                self.time.advance(Duration::from_millis(1));
            }
        }
    }

    fn is_written(writing: &tokio::task::JoinHandle<Answer>) -> bool {
        writing.is_finished()
    }

    async fn accepted(writing: Vec<tokio::task::JoinHandle<Answer>>) {
        for writing in writing {
            let answer = writing.await.expect("no panic").expect("an answer");
            assert_eq!(answer, Verdict::Accepted);
        }
    }

    #[tokio::test]
    async fn a_part_of_a_store_that_fails_holds_up_nobody_else() {
        for effect in [Effect::Refuse(FaultKind::Unavailable), Effect::Drop] {
            let scene = Scene::new(effect).await;
            let mut sick = scene.write(&["sick-1", "well-1", "well-2", "sick-2", "well-3"]);
            scene.pass(200).await;
            let done: Vec<_> = sick.iter().map(is_written).collect();
            assert_eq!(done, [false, true, true, false, true]);
            accepted(sick.extract_if(.., |writing| is_written(writing)).collect()).await;

            // As many groups fail as there are ways to the store: the next ones go there all the same.
            for nth in 0..GROUPS_IN_FLIGHT {
                sick.extend(scene.write(&[&format!("sick-a{nth}"), &format!("sick-b{nth}")]));
                scene.pass(200).await;
            }
            let well = scene.write(&["well-4", "well-5"]);
            scene.pass(1).await;
            assert!(well.iter().all(is_written));
            accepted(well).await;

            assert!(!sick.iter().any(is_written));
            scene.store.calm_down();
            scene.pass(RETRY_MAX_MS + 1).await;
            assert!(sick.iter().all(is_written));
            accepted(sick).await;
        }
    }

    #[tokio::test]
    async fn a_store_that_is_gone_altogether_is_not_asked_for_each_batch_all_the_time() {
        let scene = Scene::new(Effect::Refuse(FaultKind::Unavailable)).await;
        let runs: Vec<_> = (0..100).map(|nth| format!("sick-{nth}")).collect();
        let writing = scene.write(&runs.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..70 {
            scene.pass(1).await;
            scene.time.advance(Duration::from_secs(1));
        }
        assert!(writing.iter().all(is_written));
        for writing in writing {
            let error = writing.await.expect("no panic").expect_err("given up");
            assert_eq!(error.kind(), FaultKind::Unavailable);
        }
        let calls = scene.store.counts().calls(Method::Commit);
        assert!((100..=600).contains(&calls), "{calls} calls for 100 batches in a minute");
    }

    #[tokio::test]
    async fn a_batch_that_the_store_will_never_take_does_not_spoil_its_neighbours() {
        let scene = Scene::new(Effect::Refuse(FaultKind::TooLarge)).await;
        let mut writing = scene.write(&["well-1", "sick-1", "well-2"]);
        let refused = writing.remove(1).await.expect("no panic").expect_err("refused");
        assert_eq!(refused.kind(), FaultKind::TooLarge);
        accepted(writing).await;
        assert_eq!(scene.time.now(), START, "nothing was tried again");
    }
}
