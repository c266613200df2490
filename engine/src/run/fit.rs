//! Whether a definition fits what a run has recorded: a pure comparison by name.

use serde::{Deserialize, Serialize};
use stepwell_contract::Name;

use crate::run::state::State;
use crate::workflow::graph::{Graph, Node};

/// Why a definition cannot go on with a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Misfit {
    /// The run has a step that the definition does not.
    #[error(
        "step {0} was begun by this run and is not in the definition: bring it back, or give the new definition a new version"
    )]
    StepGone(Name),
    /// The run has items of a step that is no map in the definition, or the other way round.
    #[error("step {0} has changed between a single step and a map: give one of them another name")]
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
    let mut found = Vec::new();
    let mut gone: Vec<&Name> = state.steps.keys().filter(|name| graph.find(name).is_none()).collect();
    gone.sort();
    found.extend(gone.into_iter().cloned().map(Misfit::StepGone));
    let mut missing: Option<&Name> = None;
    for node in &graph.nodes {
        let is_map = matches!(node, Node::Map { .. });
        for index in node.steps() {
            let name = &graph.step(*index).name;
            match state.steps.get(name) {
                None => missing = missing.or(Some(name)),
                Some(group) => {
                    if is_map == group.single.is_some() {
                        found.push(Misfit::ShapeChanged(name.clone()));
                    }
                }
            }
        }
        // Inside a node steps begin in any order; before a later node all of an earlier one have.
        let begun = node
            .steps()
            .iter()
            .map(|index| &graph.step(*index).name)
            .find(|name| state.steps.contains_key(*name));
        if let (Some(missing), Some(begun)) = (missing, begun)
            && !node.steps().iter().any(|index| graph.step(*index).name == *missing)
            // A map over an empty list begins no step at all.
            && !is_map_step(graph, missing)
        {
            found.push(Misfit::Inserted { missing: missing.clone(), begun: begun.clone() });
            break;
        }
    }
    found
}

fn is_map_step(graph: &Graph, name: &Name) -> bool {
    let mut maps = graph.nodes.iter().filter(|node| matches!(node, Node::Map { .. }));
    maps.any(|node| node.steps().iter().any(|index| graph.step(*index).name == *name))
}
