//! Whether a run can go on, and if not, why: for crash recovery listings and before `resume`.

use serde::Serialize;
use stepwell_contract::{Head, RunKey, Status, Timestamp, WorkflowRef};

use crate::run::change::{Holdup, look_ahead, shape_ahead};
use crate::run::state::{FoldError, State};
use crate::run::summary::{Summary, Trouble};
use crate::workflow::definition::Definition;

/// Whether a run can go on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether a worker can go on with the run, now or once a person lets it: one with the definitions registered here, or where its
    /// workflow is not, one that is there and has it. How that one's code reads what is stored is not known here.
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
    /// Its workflow is not registered in that version here, and this worker has it, which is there.
    #[error("workflow {0} version {1} is not registered here: worker {2} has it")]
    Elsewhere(String, u32, String),
    /// Its workflow is registered in that version neither here nor with a worker that is there.
    #[error("workflow {0} version {1} is not registered: run a worker that has it")]
    NotRegistered(String, u32),
    /// Its journal cannot be read by this version.
    #[error("its journal cannot be read: {0}")]
    Unreadable(String),
    /// The definition, or a value that it has stored, has changed in a way that does not fit.
    #[error("{0}")]
    Changed(Holdup),
}

/// Who goes on with a run.
#[derive(Debug, Clone, Copy)]
pub enum Having<'a> {
    /// This program, with this definition.
    Here(&'a Definition),
    /// A worker that is there, with a definition that was told like this.
    Elsewhere {
        /// The worker.
        worker: &'a str,
        /// The definition without its code, where it was told.
        told: Option<&'a Definition>,
    },
    /// Nobody that is known.
    Nobody,
}

impl Having<'_> {
    /// What of a definition does not let the run go on.
    fn holdup(self, state: &State) -> Option<Holdup> {
        match self {
            Self::Here(definition) => look_ahead(definition, &mut state.clone()).err(),
            Self::Elsewhere { told, .. } => told.and_then(|told| shape_ahead(told, state).err()),
            Self::Nobody => None,
        }
    }
}

/// The verdict on a run.
#[must_use]
pub fn verdict(
    head: &Head,
    state: Result<&State, &FoldError>,
    having: Having<'_>,
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
            let holdup = if ends { None } else { having.holdup(state) };
            blocked |= holdup.is_some();
            reasons.extend(holdup.map(Reason::Changed));
        }
    }
    let (workflow, version) = (head.workflow.to_string(), head.workflow_version);
    match having {
        Having::Here(_) => {}
        Having::Elsewhere { worker, .. } => {
            reasons.push(Reason::Elsewhere(workflow, version, worker.to_owned()));
        }
        Having::Nobody => {
            blocked = true;
            reasons.push(Reason::NotRegistered(workflow, version));
        }
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
