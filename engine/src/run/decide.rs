//! What a run does next: a pure function of its definition, its state and the time.

use std::collections::HashMap;
use std::sync::Arc;

use stepwell_contract::{Name, Payload, PayloadError, Timestamp};

use crate::run::event::{Event, PauseReason, UndoStarted};
use crate::run::output::Shape;
use crate::run::place::Place;
use crate::run::state::{Request, State};
use crate::run::waiting::RunEnd;
use crate::run::walk::{At, Flow, Walk};
use crate::workflow::failure::Failure;
use crate::workflow::graph::{Graph, StepIndex};
use crate::workflow::policy::Effective;

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
    /// What is recorded before anything starts: sleeps, waits and their ends.
    pub events: Vec<Event>,
    /// Attempts to start.
    pub starts: Vec<Start>,
    /// Whether more could be started at once than was allowed.
    pub wants: bool,
    /// How it comes to rest; only when nothing runs and nothing starts.
    pub rest: Option<Rest>,
    /// Whether the attempts that run are to be stopped.
    pub stop: bool,
    /// When there is something to do again, whatever happens before.
    pub timer: Option<Timestamp>,
    /// Steps left to someone outside, who has said nothing in time: each has failed.
    pub overdue: Vec<Place>,
    /// Whether it waits for work: its own, or that of others.
    pub is_busy: bool,
}

/// Why the definition cannot go on with what the journal holds.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The input of a map is not a list.
    #[error("the input of the map of {step} is not a list: {source}")]
    NotAList {
        /// The first step in the map.
        step: String,
        /// What is wrong.
        source: PayloadError,
    },
    /// What a step gave does not say what the definition needs from it.
    #[error("step {step} was to give {wanted}, and gave {given}")]
    Strange {
        /// The step.
        step: Place,
        /// What is needed.
        wanted: &'static str,
        /// What is there, shortened.
        given: String,
    },
    /// A step that a later node recalls has no output of its own: it was skipped.
    #[error("{step} has no output to recall: it was skipped without one")]
    NothingToRecall {
        /// The step.
        step: Place,
    },
    /// An output cannot be put together.
    #[error(transparent)]
    Output(#[from] PayloadError),
}

/// The walk of one run through its definition. It only ever moves forward and looks at what has changed, so each call
/// costs what there is to do, not what was done.
#[derive(Debug)]
pub struct Plan {
    graph: Arc<Graph>,
    limits: Arc<[Effective]>,
    flow: Flow,
    /// The steps that undo others, by the names of those.
    undos: HashMap<Name, StepIndex>,
    /// How many of the latest completed steps have been undone.
    undone: usize,
}

impl Plan {
    /// A walk from the start. The first [`next`](Self::next) goes on to where the state is.
    #[must_use]
    pub fn new(graph: Arc<Graph>, limits: Arc<[Effective]>, state: &State) -> Self {
        let undos = graph.steps.iter().filter_map(|step| Some((step.name.clone(), step.undo?))).collect();
        Self { graph, limits, flow: Flow::new(state.created.input.clone()), undos, undone: 0 }
    }

    /// How many nodes of the outermost sequence have their output, as of the last [`next`](Self::next), and how many there
    /// are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.flow.done(), self.graph.nodes.len())
    }

    /// Takes note of an event that the state has taken in: the next [`next`](Self::next) looks where it happened. After one
    /// that changes what was recorded before, the walk begins anew.
    pub fn note(&mut self, event: &Event, state: &State) {
        match event {
            event if event.is_edit() => self.flow = Flow::new(state.created.input.clone()),
            Event::SignalReceived(_) => self.flow.touch_all(),
            event => {
                if let Some(place) = event.place() {
                    self.flow.touch(place, 0);
                }
            }
        }
    }

    /// What the run does now, with at most `starts_max` attempts. The caller writes the events of all of it before it does
    /// any.
    ///
    /// # Errors
    /// [`PlanError`]: the journal does not fit the definition; nothing must be written but a pause that says so.
    pub fn next(&mut self, state: &State, now: Timestamp, starts_max: usize) -> Result<Next, PlanError> {
        if let Some(ending) = &state.ending {
            let rest = (state.running == 0).then(|| rest_of(&ending.end, state)).transpose()?;
            return Ok(Next { rest, stop: true, ..Next::default() });
        }
        // Once the deadline is past, only the end of what still runs leads on.
        let deadline = state.deadline_at.filter(|at| *at > now);
        if state.request == Some(Request::Undo) && state.running > 0 {
            return Ok(Next { stop: true, ..Next::default() });
        }
        if state.request == Some(Request::Undo) {
            return Ok(self.begin_undo(state, now, starts_max, (None, None), Rest::Cancel));
        }
        if let Some(rest) = ordered_rest(state, now) {
            if let Rest::Fail { place, failure } = &rest
                && state.running == 0
            {
                let because = (place.clone(), Some(failure.clone()));
                return Ok(self.begin_undo(state, now, starts_max, because, rest));
            }
            let stop = state.request != Some(Request::Pause);
            let rest = (state.running == 0).then_some(rest);
            return Ok(Next { rest, stop, timer: deadline, ..Next::default() });
        }
        if state.undoing.is_some() {
            return Ok(self.undo(state, now, starts_max));
        }
        let mut walk = Walk::new(&self.graph, &self.limits, state, now, starts_max);
        let at = self.flow.advance(&self.graph.nodes, &mut walk)?;
        let (overdue, wants) = (std::mem::take(&mut walk.overdue), walk.lacks_room);
        let (events, starts, timer) = walk.decided();
        let timer = timer.into_iter().chain(deadline).min();
        let mut next = Next { events, starts, wants, timer, overdue, ..Next::default() };
        match at {
            At::Done(output) => {
                let result = Shape::of(&self.graph, &self.graph.nodes);
                next.rest = (state.running == 0).then_some(Rest::Succeed { result, output });
            }
            At::Stuck(trouble) => {
                // Nothing more is started, what runs may end, then the run comes to rest.
                next.starts.clear();
                if state.running > 0 {
                    return Ok(next);
                }
                if let Rest::Fail { place, failure } = &trouble.rest {
                    let because = (place.clone(), Some(failure.clone()));
                    let undo = self.begin_undo(state, now, starts_max, because, trouble.rest);
                    next.events.extend(undo.events);
                    return Ok(Next { events: next.events, ..undo });
                }
                next.rest = Some(trouble.rest);
            }
            At::Busy => next.is_busy = true,
            At::Wants | At::Idle => {}
        }
        Ok(next)
    }

    /// Begins to undo what was done; the run comes to `rest` at once when there is nothing to undo.
    fn begin_undo(
        &mut self,
        state: &State,
        now: Timestamp,
        starts_max: usize,
        (place, failure): (Option<Place>, Option<Failure>),
        rest: Rest,
    ) -> Next {
        if !state.completed.iter().any(|place| self.undos.contains_key(&place.step)) {
            // A request to undo that has nothing to undo is carried out by this alone.
            let events = if matches!(rest, Rest::Cancel) {
                vec![UndoStarted { place: None, failure: None }.into()]
            } else {
                Vec::new()
            };
            return Next { events, rest: Some(rest), ..Next::default() };
        }
        let mut next = self.undo(state, now, starts_max);
        next.events.insert(0, UndoStarted { place, failure }.into());
        next
    }

    /// Undoes the steps that have their results, the latest first, one after the other.
    fn undo(&mut self, state: &State, now: Timestamp, starts_max: usize) -> Next {
        let mut walk = Walk::new(&self.graph, &self.limits, state, now, starts_max);
        while let Some(place) = state.completed.iter().rev().nth(self.undone) {
            let output = state.step(place).and_then(|step| step.output.as_ref());
            if let (Some(undo), Some(output)) = (self.undos.get(&place.step), output) {
                match walk.step(*undo, &place.item, output, true) {
                    At::Done(_) => {}
                    At::Stuck(trouble) => {
                        let rest = (state.running == 0).then(|| trouble.rest.held(place));
                        return Next { rest, ..Next::default() };
                    }
                    at @ (At::Busy | At::Idle | At::Wants) => {
                        let wants = matches!(at, At::Wants);
                        let overdue = std::mem::take(&mut walk.overdue);
                        let (events, starts, timer) = walk.decided();
                        return Next { events, starts, wants, timer, overdue, ..Next::default() };
                    }
                }
            }
            self.undone += 1;
        }
        let because = state.undoing.clone();
        let rest = match because.and_then(|because| Some((because.place, because.failure?))) {
            Some((place, failure)) => Rest::Fail { place, failure },
            None => Rest::Cancel,
        };
        Next { rest: (state.running == 0).then_some(rest), ..Next::default() }
    }
}

impl Rest {
    /// The end of the run that it is; `None` when the run is only held.
    pub(crate) fn end(&self) -> Option<RunEnd> {
        match self {
            Self::Succeed { result, .. } => Some(RunEnd::Succeeded { result: result.clone() }),
            Self::Fail { place, failure } => {
                Some(RunEnd::Failed { place: place.clone(), failure: Box::new(failure.clone()) })
            }
            Self::Cancel => Some(RunEnd::Cancelled),
            Self::Pause { .. } => None,
        }
    }

    /// The step that it is about.
    pub(crate) fn place(&self) -> Option<&Place> {
        match self {
            Self::Fail { place, .. } | Self::Pause { place, .. } => place.as_ref(),
            Self::Succeed { .. } | Self::Cancel => None,
        }
    }

    /// A run that could not be undone is held for a person, whatever the step's policy says: it is neither done nor undone.
    fn held(self, undone: &Place) -> Self {
        match self {
            Self::Fail { place, failure } => Self::Pause {
                reason: PauseReason::NeedsAttention,
                place,
                message: format!("{undone} could not be undone: {failure}. Mend the cause, then `retry`"),
                failure: Some(failure),
            },
            other => other,
        }
    }
}

/// How a run comes to rest whose end was decided before.
fn rest_of(end: &RunEnd, state: &State) -> Result<Rest, PayloadError> {
    Ok(match end {
        RunEnd::Cancelled => Rest::Cancel,
        RunEnd::Failed { place, failure } => {
            Rest::Fail { place: place.clone(), failure: Failure::clone(failure) }
        }
        RunEnd::Succeeded { result } => {
            let output = result.result(state)?.unwrap_or_else(Payload::null);
            Rest::Succeed { result: result.clone(), output }
        }
    })
}

/// How the run has to come to rest whatever its steps do: by request, or because its time is over.
fn ordered_rest(state: &State, now: Timestamp) -> Option<Rest> {
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
        Some(Request::Undo) | None => {}
    }
    // What was done is undone however long it takes.
    if state.undoing.is_some() {
        return None;
    }
    let deadline = state.deadline_at.filter(|at| *at <= now)?;
    let allowed_ms = deadline.since_ms(state.begins_at());
    Some(Rest::Fail { place: None, failure: Failure::timeout("run_deadline", allowed_ms, "start") })
}
