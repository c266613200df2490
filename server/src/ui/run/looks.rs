//! How the parts of a definition look: where each step stands, in a word, an icon and a colour.

use std::collections::BTreeSet;

use stepwell::contract::{Status, Timestamp};
use stepwell::run::place::Place;
use stepwell::run::state::{State, StepGroup, StepState, StepStatus};
use stepwell::workflow::graph::{Graph, Node, StepIndex};

use crate::ui::run::words::RunWords;

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// It is tried again, now or at its time.
    Retries,
    /// It has failed for good.
    Failed,
    Running,
    /// It waits for a signal, a child or someone outside.
    Waits,
    Sleeps,
    /// It was cut off when its run ended.
    Stopped,
    /// Some items of it failed, and the run went on without them.
    Partly,
    NotBegun,
    Succeeded,
    Skipped,
    /// What it did was undone.
    Undone,
    /// Another arm was chosen.
    PassedOver,
}

impl Mark {
    /// Every mark.
    pub(crate) const ALL: [Self; 12] = [
        Self::Retries,
        Self::Failed,
        Self::Running,
        Self::Waits,
        Self::Sleeps,
        Self::Stopped,
        Self::Partly,
        Self::NotBegun,
        Self::Succeeded,
        Self::Skipped,
        Self::Undone,
        Self::PassedOver,
    ];

    /// Its name in styles and addresses.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// The icon of the set, each of which stands for one kind of standing.
    pub(crate) fn icon(self) -> &'static str {
        self.row().1
    }

    /// The name of its colour in styles: that of the status it is nearest to.
    pub(crate) fn colour(self) -> &'static str {
        match self {
            Self::NotBegun => "queued",
            Self::Running => "running",
            Self::Retries | Self::Partly => "paused",
            Self::Waits | Self::Sleeps => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped | Self::Undone | Self::PassedOver | Self::Stopped => "cancelled",
        }
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::NotBegun => ("idle", "queued"),
            Self::Running => ("running", "running"),
            Self::Retries => ("retries", "waiting"),
            Self::Waits => ("waits", "waiting"),
            Self::Sleeps => ("sleeps", "waiting"),
            Self::Succeeded => ("succeeded", "succeeded"),
            Self::Partly => ("partly", "failed"),
            Self::Failed => ("failed", "failed"),
            Self::Skipped => ("skipped", "cancelled"),
            Self::Undone => ("undone", "cancelled"),
            Self::PassedOver => ("passed", "cancelled"),
            Self::Stopped => ("stopped", "paused"),
        }
    }

    /// The word for it.
    pub(crate) fn word(self, w: &RunWords) -> &'static str {
        match self {
            Self::NotBegun => w.not_begun,
            Self::Running => w.is_running,
            Self::Retries => w.is_retried,
            Self::Waits => w.is_waiting,
            Self::Sleeps => w.is_sleeping,
            Self::Succeeded => w.has_succeeded,
            Self::Partly => w.has_partly,
            Self::Failed => w.has_failed,
            Self::Skipped => w.was_skipped,
            Self::Undone => w.was_undone,
            Self::PassedOver => w.was_passed,
            Self::Stopped => w.was_stopped,
        }
    }

    /// Where one step, item or round stands.
    pub(crate) fn of(step: &StepState, run: Status) -> Self {
        let stopped = |mark| if run.is_finished() { Self::Stopped } else { mark };
        match step.status {
            StepStatus::Running => stopped(Self::Running),
            StepStatus::Backoff(_) | StepStatus::Interrupted(_) | StepStatus::Again => stopped(Self::Retries),
            StepStatus::Succeeded => Self::Succeeded,
            StepStatus::Failed => Self::Failed,
            StepStatus::Sleeping(_) => stopped(Self::Sleeps),
            StepStatus::Awaiting(_) => stopped(Self::Waits),
            StepStatus::Suspended => stopped(match step.waiting.as_deref() {
                Some(waiting) if waiting.is_on_work() || !waiting.signals.is_empty() => Self::Waits,
                _ => Self::Sleeps,
            }),
            StepStatus::Skipped => Self::Skipped,
        }
    }
}

/// How many items or rounds of a step stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) begun: usize,
    pub(crate) succeeded: usize,
    pub(crate) failed: usize,
    pub(crate) running: usize,
}

/// Where a step of a definition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) mark: Mark,
    /// Its latest attempt; 0 for one that has not begun, and for one with items.
    pub(crate) attempt: u32,
    pub(crate) counts: Option<Counts>,
    /// When its latest attempt began.
    pub(crate) began: Option<Timestamp>,
}

impl Default for Look {
    fn default() -> Self {
        Self { mark: Mark::NotBegun, attempt: 0, counts: None, began: None }
    }
}

impl Look {
    /// Where a step stands, with all its items and rounds.
    pub(crate) fn of(group: &StepGroup, run: Status) -> Self {
        if let Some(step) = &group.single {
            let began = (step.attempt > 0).then_some(step.started_at);
            return Self { mark: Mark::of(step, run), attempt: step.attempt, counts: None, began };
        }
        let StepGroup { items, running, succeeded, failed, .. } = group;
        let counts = Counts { begun: items.len(), succeeded: *succeeded, failed: *failed, running: *running };
        // What asks most for a look comes first in the order of marks.
        let open = (succeeded + failed < items.len()).then(|| {
            let marks = items.values().map(|step| Mark::of(step, run));
            marks.filter(|mark| !matches!(mark, Mark::Succeeded | Mark::Skipped | Mark::Failed)).min()
        });
        let mark = match open.flatten() {
            _ if *running > 0 && !run.is_finished() => Mark::Running,
            Some(mark) => mark,
            None if items.is_empty() => Mark::NotBegun,
            None if *failed > 0 && *succeeded > 0 => Mark::Partly,
            None if *failed > 0 => Mark::Failed,
            None => Mark::Succeeded,
        };
        Self { mark, counts: Some(counts), ..Self::default() }
    }
}

/// Where every step of a graph stands.
pub(crate) fn looks(graph: &Graph, state: Option<&State>) -> Vec<Look> {
    let Some(state) = state else { return vec![Look::default(); graph.steps.len()] };
    let passed = passed_over(graph, &graph.nodes, state);
    let all = graph.steps.iter().enumerate().map(|(index, spec)| {
        let mut look =
            state.steps.get(&spec.name).map(|group| Look::of(group, state.status)).unwrap_or_default();
        let undo = spec.undo.and_then(|undo| state.step(&Place::of(graph.step(undo).name.clone())));
        if undo.is_some_and(|undo| undo.status == StepStatus::Succeeded) {
            look.mark = Mark::Undone;
        }
        if look.mark == Mark::NotBegun && passed.contains(&index) {
            look.mark = Mark::PassedOver;
        }
        look
    });
    all.collect()
}

/// The steps in arms that were not chosen, outside maps and loops.
fn passed_over(graph: &Graph, nodes: &[Node], state: &State) -> BTreeSet<usize> {
    let mut passed = BTreeSet::new();
    for node in nodes {
        match node {
            Node::Choose { by, arms } => {
                let said = state.step(&Place::of(graph.step(*by).name.clone()));
                let said = said.and_then(|step| word(step.output.as_ref()?.text()));
                for (arm, body) in arms {
                    if said.as_ref().is_some_and(|said| said != arm) {
                        let steps = body.iter().flat_map(Node::steps);
                        passed.extend(steps.map(|StepIndex(index)| index));
                    } else {
                        passed.extend(passed_over(graph, body, state));
                    }
                }
            }
            Node::Parallel { branches, .. } => {
                branches.iter().for_each(|branch| passed.extend(passed_over(graph, branch, state)));
            }
            _ => {}
        }
    }
    passed
}

/// The word of an arm that an output names.
fn word(output: &str) -> Option<String> {
    match output {
        "true" | "false" => Some(output.to_owned()),
        text => serde_json::from_str(text).ok(),
    }
}
