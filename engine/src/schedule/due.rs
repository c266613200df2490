//! What becomes of the times that have come: one pure function.

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, Timestamp};

use crate::schedule::calendar::Calendar;
use crate::schedule::jitter::started_at;
use crate::schedule::spec::{LATE_MS, Overlap, Schedule};

/// Most runs started by one call; what is left is due again at once.
pub const STARTS_MAX: usize = 100;
/// Most times looked at by one call.
const LOOKS_MAX: u32 = 100_000;
/// Times that are passed over are counted so far.
pub const COUNT_MAX: u64 = 10_000;

/// How far a schedule has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// What becomes of every time up to this one is decided.
    pub decided_until: Timestamp,
    /// A time whose run waits until the others have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Timestamp>,
}

/// What becomes of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its run is started.
    Start(Timestamp),
    /// Its run is started once those that have not ended have.
    Wait(Timestamp),
    /// The runs that have not ended are asked to cancel.
    CancelOld,
    /// No runs are started for these.
    Skip(Span, SkipReason),
    /// These came and went while nothing was there to start their runs.
    Miss(Span),
}

/// Why no run was started for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A run of the schedule had not ended.
    StillRunning,
    /// Another time waited for a run to end already.
    OneWaits,
    /// A later time took its place before it was started.
    Superseded,
    /// The schedule was paused.
    Paused,
}

/// Times that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first of them.
    pub first: Timestamp,
    /// The end of the span: the last of them, or a little later.
    pub until: Timestamp,
    /// How many; at [`COUNT_MAX`], that many or more.
    pub count: u64,
}

impl Span {
    fn one(time: Timestamp) -> Self {
        Self { first: time, until: time, count: 1 }
    }

    fn extend(&mut self, by: Self) {
        self.until = by.until;
        self.count = (self.count + by.count).min(COUNT_MAX);
    }
}

/// Decides what becomes of the times that have come by `now`, in their order. `is_running` tells whether a run of the schedule
/// has not ended. Returns the position behind the decisions: the next call goes on from there, so that no time is decided
/// twice, also when the clock was put back.
#[must_use]
pub fn due(
    name: &Name,
    schedule: &Schedule,
    calendar: &Calendar,
    from: Position,
    now: Timestamp,
    is_running: bool,
) -> (Vec<Decision>, Position) {
    let mut course = Course { calendar, decided_until: from.decided_until, decisions: Vec::new(), starts: 0 };
    let (mut is_running, mut waiting) = (is_running, from.waiting);
    if schedule.overlap != Overlap::CancelOld
        && (!is_running || schedule.overlap == Overlap::Allow)
        && let Some(waited) = waiting.take()
    {
        course.start(waited);
        is_running = true;
    }
    let late = Timestamp(now.0.saturating_sub_unsigned(schedule.catch_up_ms.max(LATE_MS)));
    course.miss_before(Timestamp(late.0.saturating_sub_unsigned(schedule.jitter_ms)));
    // Only the newest of those that come to take each other's place is ever started.
    let mut newest = waiting;
    for _ in 0..LOOKS_MAX {
        let Some(time) = calendar.next_after(course.decided_until) else { break };
        let start_at = started_at(name, calendar, schedule.jitter_ms, time);
        if start_at > now || course.starts == STARTS_MAX {
            break;
        }
        course.decided_until = time;
        match schedule.overlap {
            _ if start_at < late => course.miss(Span::one(time)),
            Overlap::CancelOld => {
                if let Some(older) = newest.replace(time) {
                    course.skip(older, SkipReason::Superseded);
                }
            }
            Overlap::Allow => course.start(time),
            _ if !is_running => {
                course.start(time);
                is_running = true;
            }
            Overlap::Skip => course.skip(time, SkipReason::StillRunning),
            Overlap::Queue if waiting.is_some() => course.skip(time, SkipReason::OneWaits),
            Overlap::Queue => {
                course.decisions.push(Decision::Wait(time));
                waiting = Some(time);
            }
        }
    }
    if schedule.overlap == Overlap::CancelOld
        && let Some(time) = newest
    {
        match waiting {
            _ if !is_running => {
                course.start(time);
                newest = None;
            }
            // Those before it were asked to cancel when the first came that waits for them.
            Some(older) if older == time => {}
            Some(_) => course.decisions.push(Decision::Wait(time)),
            None => course.decisions.extend([Decision::CancelOld, Decision::Wait(time)]),
        }
        waiting = newest;
    }
    (course.decisions, Position { decided_until: course.decided_until, waiting })
}

/// When [`due`] has something to decide again; `None` when no time is left.
#[must_use]
pub fn due_at(
    name: &Name,
    schedule: &Schedule,
    calendar: &Calendar,
    decided_until: Timestamp,
) -> Option<Timestamp> {
    let next = calendar.next_after(decided_until)?;
    Some(started_at(name, calendar, schedule.jitter_ms, next))
}

/// The times after `from` and up to `until`, counted; `None` when there are none.
#[must_use]
pub fn count_between(calendar: &Calendar, from: Timestamp, until: Timestamp) -> Option<Span> {
    let first = calendar.next_after(from).filter(|first| *first <= until)?;
    let count = calendar.between(first, until).zip(0..COUNT_MAX).count();
    Some(Span { first, until, count: count as u64 })
}

/// The decisions made so far.
struct Course<'a> {
    calendar: &'a Calendar,
    decided_until: Timestamp,
    decisions: Vec<Decision>,
    starts: usize,
}

impl Course<'_> {
    fn start(&mut self, time: Timestamp) {
        self.decisions.push(Decision::Start(time));
        self.starts += 1;
    }

    fn skip(&mut self, time: Timestamp, why: SkipReason) {
        match self.decisions.last_mut() {
            Some(Decision::Skip(span, last))
                if *last == why && self.calendar.next_after(span.until) == Some(time) =>
            {
                span.extend(Span::one(time));
            }
            _ => self.decisions.push(Decision::Skip(Span::one(time), why)),
        }
    }

    fn miss(&mut self, missed: Span) {
        match self.decisions.last_mut() {
            Some(Decision::Miss(span)) => span.extend(missed),
            _ => self.decisions.push(Decision::Miss(missed)),
        }
    }

    /// Passes over what lies so far back that it need not be looked at time by time.
    fn miss_before(&mut self, before: Timestamp) {
        let until = Timestamp(before.0.saturating_sub(1));
        if until > self.decided_until
            && let Some(missed) = count_between(self.calendar, self.decided_until, until)
        {
            self.miss(missed);
            self.decided_until = until;
        }
    }
}
