//! A schedule as it is shown.

use serde::Serialize;
use stepwell_contract::{Name, RunId, RunKey, Status, Timestamp};

use crate::schedule::ledger::{Backfill, Book, Counts, PassedOver, Paused, Started};
use crate::schedule::spec::Schedule;

/// So many times that are left are shown.
const NEXT_MAX: usize = 5;

/// A schedule as it is: from the journal of its run and from what was said to it since.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ScheduleView {
    /// Its name.
    pub name: Name,
    /// The run that keeps it: its journal tells all that was said and decided. When a run has decided much, another one goes
    /// on in its place.
    pub keeper: RunKey,
    /// Where that run is: [`Status::Waiting`] almost always. One that is held or has failed starts nothing until it is moved
    /// on; then it goes on with what was missed.
    pub status: Status,
    /// The schedule.
    pub schedule: Schedule,
    /// The next times, at most five; none while it is paused.
    pub next: Vec<Upcoming>,
    /// Who paused it, if it is.
    pub paused: Option<Paused>,
    /// The runs that it has started and that have not ended.
    pub running: Vec<RunId>,
    /// A time whose run waits until the others have ended.
    pub waiting: Option<Timestamp>,
    /// The latest runs that were started, the newest last.
    pub recent: Vec<Started>,
    /// The latest times for which no run was started, the newest last.
    pub passed_over: Vec<PassedOver>,
    /// Times gone by whose runs are still to be started.
    pub backfills: Vec<Backfill>,
    /// How many times came to what.
    pub counts: Counts,
}

/// A time to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    /// The time.
    pub time: Timestamp,
    /// When its run is started: jitter later.
    pub start_at: Timestamp,
}

/// What making a schedule, or making it another one, would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanPreview {
    /// Whether there is none of that name.
    pub is_new: bool,
    /// What would not be as it is.
    pub differences: Vec<&'static str>,
    /// Its next times from now on, at most five; none while it is paused.
    pub next: Vec<Upcoming>,
}

/// The next times of a schedule, unless it is paused.
pub(super) fn next_of(book: &Book) -> Vec<Upcoming> {
    let times = book.upcoming().take(NEXT_MAX).filter(|_| book.ledger.paused.is_none());
    times.map(|time| Upcoming { time, start_at: book.start_at(time) }).collect()
}

impl ScheduleView {
    pub(super) fn new(book: Book, running: Vec<RunId>, keeper: RunKey, status: Status) -> Self {
        let next = next_of(&book);
        let Book { name, schedule, ledger, .. } = book;
        Self {
            name,
            keeper,
            status,
            schedule,
            next,
            paused: ledger.paused,
            running,
            waiting: ledger.position.waiting,
            recent: ledger.recent.into(),
            passed_over: ledger.passed.into(),
            backfills: ledger.backfills.into(),
            counts: ledger.counts,
        }
    }
}
