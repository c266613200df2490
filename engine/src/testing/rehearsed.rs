//! What a rehearsal came to, and what can be asserted of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use stepwell_contract::{Clock, Name, Payload, Record, Status};

use crate::error::Error;
use crate::exec::outcome::Outcome;
use crate::run::event::{Event, PauseReason};
use crate::run::place::Place;
use crate::run::state::{FoldError, State};
use crate::testing::cast::Spot;
use crate::testing::clock::SkippingTime;
use crate::testing::history::{history, span};
use crate::testing::life::{LifeEnd, key};
use crate::workflow::definition::Definition;
use crate::workflow::failure::Failure;
use crate::workflow::graph::Graph;
use crate::workflow::step::decode;

/// How far a run went.
#[derive(Debug, Clone, PartialEq)]
pub enum End<O> {
    /// It has its result.
    Succeeded(O),
    /// It failed.
    Failed {
        /// The step that failed; `None` when a limit of the run did.
        place: Option<Place>,
        /// What went wrong.
        failure: Failure,
    },
    /// It is held until a person moves it on.
    Paused {
        /// Why.
        reason: PauseReason,
        /// The step that it is about.
        place: Option<Place>,
        /// What is said to people.
        message: String,
        /// The failure behind it.
        failure: Option<Failure>,
    },
    /// It was cancelled.
    Cancelled,
    /// It waits for a message, and no timer: in a rehearsal nobody sends one.
    Waiting,
    /// It was left as it was: a step hangs that no limit ends, is tried again for ever, or took too long in real time.
    GivenUp {
        /// Which of these, in words.
        why: String,
    },
}

impl<O> fmt::Display for End<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded(_) => f.write_str("succeeded"),
            Self::Failed { place: Some(place), failure } => write!(f, "failed at {place}: {failure}"),
            Self::Failed { place: None, failure } => write!(f, "failed: {failure}"),
            Self::Paused { reason, message, .. } => write!(f, "paused, {reason:?}: {message}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Waiting => f.write_str("waiting for a message that nobody sends"),
            Self::GivenUp { why } => write!(f, "given up: {why}"),
        }
    }
}

/// What a rehearsal came to. Its `Display` is the history of the run; every failed assertion prints it.
///
/// ```
/// use stepwell::prelude::*;
/// use stepwell::testing;
/// # tokio_test::block_on(async {
/// let workflow = Workflow::named("sum")
///     .step_fn("double", |_ctx, n: u64| async move { Ok(n * 2) })
///     .step_fn("check", |_ctx, n: u64| async move {
///         if n > 10 { Err(StepError::validation("too much")) } else { Ok(n) }
///     })
///     .build()
///     .unwrap();
/// let run = testing::run(workflow, 6u64).await;
///
/// assert_eq!(run.assert_failed().message, "too much");
/// assert_eq!(run.output_of::<u64>("double"), 12);
/// assert_eq!(run.order_of_steps(), ["double", "check"]);
/// assert_eq!(run.attempts("check"), 1);
/// assert!(run.to_string().contains("check failed, attempt 1"));
/// # });
/// ```
#[derive(Debug)]
pub struct Rehearsed<O> {
    workflow: Name,
    graph: Arc<Graph>,
    end: End<O>,
    result: Option<Payload>,
    status: Status,
    records: Vec<Record>,
    events: Vec<Event>,
    elapsed: Duration,
}

impl<O: DeserializeOwned> Rehearsed<O> {
    pub(crate) fn new(
        definition: &Definition,
        end: LifeEnd,
        records: Vec<Record>,
        time: &SkippingTime,
    ) -> Result<Self, Error> {
        let unread = |source: FoldError| Error::Journal { key: key(), source };
        let events: Result<Vec<Event>, _> = records.iter().map(Event::read).collect();
        let events = events.map_err(|error| unread(error.into()))?;
        let state = State::fold(&records);
        let status = state.as_ref().map_or(Status::Queued, |state| state.status);
        let mut result = None;
        let end = match end {
            LifeEnd::NoWake => End::Waiting,
            LifeEnd::GivenUp(why) => End::GivenUp { why },
            LifeEnd::Died(of) => End::GivenUp { why: format!("the process died: {of}") },
            LifeEnd::AtRest => match Outcome::of(&state.map_err(unread)?)? {
                Outcome::Succeeded(output) => {
                    let value = decode(&output, "result of the run");
                    result = Some(output);
                    value.map_or_else(|failure| End::Failed { place: None, failure }, End::Succeeded)
                }
                Outcome::Failed { place, failure } => End::Failed { place, failure },
                Outcome::Paused { reason, place, message, failure } => {
                    End::Paused { reason, place, message, failure }
                }
                Outcome::Cancelled => End::Cancelled,
                Outcome::Released => End::Waiting,
            },
        };
        let began = records.first().map_or_else(|| time.now(), |record| record.at);
        let elapsed = Duration::from_millis(time.now().since_ms(began));
        let (workflow, graph) = (definition.name().clone(), Arc::clone(definition.graph()));
        Ok(Self { workflow, graph, end, result, status, records, events, elapsed })
    }
}

impl<O> Rehearsed<O> {
    /// How far the run went.
    #[must_use]
    pub fn end(&self) -> &End<O> {
        &self.end
    }

    /// The result, if the run has one.
    #[must_use]
    pub fn result(&self) -> Option<&O> {
        match &self.end {
            End::Succeeded(result) => Some(result),
            _ => None,
        }
    }

    /// The failure that the run ended with, or that it is held for.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.end {
            End::Failed { failure, .. } => Some(failure),
            End::Paused { failure, .. } => failure.as_ref(),
            _ => None,
        }
    }

    /// Why the run is held and what is said to people, if it is held.
    #[must_use]
    pub fn pause(&self) -> Option<(PauseReason, &str)> {
        match &self.end {
            End::Paused { reason, message, .. } => Some((*reason, message)),
            _ => None,
        }
    }

    /// Where the run is, by its journal.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The simulated time from the start of the run to its end.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Every record of the run, oldest first.
    #[must_use]
    pub fn journal(&self) -> &[Record] {
        &self.records
    }

    /// What the records say, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many attempts of a step began; of a map, of all its items. `"pack[2]"` is the third item.
    ///
    /// # Panics
    /// When the workflow has no such step.
    #[must_use]
    #[track_caller]
    pub fn attempts(&self, name: &str) -> usize {
        let is_it = self.places(name);
        let began = |event: &&Event| matches!(event, Event::StepStarted(started) if is_it(&started.place));
        self.events.iter().filter(began).count()
    }

    /// Why attempts of a step failed, oldest first. Names are as for [`attempts`](Self::attempts).
    ///
    /// # Panics
    /// When the workflow has no such step.
    #[must_use]
    #[track_caller]
    pub fn failures_of(&self, name: &str) -> Vec<&Failure> {
        let is_it = self.places(name);
        let failures = self.events.iter().filter_map(|event| match event {
            Event::AttemptFailed(failed) if is_it(&failed.place) => Some(&failed.failure),
            _ => None,
        });
        failures.collect()
    }

    /// The recorded output of a step, or of an item of a map, such as `"pack[2]"`.
    ///
    /// # Panics
    /// When there is none, it is not a `T`, or the workflow has no such step.
    #[must_use]
    #[track_caller]
    pub fn output_of<T: DeserializeOwned>(&self, name: &str) -> T {
        let is_it = self.places(name);
        let output = self.events.iter().rev().find_map(|event| match event {
            Event::StepSucceeded(succeeded) if is_it(&succeeded.place) => Some(&succeeded.output),
            _ => None,
        });
        let Some(output) = output else { panic!("{name} has no output\n{self}") };
        decode(output, "output").unwrap_or_else(|failure| panic!("{name}: {failure}\n{self}"))
    }

    /// The steps, and the items of maps, in the order in which their first attempts began.
    #[must_use]
    pub fn order_of_steps(&self) -> Vec<String> {
        let begun = self.events.iter().filter_map(|event| match event {
            Event::StepStarted(started) if started.attempt == 1 => Some(started.place.to_string()),
            _ => None,
        });
        begun.collect()
    }

    /// The result.
    ///
    /// # Panics
    /// When the run did not succeed.
    #[track_caller]
    pub fn assert_succeeded(&self) -> &O {
        match &self.end {
            End::Succeeded(result) => result,
            end => panic!("the run should have succeeded; it is {end}\n{self}"),
        }
    }

    /// What the run failed with.
    ///
    /// # Panics
    /// When the run did not fail.
    #[track_caller]
    pub fn assert_failed(&self) -> &Failure {
        match &self.end {
            End::Failed { failure, .. } => failure,
            end => panic!("the run should have failed; it is {end}\n{self}"),
        }
    }

    /// What is said to people of why the run is held.
    ///
    /// # Panics
    /// When the run is not held for this reason.
    #[track_caller]
    pub fn assert_paused(&self, expected: PauseReason) -> &str {
        match &self.end {
            End::Paused { reason, message, .. } if *reason == expected => message,
            end => panic!("the run should have paused, {expected:?}; it is {end}\n{self}"),
        }
    }

    /// Sees that so many attempts of a step began. Names are as for [`attempts`](Self::attempts).
    ///
    /// # Panics
    /// When it were more or fewer, or the workflow has no such step.
    #[track_caller]
    pub fn assert_attempts(&self, name: &str, expected: usize) {
        let found = self.attempts(name);
        assert!(found == expected, "{name} should have had {expected} attempts; it had {found}\n{self}");
    }

    /// The workflow.
    pub(crate) fn workflow(&self) -> &Name {
        &self.workflow
    }

    /// What it consists of.
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The result as it is stored.
    pub(crate) fn stored(&self) -> Option<&Payload> {
        self.result.as_ref()
    }

    #[track_caller]
    fn places(&self, name: &str) -> impl Fn(&Place) -> bool {
        let spot = Spot::named(&self.workflow, &self.graph, name).unwrap_or_else(|error| panic!("{error}"));
        move |place| spot.has(place)
    }
}

/// How the run ended and all that happened to it.
impl<O> fmt::Display for Rehearsed<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (workflow, elapsed) = (&self.workflow, span(self.elapsed));
        writeln!(f, "{workflow}: {} after {elapsed} of simulated time", self.end)?;
        f.write_str(&history(&self.records))
    }
}
