//! The state of everything at one look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::view::Time;
use crate::view::group::Group;
use crate::view::run::{Run, RunStatus};
use crate::view::store::StoreHealth;

/// The state of everything, at most some seconds old: made of counts and of bounded reading, whatever the store holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// When it was put together.
    pub at: Time,
    /// How many runs are in each status; each status is there.
    pub counts: BTreeMap<RunStatus, u64>,
    /// What ended in each minute of the last hour, the oldest first, minutes in which nothing ended among them. What ended
    /// while nobody looked is known only of the newest runs.
    pub series: Vec<Minute>,
    /// How long runs took that succeeded in the last hour, by workflow; of the newest runs.
    pub workflows: Vec<WorkflowDurations>,
    /// Failure groups with the most runs that are failed or held now, the largest first, at most five.
    pub groups: Vec<Group>,
    /// Runs that are held, the newest first, at most ten.
    pub held: Vec<Run>,
    /// How many workers are there; missing where one tenant was asked about, as they are everyone's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_alive: Option<u64>,
    /// How many were there within the last days; missing where one tenant was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_known: Option<u64>,
    /// Whether the store can be used; without why not where one tenant was asked about.
    pub store: StoreHealth,
}

/// What ended in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Minute {
    /// When it began.
    pub at: Time,
    /// Runs that ended, with whatever result.
    pub ended: u64,
    /// Of these, those that failed.
    pub failed: u64,
}

/// How long the runs of a workflow took from when they were made, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowDurations {
    /// The workflow.
    pub workflow: String,
    /// How many runs the figures are made of.
    pub count: u64,
    /// The one that half of them do not exceed.
    pub p50_ms: u64,
    /// The one that 95 of 100 do not exceed.
    pub p95_ms: u64,
}
