//! A definition as indented lines.

use crate::workflow::graph::{Graph, Node, StepIndex, Until};

/// The parts of a definition, a line for each.
pub(super) fn outline(graph: &Graph) -> Vec<String> {
    let mut lines = Vec::new();
    sequence(graph, &graph.nodes, 0, &mut lines);
    lines
}

fn sequence(graph: &Graph, nodes: &[Node], depth: usize, lines: &mut Vec<String>) {
    let name = |step: &StepIndex| graph.step(*step).name.as_str();
    let indent = "  ".repeat(depth);
    for node in nodes {
        let said = match node {
            Node::Step(step) => {
                let undo = graph.step(*step).undo.map(|undo| format!(", undone by {}", name(&undo)));
                format!("{}{}", name(step), undo.unwrap_or_default())
            }
            Node::Parallel { .. } => "side by side".to_owned(),
            Node::Map { concurrency, tolerance, .. } => {
                let tolerance = if tolerance.is_some() { ", some may fail" } else { "" };
                format!("for each item, at most {concurrency} at once{tolerance}")
            }
            Node::Choose { by, .. } => format!("one of these, as {} says", name(by)),
            Node::Repeat { by, rounds_max, .. } => {
                format!("again as long as {} says so, at most {rounds_max} times", name(by))
            }
            Node::Sleep { step, until } => match until {
                Until::After(ms) => format!("{}: sleep {ms} ms", name(step)),
                Until::At(at) => format!("{}: sleep until {}", name(step), at),
                Until::Said(by) => format!("{}: sleep until when {} says", name(step), name(by)),
            },
            Node::Wait { step, signals, timeout_ms } => {
                let signals: Vec<_> = signals.iter().map(AsRef::as_ref).collect();
                let within = timeout_ms.map(|ms| format!(", at most {ms} ms")).unwrap_or_default();
                format!("{}: wait for signal {}{within}", name(step), signals.join(" or "))
            }
            Node::Recall { step } => format!("the result of {} again", name(step)),
        };
        lines.push(format!("{indent}{said}"));
        match node {
            Node::Choose { arms, .. } => {
                for (word, body) in arms {
                    lines.push(format!("{indent}  {word:?}:"));
                    sequence(graph, body, depth + 2, lines);
                }
            }
            Node::Parallel { branches, .. } => {
                for (nth, body) in (1..).zip(branches) {
                    lines.push(format!("{indent}  branch {nth}:"));
                    sequence(graph, body, depth + 2, lines);
                }
            }
            other => {
                for body in other.bodies() {
                    sequence(graph, body, depth + 1, lines);
                }
            }
        }
    }
}
