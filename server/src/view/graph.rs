//! The definition of a workflow as a graph, and where a run is in it.

use serde::{Deserialize, Serialize};
use stepwell::workflow::graph::{Graph, Node};
use utoipa::ToSchema;

use crate::view::progress::StepProgress;
use crate::view::word;

/// The definition that a run goes on with, and where the run is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunGraph {
    /// The workflow.
    pub workflow: String,
    /// The version of the definition.
    pub version: u32,
    /// A name for its shape; missing where the server does not have the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Whether the server has the definition. Otherwise the nodes are the steps that have begun, in the order in which they began.
    pub is_complete: bool,
    /// What is done, one after the other.
    pub nodes: Vec<GraphNode>,
    /// Where the steps are that the nodes name.
    pub steps: Vec<StepProgress>,
}

/// A part of a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    /// What it is: `step`, `parallel`, `map`, `choose`, `repeat`, `sleep`, `wait` or `recall` (gives again what a step before it gave).
    pub kind: String,
    /// Its step: the one that it is, under which it is recorded, which decides, or of which it recalls the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The step that says how people call the items of a map, or until when a run sleeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The step that undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// What a repetition does, as the step declares it: `pure`, `idempotent` or `not_idempotent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// How long an attempt is likely to take, as the step declares it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// How many items of a map have a step running at once, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Most rounds of a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds_max: Option<u32>,
    /// The signals that it waits for, any of which ends the wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// How long it waits, in milliseconds; missing for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The sequences in it: the branches, the body, the arms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bodies: Vec<GraphBody>,
}

/// A sequence inside a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphBody {
    /// The word of an arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// Its nodes.
    #[schema(no_recursion)]
    pub nodes: Vec<GraphNode>,
}

impl GraphNode {
    /// The nodes of a definition.
    #[must_use]
    pub fn all(graph: &Graph) -> Vec<Self> {
        sequence(&graph.nodes, graph)
    }

    /// A step of which nothing is known but its name.
    #[must_use]
    pub fn named(step: &str) -> Self {
        Self { step: Some(step.to_owned()), ..Self::bare("step") }
    }

    fn bare(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            step: None,
            by: None,
            undo: None,
            effect: None,
            estimate_ms: None,
            concurrency: None,
            rounds_max: None,
            signals: Vec::new(),
            timeout_ms: None,
            bodies: Vec::new(),
        }
    }

    fn of(node: &Node, graph: &Graph) -> Self {
        let own = node.own_steps();
        let name = |index| graph.step(index).name.to_string();
        // Where two steps are the node's own, it is recorded under the last.
        let (step, by) = match node {
            Node::Map { .. } => (None, own.first().copied().map(name)),
            Node::Recall { step } => (Some(name(*step)), None),
            _ => (own.last().copied().map(name), (own.len() > 1).then(|| name(own[0]))),
        };
        let spec = own.last().filter(|_| !matches!(node, Node::Map { .. })).map(|index| graph.step(*index));
        let mut view = Self {
            step,
            by,
            undo: spec.and_then(|spec| spec.undo).map(name),
            effect: spec.and_then(|spec| spec.policy.effect).as_ref().and_then(word),
            estimate_ms: spec.and_then(|spec| spec.policy.estimate_ms),
            bodies: node
                .bodies()
                .into_iter()
                .map(|body| GraphBody { arm: None, nodes: sequence(body, graph) })
                .collect(),
            ..Self::bare(node.kind())
        };
        match node {
            Node::Map { concurrency, .. } => view.concurrency = Some(*concurrency),
            Node::Repeat { rounds_max, .. } => view.rounds_max = Some(*rounds_max),
            Node::Choose { arms, .. } => {
                for (body, (arm, _)) in view.bodies.iter_mut().zip(arms) {
                    body.arm = Some(arm.clone());
                }
            }
            Node::Wait { signals, timeout_ms, .. } => {
                view.signals = signals.iter().map(ToString::to_string).collect();
                view.timeout_ms = *timeout_ms;
            }
            Node::Step(_) | Node::Parallel { .. } | Node::Sleep { .. } | Node::Recall { .. } => {}
        }
        view
    }
}

fn sequence(nodes: &[Node], graph: &Graph) -> Vec<GraphNode> {
    nodes.iter().map(|node| GraphNode::of(node, graph)).collect()
}
