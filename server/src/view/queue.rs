//! Queues, as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell::{QueuePause, QueueView};
use utoipa::ToSchema;

use crate::view::run::RunStatus;
use crate::view::{Time, count, time};

/// A queue that has limits, a pause, or runs that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// Its name.
    pub queue: String,
    /// Most runs advanced at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Most runs with the same limit key advanced at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<u32>,
    /// How many runs begin in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many runs with the same limit key begin in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_key: Option<Rate>,
    /// Who paused it and why, while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// How many runs are in each status that is not an end; of one tenant, where one was asked about.
    pub unfinished: BTreeMap<RunStatus, u64>,
    /// What all runs of the queue do; missing where one tenant was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<QueueLoad>,
}

/// What steering a queue would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuePreview {
    /// Whether it would pause or resume the queue: one that is so already stays as it is.
    pub changes: bool,
    /// The queue as it is now. Paused, its `parked` and `queued` runs wait and its `running` ones go on; resumed, those that are
    /// parked go on.
    pub queue: Queue,
}

/// What a request is answered with that can be tried dry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum QueueOrPreview {
    /// The queue, after it was done.
    Queue(Queue),
    /// What it would do.
    Preview(QueuePreview),
}

/// What the runs of a queue do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueLoad {
    /// Runs that a worker advances.
    pub running: u64,
    /// Runs that could begin or go on, and wait for a limit, for their turn or for the paused queue.
    pub parked: u64,
    /// Runs that have not begun and are not parked.
    pub queued: u64,
    /// How many runs count for the limits, by limit key.
    pub counted: BTreeMap<String, u64>,
    /// Whether all runs were looked at that could be advanced or parked; if not, there may be more of both, and as many fewer
    /// that are queued.
    pub is_complete: bool,
}

/// So many runs in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rate {
    /// How many runs.
    pub runs: u32,
    /// In how long, in milliseconds.
    pub per_ms: u64,
}

/// Who paused something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// Since when.
    pub since: Time,
}

impl Pause {
    fn of(pause: &QueuePause) -> Self {
        Self { by: pause.actor.to_string(), reason: pause.message.clone(), since: time(pause.since) }
    }
}

impl Queue {
    /// The view of a queue; `unfinished` are the runs that whoever asks may know of.
    #[must_use]
    pub fn of(view: &QueueView, unfinished: BTreeMap<RunStatus, u64>, is_for_all: bool) -> Self {
        let limits = &view.limits;
        let rate = |rate: stepwell::Rate| Rate { runs: rate.runs, per_ms: rate.per_ms };
        let load = || QueueLoad {
            running: count(view.running),
            parked: count(view.parked),
            queued: count(view.queued),
            counted: view.counted.iter().map(|(key, runs)| (key.clone(), count(*runs))).collect(),
            is_complete: view.is_complete,
        };
        Self {
            queue: view.name.to_string(),
            concurrency: limits.concurrency,
            per_key: limits.per_key,
            rate: limits.rate.map(rate),
            rate_per_key: limits.rate_per_key.map(rate),
            paused: view.paused.as_ref().map(Pause::of),
            unfinished,
            load: is_for_all.then(load),
        }
    }
}
