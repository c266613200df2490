//! What a verb would do.

use serde::{Deserialize, Serialize};
use stepwell::run::preview::RunsAgain;
use utoipa::ToSchema;

use crate::view::run::{Run, RunStatus};
use crate::view::word;

/// What a verb would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The verb, as the path says it.
    pub verb: String,
    /// Why it would be refused; missing when it would not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Where the run is.
    pub status: RunStatus,
    /// Where it would lead.
    pub status_after: RunStatus,
    /// Steps of which a result would no longer count.
    pub set_aside: Vec<String>,
    /// Steps that would run again.
    pub runs_again: Vec<StepAgain>,
    /// Steps that run and would be stopped.
    pub stopped: Vec<StepAgain>,
}

/// What a signal would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignalPreview {
    /// Why it would be refused; missing when it would not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Where the run is.
    pub status: RunStatus,
    /// The steps that wait for it now: the first of them gets it. With none it stays with the run until one comes to wait for it.
    pub heard_by: Vec<String>,
    /// Whether the run has had one under this id: then nothing would happen.
    pub is_repeat: bool,
}

impl SignalPreview {
    pub(crate) fn of(preview: stepwell::SignalPreview) -> Self {
        Self {
            refused: preview.refused,
            status: preview.status.into(),
            heard_by: preview.heard_by.iter().map(ToString::to_string).collect(),
            is_repeat: preview.is_repeat,
        }
    }
}

/// What a request is answered with that can be tried dry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RunOrPreview {
    /// The run, after it was done.
    Run(Box<Run>),
    /// What it would do.
    Preview(Preview),
}

/// A step that a verb would run again or stop.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepAgain {
    /// The step.
    pub step: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What a repetition does outside: `pure`, `idempotent` or `not_idempotent`; missing when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

/// The word for a verb in paths.
pub(crate) fn path_word(verb: &str) -> String {
    match verb {
        "merge_context" => "context".to_owned(),
        verb => verb.replace('_', "-"),
    }
}

impl Preview {
    pub(crate) fn of(preview: stepwell::Preview) -> Self {
        let steps = |steps: Vec<RunsAgain>| steps.into_iter().map(StepAgain::of).collect();
        Self {
            verb: path_word(preview.verb),
            refused: preview.refused,
            status: preview.status.into(),
            status_after: preview.status_after.into(),
            set_aside: preview.set_aside.iter().map(ToString::to_string).collect(),
            runs_again: steps(preview.runs_again),
            stopped: steps(preview.stopped),
        }
    }
}

impl StepAgain {
    fn of(again: RunsAgain) -> Self {
        Self {
            step: again.place.to_string(),
            attempts: again.attempts,
            effect: again.effect.as_ref().and_then(word),
        }
    }
}
