//! Workers, as they are shown.

use serde::{Deserialize, Serialize};
use stepwell::contract::WorkflowRef;
use stepwell::{WorkerLeft, WorkerView};
use utoipa::ToSchema;

use crate::view::{Time, count, time};

/// A process that takes runs, or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its name.
    pub worker: String,
    /// Whether it is there.
    pub alive: bool,
    /// The queues it takes runs from; empty for all.
    pub queues: Vec<String>,
    /// The workflows whose runs it goes on with, each version of its own.
    pub workflows: Vec<WorkflowVersion>,
    /// When it began.
    pub started_at: Time,
    /// When it last told of itself; what follows is of then.
    pub told_at: Time,
    /// How many runs it advances at most.
    pub concurrency: u64,
    /// How many runs it advanced.
    pub running: u64,
    /// How many unfinished runs name it as their owner now.
    pub held: u64,
    /// Memory of its process, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Memory that it may hold, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Processor use, in percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Open files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// How many may be open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files_max: Option<u64>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its process there.
    pub pid: u32,
    /// The version of its code, if the program names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
    /// When it left, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Time>,
    /// Runs that it could not give up then, because steps did not stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_runs: Option<u64>,
}

/// A version of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowVersion {
    /// The workflow.
    pub workflow: String,
    /// The version.
    pub version: u32,
}

impl WorkflowVersion {
    /// The view of a reference.
    #[must_use]
    pub fn of(reference: &WorkflowRef) -> Self {
        Self { workflow: reference.name.to_string(), version: reference.version }
    }
}

impl Worker {
    /// The view of a worker.
    #[must_use]
    pub fn of(view: WorkerView) -> Self {
        let heartbeat = view.heartbeat;
        Self {
            worker: view.worker.to_string(),
            alive: view.alive,
            queues: view.queues.iter().map(ToString::to_string).collect(),
            workflows: view.workflows.iter().map(WorkflowVersion::of).collect(),
            started_at: time(view.started_at),
            told_at: time(heartbeat.at),
            concurrency: count(view.concurrency),
            running: count(view.running),
            held: count(view.held),
            memory_bytes: heartbeat.rss_bytes,
            memory_limit_bytes: heartbeat.memory_limit_bytes,
            cpu_percent: heartbeat.cpu_percent,
            open_files: heartbeat.open_files,
            open_files_max: heartbeat.open_files_max,
            host: view.host,
            pid: view.pid,
            code_version: view.code_version,
            left_at: view.left.as_ref().map(|left| time(left.at)),
            left_runs: view.left.map(|WorkerLeft { runs_left, .. }| count(runs_left)),
        }
    }
}
