//! One process of a rehearsal: an engine, and time that skips to the next moment at which something happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Backend, Clock, Head, MemoryBackend, Payload, Query, RunId, RunKey, Seq, Status, TenantId, Timestamp,
};

use crate::config::EngineOptions;
use crate::error::Error;
use crate::exec::attempt::Bounds;
use crate::exec::engine::Engine;
use crate::run::decide::Plan;
use crate::run::event::Event;
use crate::run::place::Place;
use crate::run::state::State;
use crate::testing::cast::{Cast, Log, Scene};
use crate::testing::clock::{Pulse, SkippingTime, really};
use crate::testing::outside::{self, Outside, Spoken, Word};
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
    /// What those outside have said.
    spoken: Spoken,
    /// Whether a process has died.
    has_died: AtomicBool,
}

impl World {
    pub(crate) fn new() -> Self {
        let pulse = Pulse::new();
        let (time, log) = (Arc::new(SkippingTime::new(pulse.clone())), Log::new(pulse.clone()));
        Self { time, log, pulse, spoken: Spoken::default(), has_died: AtomicBool::new(false) }
    }

    pub(crate) fn empty_store(&self) -> MemoryBackend {
        MemoryBackend::with_clock(Arc::clone(&self.time) as Arc<dyn Clock>)
    }
}

/// A workflow of a rehearsal: what is played, by whom, and what those outside say to its runs.
#[derive(Clone)]
pub(crate) struct Play {
    pub(crate) definition: Definition,
    pub(crate) cast: Cast,
    pub(crate) outside: Outside,
}

impl Play {
    /// The limits of each step, in the order of the graph.
    pub(crate) fn limits(&self, engine_policy: &StepPolicy) -> Arc<[Effective]> {
        let workflow = &self.definition.policy().step;
        let steps = &self.definition.graph().steps;
        steps.iter().map(|step| effective(&step.policy, workflow, engine_policy)).collect()
    }
}

/// What a process is made of.
pub(crate) struct Program {
    /// What it has; the first is what is rehearsed, the others are what that starts.
    pub(crate) plays: Vec<Play>,
    pub(crate) resources: Resources,
    pub(crate) classifiers: Classifiers,
    pub(crate) engine_policy: StepPolicy,
    pub(crate) patience: Duration,
    pub(crate) at_most: Duration,
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
    let (patience, at_most) = (program.patience, program.at_most);
    let limits: Vec<_> = program.plays.iter().map(|play| play.limits(&program.engine_policy)).collect();
    let name = program.plays.first().map(|play| play.definition.name().to_string()).unwrap_or_default();
    let options = EngineOptions {
        threads: 2,
        poll_ms: 100,
        probes: false,
        step: program.engine_policy,
        ..EngineOptions::default()
    };
    let stop_grace_ms = options.stop_grace_ms;
    let mut builder = Engine::builder(Arc::clone(&stage) as Arc<dyn Backend>);
    for play in &program.plays {
        builder = builder.definition(play.cast.clone().playing(&play.definition, &world.log));
    }
    let engine = builder
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
    let plays = program.plays.iter().zip(limits).collect();
    let mut life =
        Life { world, stage: &stage, engine: &engine, plays, stop_grace_ms, runs: BTreeMap::new() };
    let end = life.drive(patience, at_most).await?;
    // Taken before the engine goes: whatever it still writes on its way out is not part of this.
    let left = stage.reopened();
    drop(engine);
    if let LifeEnd::Died(writing) = &end {
        world.has_died.store(true, Ordering::Release);
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
    engine: &'a Engine,
    plays: Vec<(&'a Play, Arc<[Effective]>)>,
    stop_grace_ms: u64,
    runs: BTreeMap<RunKey, Run>,
}

/// A run as far as its journal was read.
struct Run {
    state: State,
    seen: outside::Seen,
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
            let step = {
                let _still = self.stage.still().await;
                if let Some(of) = self.stage.death() {
                    return Ok(LifeEnd::Died(of));
                }
                self.look().await?
            };
            match step {
                Ahead::Over(end) => return Ok(end),
                Ahead::Skip(at) => {
                    self.world.time.skip_to(at);
                    continue;
                }
                Ahead::Say(word) => {
                    let is_first_life = !self.world.has_died.load(Ordering::Acquire);
                    tokio::select! {
                        said = self.world.spoken.say(self.engine, *word, is_first_life) => said?,
                        () = self.stage.died() => {}
                    }
                    continue;
                }
                Ahead::Wait => {}
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
                            scenes => format!("{} does not end when it is told to", said(scenes)),
                        };
                        return Ok(LifeEnd::GivenUp(why));
                    }
                }
            }
        }
    }

    /// Looks at every run of the store: time stands still while anybody works in any of them.
    async fn look(&mut self) -> Result<Ahead, Error> {
        let (mut looks, mut words) = (Vec::new(), Vec::new());
        for head in self.heads().await? {
            self.read(&head.key).await?;
            let look = self.look_at(&head).await?;
            if let (Some(run), Some((play, _))) = (self.runs.get(&head.key), self.play_of(&head)) {
                words.extend(play.outside.next(&head, &run.state, &run.seen, &self.world.spoken));
            }
            looks.push((head.key == key(), look));
        }
        let word = words.into_iter().min_by_key(|word| word.at);
        Ok(ahead(looks, word, self.world.time.now()))
    }

    async fn heads(&self) -> Result<Vec<Head>, Error> {
        let (mut heads, mut after) = (Vec::new(), None);
        loop {
            let page = self.stage.scan(&Query::default(), after, PAGE_ITEMS_MAX).await?;
            heads.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(heads);
            }
        }
    }

    fn play_of(&self, head: &Head) -> Option<&(&Play, Arc<[Effective]>)> {
        self.plays.iter().find(|(play, _)| {
            *play.definition.name() == head.workflow && play.definition.version() == head.workflow_version
        })
    }

    async fn look_at(&self, head: &Head) -> Result<Look, Error> {
        let Some(run) = self.runs.get(&head.key) else { return Ok(Look::Wait) };
        let Some((play, limits)) = self.play_of(head) else {
            return Ok(match head.status.is_finished() || head.status == Status::Paused {
                true => Look::AtRest,
                false => Look::GoneOn(format!(
                    "run {} needs a worker that has workflow {}: add it with `with`",
                    head.key.run, head.workflow
                )),
            });
        };
        let has_mail = !self.stage.inbox(&head.key, 1).await?.is_empty();
        if let Some(why) = endless(&run.state) {
            return Ok(Look::GoneOn(why));
        }
        let here = |scenes: Vec<Scene>| {
            let here = scenes.into_iter().filter(|scene| scene.run == head.key);
            here.map(|scene| scene.place).collect::<Vec<_>>()
        };
        let hanging = here(self.world.log.hanging());
        let graph = play.definition.graph();
        let ends = hanging.iter().filter_map(|place| {
            let step = run.state.step(place)?;
            let bounds = Bounds::of(&limits[graph.find(&place.step)?.0], step.began_at, step.started_at);
            let silent_ms = bounds.heartbeat.map(|(ms, _)| ms);
            bounds.end_ms().into_iter().chain(silent_ms).min().map(|ms| step.started_at.plus_ms(ms))
        });
        Ok(look(&Seen {
            head,
            has_mail,
            state: &run.state,
            now: self.world.time.now(),
            next_sleep: self.world.time.next_sleep(),
            next_limit: ends.min(),
            is_busy: !here(self.world.log.busy()).is_empty(),
            hanging: &hanging,
            graph,
            limits,
            stop_grace_ms: self.stop_grace_ms,
        }))
    }

    /// Takes in what was written to a run since the last look.
    async fn read(&mut self, key: &RunKey) -> Result<(), Error> {
        let unread = |source| Error::Journal { key: key.clone(), source };
        loop {
            let from = self.runs.get(key).map_or(Seq::FIRST, |run| run.state.last_seq.plus(1));
            let page = self.stage.journal(key, from, PAGE_ITEMS_MAX).await?;
            let is_last = page.len() < PAGE_ITEMS_MAX;
            let mut records = page.iter();
            if !self.runs.contains_key(key) {
                let Some(first) = records.next() else { return Ok(()) };
                let state = State::fold([first]).map_err(unread)?;
                self.runs.insert(key.clone(), Run { state, seen: outside::Seen::default() });
            }
            let Some(run) = self.runs.get_mut(key) else { return Ok(()) };
            for record in records {
                run.state.replay(record).map_err(unread)?;
                let event = Event::read(record).map_err(|error| unread(error.into()))?;
                run.seen.note(&event, record.at);
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

/// What comes next in a rehearsal.
enum Ahead {
    /// Nothing more.
    Over(LifeEnd),
    /// Nothing before this time.
    Skip(Timestamp),
    /// Somebody outside says something.
    Say(Box<Word>),
    /// Somebody is at work.
    Wait,
}

/// What comes next, by what is seen of each run (and whether it is the one that is rehearsed), and by what those outside have
/// to say first.
fn ahead(looks: Vec<(bool, Look)>, word: Option<Word>, now: Timestamp) -> Ahead {
    if looks.is_empty() || looks.iter().any(|(_, look)| *look == Look::Wait) {
        return Ahead::Wait;
    }
    let is_over = looks.iter().any(|(is_own, look)| *is_own && *look == Look::AtRest);
    let gone_on = looks.iter().find_map(|(_, look)| match look {
        Look::GoneOn(why) => Some(why.clone()),
        _ => None,
    });
    let skips = looks.iter().filter_map(|(_, look)| match look {
        Look::Skip(at) => Some(*at),
        _ => None,
    });
    let at = skips.chain(word.iter().map(|word| word.at.max(now))).min();
    match (word, at, gone_on) {
        (_, _, Some(why)) if !is_over => Ahead::Over(LifeEnd::GivenUp(why)),
        (Some(word), _, _) if word.at <= now => Ahead::Say(Box::new(word)),
        (_, Some(at), _) => Ahead::Skip(at),
        (_, None, _) if is_over => Ahead::Over(LifeEnd::AtRest),
        (_, None, _) => Ahead::Over(LifeEnd::NoWake),
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
    if seen.has_mail {
        return Look::Wait;
    }
    if head.lease.is_none() {
        return match head.wake_at {
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
fn said<T: ToString>(places: &[T]) -> String {
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
            RunTaken { worker, fence: Fence(1), lost: None, code_version: None }.into(),
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
