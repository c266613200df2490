//! How outputs of steps make the output of a node, and the last node's the result of the run: kept with the run, so that
//! its result can be told without its definition.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell_contract::{Name, Payload, PayloadError};

use crate::run::place::{Path, Place};
use crate::run::state::{State, StepState, StepStatus};
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, Node};

/// Which steps' outputs make an output, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// What flows in: at the beginning of a run its input, in a map the item.
    Given,
    /// The output of a step.
    Step(Name),
    /// One after the other: what each gives flows into the next.
    Chain(Vec<Shape>),
    /// The list of several.
    List(Vec<Shape>),
    /// The list of what a body gives for each item of what flows in.
    Each(Box<Shape>),
    /// The list of `{"ok": output}` and `{"failed": failure}` for each item of what flows in; with the first step of the
    /// body, by which the map is known.
    Tolerant(Box<Shape>, Option<Name>),
    /// What the arm gives whose word is the output of a step.
    Chosen(Name, Vec<(String, Shape)>),
    /// What the last of the rounds gives that a step allowed.
    Repeated(Name, Box<Shape>),
    /// The list of what flows in and the output of a step.
    With(Name),
    /// The output of a step outside maps and loops.
    Recalled(Name),
}

impl Shape {
    /// The shape of what a sequence gives. What comes before a node that does not pass it on is left out.
    #[must_use]
    pub fn of(graph: &Graph, nodes: &[Node]) -> Self {
        let mut chain: Vec<Self> = Vec::new();
        for node in nodes.iter().rev() {
            let shape = Self::of_node(graph, node);
            if shape == Self::Given {
                continue;
            }
            let takes_what_flows_in = shape.takes_what_flows_in();
            chain.push(shape);
            if !takes_what_flows_in {
                break;
            }
        }
        chain.reverse();
        match chain.len() {
            0 => Self::Given,
            1 => chain.remove(0),
            _ => Self::Chain(chain),
        }
    }

    /// The shape of what a node gives.
    #[must_use]
    pub fn of_node(graph: &Graph, node: &Node) -> Self {
        let name = |index: &_| graph.step(*index).name.clone();
        match node {
            Node::Step(step) => Self::Step(name(step)),
            Node::Parallel { branches, .. } => {
                Self::List(branches.iter().map(|branch| Self::of(graph, branch)).collect())
            }
            Node::Map { body, tolerance, .. } => {
                let each = Box::new(Self::of(graph, body));
                match tolerance {
                    None => Self::Each(each),
                    Some(_) => {
                        let first = body.iter().flat_map(Node::steps).next();
                        Self::Tolerant(each, first.map(|step| name(&step)))
                    }
                }
            }
            Node::Choose { by, arms } => {
                let arms = arms.iter().map(|(word, body)| (word.clone(), Self::of(graph, body)));
                Self::Chosen(name(by), arms.collect())
            }
            Node::Repeat { by, body, .. } => Self::Repeated(name(by), Box::new(Self::of(graph, body))),
            Node::Sleep { .. } => Self::Given,
            Node::Wait { step, .. } => Self::With(name(step)),
            Node::Recall { step } => Self::Recalled(name(step)),
        }
    }

    fn takes_what_flows_in(&self) -> bool {
        match self {
            Self::Step(_) | Self::Recalled(_) => false,
            Self::List(shapes) => shapes.iter().any(Self::takes_what_flows_in),
            Self::Chain(shapes) => shapes.first().is_some_and(Self::takes_what_flows_in),
            Self::Chosen(_, arms) => arms.iter().any(|(_, arm)| arm.takes_what_flows_in()),
            Self::Given | Self::Each(_) | Self::Tolerant(..) | Self::Repeated(..) | Self::With(_) => true,
        }
    }

    /// The result of a run, once all the steps in it have ended; `None` before.
    ///
    /// # Errors
    /// [`PayloadError::Json`]: an output in the journal is not JSON, or not a list where one is needed.
    pub fn result(&self, state: &State) -> Result<Option<Payload>, PayloadError> {
        self.output(state, &Path::root(), &state.created.input)
    }

    /// The output at a path into which `given` flows.
    ///
    /// # Errors
    /// As for [`result`](Self::result).
    pub fn output(
        &self,
        state: &State,
        path: &Path,
        given: &Payload,
    ) -> Result<Option<Payload>, PayloadError> {
        let step = |name: &Name| -> Option<&StepState> {
            state.step(&Place { step: name.clone(), item: path.clone() })
        };
        // A step that was skipped passes on what it would have taken.
        let output = |name: &Name| -> Option<Payload> {
            let found = step(name)?;
            let passed_on = (found.status == StepStatus::Skipped).then(|| given.clone());
            found.output.clone().or(passed_on)
        };
        Ok(match self {
            Self::Given => Some(given.clone()),
            Self::Step(name) => output(name),
            Self::Chain(shapes) => {
                let mut flowing = given.clone();
                for shape in shapes {
                    let Some(next) = shape.output(state, path, &flowing)? else { return Ok(None) };
                    flowing = next;
                }
                Some(flowing)
            }
            Self::List(shapes) => {
                let mut parts = Vec::with_capacity(shapes.len());
                for shape in shapes {
                    let Some(part) = shape.output(state, path, given)? else { return Ok(None) };
                    parts.push(part.text().to_owned());
                }
                Some(list(parts)?)
            }
            Self::Each(body) => {
                let mut parts = Vec::new();
                for (nth, item) in (0..).zip(items(given)?) {
                    let Some(part) = body.output(state, &path.item(nth), &item)? else { return Ok(None) };
                    parts.push(part.text().to_owned());
                }
                Some(list(parts)?)
            }
            Self::Tolerant(body, map) => {
                let mut parts = Vec::new();
                for (nth, item) in (0..).zip(items(given)?) {
                    let path = path.item(nth);
                    let known =
                        map.as_ref().and_then(|map| state.failed_items.get(&(map.clone(), path.clone())));
                    if let Some(item) = known {
                        parts.push(failed(&item.failure)?);
                        continue;
                    }
                    let Some(part) = body.output(state, &path, &item)? else { return Ok(None) };
                    parts.push(ok(&part));
                }
                Some(list(parts)?)
            }
            Self::Chosen(by, arms) => {
                let Some(word) = output(by).as_ref().and_then(word) else { return Ok(None) };
                match arms.iter().find(|(arm, _)| *arm == word) {
                    Some((_, arm)) => arm.output(state, path, given)?,
                    None => None,
                }
            }
            Self::Repeated(by, body) => {
                let mut flowing = given.clone();
                for round in 0.. {
                    let path = path.item(round);
                    let decided = state.step(&Place { step: by.clone(), item: path.clone() });
                    let Some(decided) = decided.and_then(|step| step.output.as_ref()) else {
                        return Ok(None);
                    };
                    if decided.text() != "true" {
                        break;
                    }
                    let Some(next) = body.output(state, &path, &flowing)? else { return Ok(None) };
                    flowing = next;
                }
                Some(flowing)
            }
            Self::Recalled(name) => state.step(&Place::of(name.clone())).and_then(|step| step.output.clone()),
            // A wait that was skipped has no signal.
            Self::With(name) => match step(name).filter(|step| step.status.has_ended()) {
                Some(step) => {
                    let output = step.output.clone().unwrap_or_else(Payload::null);
                    Some(list(vec![given.text().to_owned(), output.text().to_owned()])?)
                }
                None => None,
            },
        })
    }
}

/// `{"ok": output}`
pub(crate) fn ok(output: &Payload) -> String {
    format!("{{\"ok\":{}}}", output.text())
}

/// `{"failed": failure}`
pub(crate) fn failed(failure: &Failure) -> serde_json::Result<String> {
    Ok(format!("{{\"failed\":{}}}", serde_json::to_string(failure)?))
}

/// The JSON list of several JSON texts.
pub(crate) fn list(parts: Vec<String>) -> Result<Payload, PayloadError> {
    Payload::from_parts(&parts)
}

/// The items of a list.
pub(crate) fn items(list: &Payload) -> Result<Vec<Payload>, PayloadError> {
    let items: Vec<&RawValue> = serde_json::from_str(list.text())?;
    Ok(items.into_iter().map(Payload::from_raw).collect())
}

/// A word that a step gave: a JSON string, or `true` and `false`.
pub(crate) fn word(output: &Payload) -> Option<String> {
    match output.text() {
        "true" => Some("true".to_owned()),
        "false" => Some("false".to_owned()),
        _ => output.decode::<String>().ok(),
    }
}
