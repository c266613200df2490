//! A step of a run: once, or each item and round of it.

use serde::{Deserialize, Serialize};
use stepwell::Failure;
use stepwell::contract::RunKey;
use stepwell::observe::progress::word_of;
use stepwell::run::place::Place;
use stepwell::run::state::{StepState, StepStatus};
use utoipa::ToSchema;

use crate::view::progress::state_name;
use crate::view::{Time, count, time, word};

/// Every word that says where a step is.
pub(crate) const STATES: [&str; 12] = [
    "not_begun",
    "running",
    "waits_for_its_next_attempt",
    "is_tried_again",
    "succeeded",
    "failed",
    "sleeps",
    "waits_for_a_signal",
    "waits_for_a_child_run",
    "runs_outside",
    "waits_to_be_reported_on",
    "skipped",
];

/// A step of a run as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Which, as in `pack`, or `pack[2]` for an item or round of it.
    pub step: String,
    /// How people call that item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// Where it is, in a word, as in the progress of the run.
    pub state: String,
    /// The latest attempt; 0 before the first.
    pub attempt: u32,
    /// When its first attempt began, later by the time for which the run was held since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Time>,
    /// When the latest attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it goes on by itself, or fails, if nothing comes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The signals that it waits for, any of which ends the wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// The runs that it has started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// Who does it outside, once they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outsider: Option<String>,
    /// How far it says it is, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What it says it is at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// How large its result is; missing as long as there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Its latest failure; it stays when the step succeeds later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StepFailure>,
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepFailure {
    /// The class, which alone decides what follows.
    pub class: String,
    /// A stable name, such as `io.not_found` or one that the step chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text of the error.
    pub message: String,
    /// The texts of its sources, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What was going on, in the step's words, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// Where in the code, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl Step {
    /// The view of a step of a run that has begun.
    #[must_use]
    pub fn of(run: &RunKey, place: &Place, step: &StepState, item_name: Option<String>) -> Self {
        let waiting = step.waiting.as_deref();
        let until = match step.status {
            StepStatus::Sleeping(at) | StepStatus::Backoff(at) => Some(at),
            StepStatus::Awaiting(until) => until,
            _ => waiting.and_then(|waiting| waiting.until),
        };
        let signals = waiting.map(|waiting| waiting.signals.as_slice()).unwrap_or_default();
        Self {
            step: place.to_string(),
            item_name,
            state: state_name(word_of(step)),
            attempt: step.attempt,
            began_at: Some(time(step.began_at)),
            started_at: Some(time(step.started_at)),
            until: until.map(time),
            signals: signals.iter().map(ToString::to_string).collect(),
            runs: step.children.values().map(|child| shown(run, &child.run)).collect(),
            outsider: step.outsider.as_ref().map(|begun| begun.by.name.clone()),
            fraction: step.progress.as_ref().map(|progress| progress.fraction),
            note: step.progress.as_ref().map(|progress| progress.note.clone()).unwrap_or_default(),
            output_bytes: step.output.as_ref().map(|output| count(output.text().len())),
            failure: step.failure.as_ref().map(StepFailure::of),
        }
    }

    /// The view of a step that has not begun.
    #[must_use]
    pub fn not_begun(place: &Place) -> Self {
        Self {
            step: place.to_string(),
            item_name: None,
            state: "not_begun".to_owned(),
            attempt: 0,
            began_at: None,
            started_at: None,
            until: None,
            signals: Vec::new(),
            runs: Vec::new(),
            outsider: None,
            fraction: None,
            note: String::new(),
            output_bytes: None,
            failure: None,
        }
    }
}

/// A run beside another: by its id alone where both are of one tenant.
fn shown(beside: &RunKey, run: &RunKey) -> String {
    if beside.tenant == run.tenant { run.run.to_string() } else { run.to_string() }
}

impl StepFailure {
    /// The view of a failure.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        Self {
            class: word(&failure.class).unwrap_or_default(),
            code: failure.code.clone(),
            message: failure.message.clone(),
            chain: failure.chain.clone(),
            context: failure.context.clone(),
            location: failure.location.clone(),
        }
    }
}
