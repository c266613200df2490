//! What a run waits for: one answer for every run that has not ended, from what is recorded and nothing else.

use std::fmt;

use serde::Serialize;
use stepwell_contract::{Head, Name, RunKey, Status, TenantId, Timestamp, WorkerId, WorkflowRef};

use crate::diagnosis::evidence::WorkerFacts;
use crate::diagnosis::text::Language;
use crate::observe::explain::headline;
use crate::run::actor::Actor;
use crate::run::event::PauseReason;
use crate::run::parked::ParkedFor;
use crate::run::place::Place;
use crate::run::state::{Pause, State, StepState, StepStatus};
use crate::run::summary::Summary;
use crate::run::token::Token;
use crate::run::waiting::Waiting;
use crate::workflow::nearest::{nearest, nearest_workflow};

/// What moves a run next.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "waits_for", rename_all = "snake_case")]
pub enum Cause {
    /// A person, who has to let it go on.
    Person {
        /// Why it is held.
        reason: PauseReason,
        /// What was said to people.
        message: String,
    },
    /// The worker that has it. If that one is dead, the next one takes the run when the lease has ended.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// When its lease ends unless it is renewed.
        until: Timestamp,
        /// The steps that run.
        running: Vec<Place>,
    },
    /// The end of the lease of a worker that is gone.
    LostWorker {
        /// The worker.
        worker: WorkerId,
        /// When its lease ends.
        until: Timestamp,
        /// The steps that ran.
        running: Vec<Place>,
        /// When it last told of itself.
        told_at: Option<Timestamp>,
    },
    /// A worker that takes it: it is due.
    FreeWorker {
        /// The queue it waits in.
        queue: Name,
        /// What the worker must have registered.
        workflow: Name,
        /// In which version.
        version: u32,
        /// Since when it is due.
        since: Timestamp,
    },
    /// A worker of another program: it is due, and none of the workflows registered here goes on with it.
    NoDefinition {
        /// The queue it waits in.
        queue: Name,
        /// What the worker must have registered.
        workflow: Name,
        /// In which version.
        version: u32,
        /// Since when it is due.
        since: Timestamp,
        /// The workflow that is registered here and comes nearest.
        nearest: Option<WorkflowRef>,
    },
    /// A worker that reads its queue: it is due, and no live one does.
    NoQueueWorker {
        /// The queue it waits in.
        queue: Name,
        /// Since when it is due.
        since: Timestamp,
        /// The queue that live workers read and that comes nearest.
        nearest: Option<Name>,
    },
    /// A worker that has its workflow: it is due, and no live one that reads its queue does.
    NoWorkflowWorker {
        /// The queue it waits in.
        queue: Name,
        /// What the worker must have registered.
        workflow: Name,
        /// In which version.
        version: u32,
        /// Since when it is due.
        since: Timestamp,
        /// The workflow that such workers have and that comes nearest.
        nearest: Option<WorkflowRef>,
    },
    /// A worker that answers what was asked of it.
    Unanswered {
        /// What was sent.
        what: String,
        /// When.
        since: Timestamp,
    },
    /// The end of a sleep.
    Timer {
        /// The sleep.
        place: Place,
        /// When it is over.
        at: Timestamp,
    },
    /// The next attempt of a step.
    Retry {
        /// The step.
        place: Place,
        /// When.
        at: Timestamp,
    },
    /// A signal.
    Signal {
        /// The wait.
        place: Place,
        /// The signals, any of which ends it.
        signals: Vec<Name>,
        /// How long it waits; `None` for ever.
        until: Option<Timestamp>,
    },
    /// The end of a run that it has started.
    Child {
        /// The step that waits.
        place: Place,
        /// The runs, the end of any of which ends the wait.
        runs: Vec<RunKey>,
        /// How long it waits; `None` for ever.
        until: Option<Timestamp>,
    },
    /// The word of someone outside on how a step ended.
    Outside {
        /// The step.
        place: Place,
        /// What whoever reports has to name.
        token: Token,
        /// How long it waits; `None` for ever.
        until: Option<Timestamp>,
    },
    /// Room among the runs of its queue: as many are advanced as may be.
    Limit {
        /// The queue.
        queue: Name,
        /// The limit key of which there are too many; `None` when the queue as a whole is full.
        key: Option<Name>,
        /// How many runs may be advanced at once.
        limit: u32,
        /// The runs that count, as they are known when this is asked.
        holders: Vec<RunKey>,
        /// How many more count that are not named.
        others: usize,
        /// Since when it waits.
        since: Timestamp,
    },
    /// Somebody who lets its queue go on.
    QueuePaused {
        /// The queue.
        queue: Name,
        /// Who paused it.
        by: Actor,
        /// Why, in their words.
        message: String,
        /// Since when it is paused.
        since: Timestamp,
    },
    /// The time at which it may begin: it was started for later, or its queue lets only so many begin in a time.
    NotBefore {
        /// When.
        at: Timestamp,
    },
    /// A time that is set for the run itself: its deadline, or when it is looked at again.
    Time {
        /// When.
        at: Timestamp,
    },
    /// A version that can read its journal, or a sound journal.
    Unreadable {
        /// Why not.
        message: String,
    },
    /// Nothing: it has ended.
    Ended {
        /// How.
        status: Status,
        /// Why, where it failed.
        message: String,
    },
    /// Nothing: it will never move by itself. A fault of the engine.
    Nothing,
}

impl Cause {
    /// The same where none of the workflows that are registered goes on with the run.
    #[must_use]
    pub fn without_definition(self, nearest: Option<WorkflowRef>) -> Self {
        match self {
            Self::FreeWorker { queue, workflow, version, since } => {
                Self::NoDefinition { queue, workflow, version, since, nearest }
            }
            other => other,
        }
    }

    /// The same where it is known which workers there are; for a run that some of them take, how many and how many of these have
    /// room.
    pub(crate) fn among(self, workers: &[WorkerFacts]) -> (Self, Option<(usize, usize)>) {
        let (queue, workflow, version, since) = match self {
            Self::FreeWorker { queue, workflow, version, since }
            | Self::NoDefinition { queue, workflow, version, since, .. } => (queue, workflow, version, since),
            other => return (other, None),
        };
        let alive: Vec<_> =
            workers.iter().filter(|worker| worker.alive && !worker.workflows.is_empty()).collect();
        let reads = |worker: &&&WorkerFacts| {
            worker.queues.is_empty() || worker.queues.iter().any(|name| name == queue.as_str())
        };
        let listening: Vec<_> = alive.iter().filter(reads).collect();
        if listening.is_empty() {
            let read = alive.iter().flat_map(|worker| &worker.queues);
            let read: Vec<Name> = read.filter_map(|name| Name::new(name).ok()).collect();
            let nearest = nearest(queue.as_str(), read.iter()).cloned();
            return (Self::NoQueueWorker { queue, since, nearest }, None);
        }
        let has = |worker: &&&&WorkerFacts| {
            worker.workflows.iter().any(|(name, known)| name == workflow.as_str() && *known == version)
        };
        let able: Vec<_> = listening.iter().filter(has).collect();
        if able.is_empty() {
            let known = listening.iter().flat_map(|worker| &worker.workflows);
            let known = known.filter_map(|(name, version)| {
                Some(WorkflowRef { name: Name::new(name).ok()?, version: *version })
            });
            let known: Vec<WorkflowRef> = known.collect();
            let nearest = nearest_workflow(workflow.as_str(), Some(version), known.iter()).cloned();
            return (Self::NoWorkflowWorker { queue, workflow, version, since, nearest }, None);
        }
        let with_room = able.iter().filter(|worker| worker.room.is_none_or(|room| room > 0)).count();
        (Self::FreeWorker { queue, workflow, version, since }, Some((able.len(), with_room)))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&headline(self, Language::English))
    }
}

impl std::error::Error for Cause {}

impl Cause {
    /// The same, without the names of other tenants' runs.
    #[must_use]
    pub fn for_tenant(mut self, tenant: &TenantId) -> Self {
        if let Self::Limit { holders, others, .. } = &mut self {
            let counted = holders.len();
            holders.retain(|run| run.tenant == *tenant);
            *others += counted - holders.len();
        }
        self
    }
}

/// What moves a run next; `None` when it has ended. `state` must be the fold of the journal that `head` stands for.
#[must_use]
pub fn cause(head: &Head, state: &State, has_mail: bool, now: Timestamp) -> Option<Cause> {
    if head.status.is_finished() {
        return None;
    }
    if head.status == Status::Paused {
        let pause = state.pause.as_ref();
        let reason = pause.map_or(PauseReason::Requested, |pause| pause.reason);
        let message = pause.map(Pause::told).unwrap_or_default();
        return Some(Cause::Person { reason, message });
    }
    if let Some(lease) = head.live_lease(now) {
        let (worker, until) = (lease.worker.clone(), lease.expires_at);
        return Some(Cause::Worker { worker, until, running: state.running_places() });
    }
    if head.is_due(has_mail, now) {
        let since = head.wake_at.filter(|at| *at <= now).unwrap_or(head.updated_at);
        let (queue, workflow) = (head.queue.clone(), head.workflow.clone());
        return Some(Cause::FreeWorker { queue, workflow, version: head.workflow_version, since });
    }
    if let Some(cause) = parked(head) {
        return Some(cause);
    }
    if state.has_not_begun()
        && let Some(at) = head.wake_at
    {
        return Some(Cause::NotBefore { at });
    }
    let of_suspended = |place, waiting: &Waiting, step: &StepState| suspended(head, place, waiting, step);
    let first = state.steps.iter().flat_map(|(step, group)| {
        group.all().filter_map(move |(item, state)| {
            let place = || Place { step: step.clone(), item: item.clone() };
            match state.status {
                StepStatus::Sleeping(at) => Some((Some(at), Cause::Timer { place: place(), at })),
                StepStatus::Backoff(at) => Some((Some(at), Cause::Retry { place: place(), at })),
                StepStatus::Awaiting(until) => {
                    let signals = state.waiting.as_ref()?.signals.clone();
                    Some((until, Cause::Signal { place: place(), signals, until }))
                }
                StepStatus::Suspended => {
                    let waiting = state.waiting.as_ref()?;
                    Some((waiting.until, of_suspended(place(), waiting, state)))
                }
                _ => None,
            }
        })
    });
    // What has a time comes before what has none.
    let first = first.min_by_key(|(at, _)| at.unwrap_or(Timestamp(i64::MAX)));
    Some(match (first, head.wake_at) {
        (Some((Some(at), cause)), wake_at) if wake_at.is_none_or(|wake_at| at <= wake_at) => cause,
        (Some((None, cause)), None) => cause,
        (_, Some(at)) => Cause::Time { at },
        (_, None) => Cause::Nothing,
    })
}

/// What moves a step that waits in the middle of its work.
fn suspended(head: &Head, place: Place, waiting: &Waiting, step: &StepState) -> Cause {
    let until = waiting.until;
    if waiting.outside {
        let token = Token { run: head.key.clone(), place: place.clone(), attempt: step.attempt };
        return Cause::Outside { place, token, until };
    }
    if !waiting.children.is_empty() {
        let children = waiting.children.iter().filter_map(|name| step.children.get(name));
        let runs = children.map(|child| child.run.clone()).collect();
        return Cause::Child { place, runs, until };
    }
    match until {
        Some(at) if waiting.signals.is_empty() => Cause::Timer { place, at },
        _ => Cause::Signal { place, signals: waiting.signals.clone(), until },
    }
}

/// What a run waits for that could begin or go on. Who counts and who paused the queue its head does not say.
fn parked(head: &Head) -> Option<Cause> {
    let parked = head.summary.decode::<Summary>().ok()?.parked?;
    let (queue, since) = (head.queue.clone(), parked.since);
    let limit =
        |key, limit| Cause::Limit { queue: queue.clone(), key, limit, holders: Vec::new(), others: 0, since };
    Some(match parked.reason {
        ParkedFor::Concurrency(most) => limit(None, most),
        ParkedFor::PerKey(most) => limit(Some(parked.key), most),
        ParkedFor::Rate => Cause::NotBefore { at: parked.turn.or(head.wake_at)? },
        ParkedFor::Paused => Cause::QueuePaused { queue, by: Actor::Engine, message: String::new(), since },
    })
}
