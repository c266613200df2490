//! What a schedule has done and has to do: kept by its run, changed by pure functions.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, RunId, Timestamp};

use crate::run::actor::Actor;
use crate::schedule::calendar::Calendar;
use crate::schedule::due::{Decision, Position, STARTS_MAX, SkipReason, Span, count_between, due, due_at};
use crate::schedule::error::ScheduleError;
use crate::schedule::run_id::{run_by, run_of};
use crate::schedule::said::{Said, What};
use crate::schedule::spec::{Overlap, Schedule};

/// So many of the latest starts and of the latest times passed over are kept for showing.
const RECENT_MAX: usize = 10;
/// So many runs that have not ended are kept in mind; of more, the oldest are no longer waited for.
const OPEN_MAX: usize = 200;

/// What a schedule's run begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Term {
    pub(super) name: Name,
    /// From 1: which of the runs that the schedule has been, one after the other.
    pub(super) generation: u32,
    /// Whether it goes on in the place of the generation before, which was not deleted.
    #[serde(default)]
    pub(super) takes_over: bool,
    /// After so many turns the next one begins: no journal grows for ever.
    pub(super) turns_max: u32,
    /// The queue that the schedule's own runs are in.
    pub(super) queue: Name,
    pub(super) schedule: Schedule,
    pub(super) ledger: Ledger,
}

/// What a schedule has done and has to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// How often this run has been woken.
    pub(super) turn: u32,
    /// The schedule, if it has been updated since the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) updated: Option<Schedule>,
    /// The version of the workflow that was there when the schedule was made: for workers that have none themselves.
    pub(super) known_version: u32,
    pub(super) position: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paused: Option<Paused>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<Paused>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) backfills: VecDeque<Backfill>,
    /// The runs that were started and of which it is not known that they have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<Open>,
    /// What was decided and may not have been done yet. Recorded before it is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) todo: Vec<Act>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) recent: VecDeque<Started>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) passed: VecDeque<PassedOver>,
    #[serde(default)]
    pub(super) counts: Counts,
}

/// Who stopped a schedule, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who.
    pub by: Actor,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When they said so.
    pub at: Timestamp,
}

/// Times whose runs are to be started although they have gone by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Those after this one are left.
    pub after: Timestamp,
    /// The last of them, or a time behind it.
    pub to: Timestamp,
    /// Who asked.
    pub by: Actor,
}

/// A run that was started and of which it is not known that it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) run: RunId,
    /// What it is called among the children of this run; `None` when a former generation started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
}

/// Something that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    Start {
        run: RunId,
        /// What it is called among the children of this run.
        part: String,
        time: Option<Timestamp>,
    },
    Cancel {
        run: RunId,
    },
}

/// A run that the schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// The time that it is for; `None` when someone asked for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// When that was decided.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Why it was not started: its id was in use, most often by the same run, started before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Why a run was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its time had come.
    Time,
    /// Someone asked for a run at once.
    Trigger(Actor),
    /// Someone asked for runs of times gone by.
    Backfill(Actor),
}

/// Times for which no run was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The times.
    pub span: Span,
    /// Why; `None` when they were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
    /// When that was decided.
    pub at: Timestamp,
}

/// How many times came to what, since the schedule was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Runs started.
    pub started: u64,
    /// Times skipped because of other runs, or while the schedule was paused.
    pub skipped: u64,
    /// Times missed by more than the catch-up window.
    pub missed: u64,
    /// Runs that were not started because their ids were in use, most often by themselves, started before.
    pub refused: u64,
}

impl Ledger {
    /// The beginning of a schedule: what comes after `now`.
    pub(super) fn new(now: Timestamp, known_version: u32) -> Self {
        Self {
            turn: 0,
            updated: None,
            known_version,
            position: Position { decided_until: now, waiting: None },
            paused: None,
            deleted: None,
            backfills: VecDeque::new(),
            open: Vec::new(),
            todo: Vec::new(),
            recent: VecDeque::new(),
            passed: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    fn start(&mut self, run: RunId, time: Option<Timestamp>, cause: Cause, now: Timestamp) {
        // Another start of a run that is there already is another child, and is refused as such.
        let part = format!("{}.{run}", self.turn);
        self.counts.started += 1;
        self.open.push(Open { run: run.clone(), part: Some(part.clone()) });
        if self.open.len() > OPEN_MAX {
            self.open.remove(0);
        }
        keep(&mut self.recent, Started { run: run.clone(), time, at: now, cause, refused: None });
        self.todo.push(Act::Start { run, part, time });
    }

    fn pass_over(&mut self, span: Span, skipped: Option<SkipReason>, at: Timestamp) {
        match skipped {
            Some(_) => self.counts.skipped += span.count,
            None => self.counts.missed += span.count,
        }
        keep(&mut self.passed, PassedOver { span, skipped, at });
    }

    /// Takes note that a run could not be started.
    pub(super) fn refuse(&mut self, run: &RunId, part: &str, why: &str) {
        self.open.retain(|open| open.part.as_deref() != Some(part));
        self.counts.started = self.counts.started.saturating_sub(1);
        self.counts.refused += 1;
        if let Some(started) = self.recent.iter_mut().rfind(|started| started.run == *run) {
            started.refused = Some(why.to_owned());
        }
    }

    /// What the next generation begins with.
    pub(super) fn handed_over(&self) -> Self {
        let mut next = Self { turn: 0, updated: None, todo: Vec::new(), ..self.clone() };
        for open in &mut next.open {
            open.part = None;
        }
        next
    }
}

/// Keeps the latest.
fn keep<T>(latest: &mut VecDeque<T>, item: T) {
    latest.push_back(item);
    while latest.len() > RECENT_MAX {
        latest.pop_front();
    }
}

/// A ledger with the schedule that it is about.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) name: Name,
    pub(super) schedule: Schedule,
    calendar: Calendar,
    pub(super) ledger: Ledger,
}

impl Book {
    pub(super) fn new(name: &Name, began_as: &Schedule, ledger: Ledger) -> Result<Self, ScheduleError> {
        let schedule = ledger.updated.clone().unwrap_or_else(|| began_as.clone());
        Ok(Self { name: name.clone(), calendar: schedule.calendar()?, schedule, ledger })
    }

    /// The times that are left, the next one first.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = Timestamp> {
        let next = self.calendar.next_after(self.ledger.position.decided_until);
        std::iter::successors(next, |time| self.calendar.next_after(*time))
    }

    /// When the run of a time that is left is started.
    pub(super) fn start_at(&self, time: Timestamp) -> Timestamp {
        crate::schedule::jitter::started_at(&self.name, &self.calendar, self.schedule.jitter_ms, time)
    }

    /// The times of a backfill: those that are decided already.
    pub(super) fn backfill(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.calendar.between(from, to.min(self.ledger.position.decided_until))
    }

    /// Takes in what someone said. It counts from when they said it, or from now when this clock is behind theirs.
    pub(super) fn hear(&mut self, said: Said, now: Timestamp) -> Result<(), ScheduleError> {
        let at = said.at.min(now);
        let Said { by, reason, .. } = said;
        match said.what {
            What::Pause => {
                self.ledger.paused.get_or_insert(Paused { by, reason, at: said.at });
            }
            What::Resume => self.end_pause(at, now),
            What::Trigger(id) => {
                let run = run_by(&self.name, &id)?;
                if !self.ledger.recent.iter().any(|started| started.run == run) {
                    self.ledger.start(run, None, Cause::Trigger(by), now);
                }
            }
            What::Backfill { from, to } => {
                let to = to.min(self.ledger.position.decided_until);
                let after = Timestamp(from.0.saturating_sub(1));
                self.ledger.backfills.push_back(Backfill { after, to, by });
            }
            What::Update { schedule, known_version } => {
                let was_paused = self.ledger.paused.clone();
                // What the old schedule owes is decided by the old one, without waiting for jitter.
                self.end_pause(at, now);
                self.schedule.jitter_ms = 0;
                while self.decide(at, now) > 0 {}
                self.ledger.position.decided_until = self.ledger.position.decided_until.max(at);
                self.ledger.paused = was_paused;
                self.calendar = schedule.calendar()?;
                self.schedule = *schedule;
                self.ledger.updated = Some(self.schedule.clone());
                self.ledger.known_version = known_version;
            }
            What::Delete => self.ledger.deleted = Some(Paused { by, reason, at: said.at }),
        }
        Ok(())
    }

    /// Passes over what came while the schedule was paused.
    fn end_pause(&mut self, at: Timestamp, now: Timestamp) {
        if self.ledger.paused.take().is_none() {
            return;
        }
        let from = self.ledger.position.decided_until;
        if let Some(span) = count_between(&self.calendar, from, at) {
            self.ledger.pass_over(span, Some(SkipReason::Paused), now);
        }
        self.ledger.position.decided_until = from.max(at);
    }

    /// Decides what is to be done now that these runs have ended. What was decided before must have been done.
    pub(super) fn plan(&mut self, now: Timestamp) {
        if self.ledger.deleted.is_some() {
            return;
        }
        if self.ledger.paused.is_none() {
            self.decide(now, now);
        }
        self.plan_backfill(now);
    }

    fn decide(&mut self, until: Timestamp, now: Timestamp) -> usize {
        let is_running = !self.ledger.open.is_empty();
        let from = self.ledger.position;
        let (decisions, position) = due(&self.name, &self.schedule, &self.calendar, from, until, is_running);
        self.ledger.position = position;
        for decision in &decisions {
            match *decision {
                Decision::Start(time) => {
                    self.ledger.start(run_of(&self.name, time), Some(time), Cause::Time, now);
                }
                Decision::CancelOld => {
                    let open = self.ledger.open.iter().map(|open| open.run.clone());
                    self.ledger.todo.extend(open.map(|run| Act::Cancel { run }));
                }
                Decision::Skip(span, why) => self.ledger.pass_over(span, Some(why), now),
                Decision::Miss(span) => self.ledger.pass_over(span, None, now),
                Decision::Wait(_) => {}
            }
        }
        decisions.len()
    }

    /// Starts what was asked for of times gone by: at once where runs may overlap, else one after the other.
    fn plan_backfill(&mut self, now: Timestamp) {
        while let Some(backfill) = self.ledger.backfills.front_mut() {
            let may_start = match self.schedule.overlap {
                Overlap::Allow => self.ledger.todo.len() < STARTS_MAX,
                // While the schedule is paused, the one that waits waits on.
                _ if self.ledger.paused.is_some() => self.ledger.open.is_empty(),
                _ => self.ledger.open.is_empty() && self.ledger.position.waiting.is_none(),
            };
            if !may_start {
                return;
            }
            match self.calendar.next_after(backfill.after).filter(|time| *time <= backfill.to) {
                None => drop(self.ledger.backfills.pop_front()),
                Some(time) => {
                    backfill.after = time;
                    let cause = Cause::Backfill(backfill.by.clone());
                    self.ledger.start(run_of(&self.name, time), Some(time), cause, now);
                }
            }
        }
    }

    /// When there is something to decide, if nobody says anything and no run ends; `None` when never.
    pub(super) fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let is_open = !self.ledger.open.is_empty();
        if !self.ledger.backfills.is_empty() && (!is_open || self.schedule.overlap == Overlap::Allow) {
            return Some(now);
        }
        if self.ledger.paused.is_some() {
            return None;
        }
        if self.ledger.position.waiting.is_some() && (!is_open || self.schedule.overlap == Overlap::Allow) {
            return Some(now);
        }
        due_at(&self.name, &self.schedule, &self.calendar, self.ledger.position.decided_until)
    }

    /// Whether something is to be decided as soon as runs have ended.
    pub(super) fn waits_for_ends(&self) -> bool {
        let waits = self.ledger.position.waiting.is_some() && self.ledger.paused.is_none();
        !self.ledger.open.is_empty() && (waits || !self.ledger.backfills.is_empty())
    }
}
