//! How outputs of steps make the output of a node, and the last node's the result of the run.

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, Payload, PayloadError};

use crate::run::state::State;
use crate::workflow::graph::{Graph, Node};

/// Which steps' outputs make an output, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The workflow's input: there is no step.
    Input,
    /// The output of one step.
    Step(Name),
    /// The list of several steps' outputs.
    Parallel(Vec<Name>),
    /// The list of the outputs of a step's items.
    Map(Name),
    /// The list of `{"ok": output}` and `{"failed": failure}` of a step's items.
    TolerantMap(Name),
}

impl Shape {
    /// The shape of a node's output.
    #[must_use]
    pub fn of(graph: &Graph, node: &Node) -> Self {
        let name = |index: &_| graph.step(*index).name.clone();
        match node {
            Node::Step(step) => Self::Step(name(step)),
            Node::Parallel(steps) => Self::Parallel(steps.iter().map(name).collect()),
            Node::Map { step, tolerance: None, .. } => Self::Map(name(step)),
            Node::Map { step, tolerance: Some(_), .. } => Self::TolerantMap(name(step)),
        }
    }

    /// The output, once all the steps in it have ended; `None` before.
    ///
    /// # Errors
    /// [`PayloadError::Json`]: an output in the journal is not JSON.
    pub fn output(&self, state: &State) -> Result<Option<Payload>, PayloadError> {
        let single = |name: &Name| state.steps.get(name)?.single.as_ref()?.output.clone();
        let parts = match self {
            Self::Input => return Ok(Some(state.created.input.clone())),
            Self::Step(name) => return Ok(single(name)),
            Self::Parallel(names) => {
                names.iter().map(|name| single(name).map(|output| output.text().to_owned())).collect()
            }
            Self::Map(name) => items(state, name, |step| Some(step.output.as_ref()?.text().to_owned())),
            Self::TolerantMap(name) => items(state, name, |step| match (&step.output, &step.failure) {
                (Some(output), _) => Some(format!("{{\"ok\":{}}}", output.text())),
                (None, Some(failure)) => {
                    serde_json::to_string(failure).ok().map(|failure| format!("{{\"failed\":{failure}}}"))
                }
                (None, None) => None,
            }),
        };
        parts.map(|parts: Vec<String>| Payload::from_parts(&parts)).transpose()
    }
}

fn items(
    state: &State,
    name: &Name,
    part: impl Fn(&crate::run::state::StepState) -> Option<String>,
) -> Option<Vec<String>> {
    // A map over an empty list starts no step at all.
    state.steps.get(name).map_or(Some(Vec::new()), |group| group.items.iter().map(part).collect())
}
