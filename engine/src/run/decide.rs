//! What a run does next: a pure function of its definition, its state and the time.

use std::sync::Arc;

use serde_json::value::RawValue;
use stepwell_contract::{Payload, PayloadError, Timestamp};

use crate::run::event::{LostReason, PauseReason, Then};
use crate::run::output::Shape;
use crate::run::place::Place;
use crate::run::state::{Request, State, StepState, StepStatus};
use crate::workflow::error::ErrorClass;
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, Node, StepIndex};
use crate::workflow::policy::{Effect, Effective, OnExhausted};
use crate::workflow::retry::{RetryAsk, RetryDecision};

/// An attempt to count and then to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Which step, in the graph.
    pub step: StepIndex,
    /// Which step, by name.
    pub place: Place,
    /// Which attempt.
    pub attempt: u32,
    /// What it gets.
    pub input: Payload,
}

/// How a run comes to rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Rest {
    /// It has its result.
    Succeed {
        /// What the result is made of.
        result: Shape,
        /// The result.
        output: Payload,
    },
    /// It has failed.
    Fail {
        /// The step that failed; `None` when a limit of the run did.
        place: Option<Place>,
        /// What went wrong.
        failure: Failure,
    },
    /// It is held until a person moves it on.
    Pause {
        /// Why.
        reason: PauseReason,
        /// The step that it is about.
        place: Option<Place>,
        /// What is said to people.
        message: String,
        /// The failure behind it.
        failure: Option<Failure>,
    },
    /// It ends because someone asked.
    Cancel,
}

/// What a run does next.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Next {
    /// Attempts to start.
    pub starts: Vec<Start>,
    /// How it comes to rest; only when nothing runs and nothing starts.
    pub rest: Option<Rest>,
    /// Whether the attempts that run are to be stopped.
    pub stop: bool,
    /// When there is something to do again, whatever happens before.
    pub timer: Option<Timestamp>,
}

/// Why the definition cannot go on with what the journal holds.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The input of a map is not a list.
    #[error("the input of map {step} is not a list: {source}")]
    NotAList {
        /// The map's step.
        step: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An output cannot be put together.
    #[error(transparent)]
    Output(#[from] PayloadError),
}

/// The walk of one run through its definition. It only ever moves forward, so each call costs what there is to do,
/// not what was done.
#[derive(Debug)]
pub struct Plan {
    graph: Arc<Graph>,
    limits: Arc<[Effective]>,
    node: usize,
    input: Payload,
    items: Option<Vec<Payload>>,
}

impl Plan {
    /// A walk from the start. The first [`next`](Self::next) goes on to where the state is.
    #[must_use]
    pub fn new(graph: Arc<Graph>, limits: Arc<[Effective]>, state: &State) -> Self {
        Self { graph, limits, node: 0, input: state.created.input.clone(), items: None }
    }

    /// How many nodes have their output, as of the last [`next`](Self::next), and how many there are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.node, self.graph.nodes.len())
    }

    /// What the run does now. The caller writes the events of all of it before it does any.
    ///
    /// # Errors
    /// [`PlanError`]: the journal does not fit the definition; nothing must be written but a pause that says so.
    pub fn next(&mut self, state: &State, now: Timestamp) -> Result<Next, PlanError> {
        // Once the deadline is past, only the end of what still runs leads on.
        let mut next = Next { timer: state.deadline_at.filter(|at| *at > now), ..Next::default() };
        if let Some(rest) = self.ordered_rest(state, now) {
            next.stop = state.request != Some(Request::Pause);
            next.rest = (state.running == 0).then_some(rest);
            return Ok(next);
        }
        loop {
            let Some(node) = self.graph.nodes.get(self.node).cloned() else {
                let result =
                    self.graph.nodes.last().map_or(Shape::Input, |node| Shape::of(&self.graph, node));
                next.rest = Some(Rest::Succeed { result, output: self.input.clone() });
                return Ok(next);
            };
            if let Some(output) = self.visit(&node, state, now, &mut next)? {
                self.node += 1;
                self.input = output;
                self.items = None;
            } else {
                return Ok(next);
            }
        }
    }

    /// How the run has to come to rest whatever its steps do: by request, or because its time is over.
    fn ordered_rest(&self, state: &State, now: Timestamp) -> Option<Rest> {
        let pause = |reason, message: &str| Rest::Pause {
            reason,
            place: None,
            message: message.to_owned(),
            failure: None,
        };
        match state.request {
            Some(Request::Cancel) => return Some(Rest::Cancel),
            Some(Request::Interrupt) => {
                return Some(pause(PauseReason::Interrupted, "interrupted on request"));
            }
            Some(Request::Pause) => return Some(pause(PauseReason::Requested, "paused on request")),
            None => {}
        }
        let deadline = state.deadline_at.filter(|at| *at <= now)?;
        let allowed_ms = deadline.since_ms(state.created_at);
        Some(Rest::Fail { place: None, failure: Failure::timeout("run_deadline", allowed_ms, "start") })
    }

    /// Starts what can be started in a node. Returns its output once it has one.
    fn visit(
        &mut self,
        node: &Node,
        state: &State,
        now: Timestamp,
        next: &mut Next,
    ) -> Result<Option<Payload>, PlanError> {
        let (done, trouble) = match node {
            Node::Step(step) => self.visit_steps(&[*step], state, now, next),
            Node::Parallel(steps) => self.visit_steps(steps, state, now, next),
            Node::Map { step, concurrency, tolerance } => {
                let total = self.split(*step)?;
                let group = state.steps.get(&self.graph.step(*step).name);
                let (succeeded, failed) =
                    group.map_or((0, &[][..]), |group| (group.succeeded, &group.failed[..]));
                let over = match tolerance {
                    Some(tolerance) => tolerance.is_exceeded(failed.len(), total),
                    None => !failed.is_empty(),
                };
                // No tolerance covers an item of which nobody knows whether it had its effect.
                let doubtful = failed.iter().find(|item| self.is_doubtful(*step, **item, state));
                if let Some(item) = doubtful.or(failed.first().filter(|_| over)) {
                    // The first that failed stands for all: it is where a person begins to look.
                    let place = self.place(*step, Some(*item));
                    let rest = state.step(&place).map(|failed| self.rest_of_failed(*step, &place, failed));
                    (false, rest)
                } else {
                    let trouble = self.visit_items(*step, *concurrency, total, state, now, next);
                    (succeeded + failed.len() == total, trouble)
                }
            }
        };
        if let Some(trouble) = trouble {
            // Nothing more is started, what runs may end, then the run comes to rest.
            next.starts.clear();
            next.rest = (state.running == 0).then_some(trouble);
            return Ok(None);
        }
        if !done {
            return Ok(None);
        }
        Ok(Shape::of(&self.graph, node).output(state)?)
    }

    fn visit_steps(
        &self,
        steps: &[StepIndex],
        state: &State,
        now: Timestamp,
        next: &mut Next,
    ) -> (bool, Option<Rest>) {
        let mut done = true;
        for step in steps {
            let place = self.place(*step, None);
            let present = state.step(&place);
            done &= present.is_some_and(|present| present.status == StepStatus::Succeeded);
            if let Some(rest) = self.visit_step(*step, &place, present, &self.input, now, next) {
                return (false, Some(rest));
            }
        }
        (done, None)
    }

    /// Starts a step if it is its turn. Returns how the run comes to rest when the step stands in its way.
    fn visit_step(
        &self,
        step: StepIndex,
        place: &Place,
        present: Option<&StepState>,
        input: &Payload,
        now: Timestamp,
        next: &mut Next,
    ) -> Option<Rest> {
        let attempt = match present {
            None => 1,
            Some(present) => match present.status {
                StepStatus::Running | StepStatus::Succeeded => return None,
                StepStatus::Failed => return Some(self.rest_of_failed(step, place, present)),
                StepStatus::Interrupted(reason) => {
                    if let Some(rest) = self.rest_of_interrupted(step, place, present, reason) {
                        return Some(rest);
                    }
                    present.attempt + 1
                }
                StepStatus::Backoff(at) if at > now => {
                    next.timer = Some(next.timer.map_or(at, |timer| timer.min(at)));
                    return None;
                }
                StepStatus::Backoff(_) | StepStatus::Again => present.attempt + 1,
            },
        };
        next.starts.push(Start { step, place: place.clone(), attempt, input: input.clone() });
        None
    }

    fn visit_items(
        &self,
        step: StepIndex,
        concurrency: u32,
        total: usize,
        state: &State,
        now: Timestamp,
        next: &mut Next,
    ) -> Option<Rest> {
        let items = self.items.as_deref().unwrap_or_default();
        let group = state.steps.get(&self.graph.step(step).name);
        let begun = group.map_or(0, |group| group.items.len());
        let mut room = (concurrency as usize).saturating_sub(group.map_or(0, |group| group.running));
        for (at, item) in group.iter().flat_map(|group| group.again.iter().copied()) {
            if at > now {
                next.timer = Some(next.timer.map_or(at, |timer| timer.min(at)));
                break;
            }
            if room == 0 {
                return None;
            }
            let place = self.place(step, Some(item));
            let Some(input) = items.get(item as usize) else { continue };
            if let Some(rest) = self.visit_step(step, &place, state.step(&place), input, now, next) {
                return Some(rest);
            }
            room -= 1;
        }
        for item in (begun..total).take(room) {
            let place = self.place(step, u32::try_from(item).ok());
            next.starts.push(Start { step, place, attempt: 1, input: items[item].clone() });
        }
        None
    }

    /// Splits the input of a map into its items, once.
    fn split(&mut self, step: StepIndex) -> Result<usize, PlanError> {
        if self.items.is_none() {
            let not_a_list =
                |source| PlanError::NotAList { step: self.graph.step(step).name.to_string(), source };
            let items: Vec<&RawValue> = serde_json::from_str(self.input.text()).map_err(not_a_list)?;
            self.items = Some(items.into_iter().map(Payload::from_raw).collect());
        }
        Ok(self.items.as_ref().map_or(0, Vec::len))
    }

    fn is_doubtful(&self, step: StepIndex, item: u32, state: &State) -> bool {
        let effect = self.limits[step.0].effect.value;
        effect == Effect::NotIdempotent && {
            let failed = state.step(&self.place(step, Some(item)));
            failed
                .and_then(|failed| failed.failure.as_ref())
                .is_some_and(|failure| is_in_doubt(failure, effect))
        }
    }

    fn place(&self, step: StepIndex, item: Option<u32>) -> Place {
        Place { step: self.graph.step(step).name.clone(), item }
    }

    fn rest_of_failed(&self, step: StepIndex, place: &Place, failed: &StepState) -> Rest {
        let failure =
            failed.failure.clone().unwrap_or_else(|| Failure::undecodable("the failure", "missing"));
        let limits = &self.limits[step.0];
        let pause = |reason, message| Rest::Pause {
            reason,
            place: Some(place.clone()),
            message,
            failure: Some(failure.clone()),
        };
        if is_in_doubt(&failure, limits.effect.value) {
            let message = format!(
                "{place} must not be repeated blindly and did not end: {failure}. Find out whether its effect happened; then `retry` if it did not"
            );
            return pause(PauseReason::InDoubt, message);
        }
        match &failed.then {
            Some(Then::Exhausted(limit)) if limits.on_exhausted.value == OnExhausted::Pause => {
                let attempts = failed.attempt - failed.spent;
                let message = format!(
                    "{place} failed {attempts} times ({}), last: {failure}. Mend the cause, then `retry`",
                    words_for(limit)
                );
                pause(PauseReason::Exhausted, message)
            }
            _ if failure.class.pauses() => pause(
                PauseReason::NeedsAttention,
                format!("{place}: {failure}. Mend the cause, then `retry`"),
            ),
            _ => Rest::Fail { place: Some(place.clone()), failure },
        }
    }

    fn rest_of_interrupted(
        &self,
        step: StepIndex,
        place: &Place,
        lost: &StepState,
        reason: LostReason,
    ) -> Option<Rest> {
        let limits = &self.limits[step.0];
        let pause = |reason, message| {
            Some(Rest::Pause { reason, place: Some(place.clone()), message, failure: None })
        };
        if limits.effect.value == Effect::NotIdempotent {
            let how = match reason {
                LostReason::Crash => "its worker died",
                LostReason::Shutdown => "its worker shut down",
                LostReason::Stopped => "it was stopped",
            };
            let message = format!(
                "{place} must not be repeated blindly, and {how} while it ran. Find out whether its effect happened; then `retry` if it did not"
            );
            return pause(PauseReason::InDoubt, message);
        }
        if lost.crashes >= limits.crash_max.value {
            let message = format!(
                "the worker died {} times in a row while {place} ran. See what it does to its process, then `retry`",
                lost.crashes
            );
            return pause(PauseReason::Quarantined, message);
        }
        None
    }
}

/// Whether a step that must not be repeated blindly may have had its effect although it failed: it was cut off, not
/// refused.
fn is_in_doubt(failure: &Failure, effect: Effect) -> bool {
    effect == Effect::NotIdempotent
        && matches!(failure.class, ErrorClass::Timeout | ErrorClass::Bug | ErrorClass::LostWorker)
}

/// What follows from a failed attempt. `random` is from 0 to 1 and spreads the delays.
#[must_use]
pub fn after_failure(
    step: &StepState,
    limits: &Effective,
    failure: &Failure,
    now: Timestamp,
    random: f64,
) -> Then {
    if is_in_doubt(failure, limits.effect.value) {
        return Then::Never;
    }
    let elapsed_ms = now.since_ms(step.began_at);
    let ask = RetryAsk { attempt: step.attempt - step.spent, elapsed_ms, failure, random };
    match limits.retry.value.decide(ask) {
        RetryDecision::Never => Then::Never,
        RetryDecision::Exhausted { limit } => Then::Exhausted(limit.to_owned()),
        RetryDecision::Again { delay_ms } => match limits.deadline_ms.value {
            Some(deadline_ms) if elapsed_ms.saturating_add(delay_ms) >= deadline_ms => {
                Then::Exhausted("deadline".to_owned())
            }
            _ => Then::RetryAt(now.plus_ms(delay_ms)),
        },
    }
}

/// Why a step is not tried again, in words.
fn words_for(limit: &str) -> String {
    match limit {
        "class" => "an error of this class is tried again only once".to_owned(),
        "deadline" => "its deadline leaves no time for another".to_owned(),
        other => format!("{other} is used up"),
    }
}
