//! One process of a rehearsal: an engine, and time that skips to the next moment at which something happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Backend, Clock, Head, MemoryBackend, Payload, RunId, RunKey, Seq, Status, TenantId, Timestamp,
};

use crate::config::EngineOptions;
use crate::error::Error;
use crate::exec::attempt::Bounds;
use crate::exec::engine::Engine;
use crate::run::decide::Plan;
use crate::run::place::Place;
use crate::run::state::State;
use crate::testing::cast::{Cast, Log};
use crate::testing::clock::{Pulse, SkippingTime, really};
use crate::testing::rehearsal::RehearsalError;
use crate::testing::stage::{Death, Stage};
use crate::workflow::classify::Classifiers;
use crate::workflow::context::Resources;
use crate::workflow::definition::Definition;
use crate::workflow::graph::Graph;
use crate::workflow::policy::{Effective, StepPolicy, effective};

/// The id of the run of every rehearsal.
pub(crate) const RUN: &str = "rehearsal";
/// At so many attempts of one step a rehearsal ends: it would go on for ever.
pub(crate) const ATTEMPTS_MAX: u32 = 1_000;

/// The outside of a rehearsal: what is there before its first process and after its last.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) time: Arc<SkippingTime>,
    pub(crate) log: Arc<Log>,
    pub(crate) pulse: Pulse,
}

impl World {
    pub(crate) fn new() -> Self {
        let pulse = Pulse::new();
        Self { time: Arc::new(SkippingTime::new(pulse.clone())), log: Log::new(pulse.clone()), pulse }
    }

    pub(crate) fn empty_store(&self) -> MemoryBackend {
        MemoryBackend::with_clock(Arc::clone(&self.time) as Arc<dyn Clock>)
    }
}

/// What a process is made of.
pub(crate) struct Program {
    pub(crate) definition: Definition,
    pub(crate) cast: Cast,
    pub(crate) resources: Resources,
    pub(crate) classifiers: Classifiers,
    pub(crate) engine_policy: StepPolicy,
    pub(crate) patience: Duration,
    pub(crate) at_most: Duration,
}

impl Program {
    /// The limits of each step, in the order of the graph.
    pub(crate) fn limits(&self) -> Vec<Effective> {
        let workflow = &self.definition.policy().step;
        let steps = &self.definition.graph().steps;
        steps.iter().map(|step| effective(&step.policy, workflow, &self.engine_policy)).collect()
    }
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum LifeEnd {
    /// The run ended or is held.
    AtRest,
    /// The run waits for a message, which nobody is there to send.
    NoWake,
    /// The run was left as it was.
    GivenUp(String),
    /// The process died.
    Died(String),
}

/// The key of the run of every rehearsal.
pub(crate) fn key() -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(RUN).expect("a valid id"))
}

/// Lives one life on a store: starts the run if it is not there, and drives it as far as it goes. Returns the store as
/// it was left.
pub(crate) async fn live(
    world: &World,
    program: Program,
    input: &Payload,
    store: MemoryBackend,
    death: Option<Death>,
) -> Result<(LifeEnd, MemoryBackend), RehearsalError> {
    let stage = Stage::new(store, death, world.pulse.clone());
    let limits = program.limits().into();
    let (patience, at_most) = (program.patience, program.at_most);
    let name = program.definition.name().to_string();
    let options =
        EngineOptions { threads: 2, poll_ms: 100, step: program.engine_policy, ..EngineOptions::default() };
    let stop_grace_ms = options.stop_grace_ms;
    let engine = Engine::builder(Arc::clone(&stage) as Arc<dyn Backend>)
        .definition(program.cast.playing(&program.definition, &world.log))
        .resources(program.resources)
        .classifiers(program.classifiers)
        .options(options)
        .time(Arc::clone(&world.time) as Arc<dyn crate::clock::Time>)
        .build()
        .await?;
    engine.work_without_rounds();
    let starting = async {
        if stage.head(&key()).await?.is_none() {
            engine.start_run(&name, RUN, input).await?;
        }
        Ok::<_, Error>(())
    };
    tokio::select! {
        started = starting => started?,
        () = stage.died() => {}
    }
    let mut life =
        Life { world, stage: &stage, definition: &program.definition, limits, stop_grace_ms, state: None };
    let end = life.drive(patience, at_most).await?;
    // Taken before the engine goes: whatever it still writes on its way out is not part of this.
    let left = stage.reopened();
    drop(engine);
    if let LifeEnd::Died(writing) = &end {
        // What still ran would have its effect beside the next life.
        tokio::select! {
            () = world.log.silence() => {}
            () = really(patience) => {
                let (writing, steps) = (writing.clone(), said(&world.log.busy()));
                return Err(RehearsalError::Unstoppable { writing, steps });
            }
        }
    }
    Ok((end, left))
}

struct Life<'a> {
    world: &'a World,
    stage: &'a Stage,
    definition: &'a Definition,
    limits: Arc<[Effective]>,
    stop_grace_ms: u64,
    state: Option<State>,
}

impl Life<'_> {
    async fn drive(&mut self, patience: Duration, at_most: Duration) -> Result<LifeEnd, Error> {
        let began = Instant::now();
        loop {
            // Asked for before looking: what happens between the two is told.
            let beats = self.world.pulse.beats();
            if began.elapsed() > at_most {
                let why =
                    format!("it was not over after {at_most:?} of real time; `at_most` sets another limit");
                return Ok(LifeEnd::GivenUp(why));
            }
            let look = {
                let _still = self.stage.still().await;
                if let Some(of) = self.stage.death() {
                    return Ok(LifeEnd::Died(of));
                }
                self.look().await?
            };
            match look {
                Look::AtRest => return Ok(LifeEnd::AtRest),
                Look::NoWake => return Ok(LifeEnd::NoWake),
                Look::GoneOn(why) => return Ok(LifeEnd::GivenUp(why)),
                Look::Skip(at) => {
                    self.world.time.skip_to(at);
                    continue;
                }
                Look::Wait => {}
            }
            tokio::select! {
                () = self.world.pulse.after(beats) => {}
                () = really(patience) => {
                    // A step that takes this long counts as one that hangs: its limits decide.
                    if self.world.log.give_up_waiting().is_empty() {
                        let now = self.world.time.now();
                        if let Some(at) = self.world.time.next_sleep().filter(|at| *at > now) {
                            self.world.time.skip_to(at);
                            continue;
                        }
                        let hanging = self.world.log.hanging();
                        let why = match &hanging[..] {
                            [] => format!("nothing happened for {patience:?} of real time"),
                            places => format!("{} does not end when it is told to", said(places)),
                        };
                        return Ok(LifeEnd::GivenUp(why));
                    }
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Look, Error> {
        let Some(head) = self.stage.head(&key()).await? else { return Ok(Look::Wait) };
        let has_mail = !self.stage.inbox(&key(), 1).await?.is_empty();
        self.read().await?;
        let Some(state) = &self.state else { return Ok(Look::Wait) };
        if let Some(why) = endless(state) {
            return Ok(Look::GoneOn(why));
        }
        let hanging = self.world.log.hanging();
        let ends = hanging.iter().filter_map(|place| {
            let step = state.step(place)?;
            let limits = &self.limits[self.definition.graph().find(&place.step)?.0];
            let bounds = Bounds::of(limits, step.began_at, step.started_at);
            let silent_ms = bounds.heartbeat.map(|(ms, _)| ms);
            bounds.end_ms().into_iter().chain(silent_ms).min().map(|ms| step.started_at.plus_ms(ms))
        });
        Ok(look(&Seen {
            head: &head,
            has_mail,
            state,
            now: self.world.time.now(),
            next_sleep: self.world.time.next_sleep(),
            next_limit: ends.min(),
            is_busy: !self.world.log.busy().is_empty(),
            hanging: &hanging,
            graph: self.definition.graph(),
            limits: &self.limits,
            stop_grace_ms: self.stop_grace_ms,
        }))
    }

    /// Takes in what was written since the last look.
    async fn read(&mut self) -> Result<(), Error> {
        loop {
            let from = self.state.as_ref().map_or(Seq::FIRST, |state| state.last_seq.plus(1));
            let page = self.stage.journal(&key(), from, PAGE_ITEMS_MAX).await?;
            let folded = match &mut self.state {
                None if page.is_empty() => return Ok(()),
                None => State::fold(&page).map(|state| self.state = Some(state)),
                Some(state) => page.iter().try_for_each(|record| state.replay(record)),
            };
            folded.map_err(|source| Error::Journal { key: key(), source })?;
            if page.len() < PAGE_ITEMS_MAX {
                return Ok(());
            }
        }
    }
}

/// What there is to see of a run and of who works on it.
struct Seen<'a> {
    head: &'a Head,
    has_mail: bool,
    state: &'a State,
    now: Timestamp,
    next_sleep: Option<Timestamp>,
    /// When the first of the steps that hang is cut off.
    next_limit: Option<Timestamp>,
    /// Whether a step runs that does not hang.
    is_busy: bool,
    graph: &'a Arc<Graph>,
    limits: &'a Arc<[Effective]>,
    /// How long a step that is told to stop may go on.
    stop_grace_ms: u64,
    hanging: &'a [Place],
}

/// What follows from what is seen.
#[derive(Debug, PartialEq)]
enum Look {
    /// The run ended or is held.
    AtRest,
    /// Only a message can wake it.
    NoWake,
    /// It goes on for ever.
    GoneOn(String),
    /// Nothing happens before this time.
    Skip(Timestamp),
    /// Somebody is at it.
    Wait,
}

/// Time stands still while anybody works: a step, or the engine between two of its writes. What an engine does next
/// follows from the journal, so that the journal tells whether it is at work.
fn look(seen: &Seen<'_>) -> Look {
    let (head, state, now) = (seen.head, seen.state, seen.now);
    if head.status.is_finished() || head.status == Status::Paused {
        return Look::AtRest;
    }
    if head.lease.is_none() {
        return match head.wake_at {
            _ if seen.has_mail => Look::Wait,
            Some(at) if at > now => Look::Skip(at),
            Some(_) => Look::Wait,
            None => Look::NoWake,
        };
    }
    let running = state.running_places();
    if seen.is_busy || running.iter().any(|place| !seen.hanging.contains(place)) {
        return Look::Wait;
    }
    let mut plan = Plan::new(Arc::clone(seen.graph), Arc::clone(seen.limits), state);
    let Ok(next) = plan.next(state, now, 1) else { return Look::Wait };
    if !next.starts.is_empty()
        || !next.events.is_empty()
        || next.rest.is_some()
        || seen.next_limit.is_some_and(|at| at <= now)
    {
        return Look::Wait;
    }
    let stopped = next.stop.then(|| now.plus_ms(seen.stop_grace_ms));
    // A timer that is known and not set yet must not be skipped, nor one that has come and is yet to be acted on.
    match (stopped.or(next.timer).into_iter().chain(seen.next_limit).min(), seen.next_sleep) {
        (Some(known), Some(sleep)) if now < sleep && sleep <= known => Look::Skip(sleep),
        (None, None) if !running.is_empty() => {
            Look::GoneOn(format!("{} does not end, and no limit of time ends it", said(&running)))
        }
        _ => Look::Wait,
    }
}

fn endless(state: &State) -> Option<String> {
    state.steps.iter().find_map(|(name, group)| {
        let most = group.all().map(|(_, step)| step.attempt).max()?;
        (most > ATTEMPTS_MAX)
            .then(|| format!("{name} was tried {ATTEMPTS_MAX} times, and goes on being tried"))
    })
}

/// Places in words.
fn said(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepwell_contract::{Batch, Claim, Fence, Lease, Name, Version, WorkerId, WorkflowRef};

    use crate::run::actor::Actor;
    use crate::run::event::{Event, RunCreated, RunTaken, StepStarted};
    use crate::workflow::definition::Workflow;

    const NOW: Timestamp = Timestamp(1_000_000);
    const LATER: Timestamp = Timestamp(2_000_000);
    const LAST: Timestamp = Timestamp(3_000_000);

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn head(status: Status, is_held: bool, wake_at: Option<Timestamp>) -> Head {
        let worker = WorkerId::new("w").expect("an id");
        Head {
            key: key(),
            version: Version { counter: 1, nonce: 1 },
            workflow: name("flow"),
            workflow_version: 1,
            queue: name("default"),
            priority: 0,
            status,
            wake_at,
            lease: is_held.then_some(Lease { worker, ttl_ms: 1, expires_at: LAST }),
            fence: Fence(1),
            next_seq: Seq::FIRST,
            created_at: NOW,
            updated_at: NOW,
            finished_at: None,
            tags: Arc::default(),
            summary: Payload::null(),
        }
    }

    /// A run of one step, which has begun.
    fn begun(place: &Place) -> State {
        let created = RunCreated {
            workflow: name("flow"),
            workflow_version: 1,
            fingerprint: String::new(),
            input: Payload::null(),
            actor: Actor::Engine,
            parent: None,
            deadline_at: None,
            queue_until: None,
            limits: std::collections::BTreeMap::new(),
            limit_key: None,
            not_before: None,
        };
        let mut state = State::new(created, NOW);
        let worker = WorkerId::new("w").expect("an id");
        let events: [Event; 2] = [
            RunTaken { worker, fence: Fence(1), lost: None }.into(),
            StepStarted { place: place.clone(), attempt: 1 }.into(),
        ];
        for event in &events {
            state.apply(event, NOW).expect("a legal event");
        }
        state
    }

    #[tokio::test]
    async fn a_lease_ends_with_its_process_and_not_because_time_was_skipped() {
        let world = World::new();
        let stage = Stage::new(world.empty_store(), None, world.pulse.clone());
        let head = Head { next_seq: Seq::FIRST, ..head(Status::Running, true, Some(NOW)) };
        let verdicts = stage.commit(&[Batch::create(head, Vec::new())]).await.expect("a commit");
        assert!(verdicts[0].is_accepted());
        world.time.skip_to(world.time.now().plus_ms(100 * 365 * 86_400_000));
        let claim = Claim {
            worker: WorkerId::new("next").expect("an id"),
            ttl_ms: 15_000,
            queues: Vec::new(),
            workflows: vec![WorkflowRef { name: name("flow"), version: 1 }],
            tenant: None,
            limit: 1,
            nonce: 7,
        };
        assert_eq!(stage.claim(&claim).await.expect("an answer").len(), 0, "its process lives");
        let next = Stage::new(stage.reopened(), None, world.pulse.clone());
        assert_eq!(next.claim(&claim).await.expect("an answer").len(), 1, "its process has died");
    }

    #[test]
    fn time_is_skipped_only_when_nobody_has_anything_to_do() {
        let work = Place::of(name("work"));
        let state = begun(&work);
        let flow = Workflow::named("flow").step_fn("work", |_ctx, (): ()| async { Ok(()) }).build();
        let graph = Arc::clone(flow.expect("a workflow").into_definition().graph());
        let limits: Arc<[Effective]> =
            [effective(&StepPolicy::default(), &StepPolicy::default(), &StepPolicy::default())].into();
        let hangs = [work];
        let waiting = |at| head(Status::Waiting, false, at);
        let held = || head(Status::Running, true, Some(NOW));
        let endless = || Look::GoneOn("work does not end, and no limit of time ends it".to_owned());
        // The head, mail, whether the step hangs, the next sleep, its next limit, and what follows.
        type Row = (Head, bool, bool, Option<Timestamp>, Option<Timestamp>, Look);
        let table: [Row; 15] = [
            (head(Status::Succeeded, false, None), false, false, None, None, Look::AtRest),
            (head(Status::Failed, false, None), false, false, None, None, Look::AtRest),
            (head(Status::Paused, false, None), false, false, None, None, Look::AtRest),
            (waiting(Some(LATER)), false, false, None, None, Look::Skip(LATER)),
            (waiting(Some(NOW)), false, false, None, None, Look::Wait),
            (waiting(Some(LATER)), true, false, None, None, Look::Wait),
            (waiting(None), true, false, None, None, Look::Wait),
            (waiting(None), false, false, None, None, Look::NoWake),
            (held(), false, false, Some(LATER), Some(LATER), Look::Wait),
            (held(), false, true, Some(LATER), Some(LATER), Look::Skip(LATER)),
            (held(), false, true, Some(LAST), Some(LATER), Look::Wait),
            (held(), false, true, None, Some(LATER), Look::Wait),
            (held(), false, true, Some(NOW), Some(LATER), Look::Wait),
            (held(), false, true, Some(LATER), Some(NOW), Look::Wait),
            (held(), false, true, None, None, endless()),
        ];
        for (row, (head, has_mail, does_hang, next_sleep, next_limit, expected)) in
            table.into_iter().enumerate()
        {
            let seen = Seen {
                head: &head,
                has_mail,
                state: &state,
                now: NOW,
                next_sleep,
                next_limit,
                is_busy: false,
                graph: &graph,
                limits: &limits,
                stop_grace_ms: 2_000,
                hanging: if does_hang { &hangs } else { &[] },
            };
            assert_eq!(look(&seen), expected, "row {row}");
        }
    }
}
