//! Whether a run can go on, and if not, why: for crash recovery listings and before `resume`.

use serde::Serialize;
use stepwell_contract::{Head, RunKey, Status, Timestamp, WorkflowRef};

use crate::run::change::{Holdup, look_ahead};
use crate::run::state::{FoldError, State};
use crate::run::summary::{Summary, Trouble};
use crate::workflow::definition::Definition;

/// Whether a run can go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether a worker with these definitions can go on with the run, now or once a person lets it.
    pub can_resume: bool,
    /// What speaks against it, or has to happen first.
    pub reasons: Vec<Reason>,
}

/// What speaks against a run's going on, or has to happen first.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
pub enum Reason {
    /// It has ended.
    #[error("it has ended: {0}")]
    Ended(Status),
    /// A worker has it.
    #[error("worker {0} has it now")]
    Leased(String),
    /// It is held.
    #[error("it is paused: {0}")]
    Paused(String),
    /// Its workflow is not registered in that version.
    #[error("workflow {0} version {1} is not registered: run a worker that has it")]
    NotRegistered(String, u32),
    /// Its journal cannot be read by this version.
    #[error("its journal cannot be read: {0}")]
    Unreadable(String),
    /// The definition, or a value that it has stored, has changed in a way that does not fit.
    #[error("{0}")]
    Changed(Holdup),
}

/// The verdict on a run.
#[must_use]
pub fn verdict(
    head: &Head,
    state: Result<&State, &FoldError>,
    definition: Option<&Definition>,
    now: Timestamp,
) -> Verdict {
    let mut reasons = Vec::new();
    let ends = head.status.is_finished() && head.status != Status::Failed;
    if head.status.is_finished() {
        reasons.push(Reason::Ended(head.status));
    }
    if let Some(lease) = head.live_lease(now) {
        reasons.push(Reason::Leased(lease.worker.to_string()));
    }
    let mut blocked = false;
    match state {
        Err(error) => {
            blocked = true;
            reasons.push(Reason::Unreadable(error.to_string()));
        }
        Ok(state) => {
            reasons.extend(state.pause.iter().map(|pause| Reason::Paused(pause.message.clone())));
            let look = definition.filter(|_| !ends).map(|known| look_ahead(known, &mut state.clone()));
            let holdup = look.and_then(Result::err);
            blocked |= holdup.is_some();
            reasons.extend(holdup.map(Reason::Changed));
        }
    }
    if definition.is_none() {
        blocked = true;
        reasons.push(Reason::NotRegistered(head.workflow.to_string(), head.workflow_version));
    }
    Verdict { can_resume: !blocked && !ends, reasons }
}

/// A run that has not ended, as a crash recovery listing shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unfinished {
    /// The run.
    pub key: RunKey,
    /// What it executes.
    pub workflow: WorkflowRef,
    /// Where it is.
    pub status: Status,
    /// When its head was last written.
    pub updated_at: Timestamp,
    /// When there is something to do again.
    pub wake_at: Option<Timestamp>,
    /// The worker whose lease it carries, live or not.
    pub worker: Option<String>,
    /// Nodes done, nodes in all.
    pub done: (usize, usize),
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
}

impl Unfinished {
    /// The entry of a head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        let summary: Summary = head.summary.decode().unwrap_or_default();
        Self {
            key: head.key.clone(),
            workflow: WorkflowRef { name: head.workflow.clone(), version: head.workflow_version },
            status: head.status,
            updated_at: head.updated_at,
            wake_at: head.wake_at,
            worker: head.lease.as_ref().map(|lease| lease.worker.to_string()),
            done: (summary.done, summary.of),
            trouble: summary.trouble,
        }
    }
}
