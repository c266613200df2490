//! Leases, queues, workers and limit keys: who may advance a run, and who holds it up.

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

/// The lease of a run after one of our writes was refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeaseFacts {
    /// Who we are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker: String,
    /// The fence that we held.
    pub fence: u64,
    /// The fence now.
    pub fence_now: u64,
    /// Who holds the run now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_now: Option<String>,
    /// When our lease was last renewed.
    pub renewed_at: Timestamp,
    /// How long a lease holds, in milliseconds.
    pub lease_ms: u64,
    /// When our write was refused.
    pub refused_at: Timestamp,
    /// The longest that our process did not run at all in between (suspended, or starved), in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_ms: Option<u64>,
}

/// A worker that is or was alive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkerFacts {
    /// Its id.
    pub worker: String,
    /// Whether its lease holds.
    pub alive: bool,
    /// Its last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_at: Option<Timestamp>,
    /// The queues it takes from; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// The workflows it has, each with its version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<(String, u32)>,
    /// How many more runs it can take; `None` when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<u32>,
}

/// A run that waits, and who could take it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueFacts {
    /// The queue it is in.
    pub queue: String,
    /// Since when it is due.
    pub since: Timestamp,
    /// The workers of this engine's store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerFacts>,
    /// Whether `workers` is all of them: without that, absence proves nothing.
    #[serde(default)]
    pub workers_complete: bool,
    /// The limit keys that the run needs and does not get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitKey>,
}

/// A limit key that is used up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitKey {
    /// The key.
    pub key: String,
    /// How many may hold it.
    pub max: u32,
    /// Who holds it.
    pub holders: Vec<LimitHolder>,
}

/// A run that holds a limit key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitHolder {
    /// The run.
    pub run: String,
    /// Since when it holds it.
    pub since: Timestamp,
    /// How the run is: `running`, `paused`, `succeeded`, `failed`, `cancelled`, `missing`.
    pub status: String,
    /// Whether its worker is alive; `None` when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_alive: Option<bool>,
    /// When it last recorded anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_record_at: Option<Timestamp>,
    /// How long a run mostly holds it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<u64>,
}
