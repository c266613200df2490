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

/// A workflow to post. Its steps are done outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkflow {
    /// Its name.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub name: String,
    /// Its version; 1 when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// The queue that its runs wait in; `default` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub queue: Option<String>,
    /// The time after which a run fails, in milliseconds from its creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_deadline_ms: Option<u64>,
    /// What is done, one after the other.
    #[schema(min_items = 1, max_items = 500)]
    pub steps: Vec<NewWorkflowNode>,
}

/// A step, or several at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum NewWorkflowNode {
    /// One step.
    Step(NewWorkflowStep),
    /// Several on the same input: the output is the list of theirs.
    Parallel(NewWorkflowBranches),
}

/// Steps at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkflowBranches {
    /// The steps.
    #[schema(min_items = 2)]
    pub parallel: Vec<NewWorkflowStep>,
}

/// A step that is done outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWorkflowStep {
    /// Its name, under which its result is kept.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub name: String,
    /// How long an attempt may take, in milliseconds: until somebody has begun it, and as long again from then on.
    #[schema(minimum = 1, maximum = 315360000000_u64)]
    pub timeout_ms: u64,
    /// How long an attempt is likely to take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// The most attempts, the first included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_attempts: Option<u32>,
    /// The delay before the second attempt, in milliseconds; it doubles with each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    /// How long all attempts and the delays between them may take together, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What a repetition does outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(pure|idempotent|not_idempotent)$")]
    pub effect: Option<String>,
    /// What the run does when the attempts are used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(pause|fail)$")]
    pub on_exhausted: Option<String>,
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

#[cfg(test)]
mod tests {
    use stepwell::workflow::posted::{PostedNode, PostedStep, PostedWorkflow};

    use super::*;

    #[test]
    fn what_is_said_of_a_workflow_to_post_is_what_the_engine_takes() {
        let step = |name: &str| NewWorkflowStep {
            name: name.to_owned(),
            timeout_ms: 1,
            estimate_ms: Some(2),
            max_attempts: Some(3),
            retry_delay_ms: Some(4),
            deadline_ms: Some(5),
            effect: Some("pure".to_owned()),
            on_exhausted: Some("fail".to_owned()),
        };
        let said = NewWorkflow {
            name: "film".to_owned(),
            version: Some(2),
            queue: Some("side".to_owned()),
            run_deadline_ms: Some(6),
            steps: vec![
                NewWorkflowNode::Step(step("cut")),
                NewWorkflowNode::Parallel(NewWorkflowBranches { parallel: vec![step("dub"), step("grade")] }),
            ],
        };
        let said = serde_json::to_value(said).expect("JSON");
        let taken: PostedWorkflow = serde_json::from_value(said.clone()).expect("the engine takes it");
        assert_eq!(serde_json::to_value(&taken).expect("JSON"), said);
        // Without `..`: what the engine comes to take beside these is to be said, too.
        let PostedWorkflow { name: _, version: _, queue: _, run_deadline_ms: _, steps } = taken;
        let Some(PostedNode::Step(step)) = steps.into_iter().next() else { panic!("a step") };
        let PostedStep {
            name: _,
            timeout_ms: _,
            estimate_ms: _,
            max_attempts: _,
            retry_delay_ms: _,
            deadline_ms: _,
            effect: _,
            on_exhausted: _,
        } = step;
    }
}
