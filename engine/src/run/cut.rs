//! What comes after a step in a definition: all that is set aside when a run begins again from there.

use serde::{Deserialize, Serialize};
use stepwell_contract::Name;

use crate::run::place::{Path, Place};
use crate::workflow::graph::{Graph, Node, StepIndex, Until};

/// The times that a step ran which are set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Which step.
    pub step: Name,
    /// Those in this item or round; all of them when it is empty.
    #[serde(default, skip_serializing_if = "Path::is_root")]
    pub within: Path,
    /// Of these, those from this item or round on; all of them when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
}

impl Cut {
    /// Whether the time that the step ran at `path` is set aside.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        let next = path.numbers().get(self.within.numbers().len());
        path.is_within(&self.within) && self.from.is_none_or(|from| next.is_some_and(|nth| *nth >= from))
    }
}

/// What a step is to the definition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role<'a> {
    /// It works: its output is the node's.
    Works,
    /// It gives the word of one of these arms.
    Chooses(&'a [(String, Vec<Node>)]),
    /// It says whether there is another round.
    Repeats,
    /// It says until when the run sleeps.
    Times,
    /// It is a sleep.
    Sleeps,
    /// It waits for a signal.
    Waits,
    /// It says how the items of a map are called.
    Names,
}

/// What the step is in its graph.
#[must_use]
pub fn role(graph: &Graph, step: StepIndex) -> Role<'_> {
    fn find(nodes: &[Node], step: StepIndex) -> Option<Role<'_>> {
        nodes.iter().find_map(|node| match node {
            Node::Choose { by, arms } if *by == step => Some(Role::Chooses(arms)),
            Node::Repeat { by, .. } if *by == step => Some(Role::Repeats),
            Node::Sleep { until: Until::Said(by), .. } if *by == step => Some(Role::Times),
            Node::Sleep { step: sleep, .. } if *sleep == step => Some(Role::Sleeps),
            Node::Wait { step: wait, .. } if *wait == step => Some(Role::Waits),
            Node::Map { names: Some(names), .. } if *names == step => Some(Role::Names),
            Node::Step(work) if *work == step => Some(Role::Works),
            node => node.bodies().into_iter().find_map(|body| find(body, step)),
        })
    }
    find(&graph.nodes, step).unwrap_or(Role::Works)
}

/// What is set aside when a run begins again at `place`: that step, and all that comes after it in the definition. Other
/// branches and other items are not after it; later rounds are. A place that leaves items or rounds out means all of them.
/// `None` when the definition has no such place.
#[must_use]
pub fn cuts(graph: &Graph, place: &Place) -> Option<Vec<Cut>> {
    let step = graph.find(&place.step)?;
    if place.item.numbers().len() > graph.step(step).depth {
        return None;
    }
    let mut cuts = Cuts { graph, step, item: &place.item, found: Vec::new() };
    cuts.sequence(&graph.nodes, 0).then_some(cuts.found)
}

struct Cuts<'a> {
    graph: &'a Graph,
    step: StepIndex,
    item: &'a Path,
    found: Vec<Cut>,
}

impl Cuts<'_> {
    /// Cuts from the step on, if it is in this sequence, which is in so many maps and loops.
    fn sequence(&mut self, nodes: &[Node], depth: usize) -> bool {
        let Some(at) = nodes.iter().position(|node| self.node(node, depth)) else { return false };
        for later in &nodes[at + 1..] {
            self.whole(later.steps(), depth, None);
        }
        true
    }

    fn node(&mut self, node: &Node, depth: usize) -> bool {
        match node {
            Node::Repeat { by, body, .. } if *by == self.step => {
                self.rounds(*by, body, depth, 0);
                true
            }
            Node::Repeat { by, body, .. } => {
                if self.item.numbers().len() <= depth {
                    let is_here = body.iter().flat_map(Node::steps).any(|step| step == self.step);
                    if is_here {
                        self.rounds(*by, body, depth, 0);
                    }
                    return is_here;
                }
                let is_here = self.sequence(body, depth + 1);
                if is_here {
                    self.rounds(*by, body, depth, 1);
                }
                is_here
            }
            Node::Map { names: Some(names), .. } if *names == self.step => {
                self.whole(node.steps(), depth, None);
                true
            }
            Node::Map { body, .. } => self.sequence(body, depth + 1),
            Node::Sleep { step, .. } if *step == self.step => {
                self.whole(vec![*step], depth, None);
                true
            }
            node if node.own_steps().contains(&self.step) => {
                self.whole(node.steps(), depth, None);
                true
            }
            node => node.bodies().into_iter().any(|body| self.sequence(body, depth)),
        }
    }

    /// The rounds of a loop, from so many after the named one.
    fn rounds(&mut self, by: StepIndex, body: &[Node], depth: usize, later: u32) {
        let from = self.item.numbers().get(depth).map(|round| round.saturating_add(later));
        let steps = std::iter::once(by).chain(body.iter().flat_map(Node::steps));
        self.whole(steps.collect(), depth, from);
    }

    fn whole(&mut self, steps: Vec<StepIndex>, depth: usize, from: Option<u32>) {
        let within = self.item.outer(depth);
        let name = |step: StepIndex| self.graph.step(step).name.clone();
        self.found.extend(steps.into_iter().map(|step| Cut {
            step: name(step),
            within: within.clone(),
            from,
        }));
    }
}
