//! Who plays the steps of a rehearsal, and a log of what each of them did.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use stepwell_contract::{Name, Payload, RunKey};

use crate::lock::lock;
use crate::run::place::Place;
use crate::testing::clock::Pulse;
use crate::testing::life::key;
use crate::testing::rehearsal::{RehearsalError, named};
use crate::workflow::context::StepContext;
use crate::workflow::definition::Definition;
use crate::workflow::error::StepError;
use crate::workflow::graph::Graph;
use crate::workflow::step::{ErasedStep, RawError, SharedStep, Undecodable};

/// After so many polls whoever waits for a body together with something else has asked that too.
const POLLS_TO_HANG: u32 = 8;

/// A step by its name, `pack`, wherever it runs; or one place of it by its item in a map, `pack[2]`.
#[derive(Debug, Clone)]
pub(crate) struct Spot(String);

impl Spot {
    /// The spot of that name in a workflow.
    pub(crate) fn named(workflow: &Name, graph: &Graph, name: &str) -> Result<Self, RehearsalError> {
        let (step, _) = name.split_once('[').unwrap_or((name, ""));
        named(workflow, graph, step).map(|_| Self(name.to_owned()))
    }

    /// Whether the place is there, or further in.
    pub(crate) fn has(&self, place: &Place) -> bool {
        let place = place.to_string();
        place.strip_prefix(&self.0).is_some_and(|more| more.is_empty() || more.starts_with('['))
    }
}

/// What stands in for the steps of a workflow.
#[derive(Clone, Default)]
pub(crate) struct Cast {
    stand_ins: HashMap<Name, SharedStep>,
    turns: Vec<Turn>,
}

#[derive(Clone)]
struct Turn {
    of: Spot,
    attempt: u32,
    act: Act,
}

/// What happens in place of an attempt.
#[derive(Clone)]
pub(crate) enum Act {
    Fail(Arc<StepError>),
    Hang,
}

impl Cast {
    pub(crate) fn stand_in(&mut self, step: Name, code: SharedStep) {
        self.stand_ins.insert(step, code);
    }

    pub(crate) fn turn(&mut self, of: Spot, attempt: u32, act: Act) {
        self.turns.push(Turn { of, attempt, act });
    }

    /// The workflow with this cast, each of whom writes to the log.
    pub(crate) fn playing(self, definition: &Definition, log: &Arc<Log>) -> Definition {
        let cast = Arc::new(self);
        definition.with_code(|name, step| {
            let step = cast.stand_ins.get(name).unwrap_or(step);
            Arc::new(Watched { step: Arc::clone(step), cast: Arc::clone(&cast), log: Arc::clone(log) })
        })
    }

    fn act(&self, place: &Place, attempt: u32) -> Option<Act> {
        let is_now = |turn: &&Turn| turn.attempt == attempt && turn.of.has(place);
        // The word said last counts.
        self.turns.iter().rev().find(is_now).map(|turn| turn.act.clone())
    }
}

/// A step that is played before witnesses.
struct Watched {
    step: SharedStep,
    cast: Arc<Cast>,
    log: Arc<Log>,
}

#[async_trait]
impl ErasedStep for Watched {
    async fn run_raw(&self, ctx: &StepContext, input: &Payload) -> Result<Payload, RawError> {
        let act = self.cast.act(ctx.place(), ctx.attempt());
        let entry = self.log.begin(Scene { run: ctx.key().clone(), place: ctx.place().clone() });
        match act {
            Some(Act::Hang) => {
                // It counts as hanging once those were asked who cut it off: their timers must be set before time is
                // skipped.
                for _ in 0..POLLS_TO_HANG {
                    futures_lite::future::yield_now().await;
                }
                entry.hangs();
                std::future::pending().await
            }
            Some(Act::Fail(error)) => {
                entry.end(Played::Refused);
                Err(RawError::Step(copy(&error)))
            }
            None => {
                let ended = self.step.run_raw(ctx, input).await;
                entry.end(if ended.is_ok() { Played::Done } else { Played::Refused });
                ended
            }
        }
    }

    fn check_input(&self, input: &Payload) -> Result<(), Undecodable> {
        self.step.check_input(input)
    }
}

/// How the body of a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Played {
    /// It gave a result: it has had its effect.
    Done,
    /// It gave an error: by its own word it has had none.
    Refused,
    /// It was cut off or panicked: whether it had its effect is not known.
    Cut,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scene {
    pub(crate) run: RunKey,
    pub(crate) place: Place,
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.run == key() { self.place.fmt(f) } else { write!(f, "{} of {}", self.place, self.run.run) }
    }
}

/// A body of a step that ran.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) scene: Scene,
    /// `None` while it runs.
    pub(crate) played: Option<Played>,
    hangs: bool,
}

#[cfg(test)]
impl Body {
    pub(crate) fn ended(place: Place, played: Played) -> Self {
        Self { scene: Scene { run: key(), place }, played: Some(played), hangs: false }
    }
}

/// Every body of a step that ran, in order, in all processes of a rehearsal.
#[derive(Debug)]
pub(crate) struct Log {
    bodies: Mutex<Vec<Body>>,
    pulse: Pulse,
}

impl Log {
    pub(crate) fn new(pulse: Pulse) -> Arc<Self> {
        Arc::new(Self { bodies: Mutex::default(), pulse })
    }

    pub(crate) fn bodies(&self) -> Vec<Body> {
        self.lock().clone()
    }

    /// Where a body runs that does not hang.
    pub(crate) fn busy(&self) -> Vec<Scene> {
        let bodies = self.lock();
        let busy = bodies.iter().filter(|body| body.played.is_none() && !body.hangs);
        busy.map(|body| body.scene.clone()).collect()
    }

    /// Where a body hangs.
    pub(crate) fn hanging(&self) -> Vec<Scene> {
        let bodies = self.lock();
        let hanging = bodies.iter().filter(|body| body.played.is_none() && body.hangs);
        hanging.map(|body| body.scene.clone()).collect()
    }

    /// Takes it that whatever runs now never ends. Returns where that is.
    pub(crate) fn give_up_waiting(&self) -> Vec<Scene> {
        let busy = self.busy();
        for body in self.lock().iter_mut() {
            body.hangs = true;
        }
        busy
    }

    /// Returns once no body runs.
    pub(crate) async fn silence(&self) {
        loop {
            let beats = self.pulse.beats();
            if self.lock().iter().all(|body| body.played.is_some()) {
                return;
            }
            self.pulse.after(beats).await;
        }
    }

    fn begin(&self, scene: Scene) -> Entry<'_> {
        let mut bodies = self.lock();
        bodies.push(Body { scene, played: None, hangs: false });
        let entry = Entry { log: self, nth: bodies.len() - 1 };
        drop(bodies);
        self.pulse.beat();
        entry
    }

    fn end(&self, nth: usize, played: Played) {
        if let Some(body) = self.lock().get_mut(nth) {
            body.played.get_or_insert(played);
        }
        self.pulse.beat();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Body>> {
        lock(&self.bodies)
    }
}

/// A body that runs; dropped without an end it was cut off.
struct Entry<'a> {
    log: &'a Log,
    nth: usize,
}

impl Entry<'_> {
    fn hangs(&self) {
        if let Some(body) = self.log.lock().get_mut(self.nth) {
            body.hangs = true;
        }
        self.log.pulse.beat();
    }

    fn end(self, played: Played) {
        self.log.end(self.nth, played);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.log.end(self.nth, Played::Cut);
    }
}

/// The same error once more: an error is given away with each attempt that it fails.
fn copy(error: &Arc<StepError>) -> StepError {
    let mut copy = match error.source() {
        Some(_) => StepError::from(Shared(Arc::clone(error))),
        None => StepError::permanent(error.message()),
    };
    if let Some(class) = error.declared_class() {
        copy = copy.class(class);
    }
    if let Some(code) = error.declared_code() {
        copy = copy.code(code);
    }
    if let Some(ms) = error.declared_retry_after_ms() {
        copy = copy.retry_after(std::time::Duration::from_millis(ms));
    }
    error.context_lines().iter().fold(copy, |copy, line| copy.note(line))
}

/// An error with a source that stays whole for whoever looks for its class.
struct Shared(Arc<StepError>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message())
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::classify::Classifiers;
    use crate::workflow::definition::Workflow;
    use crate::workflow::failure::Failure;
    use std::io;

    #[test]
    fn a_spot_is_a_step_or_one_item_of_it() {
        let name = |text: &str| Name::new(text).expect("a name");
        let graph = |step: &str| {
            let flow = Workflow::named("w").step_fn(step, |_ctx, (): ()| async { Ok(()) }).build();
            Arc::clone(flow.expect("a workflow").into_definition().graph())
        };
        let spot = |text| {
            Spot::named(&name("w"), &graph("pack"), text).expect("a spot").has(&Place::of(name("pack")))
        };
        assert_eq!(["pack", "pack[2]"].map(spot), [true, false]);
        let other = Spot::named(&name("w"), &graph("pac"), "pac").expect("a spot");
        assert!(!other.has(&Place::of(name("pack"))), "the beginning of a name is another name");
    }

    #[test]
    fn a_planned_failure_is_of_the_class_that_the_error_would_have_had() {
        let taken = || StepError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        let told =
            || StepError::throttled("slow", std::time::Duration::from_secs(3)).code("RATE").note("card");
        for (planned, meant) in [(taken(), taken()), (told(), told())] {
            let classifiers = Classifiers::default();
            let planned = Failure::from_step_error(copy(&Arc::new(planned)), &classifiers);
            let meant = Failure::from_step_error(meant, &classifiers);
            assert_eq!(
                (planned.class, planned.code, planned.message, planned.context, planned.retry_after_ms),
                (meant.class, meant.code, meant.message, meant.context, meant.retry_after_ms)
            );
        }
    }
}
