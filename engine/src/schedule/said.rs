//! What people say to a schedule: signals to its run.

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::run::actor::Actor;
use crate::schedule::spec::Schedule;

/// The name of the one signal that a schedule waits for: what is said one after the other is heard in that order.
pub(super) const SIGNAL: &str = "schedule";

/// What someone said to a schedule, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    // Not flattened: a payload inside cannot be read from there.
    pub(super) what: What,
    pub(super) by: Actor,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// Start nothing by the clock.
    Pause,
    /// Go on.
    Resume,
    /// Start a run now.
    Trigger(String),
    /// Start the runs of these times.
    Backfill { from: Timestamp, to: Timestamp },
    /// Be another schedule from now on.
    Update { schedule: Box<Schedule>, known_version: u32 },
    /// End.
    Delete,
}
