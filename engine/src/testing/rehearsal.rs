//! A workflow about to be tried out: its steps, those that others stand in for, and what they need.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Backend, MemoryBackend, Name, Payload, Query};

use crate::error::Error;
use crate::exec::load;
use crate::run::report::Report;
use crate::run::request::Ask;
use crate::testing::cast::{Act, Cast, Spot};
use crate::testing::life::{LifeEnd, Play, Program, World, live};
use crate::testing::outside::Outside;
use crate::testing::rehearsed::Rehearsed;
use crate::testing::stage::Death;
use crate::workflow::classify::Classifiers;
use crate::workflow::context::Resources;
use crate::workflow::definition::Workflow;
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::graph::Graph;
use crate::workflow::nearest::nearest;
use crate::workflow::policy::StepPolicy;
use crate::workflow::step::{Erased, SharedStep, Step, StepFn};

/// Why a rehearsal did not take place. What the workflow itself does is never an error: see [`Rehearsed`].
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A stand-in was given for a step that the workflow does not have.
    #[error("workflow {workflow} has no step {name:?}{hint}")]
    NoSuchStep {
        /// The workflow.
        workflow: Name,
        /// The name asked for.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// Attempts are counted from 1.
    #[error("attempts are counted from 1: {name} has no attempt 0")]
    NoSuchAttempt {
        /// The step.
        name: String,
    },
    /// A process was to die, and a step of it blocks its thread: it would go on beside the next process.
    #[error(
        "the process died (writing: {writing}), and {steps} cannot be stopped, for it blocks its thread: \
         use `tokio::task::spawn_blocking` for such work"
    )]
    Unstoppable {
        /// What was being written.
        writing: String,
        /// The steps.
        steps: String,
    },
    /// The engine did not take the workflow or its input.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// A workflow about to be tried out in memory, in time that skips whatever nobody works in.
///
/// Stand-ins keep the limits of the step they stand in for: its retries, timeouts and [`Effect`](crate::Effect) are what
/// is tried. A name that is no step of the workflow is told by [`run`](Self::run), with the nearest that is.
///
/// ```
/// use stepwell::prelude::*;
/// use stepwell::testing::Rehearsal;
/// # tokio_test::block_on(async {
/// let workflow = Workflow::named("order")
///     .step_fn("charge", |_ctx, cents: u64| async move { Ok(format!("paid {cents}")) })
///     .policy(StepPolicy::default().retry(Retry::fixed(hours(6))))
///     .step_fn("ship", |_ctx, receipt: String| async move { Ok(format!("shipped, {receipt}")) })
///     .build()
///     .unwrap();
///
/// let run = Rehearsal::new(workflow)
///     .mock("charge", |cents: u64| Ok(format!("test card, {cents}")))
///     .fail("charge", 1, StepError::unavailable("the gateway is down"))
///     .run(&4200u64)
///     .await;
///
/// assert_eq!(run.assert_succeeded(), "shipped, test card, 4200");
/// assert_eq!(run.attempts("charge"), 2);
/// assert_eq!(run.elapsed(), hours(6)); // and took milliseconds
/// # });
/// ```
#[must_use = "a rehearsal takes place when it is `run`"]
pub struct Rehearsal<I, O> {
    play: Play,
    /// Of the workflows whose runs it starts.
    others: Vec<Play>,
    resources: Resources,
    classifiers: Classifiers,
    engine_policy: StepPolicy,
    patience: Duration,
    at_most: Duration,
    refused: Option<RehearsalError>,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> From<Workflow<I, O>> for Rehearsal<I, O> {
    fn from(workflow: Workflow<I, O>) -> Self {
        Self::new(workflow)
    }
}

impl<I, O> fmt::Debug for Rehearsal<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").field("workflow", self.play.definition.name()).finish_non_exhaustive()
    }
}

impl<I, O> Rehearsal<I, O> {
    /// A rehearsal of the workflow as it is.
    pub fn new(workflow: Workflow<I, O>) -> Self {
        Self {
            play: Play {
                definition: workflow.into_definition(),
                cast: Cast::default(),
                outside: Outside::default(),
            },
            others: Vec::new(),
            resources: Resources::default(),
            classifiers: Classifiers::default(),
            engine_policy: StepPolicy::default(),
            patience: Duration::from_secs(5),
            at_most: Duration::from_secs(60),
            refused: None,
            types: PhantomData,
        }
    }

    /// Lets a closure stand in for a step. Where the step is mapped it stands in for each item.
    pub fn mock<In, Out, F>(self, name: &str, answer: F) -> Self
    where
        F: Fn(In) -> StepResult<Out> + Send + Sync + 'static,
        In: DeserializeOwned + Send + 'static,
        Out: Serialize + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        let run = move |_ctx, input: In| {
            let answer = Arc::clone(&answer);
            async move { answer(input) }
        };
        self.stand_in(name, Arc::new(StepFn::new(run)))
    }

    /// Lets another step stand in for a step, whatever its own name and limits are.
    pub fn replace<S: Step>(self, name: &str, step: S) -> Self {
        self.stand_in(name, Arc::new(Erased(step)))
    }

    /// Makes an attempt fail before the step runs. Attempts are counted from 1 for each run of the step; in a map
    /// `"pack"` is each item and `"pack[2]"` the third.
    pub fn fail(self, name: &str, attempt: u32, error: StepError) -> Self {
        self.turn(name, attempt, Act::Fail(Arc::new(error)))
    }

    /// Makes an attempt hang instead of running the step: a limit of time cuts it off. Names are as for
    /// [`fail`](Self::fail).
    pub fn hang(self, name: &str, attempt: u32) -> Self {
        self.turn(name, attempt, Act::Hang)
    }

    /// Adds a workflow whose runs this one starts as its children: as it is, or a rehearsal of its own, with the stand-ins,
    /// failures and answers for its steps. Of that one's settings only its resources count, where this one has none of their
    /// type.
    ///
    /// ```
    /// use stepwell::prelude::*;
    /// use stepwell::testing::Rehearsal;
    /// # tokio_test::block_on(async {
    /// let ship = Workflow::named("ship")
    ///     .step_fn("send", |_ctx, n: u64| async move { Ok(format!("sent {n}")) })
    ///     .build()
    ///     .unwrap();
    /// let order = Workflow::named("order").input::<u64>().child("shipment", &ship).build().unwrap();
    ///
    /// let run = Rehearsal::new(order)
    ///     .with(Rehearsal::new(ship).fail("send", 1, StepError::transient("no van")))
    ///     .run(&7)
    ///     .await;
    ///
    /// assert_eq!(run.assert_succeeded(), "sent 7");
    /// assert_eq!(run.child("rehearsal.shipment").attempts("send"), 2);
    /// # });
    /// ```
    pub fn with<A, B>(mut self, other: impl Into<Rehearsal<A, B>>) -> Self {
        let other = other.into();
        self.others.push(other.play);
        self.others.extend(other.others);
        self.resources.put_missing(&other.resources);
        if let Some(refused) = other.refused {
            self.refuse(refused);
        }
        self
    }

    /// Lets somebody send a signal to a run of this workflow whenever it waits for it, as a node or in the middle of a step.
    /// Said several times for one signal, the first wait gets the first, and so on; all further ones get the last.
    pub fn answer(self, signal: &str, says: impl Serialize) -> Self {
        self.answer_after(signal, Duration::ZERO, says)
    }

    /// Lets the [`answer`](Self::answer) come so long, in simulated time, after the wait has begun.
    pub fn answer_after(mut self, signal: &str, after: Duration, says: impl Serialize) -> Self {
        if let Some((signal, says)) = self.signal(signal, &says) {
            self.play.outside.answer(signal, after, says);
        }
        self
    }

    /// Lets somebody report whenever this step was left to those outside. Said several times for one step, its first attempt
    /// gets the first, and so on; all further ones get the last. Names are as for [`fail`](Self::fail).
    ///
    /// ```
    /// use stepwell::Report;
    /// use stepwell::prelude::*;
    /// use stepwell::testing::Rehearsal;
    /// # tokio_test::block_on(async {
    /// let workflow = Workflow::named("order")
    ///     .input::<u64>()
    ///     .external::<u64>("weigh", hours(8))
    ///     .wait_for::<String>("approved")
    ///     .build()
    ///     .unwrap();
    ///
    /// let run = Rehearsal::new(workflow)
    ///     .report("weigh", Report::failed(StepError::transient("it slipped")))
    ///     .report_after("weigh", hours(1), Report::succeeded(&42u64).unwrap())
    ///     .answer("approved", "by Ada")
    ///     .run(&7)
    ///     .await;
    ///
    /// assert_eq!(run.assert_succeeded(), &(42, "by Ada".to_owned()));
    /// assert_eq!(run.attempts("weigh"), 2);
    /// # });
    /// ```
    pub fn report(self, name: &str, report: Report) -> Self {
        self.report_after(name, Duration::ZERO, report)
    }

    /// Lets the [`report`](Self::report) come so long, in simulated time, after the step was left to those outside. One that
    /// comes too late is refused, as it would be in earnest.
    pub fn report_after(mut self, name: &str, after: Duration, report: Report) -> Self {
        match Spot::named(self.play.definition.name(), self.play.definition.graph(), name) {
            Ok(spot) => self.play.outside.report(spot, after, report),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Sends a signal to each run of this workflow, so long after it was started, whether it waits for it or not.
    pub fn signal_at(mut self, after: Duration, signal: &str, says: impl Serialize) -> Self {
        if let Some((signal, says)) = self.signal(signal, &says) {
            self.play.outside.signal_at(after, signal, says);
        }
        self
    }

    /// Asks something of each run of this workflow, so long after it was started: to cancel, pause or retry, for instance.
    pub fn ask_at(mut self, after: Duration, ask: Ask) -> Self {
        self.play.outside.ask_at(after, ask);
        self
    }

    /// Adds a value that steps get with [`StepContext::resource`](crate::StepContext::resource), one of each type.
    pub fn resource<T: Any + Send + Sync>(self, value: T) -> Self {
        self.shared(Arc::new(value))
    }

    /// Adds a value that the test goes on holding; steps get it as with [`resource`](Self::resource).
    pub fn shared<T: Any + Send + Sync>(mut self, value: Arc<T>) -> Self {
        self.resources.put(value);
        self
    }

    /// Adds to how errors of steps are classified, as the program does with its engine.
    pub fn classifiers(mut self, classifiers: Classifiers) -> Self {
        self.classifiers = classifiers;
        self
    }

    /// Sets the limits of steps that neither they nor the workflow set, as the program does in its
    /// [`EngineOptions`](crate::EngineOptions).
    pub fn engine_policy(mut self, policy: StepPolicy) -> Self {
        self.engine_policy = policy;
        self
    }

    /// Sets how long, in real time, a step may go without a sign before it counts as one that hangs: simulated time then
    /// skips to the limit that cuts it off. 5 s if not set.
    pub fn patience(mut self, real: Duration) -> Self {
        self.patience = real;
        self
    }

    /// Sets how long the whole rehearsal may take, in real time, before it is given up. One minute if not set.
    pub fn at_most(mut self, real: Duration) -> Self {
        self.at_most = real;
        self
    }

    fn stand_in(mut self, name: &str, code: SharedStep) -> Self {
        match named(self.play.definition.name(), self.play.definition.graph(), name) {
            Ok(step) => self.play.cast.stand_in(step, code),
            Err(error) => self.refuse(error),
        }
        self
    }

    fn turn(mut self, name: &str, attempt: u32, act: Act) -> Self {
        if attempt == 0 {
            self.refuse(RehearsalError::NoSuchAttempt { name: name.to_owned() });
        }
        match Spot::named(self.play.definition.name(), self.play.definition.graph(), name) {
            Ok(spot) => self.play.cast.turn(spot, attempt, act),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// A signal by its parts, if they are right.
    fn signal(&mut self, signal: &str, says: &impl Serialize) -> Option<(Name, Payload)> {
        let parts = Name::new(signal).map_err(Error::from);
        match parts.and_then(|signal| Ok((signal, Payload::encode(says)?))) {
            Ok(parts) => Some(parts),
            Err(error) => {
                self.refuse(error.into());
                None
            }
        }
    }

    fn refuse(&mut self, error: RehearsalError) {
        self.refused.get_or_insert(error);
    }
}

impl<I: Serialize, O: DeserializeOwned> Rehearsal<I, O> {
    /// Runs the workflow as far as it goes. It always comes back: see [`End`](crate::testing::End).
    ///
    /// # Panics
    /// Where [`try_run`](Self::try_run) gives an error.
    ///
    /// # Cancellation
    /// Dropping the future ends the rehearsal.
    pub async fn run(self, input: &I) -> Rehearsed<O> {
        self.try_run(input).await.unwrap_or_else(|error| panic!("no rehearsal: {error}"))
    }

    /// Like [`run`](Self::run), for those who look at what is wrong with the rehearsal itself.
    ///
    /// # Errors
    /// [`RehearsalError`]: a stand-in for a step that is not there, or an input without a JSON form.
    pub async fn try_run(self, input: &I) -> Result<Rehearsed<O>, RehearsalError> {
        let input = Payload::encode(input).map_err(Error::from)?;
        let world = World::new();
        let (end, left) = self.perform(&world, &input, None, world.empty_store()).await?;
        end.gather(&world, &left).await
    }
}

impl<I, O> Rehearsal<I, O> {
    /// Lives one life of the workflow.
    pub(crate) async fn perform(
        self,
        world: &World,
        input: &Payload,
        death: Option<Death>,
        store: MemoryBackend,
    ) -> Result<(Performed, MemoryBackend), RehearsalError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let plays: Vec<Play> = std::iter::once(self.play).chain(self.others).collect();
        let program = Program {
            plays: plays.clone(),
            resources: self.resources,
            classifiers: self.classifiers,
            engine_policy: self.engine_policy,
            patience: self.patience,
            at_most: self.at_most,
        };
        let (end, left) = live(world, program, input, store, death).await?;
        Ok((Performed { plays, engine_policy: self.engine_policy, end }, left))
    }
}

/// What one life came to.
pub(crate) struct Performed {
    pub(crate) plays: Vec<Play>,
    pub(crate) engine_policy: StepPolicy,
    pub(crate) end: LifeEnd,
}

impl Performed {
    /// The run as it was left, and those that it started.
    pub(crate) async fn gather<O: DeserializeOwned>(
        self,
        world: &World,
        store: &MemoryBackend,
    ) -> Result<Rehearsed<O>, RehearsalError> {
        let mut runs = Vec::new();
        let mut after = None;
        loop {
            let page = store.scan(&Query::default(), after, PAGE_ITEMS_MAX).await.map_err(Error::from)?;
            for head in page.items {
                let records = load::records(store, &head.key).await.map_err(Error::from)?;
                runs.push((head, records));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Rehearsed::gather(&self.plays, self.end, runs, world.time.as_ref()).map_err(RehearsalError::Engine)
    }
}

/// The step of that name.
pub(crate) fn named(workflow: &Name, graph: &Graph, name: &str) -> Result<Name, RehearsalError> {
    let names = || graph.steps.iter().map(|step| &step.name);
    if let Some(step) = names().find(|step| step.as_str() == name) {
        return Ok(step.clone());
    }
    let hint = match nearest(name, names()) {
        Some(step) => format!(": did you mean {:?}?", step.as_str()),
        None => format!("; it has {}", names().map(Name::as_str).collect::<Vec<_>>().join(", ")),
    };
    Err(RehearsalError::NoSuchStep { workflow: workflow.clone(), name: name.to_owned(), hint })
}
