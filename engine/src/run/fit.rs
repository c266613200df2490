//! Whether a definition fits what a run has recorded: a pure comparison by name.

use serde::{Deserialize, Serialize};
use stepwell_contract::Name;

use crate::run::state::{State, StepStatus};
use crate::workflow::graph::{Graph, Node, StepIndex};

/// Why a definition cannot go on with a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Misfit {
    /// The run has a step that the definition does not.
    #[error(
        "step {0} was begun by this run and is not in the definition: bring it back, or give the new definition a new version"
    )]
    StepGone(Name),
    /// The run has recorded a step in more or fewer maps and loops than the definition has it in.
    #[error("step {0} has moved into or out of a map or loop: give it another name there")]
    ShapeChanged(Name),
    /// A step that the run has not begun stands before one that it has.
    #[error(
        "step {missing} stands before {begun}, which this run has begun without it: give the new definition a new version"
    )]
    Inserted {
        /// The step that is new.
        missing: Name,
        /// The step that was begun.
        begun: Name,
    },
}

/// What does not fit between a definition and a run; empty when it can go on.
#[must_use]
pub fn misfits(graph: &Graph, state: &State) -> Vec<Misfit> {
    let mut found: Vec<Misfit> = Vec::new();
    for (name, group) in &state.steps {
        let Some(index) = graph.find(name) else {
            found.push(Misfit::StepGone(name.clone()));
            continue;
        };
        let depth = graph.step(index).depth;
        if group.all().any(|(path, _)| path.numbers().len() != depth) {
            found.push(Misfit::ShapeChanged(name.clone()));
        }
    }
    inserted(graph, &graph.nodes, state, &mut found);
    found
}

/// Inside a node steps begin in any order; before a later node of a sequence all of an earlier one have.
fn inserted(graph: &Graph, nodes: &[Node], state: &State, found: &mut Vec<Misfit>) {
    let name = |index: StepIndex| &graph.step(index).name;
    let mut missing: Option<&Name> = None;
    for node in nodes {
        let steps = node.steps();
        let begun = steps.iter().map(|step| name(*step)).find(|name| is_begun(name, state));
        let is_passed_over =
            |steps: &[StepIndex]| steps.iter().any(|step| state.steps.contains_key(name(*step)));
        match (missing, begun) {
            (Some(missing), Some(begun)) => {
                found.push(Misfit::Inserted { missing: missing.clone(), begun: begun.clone() });
                return;
            }
            (None, None) if leaves_a_trace(node) && !is_passed_over(&steps) => {
                missing = steps.first().map(|step| name(*step));
            }
            _ => {}
        }
    }
    for body in nodes.iter().flat_map(Node::bodies) {
        inserted(graph, body, state, found);
    }
}

/// Whether a step was ever begun; one that was passed over was not.
fn is_begun(name: &Name, state: &State) -> bool {
    let group = state.steps.get(name);
    group.is_some_and(|group| group.all().any(|(_, step)| step.status != StepStatus::Skipped))
}

/// Whether a node that was passed has recorded something. A map over an empty list begins no step at all.
fn leaves_a_trace(node: &Node) -> bool {
    match node {
        Node::Step(_)
        | Node::Choose { .. }
        | Node::Repeat { .. }
        | Node::Sleep { .. }
        | Node::Wait { .. } => true,
        Node::Parallel { branches, .. } => branches.iter().flatten().any(leaves_a_trace),
        Node::Map { .. } | Node::Recall { .. } => false,
    }
}
