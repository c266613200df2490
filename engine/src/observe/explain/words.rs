//! The words for people: for each reason, who can change it and what has to happen. The reason itself has its words where it is
//! declared.

use stepwell_contract::{Head, Name, Status};

use crate::observe::cause::Cause;
use crate::observe::explain::Who;
use crate::run::state::Request;

/// Who can change it, and what has to happen.
pub(super) struct Words {
    pub(super) who: Who,
    pub(super) next: String,
}

pub(super) fn of(reason: &Cause, head: &Head) -> Words {
    let say = |who, next: String| Words { who, next };
    let key = &head.key;
    match reason {
        Cause::Person { reason, .. } if reason.needs_retry() => say(
            Who::Person,
            format!(
                "mend what is wrong, then `retry` {key}; or skip the step, give its output, or cancel the run"
            ),
        ),
        Cause::Person { .. } => say(Who::Person, format!("`resume` {key}, or cancel it")),
        Cause::Worker { worker, .. } => {
            say(Who::Worker, format!("worker {worker} goes on with it; `interrupt` stops its steps"))
        }
        Cause::LostWorker { until, .. } => {
            say(Who::Time, format!("when the lease has ended, at {until}, the next worker takes it"))
        }
        Cause::FreeWorker { .. } => {
            say(Who::Worker, "a worker that has room takes it; if all are full, start another one".to_owned())
        }
        Cause::NoDefinition { queue, workflow, version, .. }
        | Cause::NoWorkflowWorker { queue, workflow, version, .. } => say(
            Who::Worker,
            format!(
                "start a worker that reads queue {queue} and has {workflow} version {version}, or takes it over"
            ),
        ),
        Cause::NoQueueWorker { queue, .. } => {
            say(Who::Worker, format!("start a worker that reads queue {queue}"))
        }
        Cause::Timer { at, .. } => say(Who::Time, format!("it goes on at {at}")),
        Cause::Retry { at, .. } => say(Who::Time, format!("the next attempt begins at {at}")),
        Cause::Signal { signals, until: None, .. } => {
            say(Who::Signal, format!("send signal {}", any(signals)))
        }
        Cause::Signal { signals, until: Some(at), .. } => {
            say(Who::Signal, format!("send signal {}; without it, it goes on at {at}", any(signals)))
        }
        Cause::Child { until, .. } => say(
            Who::Run,
            match until {
                Some(at) => format!("the run that it waits for ends; without that, it goes on at {at}"),
                None => "the run that it waits for ends".to_owned(),
            },
        ),
        Cause::Outside { token, .. } => {
            say(Who::Person, format!("whoever has the work reports on it with token {token}"))
        }
        Cause::Limit { queue, .. } => {
            say(Who::Run, format!("a run that counts ends or rests; or raise the limit of queue {queue}"))
        }
        Cause::QueuePaused { queue, .. } => {
            say(Who::Person, format!("let queue {queue} go on: `resume_queue`"))
        }
        Cause::NotBefore { at } => say(Who::Time, format!("it begins at {at}")),
        Cause::Time { at } => say(Who::Time, format!("it is looked at again at {at}")),
        Cause::Unanswered { .. } => {
            say(Who::Worker, "a worker answers the request; start one if none is there".to_owned())
        }
        Cause::Unreadable { .. } => say(
            Who::Person,
            "start workers of the version that wrote it, or have the store checked".to_owned(),
        ),
        Cause::Ended { status: Status::Failed, .. } => say(
            Who::Person,
            format!("nothing, unless a person lets it go on: mend what is wrong, then `retry` {key}"),
        ),
        Cause::Ended { .. } => say(Who::Nobody, "nothing: it has ended".to_owned()),
        Cause::Nothing => {
            say(Who::Nobody, "nothing moves it: this is a fault of the engine, please report it".to_owned())
        }
    }
}

/// What is asked of a run, in a word.
pub(super) fn request(request: Request) -> &'static str {
    match request {
        Request::Pause => "pause",
        Request::Interrupt => "interrupt",
        Request::Undo => "undo",
        Request::Cancel => "cancel",
    }
}

fn any(signals: &[Name]) -> String {
    signals.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
