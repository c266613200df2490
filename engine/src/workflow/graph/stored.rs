//! A graph as it is stored: steps are named where the graph in memory counts them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, Timestamp};

use crate::workflow::graph::{Graph, Join, Node, Sequence, StepIndex, StepSpec, Tolerance, Until};
use crate::workflow::policy::StepPolicy;

/// A graph as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredGraph {
    steps: Vec<StoredStep>,
    nodes: Vec<StoredNode>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredStep {
    name: Name,
    #[serde(default)]
    policy: StepPolicy,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<Name>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredNode {
    Step(Name),
    Parallel {
        branches: Vec<Vec<StoredNode>>,
        join: Join,
    },
    Map {
        body: Vec<StoredNode>,
        concurrency: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tolerance: Option<Tolerance>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        names: Option<Name>,
    },
    Choose {
        by: Name,
        arms: Vec<(String, Vec<StoredNode>)>,
    },
    Repeat {
        by: Name,
        body: Vec<StoredNode>,
        rounds_max: u32,
    },
    Sleep {
        step: Name,
        until: StoredUntil,
    },
    Wait {
        step: Name,
        signals: Vec<Name>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    Recall(Name),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredUntil {
    AfterMs(u64),
    At(Timestamp),
    Said(Name),
}

/// A node, an undo or a wait names a step that the graph does not have.
#[derive(Debug, thiserror::Error)]
#[error("the graph has no step {0}")]
pub(super) struct NoStep(Name);

impl From<Graph> for StoredGraph {
    fn from(graph: Graph) -> Self {
        let stored = |step: &StepSpec| StoredStep {
            name: step.name.clone(),
            policy: step.policy,
            version: step.version,
            undo: step.undo.map(|undo| graph.step(undo).name.clone()),
        };
        Self { steps: graph.steps.iter().map(stored).collect(), nodes: store_all(&graph, &graph.nodes) }
    }
}

fn store_all(graph: &Graph, nodes: &[Node]) -> Vec<StoredNode> {
    nodes.iter().map(|node| store(graph, node)).collect()
}

fn store(graph: &Graph, node: &Node) -> StoredNode {
    let name = |step: &StepIndex| graph.step(*step).name.clone();
    let all = |body: &Sequence| store_all(graph, body);
    match node {
        Node::Step(step) => StoredNode::Step(name(step)),
        Node::Parallel { branches, join } => {
            StoredNode::Parallel { branches: branches.iter().map(all).collect(), join: *join }
        }
        Node::Map { body, concurrency, tolerance, names } => StoredNode::Map {
            body: all(body),
            concurrency: *concurrency,
            tolerance: *tolerance,
            names: names.as_ref().map(name),
        },
        Node::Choose { by, arms } => StoredNode::Choose {
            by: name(by),
            arms: arms.iter().map(|(word, body)| (word.clone(), all(body))).collect(),
        },
        Node::Repeat { by, body, rounds_max } => {
            StoredNode::Repeat { by: name(by), body: all(body), rounds_max: *rounds_max }
        }
        Node::Sleep { step, until } => {
            let until = match until {
                Until::After(ms) => StoredUntil::AfterMs(*ms),
                Until::At(at) => StoredUntil::At(*at),
                Until::Said(by) => StoredUntil::Said(name(by)),
            };
            StoredNode::Sleep { step: name(step), until }
        }
        Node::Wait { step, signals, timeout_ms } => {
            StoredNode::Wait { step: name(step), signals: signals.clone(), timeout_ms: *timeout_ms }
        }
        Node::Recall { step } => StoredNode::Recall(name(step)),
    }
}

impl TryFrom<StoredGraph> for Graph {
    type Error = NoStep;

    fn try_from(stored: StoredGraph) -> Result<Self, NoStep> {
        let named = stored.steps.iter().enumerate();
        let steps: Steps = named.map(|(nth, step)| (step.name.clone(), StepIndex(nth))).collect();
        let specs = stored.steps.into_iter().map(|step| {
            let undo = step.undo.map(|undo| index(&steps, undo)).transpose()?;
            Ok(StepSpec { version: step.version, undo, ..StepSpec::new(step.name, step.policy) })
        });
        let mut graph =
            Self { steps: specs.collect::<Result<_, _>>()?, nodes: restore_all(&steps, stored.nodes)? };
        graph.measure();
        Ok(graph)
    }
}

/// Where each step stands.
type Steps = HashMap<Name, StepIndex>;

fn index(steps: &Steps, name: Name) -> Result<StepIndex, NoStep> {
    steps.get(&name).copied().ok_or(NoStep(name))
}

fn restore_all(steps: &Steps, nodes: Vec<StoredNode>) -> Result<Sequence, NoStep> {
    nodes.into_iter().map(|node| restore(steps, node)).collect()
}

fn restore(steps: &Steps, node: StoredNode) -> Result<Node, NoStep> {
    let at = |name| index(steps, name);
    let all = |body| restore_all(steps, body);
    Ok(match node {
        StoredNode::Step(step) => Node::Step(at(step)?),
        StoredNode::Parallel { branches, join } => {
            Node::Parallel { branches: branches.into_iter().map(all).collect::<Result<_, _>>()?, join }
        }
        StoredNode::Map { body, concurrency, tolerance, names } => {
            Node::Map { body: all(body)?, concurrency, tolerance, names: names.map(at).transpose()? }
        }
        StoredNode::Choose { by, arms } => {
            let arms = arms.into_iter().map(|(word, body)| Ok((word, all(body)?)));
            Node::Choose { by: at(by)?, arms: arms.collect::<Result<_, _>>()? }
        }
        StoredNode::Repeat { by, body, rounds_max } => {
            Node::Repeat { by: at(by)?, body: all(body)?, rounds_max }
        }
        StoredNode::Sleep { step, until } => {
            let until = match until {
                StoredUntil::AfterMs(ms) => Until::After(ms),
                StoredUntil::At(at) => Until::At(at),
                StoredUntil::Said(by) => Until::Said(at(by)?),
            };
            Node::Sleep { step: at(step)?, until }
        }
        StoredNode::Wait { step, signals, timeout_ms } => Node::Wait { step: at(step)?, signals, timeout_ms },
        StoredNode::Recall(step) => Node::Recall { step: at(step)? },
    })
}
