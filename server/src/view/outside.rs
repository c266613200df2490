//! Steps that are done outside, and workflows made of such.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::{OutsideStep, PostedView};
use utoipa::ToSchema;

use crate::view::{Time, time};

/// A step that waits for someone outside to do it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its name among all that wait: `tenant/run/step/attempt`.
    #[schema(example = "default/order-7/cut/1")]
    pub token: String,
    /// Its run.
    pub run: String,
    /// Whose that is.
    pub tenant: String,
    /// The step, as in `cut` or `cut[2]`.
    pub step: String,
    /// Its attempt: send it with reports, so that none is taken for a later attempt.
    pub attempt: u32,
    /// The run's workflow.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// What the step is given; missing where the server does not have the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Box<RawValue>>,
    /// The same for all attempts of the step: for receivers that recognise a repetition by it.
    pub idempotency_key: String,
    /// When the attempt began.
    pub since: Time,
    /// When it fails if nobody has told of its end; missing for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_at: Option<Time>,
    /// How long it is likely to take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// Who has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_by: Option<String>,
    /// When they began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Time>,
    /// How far it was said to be, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What it was said to be at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A workflow that was posted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Posted {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Who posted it first.
    pub by: String,
    /// When.
    pub at: Time,
    /// Whether this server goes on with its runs as it was posted.
    pub in_use: bool,
}

impl Task {
    /// The view of a step.
    #[must_use]
    pub fn of(step: OutsideStep) -> Self {
        let (fraction, note) = match step.progress {
            Some(progress) => (Some(progress.fraction), progress.note),
            None => (None, String::new()),
        };
        Self {
            token: step.token.to_string(),
            run: step.token.run.run.to_string(),
            tenant: step.token.run.tenant.to_string(),
            step: step.token.place.to_string(),
            attempt: step.token.attempt,
            workflow: step.workflow.to_string(),
            version: step.version,
            input: step.input.map(|input| input.raw().to_owned()),
            idempotency_key: step.idempotency_key,
            since: time(step.since),
            timeout_at: step.timeout_at.map(time),
            estimate_ms: step.estimate_ms,
            begun_by: step.begun.as_ref().map(|begun| begun.by.name.clone()),
            begun_at: step.begun.as_ref().map(|begun| time(begun.at)),
            fraction,
            note,
        }
    }
}

impl Posted {
    /// The view of it.
    #[must_use]
    pub fn of(view: &PostedView) -> Self {
        Self {
            name: view.workflow.name.to_string(),
            version: view.workflow.version,
            by: view.actor.to_string(),
            at: time(view.at),
            in_use: view.in_use,
        }
    }
}

/// What posting a workflow would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostPreview {
    /// Whether there is none of that name and version; the same one again has no effect.
    pub is_new: bool,
}

/// What a request is answered with that can be tried dry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PostedOrPreview {
    /// The workflow that is posted.
    Posted(Posted),
    /// What it would do.
    Preview(PostPreview),
}
