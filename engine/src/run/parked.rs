//! Why a run that could begin or go on has to wait for others of its queue.

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, Timestamp};

/// Why a run that could begin or go on has to wait for others of its queue, since when, and until when at the latest it
/// is looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// What it waits for.
    #[serde(rename = "for")]
    pub reason: ParkedFor,
    /// The limit key of the run.
    pub key: Name,
    /// Since when.
    pub since: Timestamp,
    /// When it may begin by the rate: its place in the order of starts, which it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Timestamp>,
}

/// What a run that could begin or go on waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkedFor {
    /// As many runs of the queue as may be advanced at once are advanced.
    Concurrency(u32),
    /// As many runs of the queue with its key as may be advanced at once are advanced.
    PerKey(u32),
    /// Its turn, by how many runs of the queue may begin in a time.
    Rate,
    /// Somebody who lets the paused queue go on.
    Paused,
}
