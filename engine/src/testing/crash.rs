//! Crashes at every write: the process dies just before it and just after it, and another one goes on.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell_contract::{Name, Payload};

use crate::error::Error;
use crate::testing::cast::Body;
use crate::testing::life::{LifeEnd, World};
use crate::testing::rehearsal::{Rehearsal, RehearsalError};
use crate::testing::rehearsed::{End, Rehearsed};
use crate::testing::report::{CrashPoint, CrashReport};
use crate::testing::stage::{Death, Side};
use crate::workflow::policy::Effective;

/// Runs a workflow over and over: once undisturbed, then with a process that dies just before its first write, just after
/// it, before the second, and so on until a run ends before its crash comes.
///
/// Dying means: the engine is dropped, steps in flight are dropped at their `.await`, nothing more reaches the store, the
/// store is opened again, and a new process goes on. *The process* is a closure: it is called at each start, and what it
/// makes is gone with the process, as a program's memory is. *The world* is what outlives a process, such as the ledger of
/// a payment gateway; each run has one of its own.
///
/// ```
/// use std::sync::Mutex;
/// use stepwell::prelude::*;
/// use stepwell::testing::{CrashTest, Rehearsal};
///
/// /// The ledger of a gateway that recognises nothing: each call charges.
/// #[derive(Default)]
/// struct Ledger(Mutex<Vec<u64>>);
///
/// fn workflow() -> Workflow<u64, u64> {
///     Workflow::named("order")
///         .step_fn("charge", |ctx: StepContext, cents: u64| async move {
///             ctx.resource::<Ledger>()?.0.lock().unwrap().push(cents);
///             Ok(cents)
///         })
///         .policy(StepPolicy::default().effect(Effect::NotIdempotent))
///         .build()
///         .unwrap()
/// }
///
/// # tokio_test::block_on(async {
/// use std::sync::Arc;
/// let report = CrashTest::in_world(Arc::<Ledger>::default, |ledger| {
///     Rehearsal::new(workflow()).shared(Arc::clone(ledger))
/// })
/// .check(|ledger, _run| match ledger.0.lock().unwrap().len() {
///     0 | 1 => Ok(()),
///     times => Err(format!("charged {times} times")),
/// })
/// .run(&4200)
/// .await;
///
/// report.assert_survives(); // never charged twice, because the run paused in doubt …
/// assert_eq!(report.step("charge").in_doubt, 2); // … when it died around the charge
/// # });
/// ```
#[must_use = "a crash test takes place when it is `run`"]
pub struct CrashTest<'a, W, I, O> {
    world: Box<dyn Fn() -> W + 'a>,
    process: Process<'a, W, I, O>,
    check: Check<'a, W, O>,
    same: Option<Same<'a, O>>,
}

type Process<'a, W, I, O> = Box<dyn Fn(&W) -> Rehearsal<I, O> + 'a>;
type Same<'a, O> = Box<dyn Fn(&O, &O) -> bool + 'a>;
type Check<'a, W, O> = Box<dyn Fn(&W, &Rehearsed<O>) -> Result<(), String> + 'a>;

impl<W, I, O> fmt::Debug for CrashTest<'_, W, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashTest").finish_non_exhaustive()
    }
}

impl<'a, I, O> CrashTest<'a, (), I, O> {
    /// A crash test of a workflow that changes nothing outside itself, or of which nobody looks at what it changes.
    pub fn new<R: Into<Rehearsal<I, O>>>(process: impl Fn() -> R + 'a) -> Self {
        Self::in_world(|| (), move |()| process())
    }
}

impl<'a, W, I, O> CrashTest<'a, W, I, O> {
    /// A crash test with a world: made anew for each run, kept over its crashes, and handed to each process.
    pub fn in_world<R: Into<Rehearsal<I, O>>>(
        world: impl Fn() -> W + 'a,
        process: impl Fn(&W) -> R + 'a,
    ) -> Self {
        Self {
            world: Box::new(world),
            process: Box::new(move |world| process(world).into()),
            check: Box::new(|_, _| Ok(())),
            same: None,
        }
    }

    /// Looks at the world after each run, also after the undisturbed one and those that paused in doubt. What it finds
    /// wrong is in the report.
    pub fn check(mut self, check: impl Fn(&W, &Rehearsed<O>) -> Result<(), String> + 'a) -> Self {
        self.check = Box::new(check);
        self
    }

    /// Says when two results are the same, where a result has the time or something random in it. Their JSON is compared
    /// if this is not set.
    pub fn same_when(mut self, same: impl Fn(&O, &O) -> bool + 'a) -> Self {
        self.same = Some(Box::new(same));
        self
    }
}

impl<W, I: Serialize, O: DeserializeOwned> CrashTest<'_, W, I, O> {
    /// Runs them all, one after the other.
    ///
    /// # Panics
    /// Where [`try_run`](Self::try_run) gives an error.
    pub async fn run(self, input: &I) -> CrashReport {
        self.try_run(input).await.unwrap_or_else(|error| panic!("no crash test: {error}"))
    }

    /// Like [`run`](Self::run), for those who look at what is wrong with the test itself.
    ///
    /// # Errors
    /// As for [`Rehearsal::try_run`].
    pub async fn try_run(self, input: &I) -> Result<CrashReport, RehearsalError> {
        let input = Payload::encode(input).map_err(Error::from)?;
        let undisturbed = self.trial(&input, None).await?;
        let mut report = CrashReport::new(&undisturbed.run, &undisturbed.steps);
        report.add_without_crash(&undisturbed.run);
        report.add_check(None, &undisturbed.run, undisturbed.checked);
        if matches!(undisturbed.run.end(), End::GivenUp { .. }) {
            return Ok(report);
        }
        for nth in 1.. {
            let mut died = false;
            for side in [Side::Before, Side::After] {
                let trial = self.trial(&input, Some(Death { nth, side })).await?;
                let Some(writing) = trial.died else {
                    report.add_without_crash(&trial.run);
                    continue;
                };
                died = true;
                let is_same = match (&self.same, undisturbed.run.result(), trial.run.result()) {
                    (Some(same), Some(a), Some(b)) => same(a, b),
                    _ => undisturbed.run.stored().map(Payload::text) == trial.run.stored().map(Payload::text),
                };
                let point = CrashPoint { write: nth, side, writing };
                report.add_check(Some(point.clone()), &trial.run, trial.checked);
                report.add(point, &undisturbed.run, &trial.run, is_same, &trial.log);
            }
            if !died {
                break;
            }
        }
        report.finish();
        Ok(report)
    }

    /// One run: until its process dies, if it is to, and then to its end.
    async fn trial(&self, input: &Payload, death: Option<Death>) -> Result<Trial<O>, RehearsalError> {
        let outside = (self.world)();
        let world = World::new();
        let mut died = None;
        let (mut performed, mut store) =
            (self.process)(&outside).perform(&world, input, death, world.empty_store()).await?;
        if let LifeEnd::Died(writing) = performed.end {
            died = Some(writing);
            (performed, store) = (self.process)(&outside).perform(&world, input, None, store).await?;
        }
        let steps = performed.plays.iter().flat_map(|play| {
            let limits = play.limits(&performed.engine_policy).to_vec();
            let workflow = play.definition.name().clone();
            let steps = play.definition.graph().steps.iter().map(|step| step.name.clone()).zip(limits);
            steps.map(move |(step, limits)| (workflow.clone(), step, limits)).collect::<Vec<_>>()
        });
        let steps = steps.collect();
        let run = performed.gather(&world, &store).await?;
        let checked = (self.check)(&outside, &run);
        Ok(Trial { run, died, checked, steps, log: world.log.bodies() })
    }
}

/// What one run came to.
struct Trial<O> {
    run: Rehearsed<O>,
    /// What was being written when the process died.
    died: Option<String>,
    checked: Result<(), String>,
    /// Every step of each workflow, with its limits.
    steps: Vec<(Name, Name, Effective)>,
    log: Vec<Body>,
}
