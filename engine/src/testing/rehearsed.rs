//! What a rehearsal came to, and what can be asserted of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use stepwell_contract::{Clock, Head, Name, Payload, Record, RunId, RunKey, Status, Timestamp};

use crate::error::Error;
use crate::exec::outcome::Outcome;
use crate::run::event::{Event, PauseReason, StepReported};
use crate::run::place::Place;
use crate::run::state::{FoldError, State};
use crate::run::waiting::Said;
use crate::testing::cast::Spot;
use crate::testing::clock::SkippingTime;
use crate::testing::history::{history, span};
use crate::testing::life::{LifeEnd, Play, key};
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
    /// It waits for a message that nobody was set to send, or for a child that does.
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

/// What a rehearsal came to. Its `Display` is the history of the run and of those that it started; every failed assertion
/// prints it.
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
    id: RunId,
    workflow: Name,
    graph: Arc<Graph>,
    end: End<O>,
    result: Option<Payload>,
    status: Status,
    records: Vec<Record>,
    events: Vec<Event>,
    elapsed: Duration,
    children: Vec<Rehearsed<Value>>,
}

impl<O: DeserializeOwned> Rehearsed<O> {
    /// What is left in a store of the run that was rehearsed and of those that it started.
    pub(crate) fn gather(
        plays: &[Play],
        end: LifeEnd,
        runs: Vec<(Head, Vec<Record>)>,
        time: &SkippingTime,
    ) -> Result<Self, Error> {
        let (mut own, mut children) = (Vec::new(), Vec::new());
        for (head, records) in runs {
            if head.key == key() {
                own = records;
                continue;
            }
            let known = plays.iter().map(|play| &play.definition).find(|definition| {
                *definition.name() == head.workflow && definition.version() == head.workflow_version
            });
            let elsewhere =
                || Definition::elsewhere(head.workflow.clone(), head.workflow_version, head.queue.clone());
            let definition = known.cloned().unwrap_or_else(elsewhere);
            let is_at_rest = head.status.is_finished() || head.status == Status::Paused;
            let end = if is_at_rest { LifeEnd::AtRest } else { LifeEnd::NoWake };
            children.push(Rehearsed::new(&head.key, &definition, end, records, time.now())?);
        }
        children.sort_by(|a, b| a.id.cmp(&b.id));
        let definition = plays.first().map(|play| &play.definition).ok_or_else(|| Error::NoSuchRun(key()))?;
        Ok(Self { children, ..Self::new(&key(), definition, end, own, time.now())? })
    }

    fn new(
        key: &RunKey,
        definition: &Definition,
        end: LifeEnd,
        records: Vec<Record>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let unread = |source: FoldError| Error::Journal { key: key.clone(), source };
        let events: Result<Vec<Event>, _> = records.iter().map(Event::read).collect();
        let events = events.map_err(|error| unread(error.into()))?;
        let state = State::fold(&records);
        let status = state.as_ref().map_or(Status::Queued, |state| state.status);
        let mut result = None;
        let is_over = matches!(end, LifeEnd::AtRest);
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
                Outcome::Failed { place, failure, .. } => End::Failed { place, failure },
                Outcome::Paused { reason, place, message, failure, .. } => {
                    End::Paused { reason, place, message, failure }
                }
                Outcome::Cancelled => End::Cancelled,
                Outcome::Released => End::Waiting,
            },
        };
        let began = records.first().map_or(now, |record| record.at);
        // Those that it has left behind may go on after it, and tell it what it takes no more.
        let ended = records.iter().zip(&events).rev().find(|(_, event)| is_over && comes_to_rest(event));
        let ended = ended.map_or(now, |(record, _)| record.at);
        let elapsed = Duration::from_millis(ended.since_ms(began));
        let (id, workflow, graph) =
            (key.run.clone(), definition.name().clone(), Arc::clone(definition.graph()));
        Ok(Self { id, workflow, graph, end, result, status, records, events, elapsed, children: Vec::new() })
    }
}

impl<O> Rehearsed<O> {
    /// The id of the run: `rehearsal` for the one that was rehearsed.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Every run that came of it, the children of its children too, by id.
    #[must_use]
    pub fn children(&self) -> &[Rehearsed<Value>] {
        &self.children
    }

    /// The run of that id that came of it: `rehearsal.shipment` is what step `shipment` started.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn child(&self, id: &str) -> &Rehearsed<Value> {
        let found = self.children.iter().find(|child| child.id() == id);
        let ids = || self.children.iter().map(Rehearsed::id).collect::<Vec<_>>().join(", ");
        found.unwrap_or_else(|| panic!("there is no run {id}; there is {}\n{self}", ids()))
    }

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
            Event::StepReported(StepReported { place, said: Said::Failed(failed), .. }) if is_it(place) => {
                Some(&*failed.failure)
            }
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
            Event::StepReported(StepReported { place, said: Said::Succeeded { output }, .. })
                if is_it(place) =>
            {
                Some(output)
            }
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

/// Whether a run is at rest after this.
fn comes_to_rest(event: &Event) -> bool {
    matches!(
        event,
        Event::RunSucceeded(_)
            | Event::RunFailed(_)
            | Event::RunCancelled(_)
            | Event::RunPaused(_)
            | Event::RunTerminated(_)
    )
}

/// How the run ended and all that happened to it.
impl<O> fmt::Display for Rehearsed<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (workflow, elapsed) = (&self.workflow, span(self.elapsed));
        let of = if self.id == key().run { String::new() } else { format!(", run {}", self.id) };
        writeln!(f, "{workflow}{of}: {} after {elapsed} of simulated time", self.end)?;
        f.write_str(&history(&self.records))?;
        self.children.iter().try_for_each(|child| child.fmt(f))
    }
}
