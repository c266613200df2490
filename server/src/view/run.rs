//! A run, in a list and by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell::contract::{Head, Status};
use stepwell::run::said::{OWN_TAGS, Said};
use stepwell::run::summary::{Summary, Trouble};
use utoipa::ToSchema;

use crate::view::{Time, count, time, word};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Not begun: waits for a worker.
    Queued,
    /// Begun: a worker is at it, or will be as soon as one is free.
    Running,
    /// Nothing to do until its time or a message comes.
    Waiting,
    /// Held by a person or by a policy; only a person's verb moves it on.
    Paused,
    /// Asked to stop: what it has to wind up is being wound up.
    Cancelling,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because someone asked.
    Cancelled,
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Running => Self::Running,
            Status::Waiting => Self::Waiting,
            Status::Paused => Self::Paused,
            Status::Cancelling => Self::Cancelling,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

impl From<RunStatus> for Status {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => Self::Queued,
            RunStatus::Running => Self::Running,
            RunStatus::Waiting => Self::Waiting,
            RunStatus::Paused => Self::Paused,
            RunStatus::Cancelling => Self::Cancelling,
            RunStatus::Succeeded => Self::Succeeded,
            RunStatus::Failed => Self::Failed,
            RunStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// A run in short: what its head tells, without its journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Its id.
    #[schema(example = "order-1042")]
    pub run: String,
    /// Whose it is.
    #[schema(example = "default")]
    pub tenant: String,
    /// The workflow it executes.
    pub workflow: String,
    /// The version of that workflow.
    pub version: u32,
    /// Where it is.
    pub status: RunStatus,
    /// The queue that its workers read.
    pub queue: String,
    /// Higher goes first.
    pub priority: i16,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// When there is something to do without a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Time>,
    /// When it begins at the earliest, if it was started for a later time and has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// The worker that has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Until when that worker has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Time>,
    /// What people filter by.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// How many parts of the definition have their output.
    pub done: u64,
    /// How many there are.
    pub of: u64,
    /// The step that says how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<StepAt>,
    /// What is wrong, while it is held or after it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<RunTrouble>,
    /// What was said last of why it failed or is held; it stays when the run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<RunSaid>,
    /// Which write of it this is: the ETag, to be sent in `If-Match` with a change that rests on it.
    pub etag: String,
}

/// How far a step says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepAt {
    /// Which step.
    #[schema(example = "pack[2]")]
    pub step: String,
    /// From 0 to 1.
    pub fraction: f64,
    /// What it says it is at.
    pub note: String,
}

/// What is wrong with a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunTrouble {
    /// Why it is held; missing after it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The step it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The code that the step gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is said to people.
    pub message: String,
}

/// A diagnosis in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSaid {
    /// Its stable code.
    #[schema(example = "SW1203")]
    pub code: String,
    /// What happened, in one sentence.
    pub summary: String,
    /// The failure group.
    pub group: String,
    /// The step; missing when it is about the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// When it was recorded.
    pub at: Time,
}

impl RunTrouble {
    fn of(trouble: Trouble) -> Self {
        Self {
            reason: trouble.reason.as_ref().and_then(word),
            step: trouble.place.as_ref().map(ToString::to_string),
            class: trouble.class.as_ref().and_then(word),
            code: trouble.code,
            message: trouble.message,
        }
    }
}

impl RunSaid {
    pub(crate) fn of(said: Said) -> Self {
        Self {
            code: said.code,
            summary: said.summary,
            group: said.fingerprint,
            step: said.place.as_ref().map(ToString::to_string),
            at: time(said.at),
        }
    }
}

impl Run {
    /// The view of a head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        let summary: Summary = head.summary.decode().unwrap_or_default();
        let own = |name: &str| name.starts_with(OWN_TAGS);
        let tags = head.tags.iter().filter(|(name, _)| !own(name.as_str()));
        Self {
            run: head.key.run.to_string(),
            tenant: head.key.tenant.to_string(),
            workflow: head.workflow.to_string(),
            version: head.workflow_version,
            status: head.status.into(),
            queue: head.queue.to_string(),
            priority: head.priority,
            created_at: time(head.created_at),
            updated_at: time(head.updated_at),
            finished_at: head.finished_at.map(time),
            wake_at: head.wake_at.filter(|_| !head.status.is_finished()).map(time),
            not_before: summary.not_before.map(time),
            worker: head.lease.as_ref().map(|lease| lease.worker.to_string()),
            lease_until: head
                .lease
                .as_ref()
                .filter(|_| !head.status.is_finished())
                .map(|lease| time(lease.expires_at)),
            tags: tags.map(|(name, value)| (name.to_string(), value.clone())).collect(),
            done: count(summary.done),
            of: count(summary.of),
            at: summary.at.map(|at| StepAt {
                step: at.place.to_string(),
                fraction: at.progress.fraction,
                note: at.progress.note,
            }),
            trouble: summary.trouble.map(RunTrouble::of),
            said: summary.said.map(RunSaid::of),
            etag: crate::request::etag(head),
        }
    }
}
