//! A workflow as data: its steps run outside, in processes that do not link this library.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use stepwell_contract::Name;

use crate::workflow::child::Outside;
use crate::workflow::definition::{BuildError, Definition};
use crate::workflow::draft::Draft;
use crate::workflow::graph::{Join, Node, StepIndex};
use crate::workflow::policy::{Effect, OnExhausted, StepPolicy, millis};
use crate::workflow::retry::Retry;

/// Most steps of a posted workflow.
pub const STEPS_MAX: usize = 500;
/// Longest time that an attempt outside may be given, in milliseconds: ten years.
pub const TIMEOUT_MS_MAX: u64 = 10 * 365 * 24 * 3_600_000;
/// The names of the engine's own workflows begin with this.
pub(crate) const OWN: &str = "stepwell.";

/// Whether a workflow is one of the engine's own, by its name.
#[must_use]
pub fn is_own(workflow: &Name) -> bool {
    workflow.as_str().starts_with(OWN)
}

/// A workflow whose steps run outside. Each hands its input, the output of the one before it, to whoever asks, and ends by what they
/// [report](crate::Engine::report). As JSON, a field that it does not have is an error:
///
/// ```
/// use stepwell::PostedWorkflow;
///
/// let posted: PostedWorkflow = serde_json::from_str(
///     r#"{"name": "film", "steps": [
///         {"name": "cut", "timeout_ms": 600000, "estimate_ms": 90000, "max_attempts": 3},
///         {"parallel": [
///             {"name": "dub", "timeout_ms": 3600000},
///             {"name": "grade", "timeout_ms": 3600000, "effect": "not_idempotent"}
///         ]}
///     ]}"#,
/// )?;
/// assert_eq!(posted.check(), Ok(()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostedWorkflow {
    /// Its name.
    pub name: Name,
    /// Its version; 1 if nothing is said.
    #[serde(default = "first")]
    pub version: u32,
    /// The queue that its runs wait in; `default` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// The time after which a run fails, in milliseconds from its creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_deadline_ms: Option<u64>,
    /// What is done, one after the other.
    pub steps: Vec<PostedNode>,
}

/// A step, or several at the same time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PostedNode {
    /// One step. Its output is the node's.
    Step(PostedStep),
    /// Several on the same input. The node's output is the list of theirs, in this order.
    Parallel {
        /// The steps.
        parallel: Vec<PostedStep>,
    },
}

/// A step that runs outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostedStep {
    /// Its name, under which its result is kept.
    pub name: Name,
    /// How long an attempt may take, in milliseconds: from its beginning until somebody has begun it, and as long again from
    /// then on. After that the attempt has failed.
    pub timeout_ms: u64,
    /// How long an attempt is likely to take, in milliseconds, for estimates before there is experience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// The most attempts, the first included; what the engine's policy says if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// The delay before the second attempt, in milliseconds; it doubles with each further one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    /// How long all attempts and the delays between them may take together, in milliseconds: none begins later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// What a repetition does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// What the run does when the attempts are used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
}

/// Why a posted workflow is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PostedError {
    /// It is none.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its name is one of the engine's own.
    #[error("names that begin with {OWN:?} are the engine's own")]
    OwnName,
    /// It has version 0.
    #[error("versions begin with 1")]
    Version,
    /// It has too many steps.
    #[error("it has {0} steps, and {STEPS_MAX} is the most")]
    Steps(usize),
    /// A group of steps has fewer than two.
    #[error("`parallel` needs at least two steps")]
    Parallel,
    /// An attempt is given no time, or too much.
    #[error("step {step}: timeout_ms is {timeout_ms}, and has to be from 1 to {TIMEOUT_MS_MAX}")]
    Timeout {
        /// The step.
        step: Name,
        /// What it says.
        timeout_ms: u64,
    },
    /// A step is never tried.
    #[error("step {0}: max_attempts is 0, and counts the first attempt too")]
    Attempts(Name),
}

/// Why a workflow cannot be posted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unpostable {
    /// It is none.
    #[error(transparent)]
    Invalid(#[from] PostedError),
    /// This program has registered one of its name and version.
    #[error("this program has registered one of that name and version: post it under another")]
    Registered,
    /// Another program on the store has.
    #[error("a worker of another program has registered one of that name and version: post it under another")]
    RegisteredElsewhere,
    /// Another one of its name and version was posted.
    #[error("{by} posted another one of that name and version, with other {what}: post it as a new version")]
    Other {
        /// What differs.
        what: &'static str,
        /// Who posted it.
        by: String,
    },
}

impl<'de> Deserialize<'de> for PostedNode {
    /// By hand: of two forms that are tried in turn only the failure of both could be told.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Group {
            parallel: Vec<PostedStep>,
        }
        let value = Value::deserialize(from)?;
        let is_group = value.get("parallel").is_some();
        let read = match is_group {
            true => Group::deserialize(value).map(|Group { parallel }| Self::Parallel { parallel }),
            false => PostedStep::deserialize(value).map(Self::Step),
        };
        read.map_err(serde::de::Error::custom)
    }
}

impl PostedNode {
    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> &[PostedStep] {
        match self {
            Self::Step(step) => std::slice::from_ref(step),
            Self::Parallel { parallel } => parallel,
        }
    }
}

impl PostedStep {
    /// A step of that name, of which an attempt may take so long.
    #[must_use]
    pub fn new(name: Name, timeout_ms: u64) -> Self {
        Self {
            name,
            timeout_ms,
            estimate_ms: None,
            max_attempts: None,
            retry_delay_ms: None,
            deadline_ms: None,
            effect: None,
            on_exhausted: None,
        }
    }

    fn check(&self) -> Result<(), PostedError> {
        if !(1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return Err(PostedError::Timeout { step: self.name.clone(), timeout_ms: self.timeout_ms });
        }
        match self.max_attempts {
            Some(0) => Err(PostedError::Attempts(self.name.clone())),
            _ => Ok(()),
        }
    }

    fn policy(&self) -> StepPolicy {
        let retry = match (self.max_attempts, self.retry_delay_ms) {
            (None, None) => None,
            (attempts, delay_ms) => {
                let retry = delay_ms.map_or_else(Retry::default, |ms| Retry::exponential(millis(ms)));
                Some(attempts.map_or(retry, |attempts| retry.max_attempts(attempts)))
            }
        };
        StepPolicy {
            retry,
            deadline_ms: self.deadline_ms,
            effect: self.effect,
            on_exhausted: self.on_exhausted,
            estimate_ms: self.estimate_ms,
            ..StepPolicy::default()
        }
    }
}

impl PostedWorkflow {
    /// Finds what cannot be meant.
    ///
    /// # Errors
    /// [`PostedError`] says what, and what to do.
    pub fn check(&self) -> Result<(), PostedError> {
        self.definition().map(drop)
    }

    /// What differs from another one of its name and version; `None` when they are the same.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let Self { name: _, version: _, queue, run_deadline_ms, steps } = self;
        let differing = [
            ("steps", *steps != other.steps),
            ("queue", *queue != other.queue),
            ("run_deadline_ms", *run_deadline_ms != other.run_deadline_ms),
        ];
        differing.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what)
    }

    /// The workflow that it describes.
    pub(crate) fn definition(&self) -> Result<Definition, PostedError> {
        if is_own(&self.name) {
            return Err(PostedError::OwnName);
        }
        if self.version == 0 {
            return Err(PostedError::Version);
        }
        let steps = self.steps.iter().map(|node| node.steps().len()).sum();
        if steps > STEPS_MAX {
            return Err(PostedError::Steps(steps));
        }
        let mut draft = Draft::new(self.name.as_str());
        draft.version = self.version;
        draft.queue.clone_from(&self.queue);
        draft.policy.run_deadline_ms = self.run_deadline_ms;
        for node in &self.steps {
            let mut added = Vec::new();
            for step in node.steps() {
                step.check()?;
                added.push(add(&mut draft, step));
            }
            let node = match (node, added.as_slice()) {
                (PostedNode::Step(_), [step]) => Node::Step(*step),
                (PostedNode::Parallel { .. }, [] | [_]) => return Err(PostedError::Parallel),
                _ => {
                    let branches = added.into_iter().map(|step| vec![Node::Step(step)]).collect();
                    Node::Parallel { branches, join: Join::FailFast }
                }
            };
            draft.nodes.push(node);
        }
        Ok(draft.finish()?)
    }
}

fn add(draft: &mut Draft, step: &PostedStep) -> StepIndex {
    let code = Arc::new(Outside { within_ms: Some(step.timeout_ms) });
    draft.add(step.name.as_str(), step.policy(), code)
}

fn first() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(steps: &str) -> Result<PostedWorkflow, String> {
        let text = format!(r#"{{"name": "film", "steps": {steps}}}"#);
        let posted: PostedWorkflow = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        posted.check().map_err(|error| error.to_string())?;
        Ok(posted)
    }

    #[test]
    fn a_mistake_in_what_is_posted_is_told_by_name() {
        let step = |more: &str| format!(r#"[{{"name": "cut", "timeout_ms": 1000{more}}}]"#);
        for (steps, says) in [
            ("[]".to_owned(), "no steps"),
            (r#"[{"name": "cut"}]"#.to_owned(), "missing field `timeout_ms`"),
            (step(r#", "timeout": 5"#), "unknown field `timeout`, expected one of `name`, `timeout_ms`"),
            (step(r#", "effect": "loud""#), "unknown variant `loud`"),
            (step(r#", "max_attempts": 0"#), "step cut: max_attempts is 0"),
            (step(r#", "estimate_ms": 0"#), "estimate"),
            (r#"[{"name": "cut", "timeout_ms": 0}]"#.to_owned(), "step cut: timeout_ms is 0"),
            (r#"[{"name": "no/name", "timeout_ms": 1}]"#.to_owned(), "no/name"),
            (
                r#"[{"name": "cut", "timeout_ms": 1}, {"name": "cut", "timeout_ms": 1}]"#.to_owned(),
                "two steps named cut",
            ),
            (r#"[{"parallel": [{"name": "dub", "timeout_ms": 1}]}]"#.to_owned(), "at least two steps"),
            (r#"[{"parallel": [], "name": "x"}]"#.to_owned(), "unknown field `name`, expected `parallel`"),
        ] {
            let error = read(&steps).expect_err(&steps);
            assert!(error.contains(says), "{steps}: {error}");
        }
    }

    #[test]
    fn what_is_posted_reads_back_as_it_was_written() {
        let posted = read(
            r#"[{"name": "cut", "timeout_ms": 1, "retry_delay_ms": 5},
                {"parallel": [{"name": "dub", "timeout_ms": 1}, {"name": "grade", "timeout_ms": 1}]}]"#,
        )
        .expect("it is sound");
        let text = serde_json::to_string(&posted).expect("it has a JSON form");
        assert_eq!(serde_json::from_str::<PostedWorkflow>(&text).expect("the same"), posted);
        assert_eq!(posted.definition().expect("a definition").graph().steps.len(), 3);
    }
}
