//! Workflows, as they are shown: their steps, and the tree that these are in.

use serde::{Deserialize, Serialize};
use stepwell::workflow::graph::{Graph, StepSpec};
use stepwell::{Definition, Outline};
use utoipa::ToSchema;

use crate::view::graph::GraphNode;
use crate::view::word;

/// A workflow that is known here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Workflow {
    /// Its name.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// The queue of its runs, where nobody names another.
    pub queue: String,
    /// Older versions whose runs it goes on with.
    pub takes_over: Vec<u32>,
    /// Names its shape: the same for the same nodes in the same order.
    pub fingerprint: String,
    /// Its steps, those that undo others among them.
    pub steps: Vec<DefinedStep>,
    /// Its nodes, one after the other.
    pub nodes: Vec<GraphNode>,
}

/// A step of a workflow, as it is defined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DefinedStep {
    /// Its name.
    pub step: String,
    /// How many maps and loops it is in.
    pub depth: u64,
    /// What a repetition does outside: `pure`, `idempotent` or `not_idempotent`; missing when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// The step that undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by: Option<String>,
}

impl Workflow {
    /// The view of a definition.
    #[must_use]
    pub fn of(definition: &Definition) -> Self {
        let graph = definition.graph();
        Self {
            workflow: definition.name().to_string(),
            version: definition.version(),
            queue: definition.queue().to_string(),
            takes_over: definition.takes_over().collect(),
            fingerprint: definition.fingerprint().to_owned(),
            steps: graph.steps.iter().map(|step| DefinedStep::of(graph, step)).collect(),
            nodes: GraphNode::all(graph),
        }
    }
}

impl Workflow {
    /// The view of what another program has registered.
    #[must_use]
    pub fn outlined(outline: &Outline) -> Self {
        Self {
            workflow: outline.name.to_string(),
            version: outline.version,
            queue: outline.queue.to_string(),
            takes_over: outline.takes_over.iter().copied().collect(),
            fingerprint: outline.fingerprint.clone(),
            steps: outline.graph.steps.iter().map(|step| DefinedStep::of(&outline.graph, step)).collect(),
            nodes: GraphNode::all(&outline.graph),
        }
    }
}

impl DefinedStep {
    fn of(graph: &Graph, step: &StepSpec) -> Self {
        Self {
            step: step.name.to_string(),
            depth: crate::view::count(step.depth),
            effect: step.policy.effect.as_ref().and_then(word),
            undone_by: step.undo.map(|undo| graph.step(undo).name.to_string()),
        }
    }
}
