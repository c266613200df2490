//! The state of a queue's limits as this process knows it, and the one way to change it: compare and set.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell_contract::{Batch, Clock, Head, Kind, Name, Payload, Record, RunKey, Timestamp, Verdict};
use tokio::sync::Mutex;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::rate::Meter;
use crate::exec::limits::roster::Roster;
use crate::exec::limits::system::Sort;
use crate::lock::lock;

/// Keys of a queue whose rates are remembered.
const METERS_MAX: usize = 10_000;
/// Longest rest of a parked run, in lease times.
const REST_LEASES_MAX: u64 = 32;

/// The state of a queue's limits.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(super) queue: Name,
    /// Whether anything keeps runs from going through.
    is_shut: AtomicBool,
    pub(super) state: Kept<Roster>,
    meters: std::sync::Mutex<HashMap<Name, Arc<Kept<Meter>>>>,
    /// When this process last looked for dead workers, and how many runs have parked since the last lease time began.
    looked_at: AtomicI64,
    parked: std::sync::Mutex<(Timestamp, u64)>,
}

/// A value in the summary of one of the engine's own heads. Changes of one process come one after the other.
#[derive(Debug)]
pub(super) struct Kept<T> {
    sort: Sort,
    key: RunKey,
    queue: Name,
    known: Mutex<Option<(Option<Head>, T)>>,
}

/// What a look at the value led to.
pub(super) enum Change<R> {
    /// Write the value, with a record of what was done where people have to be able to see it.
    Write(R, Option<(Kind, Payload)>),
    /// The value is as it has to be.
    Keep(R),
    /// What is known speaks against it: so long as it is what is stored.
    Refuse(R),
}

impl<R> Change<R> {
    pub(super) fn write(answer: R) -> Self {
        Self::Write(answer, None)
    }
}

impl<T: Default + Clone + Serialize + DeserializeOwned> Kept<T> {
    pub(super) fn new(sort: Sort, key: RunKey, queue: Name) -> Self {
        Self { sort, key, queue, known: Mutex::new(None) }
    }

    /// The head that holds the value.
    pub(super) fn key(&self) -> &RunKey {
        &self.key
    }

    /// Takes what a listing has shown, unless more is known.
    async fn learn(&self, head: Head) {
        let mut known = self.known.lock().await;
        let is_newer = known
            .as_ref()
            .and_then(|(head, _)| head.as_ref())
            .is_none_or(|known| known.version.counter < head.version.counter);
        if is_newer && let Ok(value) = head.summary.decode() {
            *known = Some((Some(head), value));
        }
    }

    /// The value as it is in the store now; the default when it was never written.
    pub(super) async fn read(&self, core: &Core) -> Result<T, Error> {
        let mut known = self.known.lock().await;
        let read = self.load(core).await?;
        let value = read.1.clone();
        *known = Some(read);
        Ok(value)
    }

    async fn load(&self, core: &Core) -> Result<(Option<Head>, T), Error> {
        let head = core.backend.head(&self.key).await?;
        let value = head.as_ref().map(|head| head.summary.decode()).transpose()?.unwrap_or_default();
        Ok((head, value))
    }

    /// Changes the value. `change` may be called several times, each time with the value as it is then.
    ///
    /// # Cancellation
    /// Dropping the future leaves the change made or not.
    pub(super) async fn change<R>(
        &self,
        core: &Core,
        mut change: impl FnMut(&mut T, Timestamp) -> Change<R>,
    ) -> Result<R, Error> {
        let mut known = self.known.lock().await;
        loop {
            let is_fresh = known.is_none();
            // Taken out: what is not put back, after an error or when the future is dropped, is read again.
            let (head, value) = match known.take() {
                Some(known) => known,
                None => self.load(core).await?,
            };
            let now = core.time.now();
            let mut changed = value.clone();
            match change(&mut changed, now) {
                Change::Refuse(_) if !is_fresh => {}
                Change::Refuse(answer) | Change::Keep(answer) => {
                    *known = Some((head, value));
                    return Ok(answer);
                }
                Change::Write(answer, said) => {
                    let before = head.as_ref().map(|head| head.version);
                    let mut head = match head {
                        Some(head) => head,
                        None => self.sort.head(self.key.clone(), &self.queue, now)?,
                    };
                    let said = said.map(|(kind, payload)| Record::new(head.next_seq, kind, now, 1, payload));
                    head.version = head.version.next(fastrand::u64(..));
                    head.summary = Payload::encode(&changed)?;
                    head.updated_at = now;
                    head.next_seq = head.next_seq.plus(usize::from(said.is_some()));
                    let append = said.into_iter().collect();
                    let batch = match before {
                        Some(before) => Batch::replace(before, head.clone(), append),
                        None => Batch::create(head.clone(), append),
                    };
                    if let Verdict::Accepted = core.committer.commit(batch).await? {
                        *known = Some((Some(head), changed));
                        return Ok(answer);
                    }
                }
            }
        }
    }
}

impl Gate {
    pub(super) fn new(queue: &Name) -> Result<Self, Error> {
        let key = Sort::Queue.key(&[queue.as_str()])?;
        let state = Kept::new(Sort::Queue, key, queue.clone());
        Ok(Self {
            queue: queue.clone(),
            is_shut: AtomicBool::new(false),
            state,
            meters: std::sync::Mutex::default(),
            looked_at: AtomicI64::new(i64::MIN / 2),
            parked: std::sync::Mutex::default(),
        })
    }

    /// What was granted to one key of the queue.
    pub(super) fn meter_of(&self, key: &Name) -> Result<Arc<Kept<Meter>>, Error> {
        let head = Sort::KeyRate.key(&[self.queue.as_str(), key.as_str()])?;
        let mut meters = lock(&self.meters);
        if meters.len() >= METERS_MAX {
            // What is stored counts; what is known here only saves reading it.
            meters.clear();
        }
        let meter = meters
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Kept::new(Sort::KeyRate, head, self.queue.clone())));
        Ok(Arc::clone(meter))
    }

    /// Whether it is time to look for room that dead workers left taken: for each run that is refused would be too often.
    pub(super) fn may_look(&self, core: &Core) -> bool {
        let now = core.time.own_now();
        let before = Timestamp(self.looked_at.load(Ordering::Relaxed));
        let is_time = now < before || now.since_ms(before) >= core.options.lease_ms / 4;
        if is_time {
            self.looked_at.store(now.0, Ordering::Relaxed);
        }
        is_time
    }

    /// After how many lease times a run that parks now looks again by itself: those at the front of a long line after
    /// one, those at its back after more, so that a long line costs no more than a short one.
    pub(super) fn place_in_line(&self, core: &Core, limit: u32) -> u64 {
        let now = core.time.own_now();
        let mut parked = lock(&self.parked);
        if now < parked.0 || now.since_ms(parked.0) >= core.options.lease_ms {
            *parked = (now, 0);
        }
        parked.1 += 1;
        (1 + parked.1 / (4 * u64::from(limit.max(1)))).min(REST_LEASES_MAX)
    }

    /// Whether runs of the queue have to ask before they go on.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Acquire)
    }

    /// Takes the head of the queue as a listing has shown it.
    pub(super) async fn learn(&self, head: Head) {
        self.state.learn(head).await;
        if let Some((_, roster)) = &*self.state.known.lock().await {
            self.note(roster);
        }
    }

    /// Takes note of whether runs have to ask.
    pub(super) fn note(&self, roster: &Roster) {
        self.is_shut.store(roster.limits.is_any() || roster.paused.is_some(), Ordering::Release);
    }

    /// The head that holds it.
    pub(super) fn key(&self) -> &RunKey {
        &self.state.key
    }
}
