//! Which stored value the next steps of a run could not read: a look ahead at everything that is known of what flows into
//! steps that have not ended, before any of them begins.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use stepwell_contract::{Name, Payload};

use crate::run::decide::Start;
use crate::run::forms::Stale;
use crate::run::output::{failed, items, list, ok, word};
use crate::run::place::{Path, Place};
use crate::run::state::{Request, State, StepStatus};
use crate::workflow::definition::Definition;
use crate::workflow::graph::{Node, StepIndex, Until};
use crate::workflow::step::Undecodable;

/// A stored value of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// The workflow's input.
    Input,
    /// The output of a step.
    Output(Place),
    /// What several steps gave, put together.
    Several,
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("the input of the workflow"),
            Self::Output(place) => write!(f, "the output of {place}"),
            Self::Several => f.write_str("what several steps gave"),
        }
    }
}

/// A stored value that whatever reads it next cannot read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The step that reads it; `None` for the run's result.
    pub by: Option<Place>,
    /// The value.
    pub value: Stored,
    /// The version of its form as stored: of the step, or for the input of the workflow. `None` where several are put
    /// together.
    pub stored: Option<u32>,
    /// The version that the present code has.
    pub wanted: Option<u32>,
    /// Where in the JSON, when it is of the right version and does not decode.
    pub path: Option<String>,
    /// What is wrong, for people.
    pub why: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some(place) => write!(f, "{place} cannot read {}", self.value)?,
            None => write!(f, "the result cannot be made of {}", self.value)?,
        }
        if let (Some(stored), Some(wanted)) = (self.stored, self.wanted)
            && stored != wanted
        {
            write!(f, ", stored in version {stored} where this code has version {wanted}")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// The first stored value that the next steps of the run could not read. `state` has its values in their present forms as far
/// as there are any; `stale` names the others. Nothing of the steps runs.
#[must_use]
pub fn unread(definition: &Definition, state: &State, stale: &Stale) -> Option<Unread> {
    let mut look = Look { definition, state, stale, found: None };
    if state.undoing.is_some() || state.request == Some(Request::Undo) {
        look.undo();
        return look.found;
    }
    let root = Path::root();
    let input = match &stale.input {
        Some(_) => Flow::Stale(Stored::Input),
        None => Flow::Known(state.created.input.clone(), Stored::Input),
    };
    let result = look.sequence(&definition.graph().nodes, &root, input);
    if let Flow::Stale(value) = result
        && look.found.is_none()
    {
        look.found = Some(look.without_form(None, value));
    }
    look.found
}

/// The same for steps that are about to be undone, where nobody could tell before that they would be.
pub(crate) fn unread_by_undo(
    definition: &Definition,
    state: &State,
    stale: &BTreeMap<Name, String>,
    starts: &[Start],
) -> Option<Unread> {
    if stale.is_empty() {
        return None;
    }
    let graph = definition.graph();
    starts.iter().find_map(|start| {
        let undone = graph.steps.iter().find(|spec| spec.undo == Some(start.step))?;
        let why = stale.get(&undone.name)?.clone();
        let place = Place { step: undone.name.clone(), item: start.place.item.clone() };
        let stored = state.step(&place).map(|step| step.version);
        let (by, value) = (Some(start.place.clone()), Stored::Output(place));
        Some(Unread { by, value, stored, wanted: Some(undone.version), path: None, why })
    })
}

/// What is known of what flows from one node into the next.
#[derive(Debug, Clone)]
enum Flow {
    /// The value.
    Known(Payload, Stored),
    /// The value but for some places in it, which are `null` in it and written like `[1]`.
    Partly(Payload, Vec<String>),
    /// A value without a present form is in it.
    Stale(Stored),
    /// It is made by a step that has not ended.
    Unknown,
}

struct Look<'a> {
    definition: &'a Definition,
    state: &'a State,
    stale: &'a Stale,
    /// The first is enough.
    found: Option<Unread>,
}

impl Look<'_> {
    fn sequence(&mut self, nodes: &[Node], path: &Path, given: Flow) -> Flow {
        nodes.iter().fold(given, |given, node| self.node(node, path, given))
    }

    fn node(&mut self, node: &Node, path: &Path, given: Flow) -> Flow {
        if self.found.is_some() {
            return Flow::Unknown;
        }
        match node {
            Node::Step(step) => self.step(*step, path, &given),
            Node::Parallel { branches, .. } => {
                let flows = branches.iter().map(|branch| self.sequence(branch, path, given.clone()));
                gathered(flows.collect())
            }
            Node::Map { body, tolerance, .. } => self.map(body, tolerance.is_some(), path, given),
            Node::Choose { by, arms } => {
                let Flow::Known(said, _) = self.step(*by, path, &given) else { return Flow::Unknown };
                let arm = word(&said).and_then(|word| arms.iter().find(|(arm, _)| *arm == word));
                match arm {
                    Some((_, arm)) => self.sequence(arm, path, given),
                    None => Flow::Unknown,
                }
            }
            Node::Repeat { by, body, .. } => self.repeat(*by, body, path, given),
            Node::Sleep { until, .. } => {
                if let Until::Said(by) = until {
                    self.step(*by, path, &given);
                }
                given
            }
            Node::Recall { step } => self.recalled(*step),
            Node::Wait { step, .. } => {
                let place = self.place(*step, path);
                let waited = self.state.step(&place).filter(|step| step.status.has_ended());
                let said = waited.map(|step| step.output.clone().unwrap_or_else(Payload::null));
                let said = said.map_or(Flow::Unknown, |said| Flow::Known(said, Stored::Several));
                gathered(vec![given, said])
            }
        }
    }

    /// A step: what it gave, or what it will take.
    fn step(&mut self, step: StepIndex, path: &Path, given: &Flow) -> Flow {
        let place = self.place(step, path);
        match self.state.step(&place) {
            Some(ended) if ended.status.has_ended() => match &ended.output {
                Some(_) if self.stale.outputs.contains_key(&place) => Flow::Stale(Stored::Output(place)),
                Some(output) => Flow::Known(output.clone(), Stored::Output(place)),
                // Passed over: it gives what it would have taken.
                None => given.clone(),
            },
            // It has taken what it takes, and someone else works on it.
            Some(begun) if begun.waiting.as_ref().is_some_and(|waiting| waiting.outside) => Flow::Unknown,
            _ => {
                self.takes(step, place, given);
                Flow::Unknown
            }
        }
    }

    /// What a step outside maps and loops gave.
    fn recalled(&self, step: StepIndex) -> Flow {
        let place = self.place(step, &Path::root());
        match self.state.step(&place).and_then(|step| step.output.clone()) {
            Some(_) if self.stale.outputs.contains_key(&place) => Flow::Stale(Stored::Output(place)),
            Some(output) => Flow::Known(output, Stored::Output(place)),
            None => Flow::Unknown,
        }
    }

    /// Takes note of a value that a step cannot read.
    fn takes(&mut self, step: StepIndex, place: Place, given: &Flow) {
        if self.found.is_some() {
            return;
        }
        match given {
            Flow::Known(value, from) => {
                if let Err(error) = self.definition.check_input(step, value) {
                    self.found = Some(self.undecodable(place, from.clone(), error));
                }
            }
            Flow::Partly(value, holes) => {
                let error = self.definition.check_input(step, value).err();
                // Decoding ends at the first place that does not fit: behind a hole nothing more can be told.
                let is_known = |error: &Undecodable| {
                    error.path.starts_with('[') && !holes.iter().any(|hole| error.path.starts_with(hole))
                };
                if let Some(error) = error.filter(is_known) {
                    self.found = Some(self.undecodable(place, Stored::Several, error));
                }
            }
            Flow::Stale(value) => self.found = Some(self.without_form(Some(place), value.clone())),
            Flow::Unknown => {}
        }
    }

    fn map(&mut self, body: &[Node], is_tolerant: bool, path: &Path, given: Flow) -> Flow {
        let first = body.iter().flat_map(Node::steps).next();
        let (list, from) = match (given, first) {
            (Flow::Known(list, from), _) => (list, from),
            (given @ Flow::Stale(_), Some(first)) => {
                // Its items cannot be told apart without the list.
                self.takes(first, self.place(first, path), &given);
                return given;
            }
            (given @ Flow::Stale(_), None) => return given,
            (Flow::Partly(..) | Flow::Unknown, _) => return Flow::Unknown,
        };
        let each = match items(&list) {
            Ok(each) => each,
            Err(error) => {
                let by = first.map(|first| self.place(first, path));
                let (stored, wanted) = self.versions(&from);
                let why = format!("the list of a map is not a list: {error}");
                self.found =
                    Some(Unread { by, value: from, stored, wanted, path: Some(".".to_owned()), why });
                return Flow::Unknown;
            }
        };
        let map = first.map(|first| self.definition.graph().step(first).name.clone());
        let mut flows = Vec::with_capacity(each.len());
        for (nth, item) in (0..).zip(each) {
            let path = path.item(nth);
            let gone = map.as_ref().and_then(|map| self.state.failed_items.get(&(map.clone(), path.clone())));
            if let Some(gone) = gone {
                let part = failed(&gone.failure).ok().and_then(|text| payload_of(&text));
                flows.push(part.map_or(Flow::Unknown, |part| Flow::Known(part, Stored::Several)));
                continue;
            }
            flows.push(match self.sequence(body, &path, Flow::Known(item, from.clone())) {
                Flow::Known(part, from) if is_tolerant => {
                    payload_of(&ok(&part)).map_or(Flow::Unknown, |part| Flow::Known(part, from))
                }
                // Where in it something is missing would be somewhere else.
                Flow::Partly(..) if is_tolerant => Flow::Unknown,
                other => other,
            });
            if self.found.is_some() {
                return Flow::Unknown;
            }
        }
        gathered(flows)
    }

    fn repeat(&mut self, by: StepIndex, body: &[Node], path: &Path, mut given: Flow) -> Flow {
        for round in 0.. {
            let path = path.item(round);
            let Flow::Known(said, _) = self.step(by, &path, &given) else { return Flow::Unknown };
            match said.text() {
                "true" => given = self.sequence(body, &path, given),
                "false" => return given,
                _ => return Flow::Unknown,
            }
        }
        Flow::Unknown
    }

    /// What is undone takes the outputs of what was done.
    fn undo(&mut self) {
        let graph = self.definition.graph();
        for done in self.state.completed.iter().rev() {
            let undo = graph.find(&done.step).and_then(|step| graph.step(step).undo);
            let (Some(undo), Some(step)) = (undo, self.state.step(done)) else { continue };
            let Some(output) = step.output.clone().filter(|_| step.status == StepStatus::Succeeded) else {
                continue;
            };
            let value = Stored::Output(done.clone());
            let given = match self.stale.outputs.contains_key(done) {
                true => Flow::Stale(value),
                false => Flow::Known(output, value),
            };
            self.step(undo, &done.item, &given);
        }
    }

    fn place(&self, step: StepIndex, path: &Path) -> Place {
        Place { step: self.definition.graph().step(step).name.clone(), item: path.clone() }
    }

    /// The version of a value as stored, and that of the code.
    fn versions(&self, value: &Stored) -> (Option<u32>, Option<u32>) {
        match value {
            Stored::Input => (Some(self.state.input_version), Some(self.definition.version())),
            Stored::Output(place) => {
                let graph = self.definition.graph();
                let wanted = graph.find(&place.step).map(|step| graph.step(step).version);
                (self.state.step(place).map(|step| step.version), wanted)
            }
            Stored::Several => (None, None),
        }
    }

    fn without_form(&self, by: Option<Place>, value: Stored) -> Unread {
        let (stored, wanted) = self.versions(&value);
        let why = match &value {
            Stored::Input => self.stale.input.clone(),
            Stored::Output(place) => self.stale.outputs.get(place).cloned(),
            Stored::Several => None,
        };
        let why = why.unwrap_or_else(|| "one of them has no migration".to_owned());
        Unread { by, value, stored, wanted, path: None, why }
    }

    fn undecodable(&self, by: Place, value: Stored, error: Undecodable) -> Unread {
        let (stored, wanted) = self.versions(&value);
        let why = format!("it does not fit {error}");
        Unread { by: Some(by), value, stored, wanted, path: Some(error.path), why }
    }
}

/// Several values as one list: stale if one of them is, unknown if all are.
fn gathered(flows: Vec<Flow>) -> Flow {
    let mut parts = Vec::with_capacity(flows.len());
    let (mut holes, mut unknown) = (Vec::new(), 0);
    for (nth, flow) in flows.into_iter().enumerate() {
        let part = match flow {
            Flow::Known(part, _) => part.text().to_owned(),
            Flow::Partly(part, inner) => {
                holes.extend(inner.into_iter().map(|hole| format!("[{nth}]{hole}")));
                part.text().to_owned()
            }
            Flow::Stale(value) => return Flow::Stale(value),
            Flow::Unknown => {
                unknown += 1;
                holes.push(format!("[{nth}]"));
                "null".to_owned()
            }
        };
        parts.push(part);
    }
    let is_unknown = unknown > 0 && unknown == parts.len();
    match list(parts) {
        Ok(_) if is_unknown => Flow::Unknown,
        Ok(list) if holes.is_empty() => Flow::Known(list, Stored::Several),
        Ok(list) => Flow::Partly(list, holes),
        Err(_) => Flow::Unknown,
    }
}

fn payload_of(text: &str) -> Option<Payload> {
    serde_json::from_str(text).ok()
}
