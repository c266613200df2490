//! How far a run is, and how long it may still take.

use serde::Serialize;
use stepwell_contract::{Head, Status, Timestamp};

use crate::observe::past::Past;
use crate::run::state::{State, StepGroup, StepStatus};
use crate::run::summary::Summary;
use crate::workflow::graph::{Graph, Node, StepIndex};

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
    /// Its steps, those not begun included.
    pub steps: Vec<StepProgress>,
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
    for node in &graph.nodes {
        for index in node.steps() {
            let step = step_progress(graph, *index, state, &summary, now);
            let left = left_ms(graph, node, *index, state, past, step.fraction);
            // Branches of a node run side by side; their sum is the safe side.
            remaining_ms = remaining_ms.zip(left).map(|(sum, left)| sum.saturating_add(left));
            steps.push(step);
        }
    }
    let share: f64 = steps.iter().map(|step| step.fraction).sum::<f64>() / steps.len().max(1) as f64;
    let is_on_its_way = !head.status.is_finished() && head.status != Status::Paused;
    RunProgress {
        status: head.status,
        percent: if head.status == Status::Succeeded { 100.0 } else { share * 100.0 },
        remaining_ms: remaining_ms.filter(|_| is_on_its_way),
        steps,
    }
}

fn step_progress(
    graph: &Graph,
    index: StepIndex,
    state: &State,
    summary: &Summary,
    now: Timestamp,
) -> StepProgress {
    let name = &graph.step(index).name;
    let mut progress = StepProgress {
        step: name.to_string(),
        state: "not begun",
        attempt: 0,
        items: None,
        fraction: 0.0,
        note: String::new(),
        elapsed_ms: None,
    };
    let Some(group) = state.steps.get(name) else { return progress };
    let Some(step) = &group.single else {
        progress.items = Some((group.succeeded, group.items.len()));
        let ended = group.succeeded + group.failed.len();
        progress.state = if ended < group.items.len() { "running" } else { "items ended" };
        progress.fraction = ended as f64 / group.items.len().max(1) as f64;
        return progress;
    };
    progress.attempt = step.attempt;
    progress.state = match step.status {
        StepStatus::Running => "running",
        StepStatus::Backoff(_) => "waits for its next attempt",
        StepStatus::Interrupted(_) | StepStatus::Again => "is tried again",
        StepStatus::Succeeded => "succeeded",
        StepStatus::Failed => "failed",
    };
    let said = summary.at.as_ref().filter(|at| at.place.step == *name && at.place.item.is_none());
    if step.status == StepStatus::Succeeded {
        progress.fraction = 1.0;
    } else if let Some(said) = said.map(|at| &at.progress).or(step.progress.as_ref()) {
        progress.fraction = said.fraction;
        progress.note.clone_from(&said.note);
    }
    progress.elapsed_ms = (step.status == StepStatus::Running).then(|| now.since_ms(step.started_at));
    progress
}

/// How long a step may still take. What it declares goes before what it took.
fn left_ms(
    graph: &Graph,
    node: &Node,
    index: StepIndex,
    state: &State,
    past: &Past,
    fraction: f64,
) -> Option<u64> {
    let spec = graph.step(index);
    let group = state.steps.get(&spec.name);
    let is_done = group.and_then(|group| group.single.as_ref()).is_some_and(|step| step.output.is_some());
    if is_done {
        return Some(0);
    }
    let whole_ms = spec.policy.estimate_ms.or_else(|| past.median_ms(&spec.name))?;
    match node {
        Node::Step(_) | Node::Parallel(_) => Some((whole_ms as f64 * (1.0 - fraction)) as u64),
        Node::Map { concurrency, .. } => {
            // How many items there will be is known once the map has begun.
            let group: &StepGroup = group?;
            let left = group.items.len() - group.succeeded - group.failed.len();
            Some(whole_ms.saturating_mul(left as u64) / u64::from((*concurrency).max(1)))
        }
    }
}
