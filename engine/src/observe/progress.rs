//! How far a run is, and how long it may still take.

use serde::Serialize;
use stepwell_contract::{Head, Name, Status, Timestamp};

use crate::observe::names::running;
use crate::observe::past::Past;
use crate::run::output::word;
use crate::run::place::Place;
use crate::run::state::{State, StepGroup, StepState, StepStatus};
use crate::run::summary::Summary;
use crate::workflow::graph::{Graph, Node, StepIndex};

/// Most items named in which a step runs.
const RUNNING_MAX: usize = 8;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunProgress {
    /// Where it is.
    pub status: Status,
    /// From 0 to 100. A step counts by its share of all steps, a running one by how far it says it is.
    pub percent: f64,
    /// How long it may still take, in milliseconds, from what its steps took in past runs, or from what they declare;
    /// `None` when neither is known for a step that is left, or the run is at rest.
    pub remaining_ms: Option<u64>,
    /// Its steps, those not begun included, in the order of the definition; where the definition is not known, those that have
    /// begun, in the order in which they began.
    pub steps: Vec<StepProgress>,
    /// Whether those are all.
    pub is_complete: bool,
}

/// How far a step of a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepProgress {
    /// Its name.
    pub step: String,
    /// Where it is, in a word.
    pub state: &'static str,
    /// The latest attempt; 0 before the first.
    pub attempt: u32,
    /// Items with a result, items begun, for the step of a map.
    pub items: Option<(usize, usize)>,
    /// Some of the items in which it runs now, with the names by which people call them.
    pub running: Vec<String>,
    /// From 0 to 1.
    pub fraction: f64,
    /// What it says it is at.
    pub note: String,
    /// How long its running or last attempt has taken, in milliseconds.
    pub elapsed_ms: Option<u64>,
}

/// The progress of a run.
#[must_use]
pub fn progress(head: &Head, state: &State, graph: &Graph, past: &Past, now: Timestamp) -> RunProgress {
    let summary: Summary = head.summary.decode().unwrap_or_default();
    let mut steps = Vec::new();
    let mut remaining_ms = Some(0u64);
    for (index, part) in parts(&graph.nodes, Part::default(), graph, state) {
        let mut step = step_progress(Some(graph), &graph.step(index).name, state, &summary, now);
        let undo = graph.step(index).undo.map(|undo| Place::of(graph.step(undo).name.clone()));
        if undo.and_then(|undo| state.step(&undo)).is_some_and(|undo| undo.status == StepStatus::Succeeded) {
            step.state = "undone";
        }
        if part.is_passed_over && step.attempt == 0 {
            (step.state, step.fraction) = ("skipped", 1.0);
        }
        let left = left_ms(graph, &part, index, state, past, &step, now);
        // Branches of a node run side by side; their sum is the safe side.
        remaining_ms = remaining_ms.zip(left).map(|(sum, left)| sum.saturating_add(left));
        steps.push(step);
    }
    let share: f64 = steps.iter().map(|step| step.fraction).sum::<f64>() / steps.len().max(1) as f64;
    let is_on_its_way = !head.status.is_finished() && head.status != Status::Paused;
    RunProgress {
        status: head.status,
        percent: if head.status == Status::Succeeded { 100.0 } else { share * 100.0 },
        remaining_ms: remaining_ms.filter(|_| is_on_its_way),
        steps,
        is_complete: true,
    }
}

/// The progress of a run as far as its journal tells it without its definition.
#[must_use]
pub fn begun(head: &Head, state: &State, now: Timestamp) -> RunProgress {
    let summary: Summary = head.summary.decode().unwrap_or_default();
    let began = |group: &StepGroup| {
        let all = group.single.iter().chain(group.items.values());
        all.map(|step| step.began_at).min()
    };
    let mut groups: Vec<_> = state.steps.iter().collect();
    groups.sort_by_key(|(_, group)| began(group));
    let steps = groups.into_iter().map(|(name, _)| step_progress(None, name, state, &summary, now));
    let share = summary.done as f64 / summary.of.max(1) as f64;
    RunProgress {
        status: head.status,
        percent: if head.status == Status::Succeeded { 100.0 } else { share * 100.0 },
        remaining_ms: None,
        steps: steps.collect(),
        is_complete: false,
    }
}

/// Where in the definition a step stands, as far as its progress depends on it.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// How many items of the innermost map run at once; `None` outside maps and loops.
    concurrency: Option<u32>,
    /// Whether another arm was chosen.
    is_passed_over: bool,
    /// Whether it lets time pass instead of working.
    is_waiting: bool,
}

/// Every step of a sequence, in the order of the definition.
fn parts(nodes: &[Node], part: Part, graph: &Graph, state: &State) -> Vec<(StepIndex, Part)> {
    let mut found = Vec::new();
    for node in nodes {
        let is_waiting = matches!(node, Node::Sleep { .. } | Node::Wait { .. });
        found.extend(node.own_steps().into_iter().map(|step| (step, Part { is_waiting, ..part })));
        match node {
            Node::Choose { by, arms } => {
                let said = state.step(&Place::of(graph.step(*by).name.clone()));
                let said = said.and_then(|step| word(step.output.as_ref()?));
                for (arm, body) in arms {
                    let is_passed_over = part.is_passed_over || said.as_ref().is_some_and(|said| said != arm);
                    found.extend(parts(body, Part { is_passed_over, ..part }, graph, state));
                }
            }
            Node::Map { body, concurrency, .. } => {
                let concurrency = part.concurrency.unwrap_or(1).saturating_mul(*concurrency);
                found.extend(parts(body, Part { concurrency: Some(concurrency), ..part }, graph, state));
            }
            Node::Repeat { body, .. } => {
                found.extend(parts(
                    body,
                    Part { concurrency: part.concurrency.or(Some(1)), ..part },
                    graph,
                    state,
                ));
            }
            other => {
                found.extend(other.bodies().into_iter().flat_map(|body| parts(body, part, graph, state)));
            }
        }
    }
    found
}

fn step_progress(
    graph: Option<&Graph>,
    name: &Name,
    state: &State,
    summary: &Summary,
    now: Timestamp,
) -> StepProgress {
    let mut progress = StepProgress {
        step: name.to_string(),
        state: "not begun",
        attempt: 0,
        items: None,
        running: Vec::new(),
        fraction: 0.0,
        note: String::new(),
        elapsed_ms: None,
    };
    let Some(group) = state.steps.get(name) else { return progress };
    let Some(step) = &group.single else {
        let begun = group.items.len();
        progress.items = Some((group.succeeded, begun));
        progress.running = running(graph, state, name, RUNNING_MAX);
        let ended = group.succeeded + group.failed;
        progress.state = if ended < begun { "running" } else { "items ended" };
        progress.fraction = ended as f64 / begun.max(1) as f64;
        return progress;
    };
    progress.attempt = step.attempt;
    progress.state = word_of(step);
    let said = summary.at.as_ref().filter(|at| at.place.step == *name && at.place.item.is_root());
    if matches!(step.status, StepStatus::Succeeded | StepStatus::Skipped) {
        progress.fraction = 1.0;
    } else if let Some(said) = said.map(|at| &at.progress).or(step.progress.as_ref()) {
        progress.fraction = said.fraction;
        progress.note.clone_from(&said.note);
    }
    let outside = step.outsider.as_ref().filter(|_| step.is_left_outside()).map(|begun| begun.at);
    let began_at = outside.or_else(|| (step.status == StepStatus::Running).then_some(step.started_at));
    progress.elapsed_ms = began_at.map(|at| now.since_ms(at));
    progress
}

/// Where a step is, in a word.
#[must_use]
pub fn word_of(step: &StepState) -> &'static str {
    match step.status {
        StepStatus::Running => "running",
        StepStatus::Backoff(_) => "waits for its next attempt",
        StepStatus::Interrupted(_) | StepStatus::Again => "is tried again",
        StepStatus::Succeeded => "succeeded",
        StepStatus::Failed => "failed",
        StepStatus::Sleeping(_) => "sleeps",
        StepStatus::Awaiting(_) => "waits for a signal",
        StepStatus::Suspended => match step.waiting.as_ref() {
            Some(waiting) if !waiting.children.is_empty() => "waits for a child run",
            Some(waiting) if waiting.outside && step.outsider.is_some() => "runs outside",
            Some(waiting) if waiting.outside => "waits to be reported on",
            Some(waiting) if !waiting.signals.is_empty() => "waits for a signal",
            _ => "sleeps",
        },
        StepStatus::Skipped => "skipped",
    }
}

/// How long a step may still take. What it took in past runs goes before what it declares.
fn left_ms(
    graph: &Graph,
    part: &Part,
    index: StepIndex,
    state: &State,
    past: &Past,
    step: &StepProgress,
    now: Timestamp,
) -> Option<u64> {
    let spec = graph.step(index);
    let group = state.steps.get(&spec.name);
    let single = group.and_then(|group| group.single.as_ref());
    match single.map(|step| step.status) {
        Some(StepStatus::Succeeded | StepStatus::Skipped) => return Some(0),
        Some(StepStatus::Sleeping(until)) => return Some(until.since_ms(now)),
        _ if part.is_passed_over => return Some(0),
        // How long a person takes is not guessed.
        _ if part.is_waiting => return None,
        _ => {}
    }
    let whole_ms = past.median_ms(&spec.name).or(spec.policy.estimate_ms)?;
    match part.concurrency {
        None => Some((whole_ms as f64 * (1.0 - step.fraction)) as u64),
        Some(concurrency) => {
            // How many items there will be is known once the map has begun.
            let group: &StepGroup = group?;
            let left = group.items.len() - group.succeeded - group.failed;
            Some(whole_ms.saturating_mul(left as u64) / u64::from(concurrency.max(1)))
        }
    }
}
