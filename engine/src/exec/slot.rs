//! A run that this process advances: its head as last written, and how to reach whoever drives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use stepwell_contract::{
    BackendError, Batch, Clock, Fence, Guard, Head, Lease, MessageId, Record, RunKey, Seq, Timestamp,
    Verdict, Version,
};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::exec::committer::Committer;
use crate::exec::limits::admission::Rest;
use crate::exec::time::StoreTime;
use crate::run::summary::{At, Summary};
use crate::workflow::context::Board;

/// How often a head is written only to show progress, at most, in milliseconds.
const PROGRESS_EVERY_MS: u64 = 1_000;

/// A run that this process advances.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: RunKey,
    pub(crate) fence: Fence,
    /// The head as last written; held across a write, so that the run's driver and the keeper write one after the other.
    present: Mutex<Present>,
    /// Wakes the driver: mail, shutdown, loss.
    pub(crate) wake: Notify,
    pub(crate) has_mail: AtomicBool,
    /// Another owner has taken the run, or the lease may have ended: nothing more can be written.
    pub(crate) lost: CancellationToken,
    /// When the lease was last renewed, by the own clock, taken before the write was sent.
    renewed_at: AtomicI64,
    /// The keeper renews the lease no longer than this, by the own clock: a step that blocks its thread for ever must
    /// not hold its run for ever.
    hold_until: AtomicI64,
    ended: AtomicBool,
    /// How far its steps say they are.
    pub(crate) board: Arc<Board>,
}

#[derive(Debug)]
struct Present {
    head: Head,
    /// The version in the store; `None` before the run is made.
    stored: Option<Version>,
    /// The latest claim that was taken as a renewal.
    adopted: Option<Version>,
}

impl Present {
    /// Whether the claim, one that this same process made, is the next write after its own last one.
    fn is_followed_by(&self, claimed: &Head) -> bool {
        let stored = self.stored.and_then(|stored| stored.counter.checked_add(1));
        stored == Some(claimed.version.counter)
    }

    fn adopt(&mut self, claimed: Head) {
        self.stored = Some(claimed.version);
        self.adopted = Some(claimed.version);
        self.head = claimed;
    }
}

/// What this process last had of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) fence: Fence,
    /// Where the records of others begin, once the run is theirs.
    pub(crate) next_seq: Seq,
    /// By the own clock.
    pub(crate) renewed_at: Timestamp,
    pub(crate) lease_ms: u64,
}

/// Why a write of a run was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    /// The run's head is another one: someone else owns it, or made it before.
    #[error("the run is no longer this worker's")]
    Lost,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] Arc<BackendError>),
}

/// What is to be written with a new head.
#[derive(Debug, Default)]
pub(crate) struct Write {
    pub(crate) append: Vec<Record>,
    pub(crate) take: Vec<MessageId>,
}

impl Slot {
    /// A run whose head is in the store.
    pub(crate) fn claimed(head: Head, now: Timestamp) -> Self {
        let stored = Some(head.version);
        Self::new(head, stored, now)
    }

    /// A run that the first write makes.
    pub(crate) fn unborn(head: Head, now: Timestamp) -> Self {
        Self::new(head, None, now)
    }

    fn new(head: Head, stored: Option<Version>, now: Timestamp) -> Self {
        Self {
            key: head.key.clone(),
            fence: head.fence,
            present: Mutex::new(Present { head, stored, adopted: None }),
            wake: Notify::new(),
            has_mail: AtomicBool::new(false),
            lost: CancellationToken::new(),
            renewed_at: AtomicI64::new(now.0),
            hold_until: AtomicI64::new(i64::MAX),
            ended: AtomicBool::new(false),
            board: Arc::default(),
        }
    }

    /// Writes records and the head as `edit` leaves it, and with it renews the lease. Once this returns they are
    /// durable. After an error the run must be left alone.
    ///
    /// # Cancellation
    /// Dropping the future leaves the outcome unknown: leave the run alone.
    pub(crate) async fn write(
        &self,
        committer: &Committer,
        time: &StoreTime,
        write: Write,
        edit: impl FnOnce(&mut Head),
    ) -> Result<(), WriteError> {
        let mut present = self.present.lock().await;
        let mut head = present.head.clone();
        edit(&mut head);
        let nonce = fastrand::u64(..);
        head.version = present.stored.map_or(Version { counter: 1, nonce }, |stored| stored.next(nonce));
        head.next_seq = present.head.next_seq.plus(write.append.len());
        head.updated_at = time.now();
        let batch = Batch {
            key: self.key.clone(),
            guard: present.stored.map_or(Guard::Absent, Guard::At),
            head: Some(head.clone()),
            append: write.append,
            post: Vec::new(),
            take: write.take,
        };
        let mut sent_at = time.own_now();
        // The clock jumped: this same process may claim the run while the write is on its way.
        let again = self.may_have_ended(present.head.lease.as_ref(), sent_at).then(|| batch.clone());
        let mut written = committer.commit(batch).await;
        if let (Ok(Verdict::Rejected { current: Some(_) }), Some(mut batch)) = (&written, again)
            && let Some(claimed) = self.own_claim(&present, committer).await
        {
            head.version = claimed.version.next(fastrand::u64(..));
            head.fence = claimed.fence;
            batch.guard = Guard::At(claimed.version);
            batch.head = Some(head.clone());
            present.adopt(claimed);
            sent_at = time.own_now();
            written = committer.commit(batch).await;
        }
        match written {
            Ok(Verdict::Accepted) => {
                present.stored = Some(head.version);
                present.head = head;
                self.renewed_at.store(sent_at.0, Ordering::Relaxed);
                Ok(())
            }
            Ok(Verdict::Rejected { .. }) => {
                self.lost.cancel();
                Err(WriteError::Lost)
            }
            Err(error) => {
                // Whether it was written is not known: what this process believes of the run may be wrong.
                self.lost.cancel();
                Err(error.into())
            }
        }
    }

    /// Whether the lease may have ended by the own clock.
    fn may_have_ended(&self, lease: Option<&Lease>, now: Timestamp) -> bool {
        let renewed_at = Timestamp(self.renewed_at.load(Ordering::Relaxed));
        lease.is_some_and(|lease| now.since_ms(renewed_at) >= lease.ttl_ms)
    }

    /// The head as it is in the store, if nothing but a claim by this same worker was written to it since.
    async fn own_claim(&self, present: &Present, committer: &Committer) -> Option<Head> {
        let head = committer.backend().head(&self.key).await.ok()??;
        let worker = |head: &Head| head.lease.as_ref().map(|lease| lease.worker.clone());
        let is_claim = present.is_followed_by(&head)
            && head.fence > present.head.fence
            && head.next_seq == present.head.next_seq
            && worker(&head) == worker(&present.head);
        is_claim.then_some(head)
    }

    /// Gives the run up for so long, without a word in its journal.
    pub(crate) async fn put_back(
        &self,
        committer: &Committer,
        time: &StoreTime,
        rest_ms: u64,
    ) -> Result<(), WriteError> {
        let wake_at = time.now().plus_ms(rest_ms);
        self.write(committer, time, Write::default(), |head| {
            head.lease = None;
            head.wake_at = Some(wake_at);
        })
        .await
    }

    /// Gives the run up with a word in its head on what it waits for, and none in its journal.
    pub(crate) async fn park(
        &self,
        committer: &Committer,
        time: &StoreTime,
        rest: &Rest,
    ) -> Result<(), WriteError> {
        self.write(committer, time, Write::default(), |head| rest.write_into(head)).await
    }

    /// Writes the head with what the steps last said of their progress, which renews the lease.
    pub(crate) async fn renew(self: Arc<Self>, committer: Committer, time: Arc<StoreTime>) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let at = self.board.read().map(|(place, progress)| At { place, progress });
        let edit = |head: &mut Head| {
            let summary = Summary { at, ..head.summary.decode().unwrap_or_default() };
            if let Ok(summary) = summary.payload() {
                head.summary = summary;
            }
        };
        if let Err(error) = self.write(&committer, &time, Write::default(), edit).await
            && !self.ended.load(Ordering::Acquire)
        {
            tracing::warn!(run = %self.key, %error, "the lease was not renewed; the run is left to its next owner");
            self.wake.notify_one();
        }
    }

    /// What the keeper has to do for the run now. On an exclusive store nobody else can have taken a run whose lease has
    /// ended.
    pub(crate) fn care(&self, ttl_ms: u64, is_exclusive: bool, now: Timestamp) -> Care {
        let renewed_at = Timestamp(self.renewed_at.load(Ordering::Relaxed));
        let is_held = now.0 < self.hold_until.load(Ordering::Relaxed);
        let age_ms = now.since_ms(renewed_at);
        // A clock that was put back tells nothing of the age: the store's clock goes on.
        let is_due =
            now < renewed_at || age_ms >= ttl_ms / 3 || (age_ms >= PROGRESS_EVERY_MS && self.board.is_new());
        match (age_ms >= ttl_ms, is_held) {
            (true, true) if is_exclusive => Care::Renew,
            (true, _) => Care::Fence,
            (false, true) if is_due => Care::Renew,
            (false, _) => Care::Nothing,
        }
    }

    /// Takes a claim that this same process made of this run as a renewal of its lease, unless something else was written
    /// in between. Returns whether it did.
    pub(crate) async fn adopt(&self, claimed: &Head, now: Timestamp) -> bool {
        let mut present = self.present.lock().await;
        let is_held = now.0 < self.hold_until.load(Ordering::Relaxed);
        if self.lost.is_cancelled() || self.ended.load(Ordering::Acquire) || !is_held {
            return false;
        }
        if present.adopted == Some(claimed.version) {
            // A write that was on its way met the claim, and has taken it so already.
            return true;
        }
        // What was given up in between is not this driver's any more: the claim needs another.
        if present.head.lease.is_none() || !present.is_followed_by(claimed) {
            return false;
        }
        present.adopt(claimed.clone());
        self.renewed_at.store(now.0, Ordering::Relaxed);
        true
    }

    /// Whether the head is the one that this process wrote or claimed last.
    pub(crate) async fn has_written(&self, head: &Head) -> bool {
        self.present.lock().await.stored == Some(head.version)
    }

    /// What this process last had of the run.
    pub(crate) async fn held(&self) -> Held {
        let present = self.present.lock().await;
        let renewed_at = Timestamp(self.renewed_at.load(Ordering::Relaxed));
        let lease_ms = present.head.lease.as_ref().map_or(0, |lease| lease.ttl_ms);
        Held { fence: present.head.fence, next_seq: present.head.next_seq, renewed_at, lease_ms }
    }

    /// Bounds how long the lease is renewed while nothing is written.
    pub(crate) fn hold_until(&self, until: Timestamp) {
        self.hold_until.store(until.0, Ordering::Relaxed);
    }

    /// Says that there is mail, and wakes the driver.
    pub(crate) fn tell_mail(&self) {
        self.has_mail.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Nothing more will be written by this process: a late renewal is not sent.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// What the keeper has to do for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    Nothing,
    /// Renew the lease.
    Renew,
    /// The lease may have ended: stop its steps. What they still try to write the version refuses.
    Fence,
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{
        Backend, Claim, MemoryBackend, Name, Payload, RunId, Status, TenantId, WorkerId,
    };

    use super::*;
    use crate::clock::SimulatedTime;

    const TTL_MS: u64 = 9_000;
    const RENEWED: Timestamp = Timestamp(1_000_000);

    fn head() -> Head {
        let worker = WorkerId::new("w-1").expect("an id");
        let name = |text| Name::new(text).expect("a name");
        Head {
            key: RunKey::new(TenantId::default(), RunId::new("r-1").expect("an id")),
            version: Version { counter: 4, nonce: 44 },
            workflow: name("w"),
            workflow_version: 1,
            queue: name("default"),
            priority: 0,
            status: Status::Running,
            wake_at: None,
            lease: Some(Lease { worker, ttl_ms: TTL_MS, expires_at: RENEWED.plus_ms(TTL_MS) }),
            fence: Fence(1),
            next_seq: Seq(3),
            created_at: RENEWED,
            updated_at: RENEWED,
            finished_at: None,
            tags: Arc::default(),
            summary: Payload::null(),
        }
    }

    #[test]
    fn a_lease_is_renewed_after_a_third_of_its_time_and_when_the_clock_was_put_back() {
        let slot = Slot::claimed(head(), RENEWED);
        let care = |is_exclusive, ms: i64| slot.care(TTL_MS, is_exclusive, Timestamp(RENEWED.0 + ms));
        for is_exclusive in [false, true] {
            assert_eq!(care(is_exclusive, 0), Care::Nothing);
            assert_eq!(care(is_exclusive, 2_999), Care::Nothing);
            assert_eq!(care(is_exclusive, 3_000), Care::Renew);
            assert_eq!(care(is_exclusive, 8_999), Care::Renew);
            // The store's clock goes on, and the lease with it.
            assert_eq!(care(is_exclusive, -1), Care::Renew);
            assert_eq!(care(is_exclusive, -3_600_000), Care::Renew);
        }
        // Where others may have taken the run its steps are stopped.
        assert_eq!(care(false, 9_000), Care::Fence);
        assert_eq!(care(true, 9_000), Care::Renew);
    }

    #[test]
    fn a_step_that_never_ends_does_not_keep_its_lease_for_ever() {
        let slot = Slot::claimed(head(), RENEWED);
        slot.hold_until(RENEWED.plus_ms(5_000));
        let care = |is_exclusive, ms| slot.care(TTL_MS, is_exclusive, RENEWED.plus_ms(ms));
        assert_eq!(care(true, 4_999), Care::Renew);
        assert_eq!(care(true, 5_000), Care::Nothing);
        assert_eq!(care(true, 9_000), Care::Fence);
    }

    #[tokio::test]
    async fn only_a_claim_that_follows_the_own_last_write_is_adopted() {
        let claimed = |counter| {
            let mut head = head();
            head.version = Version { counter, nonce: 7 };
            head.fence = Fence(2);
            head
        };
        let adopts = async |counter, prepare: fn(&Slot)| {
            let slot = Slot::claimed(head(), RENEWED);
            prepare(&slot);
            slot.adopt(&claimed(counter), RENEWED.plus_ms(TTL_MS)).await
        };
        assert!(adopts(5, |_| {}).await);
        // Somebody else wrote in between.
        assert!(!adopts(6, |_| {}).await);
        assert!(!adopts(5, |slot| slot.lost.cancel()).await);
        assert!(!adopts(5, Slot::end).await);
        assert!(!adopts(5, |slot| slot.hold_until(RENEWED)).await);
    }

    /// What a write meets that is sent after the lease has ended, when `claimer` has claimed the run before.
    async fn write_after_a_claim_by(claimer: &str) -> (Slot, Head, Result<(), WriteError>) {
        let own = SimulatedTime::at(RENEWED);
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::with_clock(Arc::new(own.clone())));
        let first = Head { version: Version { counter: 1, nonce: 1 }, next_seq: Seq::FIRST, ..head() };
        let first = Head { status: Status::Queued, wake_at: Some(RENEWED), ..first };
        backend.commit(&[Batch::create(first.clone(), Vec::new())]).await.expect("made");
        let slot = Slot::claimed(first, RENEWED);
        own.advance(std::time::Duration::from_millis(TTL_MS));
        let claim = Claim {
            worker: WorkerId::new(claimer).expect("an id"),
            ttl_ms: TTL_MS,
            queues: Vec::new(),
            workflows: Vec::new(),
            tenant: None,
            limit: 1,
            nonce: 5,
        };
        let claimed = backend.claim(&claim).await.expect("a claim").pop().expect("it is due");
        let time = Arc::new(StoreTime::new(Arc::new(own), tokio::runtime::Handle::current()));
        let info = backend.info().await.expect("the store answers");
        let committer = Committer::start(backend, &info, Arc::clone(&time), 1_000);
        let written = slot.write(&committer, &time, Write::default(), |_| {}).await;
        (slot, claimed, written)
    }

    #[tokio::test]
    async fn a_write_that_meets_a_claim_of_its_own_process_is_no_loss() {
        let (slot, claimed, written) = write_after_a_claim_by("w-1").await;
        written.expect("written all the same");
        assert!(!slot.lost.is_cancelled());
        // The worker, which has the claim's answer only now, has nothing to begin.
        assert!(slot.adopt(&claimed, RENEWED.plus_ms(TTL_MS)).await);
        assert_eq!(slot.present.lock().await.head.fence, claimed.fence, "never lowered");
    }

    #[tokio::test]
    async fn a_write_that_meets_a_claim_of_another_worker_is_refused() {
        let (slot, claimed, written) = write_after_a_claim_by("w-2").await;
        assert!(matches!(written, Err(WriteError::Lost)), "{written:?}");
        assert!(slot.lost.is_cancelled());
        assert!(!slot.adopt(&claimed, RENEWED.plus_ms(TTL_MS)).await);
    }
}
