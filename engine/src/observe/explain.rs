//! Why a run is where it is, in one reason, and who can change it: total over all runs in all states.

mod words;

use std::fmt;

use serde::Serialize;
use stepwell_contract::{Head, RunKey, Status, TenantId, Timestamp, WorkerId};

use crate::diagnosis::Diagnosis;
use crate::observe::cause::Cause;
use crate::run::state::State;
use crate::run::summary::Summary;

/// Most steps, runs and the like that a detail names.
const NAMED_MAX: usize = 5;

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
    /// The runs that it waits for, and why each is where it is.
    pub(crate) children: Vec<(RunKey, String)>,
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
    let words = words::of(&reason, head);
    let mut details = Vec::new();
    if let Some(found) = &beside.diagnosis {
        details.push(format!("{}: {}", found.code, found.summary));
    }
    details.extend(beside.children.iter().map(|(run, why)| format!("run {run}: {why}")));
    if !beside.stuck.is_empty() {
        let is_theirs = |run: &&RunKey| tenant.is_none_or(|tenant| run.tenant == *tenant);
        let theirs = beside.stuck.iter().filter(is_theirs);
        let mut named: Vec<_> = theirs.clone().take(NAMED_MAX).map(ToString::to_string).collect();
        let others = beside.stuck.len() - theirs.count();
        named.extend((others > 0).then(|| format!("{others} of other tenants")));
        details.push(format!("counted although no worker advances them: {}", named.join(", ")));
    }
    if let Some((able, with_room)) = beside.takers {
        details.push(format!("live workers that can take it: {able}, with room: {with_room}"));
    }
    if let Some(at) = beside.told_at {
        details.push(format!("its worker last told of itself at {at}"));
    }
    details.extend(state.into_iter().flat_map(of_state));
    // Room that the dead have taken is found when the run is looked at again, and no other run has to end for it.
    let finds_room = matches!(reason, Cause::Limit { .. }) && !beside.stuck.is_empty();
    Explanation {
        run: head.key.clone(),
        headline: reason.to_string(),
        since: since(&reason, head, state),
        until: if finds_room { head.wake_at } else { until(&reason, head) },
        who: if finds_room { Who::Time } else { words.who },
        next: words.next,
        details,
        diagnosis: beside.diagnosis.map(Box::new),
        reason,
    }
}

/// What the journal tells beside the reason.
fn of_state(state: &State) -> Vec<String> {
    let mut said = Vec::new();
    for place in state.running_places().iter().take(NAMED_MAX) {
        if let Some(step) = state.step(place) {
            said.push(format!("{place} runs: attempt {}, since {}", step.attempt, step.started_at));
        }
    }
    if let Some(request) = state.request.filter(|_| !state.status.is_finished()) {
        said.push(format!("asked of it and not done yet: {}", words::request(request)));
    }
    if let Some(at) = state.deadline_at.filter(|_| !state.status.is_finished()) {
        said.push(format!("it fails at {at} unless it has ended"));
    }
    said
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
