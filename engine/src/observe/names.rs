//! How people call the items of maps.

use stepwell_contract::Name;

use crate::run::place::{Path, Place};
use crate::run::state::{State, StepStatus};
use crate::workflow::graph::{Graph, Node, StepIndex};

/// How people call the item that a place is in, the outermost level first; `None` where no level is named.
#[must_use]
pub fn item_name(graph: &Graph, state: &State, place: &Place) -> Option<String> {
    let named = levels(&graph.nodes, graph.find(&place.step)?)?;
    let mut outer = Path::root();
    let mut names = Vec::new();
    for (level, nth) in named.into_iter().zip(place.item.numbers()) {
        if let Some(step) = level {
            let said = state.step(&Place { step: graph.step(step).name.clone(), item: outer.clone() });
            let all = said.and_then(|step| step.output.as_ref()?.decode::<Vec<String>>().ok());
            names.extend(all.and_then(|mut all| {
                let nth = *nth as usize;
                (nth < all.len()).then(|| all.swap_remove(nth))
            }));
        }
        outer = outer.item(*nth);
    }
    (!names.is_empty()).then(|| names.join(" / "))
}

/// At most so many of the items in which a step runs now: each place, with its name where it has one and the definition is known.
#[must_use]
pub(super) fn running(graph: Option<&Graph>, state: &State, name: &Name, at_most: usize) -> Vec<String> {
    let Some(group) = state.steps.get(name) else { return Vec::new() };
    let running = group.items.iter().filter(|(_, step)| step.status == StepStatus::Running);
    let places = running.map(|(item, _)| Place { step: name.clone(), item: item.clone() });
    let said = |place: Place| match graph.and_then(|graph| item_name(graph, state, &place)) {
        Some(name) => format!("{place} {name}"),
        None => place.to_string(),
    };
    places.take(at_most).map(said).collect()
}

/// The steps that name the items at each level that `step` is in, the outermost first; `None` when it is not in these nodes.
fn levels(nodes: &[Node], step: StepIndex) -> Option<Vec<Option<StepIndex>>> {
    nodes.iter().find_map(|node| {
        let own = match node {
            Node::Map { names, .. } => Some(*names),
            Node::Repeat { .. } => Some(None),
            _ => None,
        };
        if node.own_steps().contains(&step) {
            // What decides about rounds is in them; what names items stands before them.
            let is_round = matches!(node, Node::Repeat { .. });
            return Some(own.filter(|_| is_round).into_iter().collect());
        }
        let within = node.bodies().into_iter().find_map(|body| levels(body, step))?;
        Some(own.into_iter().chain(within).collect())
    })
}
