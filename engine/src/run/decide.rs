//! What a run does next: a pure function of its definition, its state and the time.

use std::sync::Arc;

use stepwell_contract::{Payload, PayloadError, Timestamp};

use crate::run::event::{Event, PauseReason};
use crate::run::output::Shape;
use crate::run::place::Place;
use crate::run::state::{Request, State};
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
}

impl Plan {
    /// A walk from the start. The first [`next`](Self::next) goes on to where the state is.
    #[must_use]
    pub fn new(graph: Arc<Graph>, limits: Arc<[Effective]>, state: &State) -> Self {
        Self { graph, limits, flow: Flow::new(state.created.input.clone()) }
    }

    /// How many nodes of the outermost sequence have their output, as of the last [`next`](Self::next), and how many there
    /// are.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.flow.done(), self.graph.nodes.len())
    }

    /// Takes note of an event that the state has taken in: the next [`next`](Self::next) looks where it happened.
    pub fn note(&mut self, event: &Event) {
        match event {
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
        // Once the deadline is past, only the end of what still runs leads on.
        let deadline = state.deadline_at.filter(|at| *at > now);
        if let Some(rest) = ordered_rest(state, now) {
            let stop = state.request != Some(Request::Pause);
            let rest = (state.running == 0).then_some(rest);
            return Ok(Next { rest, stop, timer: deadline, ..Next::default() });
        }
        let mut walk = Walk::new(&self.graph, &self.limits, state, now, starts_max);
        let at = self.flow.advance(&self.graph.nodes, &mut walk)?;
        let (events, starts, timer) = walk.decided();
        let timer = timer.into_iter().chain(deadline).min();
        let mut next = Next { events, starts, timer, ..Next::default() };
        match at {
            At::Done(output) => {
                let result = Shape::of(&self.graph, &self.graph.nodes);
                next.rest = (state.running == 0).then_some(Rest::Succeed { result, output });
            }
            At::Stuck(trouble) => {
                // Nothing more is started, what runs may end, then the run comes to rest.
                next.starts.clear();
                next.rest = (state.running == 0).then_some(trouble.rest);
            }
            At::Busy | At::Idle | At::Wants => {}
        }
        Ok(next)
    }
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
        None => {}
    }
    let deadline = state.deadline_at.filter(|at| *at <= now)?;
    let allowed_ms = deadline.since_ms(state.created_at);
    Some(Rest::Fail { place: None, failure: Failure::timeout("run_deadline", allowed_ms, "start") })
}

pub use crate::run::trouble::after_failure;
