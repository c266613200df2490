//! Why a run is where it is, in one reason, and who can change it: total over all runs in all states.

mod texts;
mod words;

use std::fmt;

use serde::Serialize;
use stepwell_contract::{Head, RunKey, Status, TenantId, Timestamp, WorkerId};

use crate::diagnosis::Diagnosis;
use crate::diagnosis::text::Language;
use crate::observe::cause::Cause;
use crate::run::state::State;
use crate::run::summary::Summary;
use words::{Detail, NAMED_MAX};

pub(crate) use words::{headline, meant};

/// Why a run is where it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The run.
    pub run: RunKey,
    /// The one reason.
    pub reason: Cause,
    /// The same in words.
    pub headline: String,
    /// Since when it holds.
    pub since: Timestamp,
    /// When time alone ends it; `None` when it never does.
    pub until: Option<Timestamp>,
    /// Who can change it.
    pub who: Who,
    /// What has to happen, in words.
    pub next: String,
    /// What else bears on it, in words, what is most to the point first.
    pub details: Vec<String>,
    /// What was said last of why something of it failed, where that is why it is held or has ended.
    pub diagnosis: Option<Box<Diagnosis>>,
    /// What the details are about.
    #[serde(skip)]
    about: Vec<Detail>,
}

impl Explanation {
    /// The same in another language, with its diagnosis. What people and programs wrote stays as it is.
    #[must_use]
    pub fn in_language(&self, language: Language) -> Self {
        let mut told = self.clone();
        told.headline = headline(&self.reason, language);
        told.next = words::next(&self.reason, &self.run, language);
        told.details = self.about.iter().map(|detail| detail.told(language)).collect();
        told.diagnosis = self.diagnosis.as_ref().map(|found| Box::new(found.in_language(language)));
        told
    }
}

/// Who can change what a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Nobody has to do anything: time passes.
    Time,
    /// A person.
    Person,
    /// Whoever sends the signal.
    Signal,
    /// A worker.
    Worker,
    /// Another run.
    Run,
    /// Nobody.
    Nobody,
}

impl Who {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Person => "a person",
            Self::Signal => "a signal",
            Self::Worker => "a worker",
            Self::Run => "another run",
            Self::Nobody => "nobody",
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.run, self.headline)?;
        write!(f, "  since {}", self.since)?;
        if let Some(until) = self.until {
            write!(f, ", until {until} at the latest")?;
        }
        writeln!(f, "; who can change it: {}", self.who)?;
        write!(f, "  next: {}", self.next)?;
        for detail in &self.details {
            write!(f, "\n  - {detail}")?;
        }
        Ok(())
    }
}

/// What stands beside the run's own head and journal.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// When the worker that has it last told of itself.
    pub(crate) told_at: Option<Timestamp>,
    /// Live workers that may take it, and how many of them have room.
    pub(crate) takers: Option<(usize, usize)>,
    /// Runs that count for the limit although no worker advances them.
    pub(crate) stuck: Vec<RunKey>,
    /// The runs that it waits for, and why each is where it is; nothing for one that is not there.
    pub(crate) children: Vec<(RunKey, Option<Cause>)>,
    pub(crate) diagnosis: Option<Diagnosis>,
}

/// The explanation of a run that is where it is for this reason; with a tenant, for its people.
pub(crate) fn explain(
    head: &Head,
    state: Option<&State>,
    reason: Cause,
    beside: Beside,
    tenant: Option<&TenantId>,
) -> Explanation {
    let Beside { told_at, takers, stuck, children, diagnosis } = beside;
    let diagnosis = diagnosis.map(Box::new);
    let mut about: Vec<_> = diagnosis.clone().map(Detail::Diagnosis).into_iter().collect();
    about.extend(children.into_iter().map(|(run, why)| Detail::Child(run, why)));
    // Room that the dead have taken is found when the run is looked at again, and no other run has to end for it.
    let finds_room = matches!(reason, Cause::Limit { .. }) && !stuck.is_empty();
    about.extend((!stuck.is_empty()).then(|| Detail::Stuck(stuck, tenant.cloned())));
    about.extend(takers.map(|(able, with_room)| Detail::Takers(able, with_room)));
    about.extend(told_at.map(Detail::Told));
    about.extend(state.into_iter().flat_map(of_state));
    let language = Language::English;
    Explanation {
        run: head.key.clone(),
        headline: headline(&reason, language),
        since: since(&reason, head, state),
        until: if finds_room { head.wake_at } else { until(&reason, head) },
        who: if finds_room { Who::Time } else { words::who(&reason) },
        next: words::next(&reason, &head.key, language),
        details: about.iter().map(|detail| detail.told(language)).collect(),
        diagnosis,
        about,
        reason,
    }
}

/// What the journal tells beside the reason.
fn of_state(state: &State) -> Vec<Detail> {
    let places = state.running_places();
    let running = places.iter().take(NAMED_MAX).filter_map(|place| {
        let step = state.step(place)?;
        Some(Detail::Running(place.clone(), step.attempt, step.started_at))
    });
    let is_open = !state.status.is_finished();
    let asked = state.request.filter(|_| is_open).map(Detail::Asked);
    let deadline = state.deadline_at.filter(|_| is_open).map(Detail::Deadline);
    running.chain(asked).chain(deadline).collect()
}

fn since(reason: &Cause, head: &Head, state: Option<&State>) -> Timestamp {
    let step = |place| state.and_then(|state| state.step(place)).map(|step| step.started_at);
    let known = match reason {
        Cause::Person { .. } => state.and_then(|state| state.pause.as_ref()).map(|pause| pause.since),
        Cause::Worker { running, .. } => running.iter().filter_map(step).min(),
        Cause::LostWorker { told_at, .. } => *told_at,
        Cause::FreeWorker { since, .. }
        | Cause::NoDefinition { since, .. }
        | Cause::NoQueueWorker { since, .. }
        | Cause::NoWorkflowWorker { since, .. }
        | Cause::Limit { since, .. }
        | Cause::QueuePaused { since, .. }
        | Cause::Unanswered { since, .. } => Some(*since),
        Cause::Timer { place, .. }
        | Cause::Signal { place, .. }
        | Cause::Child { place, .. }
        | Cause::Outside { place, .. } => step(place),
        Cause::NotBefore { .. } => {
            let parked = head.summary.decode::<Summary>().ok().and_then(|summary| summary.parked);
            Some(parked.map_or(head.created_at, |parked| parked.since))
        }
        Cause::Ended { .. } => head.finished_at,
        Cause::Retry { .. } | Cause::Time { .. } | Cause::Unreadable { .. } | Cause::Nothing => None,
    };
    known.unwrap_or(head.updated_at)
}

fn until(reason: &Cause, head: &Head) -> Option<Timestamp> {
    match reason {
        Cause::Timer { at, .. } | Cause::Retry { at, .. } | Cause::NotBefore { at } | Cause::Time { at } => {
            Some(*at)
        }
        Cause::Signal { until, .. } | Cause::Child { until, .. } | Cause::Outside { until, .. } => *until,
        Cause::LostWorker { until, .. } => Some(*until),
        // Then it is held, if nobody has taken it.
        Cause::FreeWorker { .. }
        | Cause::NoDefinition { .. }
        | Cause::NoQueueWorker { .. }
        | Cause::NoWorkflowWorker { .. } => {
            let summary = head.summary.decode::<Summary>().ok();
            summary.and_then(|summary| summary.queue_until).filter(|_| head.status == Status::Queued)
        }
        Cause::Person { .. }
        | Cause::Worker { .. }
        | Cause::Limit { .. }
        | Cause::QueuePaused { .. }
        | Cause::Unanswered { .. }
        | Cause::Unreadable { .. }
        | Cause::Ended { .. }
        | Cause::Nothing => None,
    }
}

/// The worker that a live lease names is gone: nothing moves the run before the lease ends.
pub(crate) fn without_owner(reason: Cause, told_at: Option<Timestamp>) -> Cause {
    match reason {
        Cause::Worker { worker, until, running } => Cause::LostWorker { worker, until, running, told_at },
        other => other,
    }
}

/// The worker that a reason is about.
pub(crate) fn worker_of(reason: &Cause) -> Option<&WorkerId> {
    match reason {
        Cause::Worker { worker, .. } => Some(worker),
        _ => None,
    }
}
