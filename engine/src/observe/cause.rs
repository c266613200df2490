//! What a run waits for: one answer for every run that has not ended, from what is recorded and nothing else.

use serde::Serialize;
use stepwell_contract::{Head, Name, RunKey, Status, TenantId, Timestamp, WorkerId, WorkflowRef};

use crate::diagnosis::evidence::WorkerFacts;
use crate::observe::check::meant;
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
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "waits_for", rename_all = "snake_case")]
pub enum Cause {
    /// A person, who has to let it go on.
    #[error("a person has to let it go on: {message}")]
    Person {
        /// Why it is held.
        reason: PauseReason,
        /// What was said to people.
        message: String,
    },
    /// The worker that has it. If that one is dead, the next one takes the run when the lease has ended.
    #[error(
        "worker {worker} has it, and renews its lease until {until} at the earliest; running: {}",
        list(running)
    )]
    Worker {
        /// The worker.
        worker: WorkerId,
        /// When its lease ends unless it is renewed.
        until: Timestamp,
        /// The steps that run.
        running: Vec<Place>,
    },
    /// The end of the lease of a worker that is gone.
    #[error("worker {worker} had it and is gone{}; its lease ends at {until}", last_told(*told_at))]
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
    #[error(
        "it is due since {since}: a worker has to take it that reads queue {queue} and has {workflow} version {version}"
    )]
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
    #[error(
        "it is due since {since}, and no workflow {workflow} version {version} is registered here{}: a worker has to take it that has it and reads queue {queue}",
        meant(nearest.as_ref())
    )]
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
    #[error("it is due since {since}, and no live worker reads queue {queue}{}", nearest.as_ref().map(|near| format!("; the nearest that is read is {near}")).unwrap_or_default())]
    NoQueueWorker {
        /// The queue it waits in.
        queue: Name,
        /// Since when it is due.
        since: Timestamp,
        /// The queue that live workers read and that comes nearest.
        nearest: Option<Name>,
    },
    /// A worker that has its workflow: it is due, and no live one that reads its queue does.
    #[error(
        "it is due since {since}, and no live worker that reads queue {queue} has {workflow} version {version}{}",
        meant(nearest.as_ref())
    )]
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
    #[error("a {what} was sent to it at {since} and is not answered yet")]
    Unanswered {
        /// What was sent.
        what: String,
        /// When.
        since: Timestamp,
    },
    /// The end of a sleep.
    #[error("{place} sleeps until {at}")]
    Timer {
        /// The sleep.
        place: Place,
        /// When it is over.
        at: Timestamp,
    },
    /// The next attempt of a step.
    #[error("{place} is tried again at {at}")]
    Retry {
        /// The step.
        place: Place,
        /// When.
        at: Timestamp,
    },
    /// A signal.
    #[error("{place} waits for signal {}{}", any(signals), upto(*until))]
    Signal {
        /// The wait.
        place: Place,
        /// The signals, any of which ends it.
        signals: Vec<Name>,
        /// How long it waits; `None` for ever.
        until: Option<Timestamp>,
    },
    /// The end of a run that it has started.
    #[error("{place} waits for run {}{}", any(runs), upto(*until))]
    Child {
        /// The step that waits.
        place: Place,
        /// The runs, the end of any of which ends the wait.
        runs: Vec<RunKey>,
        /// How long it waits; `None` for ever.
        until: Option<Timestamp>,
    },
    /// The word of someone outside on how a step ended.
    #[error("{place} waits to be reported on, with token {token}{}", upto(*until))]
    Outside {
        /// The step.
        place: Place,
        /// What whoever reports has to name.
        token: Token,
        /// How long it waits; `None` for ever.
        until: Option<Timestamp>,
    },
    /// Room among the runs of its queue: as many are advanced as may be.
    #[error("queue {queue} is full since {since}: at most {limit} runs{} at once; {}", of_key(key.as_ref()), of_holders(holders, *others))]
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
    #[error("queue {queue} was paused by {by} at {since}: {message}")]
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
    #[error("it does not begin before {at}")]
    NotBefore {
        /// When.
        at: Timestamp,
    },
    /// A time that is set for the run itself: its deadline, or when it is looked at again.
    #[error("nothing happens before {at}")]
    Time {
        /// When.
        at: Timestamp,
    },
    /// A version that can read its journal, or a sound journal.
    #[error("its journal cannot be read here: {message}")]
    Unreadable {
        /// Why not.
        message: String,
    },
    /// Nothing: it has ended.
    #[error("it has ended: {status}{}", said(message))]
    Ended {
        /// How.
        status: Status,
        /// Why, where it failed.
        message: String,
    },
    /// Nothing: it will never move by itself. A fault of the engine.
    #[error("nothing will move it; please report this")]
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

fn last_told(at: Option<Timestamp>) -> String {
    at.map(|at| format!(", as far as it told last at {at}")).unwrap_or_default()
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn list(places: &[Place]) -> String {
    match places {
        [] => "nothing yet".to_owned(),
        places => places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn any<T: ToString>(names: &[T]) -> String {
    names.iter().map(T::to_string).collect::<Vec<_>>().join(" or ")
}

fn upto(until: Option<Timestamp>) -> String {
    until.map(|until| format!(", at most until {until}")).unwrap_or_default()
}

fn of_key(key: Option<&Name>) -> String {
    key.map(|key| format!(" with key {key}")).unwrap_or_default()
}

fn of_holders(holders: &[RunKey], others: usize) -> String {
    let named: Vec<_> = holders.iter().take(5).map(ToString::to_string).collect();
    match (named.as_slice(), holders.len() - named.len() + others) {
        ([], 0) => "those that count have just ended".to_owned(),
        ([], more) => format!("counting: {more} runs"),
        (named, 0) => format!("counting: {}", named.join(", ")),
        (named, more) => format!("counting: {} and {more} more", named.join(", ")),
    }
}

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
