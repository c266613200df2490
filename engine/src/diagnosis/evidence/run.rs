//! The run and the definition behind a failure.

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::run::actor::Actor;
use crate::workflow::error::ErrorClass;
use crate::workflow::policy::Effective;

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunFacts {
    /// Its tenant.
    pub tenant: String,
    /// Its id.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// The version of that.
    pub version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it fails if it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Who stopped it, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
    /// What its steps took so far, in the order they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<StepSpent>,
    /// How long it waited for a worker or was held, in milliseconds.
    #[serde(default)]
    pub held_ms: u64,
    /// What its failure may come from: its parent, its children, the steps before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relatives: Vec<Relative>,
}

/// Who stopped a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What one step took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpent {
    /// The step.
    pub step: String,
    /// How long all its attempts and the delays between them took, in milliseconds.
    pub elapsed_ms: u64,
    /// How many attempts.
    pub attempts: u32,
    /// How long it mostly takes, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<u64>,
}

/// How another run or step stands to the one that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The run that started this one.
    Parent,
    /// A run that this step started.
    Child,
    /// A step of this run that comes before.
    Upstream,
    /// A step of this run that runs beside.
    Beside,
}

/// Another run or step whose failure may be the cause of this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relative {
    /// How it stands to this one.
    pub relation: Relation,
    /// Its run.
    pub run: String,
    /// Its step; `None` when it is the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How it ended: `failed`, `cancelled`, `paused`, `succeeded`.
    pub ended: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The class of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// The code of its diagnosis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The summary of its diagnosis, or the text of its error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// The step that failed, by its definition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepFacts {
    /// Its name.
    pub step: String,
    /// Which item of a map or round of a loop, as `[2][0]`; empty outside them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
    /// The limits that hold for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Effective>,
    /// When the first attempt of the present budget began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// How many attempts were lost to a crash in a row.
    #[serde(default)]
    pub crashes: u32,
    /// Whether this worker's definition has it; `None` when that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
    /// The steps that this worker's definition has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// The one of these that is most like it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Whether another attempt will follow by itself.
    #[serde(default)]
    pub will_retry: bool,
}

/// A stored value that the code at hand does not read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnreadValue {
    /// Which, such as `the output of step charge`.
    pub what: String,
    /// Whether it is the input of the run, and no step has read it yet.
    #[serde(default)]
    pub is_first_input: bool,
    /// Where in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// What is wrong there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The version of its form as stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_form: Option<u32>,
    /// The version of the form that the code has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_form: Option<u32>,
    /// The version of the code that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
}
