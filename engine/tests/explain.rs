//! Every run has one reason for being where it is, and what that reason names is what moves it: nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::clock::SimulatedTime;
use stepwell::contract::{
    Backend, Batch, Clock, Head, Kind, MemoryBackend, Message, MessageId, Name, Payload, Record, RunId,
    RunKey, TenantId, Timestamp, WorkerId,
};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::run::request::REQUEST;
use stepwell::{Actor, Ask, ChildRun, EngineOptions, Explanation, Queue, Report, StartRun, Verb, Who};
use tokio::sync::Semaphore;
use until::until;

mod until;

const START: Timestamp = Timestamp(1_800_000_000_000);
/// How long a worker that told of itself counts as there, and how long a lease holds here.
const BEATS_MS: u64 = 30_000;
const LEASE_MS: u64 = 90_000;
/// Parts of a program at most, each with a step of its own.
const PARTS_MAX: usize = 5;

/// What a step of a program does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Part {
    Works,
    Sleeps,
    IsRetried,
    IsUsedUp,
    Fails,
    WaitsForSignal,
    WaitsSoLong,
    HasChild,
    IsLeftOutside,
    IsHeldUp,
}

const PARTS: [Part; 10] = [
    Part::Works,
    Part::Sleeps,
    Part::IsRetried,
    Part::IsUsedUp,
    Part::Fails,
    Part::WaitsForSignal,
    Part::WaitsSoLong,
    Part::HasChild,
    Part::IsLeftOutside,
    Part::IsHeldUp,
];

/// Steps that are in the middle of their work until they are let go.
#[derive(Debug, Clone, Default)]
struct Gates(Arc<Mutex<BTreeMap<String, Gate>>>);

#[derive(Debug, Clone)]
struct Gate {
    room: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Gates {
    fn at(&self, run: &str) -> Gate {
        let mut gates = self.0.lock().expect("no panic");
        gates
            .entry(run.to_owned())
            .or_insert_with(|| Gate { room: Arc::new(Semaphore::new(0)), waiting: Arc::default() })
            .clone()
    }

    /// Whether a step of the run is held up.
    fn holds(&self, run: &str) -> bool {
        self.at(run).waiting.load(Ordering::SeqCst) > 0
    }
}

impl Gate {
    /// Lets all go that wait: the step of a worker that is just dying may be before that of the living.
    fn open(&self) {
        self.room.add_permits(self.waiting.load(Ordering::SeqCst).max(1));
    }

    async fn pass(self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // A worker that dies takes its steps with it.
        let _guard = counted_out(Arc::clone(&self.waiting));
        self.room.acquire().await.expect("open").forget();
    }
}

/// Counts one less when it goes.
fn counted_out(waiting: Arc<AtomicUsize>) -> impl Drop {
    struct One(Arc<AtomicUsize>);
    impl Drop for One {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    One(waiting)
}

async fn does(ctx: StepContext, parts: Vec<Part>, nth: usize, gates: Gates) -> StepResult<Vec<Part>> {
    match parts.get(nth).copied().unwrap_or(Part::Works) {
        Part::Works => {}
        Part::Sleeps => ctx.sleep("nap", hours(2)).await?,
        Part::IsRetried if ctx.attempt() == 1 => return Err(StepError::transient("not yet")),
        Part::IsUsedUp if ctx.attempt() <= 2 => return Err(StepError::transient("not with this")),
        Part::Fails if ctx.attempt() == 1 => return Err(StepError::permanent("never")),
        Part::IsRetried | Part::IsUsedUp | Part::Fails => {}
        Part::WaitsForSignal => ctx.wait_for::<()>("go").await?,
        Part::WaitsSoLong => drop(ctx.wait_for_within::<()>("go", hours(3)).await?),
        Part::HasChild => {
            let child = ChildRun::<Vec<Part>, Vec<Part>>::named("program").queue("children");
            let inner: Vec<Part> = parts[nth + 1..].iter().copied().take(1).collect();
            ctx.start_child(&format!("child-{nth}"), child, &inner).await?.result(&ctx).await?;
        }
        Part::IsLeftOutside => return ctx.report_later(None),
        Part::IsHeldUp => gates.at(ctx.run_id().as_str()).pass().await,
    }
    Ok(parts)
}

fn program(version: u32, gates: &Gates) -> Workflow<Vec<Part>, Vec<Part>> {
    let step = |nth: usize| {
        let gates = gates.clone();
        move |ctx: StepContext, parts: Vec<Part>| does(ctx, parts, nth, gates.clone())
    };
    let policy = StepPolicy::default().retry(Retry::fixed(hours(1)).max_attempts(2));
    let flow =
        Workflow::named("program").version(version).queue("work").step_fn("p0", step(0)).policy(policy);
    let flow = flow.step_fn("p1", step(1)).policy(policy).step_fn("p2", step(2)).policy(policy);
    let flow = flow.step_fn("p3", step(3)).policy(policy).step_fn("p4", step(4)).policy(policy);
    flow.build().expect("a workflow")
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

fn kind(cause: &Cause) -> String {
    let json = serde_json::to_value(cause).expect("json");
    json["waits_for"].as_str().expect("a tag").to_owned()
}

/// A store, and whoever works there.
struct World {
    time: SimulatedTime,
    backend: Arc<MemoryBackend>,
    gates: Gates,
    /// Starts, looks and steers, and works for nobody.
    desk: Engine,
    workers: Vec<Engine>,
    /// How often each reason was obeyed.
    seen: BTreeMap<String, usize>,
    sent: u32,
}

impl World {
    async fn new() -> Self {
        let time = SimulatedTime::at(START);
        let backend = Arc::new(MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>));
        let gates = Gates::default();
        let own: Arc<dyn Backend> = Arc::clone(&backend) as _;
        let desk = Engine::builder(own).time(Arc::new(time.clone())).register(program(1, &gates));
        let desk = desk.build().await.expect("an engine");
        let (workers, seen, sent) = (Vec::new(), BTreeMap::new(), 0);
        Self { time, backend, gates, desk, workers, seen, sent }
    }

    /// A worker of these queues.
    async fn work(&mut self, queues: &[&str], version: u32, concurrency: usize) {
        let own: Arc<dyn Backend> = Arc::clone(&self.backend) as _;
        let names = queues.iter().map(|queue| Name::new(*queue).expect("a name")).collect();
        let worker = Some(WorkerId::new(format!("w-{}", self.workers.len())).expect("an id"));
        let options = EngineOptions {
            queues: names,
            worker,
            concurrency,
            lease_ms: LEASE_MS,
            poll_ms: 5,
            ..Default::default()
        };
        let builder = Engine::builder(own).time(Arc::new(self.time.clone())).options(options);
        let engine = builder.register(program(version, &self.gates)).start().await.expect("an engine");
        let name = engine.worker().clone();
        self.workers.push(engine);
        until("the worker has told of itself", async || {
            let workers = self.desk.workers().await.expect("workers");
            workers.iter().any(|worker| worker.worker == name && worker.alive)
        })
        .await;
    }

    async fn start(&self, run: StartRun) -> RunKey {
        self.desk.start_with(run).await.expect("a run").key().clone()
    }

    async fn explain(&self, key: &RunKey) -> Explanation {
        let found = self.desk.explain(key).await.expect("an explanation");
        assert_ne!(found.reason, Cause::Nothing, "{found}");
        assert_eq!(found.headline, found.reason.to_string());
        found
    }

    async fn head(&self, key: &RunKey) -> Head {
        self.desk.get(key).await.expect("the store").expect("the run")
    }

    /// Lets time pass. Workers that have not told of themselves since are taken to be gone until they do.
    async fn later(&self, by: Duration) {
        self.time.advance(by);
        until("the workers have told of themselves again", async || {
            let told = self.desk.workers().await.expect("workers");
            self.workers.iter().all(|own| told.iter().any(|one| one.worker == *own.worker() && one.alive))
        })
        .await;
    }

    /// Whether something of it is just being done, by a worker or the engine.
    fn is_moving(&self, found: &Explanation) -> bool {
        match &found.reason {
            Cause::FreeWorker { .. } => !found.details.iter().any(|detail| detail.ends_with("with room: 0")),
            Cause::Worker { .. } => !self.gates.holds(found.run.run.as_str()),
            Cause::Unanswered { .. } => !self.workers.is_empty(),
            _ => false,
        }
    }

    /// The reason of a run that is at rest.
    async fn at_rest(&self, key: &RunKey) -> Explanation {
        let mut before: Option<(Explanation, Head)> = None;
        let mut still = 0;
        let mut looks = 0;
        loop {
            let now = (self.explain(key).await, self.head(key).await);
            let same = before
                .as_ref()
                .is_some_and(|(found, head)| found.reason == now.0.reason && head.version == now.1.version);
            still = if same && !self.is_moving(&now.0) { still + 1 } else { 0 };
            if still == 2 {
                return now.0;
            }
            looks += 1;
            assert!(looks < 5_000, "it does not come to rest: {}", now.0);
            before = Some(now);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sees that the run stays as it is while what its reason names does not happen.
    async fn stays_without(&self, found: &Explanation) {
        let before = self.head(&found.run).await;
        let now = self.time.now();
        match (found.who, found.until) {
            (_, Some(at)) if at.since_ms(now) > 60_000 => {
                self.later(Duration::from_millis(at.since_ms(now) - 1)).await;
            }
            (Who::Signal | Who::Person | Who::Nobody, None) => self.later(hours(1)).await,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        if matches!(found.reason, Cause::QueuePaused { .. } | Cause::Limit { .. }) {
            // It looks again now and then, and finds the same.
            assert_eq!(kind(&self.at_rest(&found.run).await.reason), kind(&found.reason), "{found}");
            return;
        }
        let after = self.explain(&found.run).await;
        assert_eq!(kind(&after.reason), kind(&found.reason), "it moved by itself: {found}\n{after}");
        let head = self.head(&found.run).await;
        assert_eq!((before.next_seq, before.status), (head.next_seq, head.status), "{found}");
    }

    /// Does what the reason names, and nothing else.
    async fn obey(&mut self, found: &Explanation, random: &mut fastrand::Rng) {
        let run = &found.run;
        let until_then = |at: Timestamp| Duration::from_millis(at.since_ms(self.time.now()));
        match &found.reason {
            Cause::Timer { .. }
            | Cause::Retry { .. }
            | Cause::NotBefore { .. }
            | Cause::Time { .. }
            | Cause::LostWorker { .. } => self.later(until_then(found.until.expect("a time"))).await,
            Cause::Signal { until: Some(at), .. } if random.bool() => self.later(until_then(*at)).await,
            Cause::Signal { signals, .. } => {
                self.sent += 1;
                let id = format!("m-{}", self.sent);
                self.desk.signal(run, signals[0].as_str(), &id, &()).await.expect("sent");
            }
            Cause::Outside { token, .. } => {
                let said = Report::succeeded(&Vec::<Part>::new()).expect("json");
                self.desk.report(token, said).await.expect("taken");
            }
            Cause::Person { reason, .. } if reason.needs_retry() => {
                self.desk.retry(run, "mended").await.expect("retried");
            }
            Cause::Person { .. } => drop(self.desk.resume(run, "go on").await.expect("resumed")),
            Cause::Ended { .. } => drop(self.desk.retry(run, "mended").await.expect("retried")),
            Cause::NoQueueWorker { queue, .. } => {
                let version = if random.bool() { 2 } else { 1 };
                self.work(&[queue.as_str()], version, 8).await;
            }
            Cause::NoWorkflowWorker { queue, version, .. } => self.work(&[queue.as_str()], *version, 8).await,
            Cause::QueuePaused { queue, .. } => {
                self.desk.resume_queue(queue.as_str(), Actor::Program, "go").await.expect("resumed");
            }
            Cause::Worker { .. } => self.gates.at(run.run.as_str()).open(),
            Cause::Limit { holders, .. } => {
                let holder = holders[0].run.clone();
                self.gates.at(holder.as_str()).open();
            }
            Cause::Unanswered { .. } => self.work(&["elsewhere"], 1, 1).await,
            Cause::Child { .. } => unreachable!("its child is seen to"),
            other => panic!("nothing can be done about it: {other}"),
        }
    }

    /// Brings a run to its end by doing what its reasons name, each time seeing that nothing less moves it.
    async fn brings_to_its_end(&mut self, key: &RunKey, random: &mut fastrand::Rng) {
        for _ in 0..200 {
            let found = self.at_rest(key).await;
            *self.seen.entry(kind(&found.reason)).or_default() += 1;
            if found.who == Who::Nobody {
                assert!(matches!(found.reason, Cause::Ended { .. }), "{found}");
                return;
            }
            if let Cause::Child { runs, .. } = &found.reason {
                assert!(found.details.iter().any(|detail| detail.contains(runs[0].run.as_str())), "{found}");
                let child = runs[0].clone();
                Box::pin(self.brings_to_its_end(&child, random)).await;
            } else {
                if random.u8(0..3) > 0 {
                    self.stays_without(&found).await;
                } else if self.may_be_lost(&found) {
                    self.workers.clear();
                    self.later(Duration::from_millis(BEATS_MS + 1_000)).await;
                    continue;
                } else if found.who != Who::Person && random.u8(0..6) == 0 {
                    let asked = self.desk.pause(key, "a look").await;
                    if asked.is_ok() {
                        continue;
                    }
                }
                self.obey(&found, random).await;
            }
            let was = (kind(&found.reason), self.head(key).await.next_seq, found.since);
            until(&format!("it moves, or its reason is another than {found}"), async || {
                let now = self.explain(key).await;
                (kind(&now.reason), self.head(key).await.next_seq, now.since) != was
                    || self.is_moving(&now)
                    || now.until != found.until
            })
            .await;
        }
        panic!("it never ends: {}", self.explain(key).await);
    }

    /// Whether the worker in the middle of its step may die now.
    fn may_be_lost(&self, found: &Explanation) -> bool {
        matches!(found.reason, Cause::Worker { .. }) && !self.workers.is_empty()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_what_the_reason_names_brings_every_program_to_its_end_and_nothing_less_moves_it() {
    let mut seen = BTreeMap::new();
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new().await;
        let length = random.usize(1..=PARTS_MAX);
        let parts: Vec<Part> = (0..length).map(|_| PARTS[random.usize(0..PARTS.len())]).collect();
        let mut start = StartRun::new("program", "r", &parts).expect("a start");
        if random.u8(0..4) == 0 {
            start = start.delay(hours(5));
        }
        if random.u8(0..4) == 0 {
            world.desk.pause_queue("work", Actor::Program, "a deploy").await.expect("paused");
        }
        let run = world.start(start).await;
        println!("program {seed}: {parts:?}");
        world.brings_to_its_end(&run, &mut random).await;
        for (kind, count) in world.seen {
            *seen.entry(kind).or_insert(0) += count;
        }
    }
    let expected = [
        "child",
        "ended",
        "lost_worker",
        "no_queue_worker",
        "no_workflow_worker",
        "not_before",
        "outside",
        "person",
        "queue_paused",
        "retry",
        "signal",
        "timer",
        "worker",
    ];
    let missing: BTreeSet<_> = expected.iter().filter(|kind| !seen.contains_key(**kind)).collect();
    println!("{seen:?}");
    assert!(missing.is_empty(), "never seen: {missing:?} of {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_names_who_counts_and_a_full_worker_is_known_to_be_full() {
    let mut world = World::new().await;
    let gated = |run: &str| StartRun::new("program", run, &[Part::IsHeldUp]).expect("a start");
    let limits = Queue::named("work").expect("a name").concurrency(1);
    let own: Arc<dyn Backend> = Arc::clone(&world.backend) as _;
    let stated = Engine::builder(own).time(Arc::new(world.time.clone())).queue(limits).build().await;
    drop(stated.expect("an engine"));
    let first = world.start(gated("r-0")).await;
    world.work(&["work"], 1, 8).await;
    until("the first runs", async || matches!(world.explain(&first).await.reason, Cause::Worker { running, .. } if running.len() == 1)).await;
    let second = world.start(gated("r-1")).await;
    let found = world.at_rest(&second).await;
    let Cause::Limit { holders, limit: 1, .. } = &found.reason else { panic!("{found}") };
    assert_eq!((holders.as_slice(), found.who), ([first.clone()].as_slice(), Who::Run));
    world.stays_without(&found).await;
    let mut random = fastrand::Rng::with_seed(1);
    world.obey(&found, &mut random).await;
    until("the second is let in", async || {
        matches!(world.explain(&second).await.reason, Cause::Worker { .. })
    })
    .await;

    // A worker of another queue that is busy with as much as it takes.
    world.work(&["narrow"], 1, 1).await;
    let narrow = |run: &str| gated(run).queue(Name::new("narrow").expect("a name"));
    let busy = world.start(narrow("n-0")).await;
    until("it is busy", async || matches!(world.explain(&busy).await.reason, Cause::Worker { .. })).await;
    let waits = world.start(narrow("n-1")).await;
    world.later(Duration::from_millis(10_000)).await;
    until("it is known to be full", async || {
        let found = world.explain(&waits).await;
        matches!(found.reason, Cause::FreeWorker { .. })
            && found.details.contains(&"live workers that can take it: 1, with room: 0".to_owned())
    })
    .await;
    let found = world.at_rest(&waits).await;
    world.stays_without(&found).await;
    world.work(&["narrow"], 1, 1).await;
    until("another worker takes it", async || {
        matches!(world.explain(&waits).await.reason, Cause::Worker { .. })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_reads_are_held_against_those_that_somebody_does() {
    let mut world = World::new().await;
    world.work(&["orders"], 3, 8).await;
    let start = |run: &str, queue: &str| {
        let start = StartRun::new("program", run, &[Part::Works]).expect("a start");
        start.queue(Name::new(queue).expect("a name"))
    };
    let misspelt = world.start(start("r-0", "ordres")).await;
    let found = world.at_rest(&misspelt).await;
    let Cause::NoQueueWorker { nearest, .. } = &found.reason else { panic!("{found}") };
    assert_eq!(nearest.as_ref().map(Name::as_str), Some("orders"));
    let older = world.start(start("r-1", "orders")).await;
    let found = world.at_rest(&older).await;
    let Cause::NoWorkflowWorker { nearest: Some(near), version: 1, .. } = &found.reason else {
        panic!("{found}")
    };
    assert_eq!((near.name.as_str(), near.version), ("program", 3));
    assert!(found.headline.contains("the nearest is program version 3"), "{found}");
    assert!(found.next.contains("program version 1"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_has_answered_is_answered_by_the_next_worker() {
    let mut world = World::new().await;
    let run = world.start(StartRun::new("program", "r", &[Part::Works]).expect("a start")).await;
    world.desk.pause(&run, "wait").await.expect("paused");
    assert!(matches!(world.at_rest(&run).await.reason, Cause::Person { .. }));
    // Whoever asked has died before it could answer.
    let ask = Ask {
        verb: Verb::Resume,
        actor: Actor::Program,
        message: String::new(),
        place: None,
        value: None,
        seen: None,
        code: None,
        group: None,
    };
    let (id, now) = (MessageId::new("m").expect("an id"), world.time.now());
    let message = Message::new(id, REQUEST, now, Payload::encode(&ask).expect("json"));
    world.backend.commit(&[Batch::post(run.clone(), message)]).await.expect("posted");
    let found = world.at_rest(&run).await;
    assert!(matches!(&found.reason, Cause::Unanswered { what, .. } if what == "resume"), "{found}");
    world.stays_without(&found).await;
    world.obey(&found, &mut fastrand::Rng::with_seed(1)).await;
    until("it is answered", async || matches!(world.explain(&run).await.reason, Cause::NoQueueWorker { .. }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_read_and_the_runs_own_deadline_are_reasons_too() {
    let world = World::new().await;
    let run = world.start(StartRun::new("program", "r", &[Part::Works]).expect("a start")).await;
    let head = world.head(&run).await;
    let strange = Record::new(head.next_seq, Kind::of("from_the_future"), START, 1, Payload::null());
    let next = Head { version: head.version.next(7), next_seq: head.next_seq.plus(1), ..head.clone() };
    let batch = Batch::replace(head.version, next, vec![strange]);
    world.backend.commit(&[batch]).await.expect("written");
    let found = world.explain(&run).await;
    assert!(matches!(found.reason, Cause::Unreadable { .. }), "{found}");
    assert_eq!(found.who, Who::Person);

    let flow = Workflow::named("short").run_deadline(hours(1)).input::<()>().wait_for::<()>("go");
    let own: Arc<dyn Backend> = Arc::clone(&world.backend) as _;
    let engine = Engine::builder(own).time(Arc::new(world.time.clone()));
    let engine = engine.register(flow.build().expect("a workflow")).start().await.expect("an engine");
    let run = engine.start_run("short", "s", &()).await.expect("a run").key().clone();
    let found = world.at_rest(&run).await;
    assert_eq!((&found.reason, found.who), (&Cause::Time { at: START.plus_ms(3_600_000) }, Who::Time));
    world.stays_without(&found).await;
    world.later(Duration::from_millis(1)).await;
    until("it fails", async || matches!(world.explain(&run).await.reason, Cause::Ended { .. })).await;
    let found = world.at_rest(&run).await;
    assert_eq!(found.who, Who::Person, "it can be retried: {found}");
    let diagnosis = found.diagnosis.as_ref().expect("it was said why");
    assert!(found.details[0].starts_with(&diagnosis.code), "{found}");
    println!("{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_an_error_and_no_reason() {
    let world = World::new().await;
    assert!(matches!(world.desk.explain(&key("r")).await, Err(stepwell::Error::NoSuchRun(_))));
}
