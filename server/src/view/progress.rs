//! How far a run is.

use serde::{Deserialize, Serialize};
use stepwell::observe::progress::{RunProgress, StepProgress as Told};
use utoipa::ToSchema;

use crate::view::count;
use crate::view::run::RunStatus;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Where it is.
    pub status: RunStatus,
    /// From 0 to 100. A step counts by its share of all steps, a running one by how far it says it is.
    pub percent: f64,
    /// How long it may still take, in milliseconds, by what its steps took in past runs or declare; missing when that is not known
    /// of a step that is left, or the run is at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Its steps in the order of the definition, those not begun included; where the server does not have the definition, those
    /// that have begun, in the order in which they began.
    pub steps: Vec<StepProgress>,
    /// Whether those are all.
    pub is_complete: bool,
}

/// How far a step of a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepProgress {
    /// Its name.
    pub step: String,
    /// Where it is, in a word: `not_begun`, `running`, `succeeded`, `failed`, `skipped`, `undone`, `sleeps`, `items_ended`,
    /// `is_tried_again`, `runs_outside`, or what it waits for: `waits_for_its_next_attempt`, `waits_for_a_signal`,
    /// `waits_for_a_child_run`, `waits_to_be_reported_on`.
    #[schema(example = "running")]
    pub state: String,
    /// The latest attempt; 0 before the first, and for the step of a map or loop.
    pub attempt: u32,
    /// Of the step of a map or loop: how many items or rounds have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_begun: Option<u64>,
    /// How many of these have a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_done: Option<u64>,
    /// Some of the items in which it runs now, with the names by which people call them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<String>,
    /// From 0 to 1.
    pub fraction: f64,
    /// What it says it is at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// How long its running attempt has taken, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
}

/// The word of the engine for where a step is, as a name.
pub(crate) fn state_name(word: &str) -> String {
    word.replace(' ', "_")
}

impl Progress {
    /// The view of it.
    #[must_use]
    pub fn of(told: RunProgress) -> Self {
        Self {
            status: told.status.into(),
            percent: told.percent,
            remaining_ms: told.remaining_ms,
            steps: told.steps.into_iter().map(StepProgress::of).collect(),
            is_complete: told.is_complete,
        }
    }
}

impl StepProgress {
    fn of(told: Told) -> Self {
        Self {
            step: told.step,
            state: state_name(told.state),
            attempt: told.attempt,
            items_begun: told.items.map(|(_, begun)| count(begun)),
            items_done: told.items.map(|(done, _)| count(done)),
            running: told.running,
            fraction: told.fraction,
            note: told.note,
            elapsed_ms: told.elapsed_ms,
        }
    }
}
