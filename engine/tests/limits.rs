//! What limits of queues, delays and keys of starts promise, on a store in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stepwell::clock::SimulatedTime;
use stepwell::contract::fault::{self, FaultBackend, FaultPlan, Method};
use stepwell::contract::{
    Backend, Batch, FaultKind, Fence, Head, Lease, MemoryBackend, Name, Payload, Query, RunId, RunKey,
    Status, TenantId, Timestamp, WorkerId,
};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::{Actor, EngineOptions, Error, Queue, RunHandle, StartRun};
use tokio::sync::Semaphore;
use until::{soon, until};

mod until;

const START: Timestamp = Timestamp(1_800_000_000_000);

/// A store and a clock for several engines, and a step that counts who is in it and waits to be let go.
struct Stage {
    time: SimulatedTime,
    backend: Arc<MemoryBackend>,
    counted: Arc<Counted>,
}

struct Counted {
    inside: AtomicUsize,
    most: AtomicUsize,
    entered: AtomicUsize,
    go: Semaphore,
    order: std::sync::Mutex<Vec<String>>,
}

impl Stage {
    fn new() -> Self {
        let time = SimulatedTime::at(START);
        let backend = Arc::new(MemoryBackend::with_clock(Arc::new(time.clone())));
        let counted = Counted {
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            entered: AtomicUsize::new(0),
            go: Semaphore::new(0),
            order: std::sync::Mutex::default(),
        };
        Self { time, backend, counted: Arc::new(counted) }
    }

    async fn engine(&self, queue: Queue) -> Engine {
        self.engine_of(queue, 64).await
    }

    async fn engine_of(&self, queue: Queue, concurrency: usize) -> Engine {
        let counted = Arc::clone(&self.counted);
        let work = Workflow::named("send")
            .queue("mail")
            .step_fn("send", move |ctx: StepContext, input: u64| {
                let counted = Arc::clone(&counted);
                async move {
                    let inside = counted.inside.fetch_add(1, Ordering::SeqCst) + 1;
                    counted.most.fetch_max(inside, Ordering::SeqCst);
                    counted.order.lock().expect("no panic").push(ctx.run_id().to_string());
                    counted.entered.fetch_add(1, Ordering::SeqCst);
                    counted.go.acquire().await.expect("open").forget();
                    counted.inside.fetch_sub(1, Ordering::SeqCst);
                    Ok(input)
                }
            })
            .build()
            .expect("a workflow");
        let options = EngineOptions { concurrency, poll_ms: 5, ..EngineOptions::default() };
        let backend: Arc<dyn Backend> = Arc::clone(&self.backend) as _;
        Engine::builder(backend)
            .register(work)
            .options(options)
            .time(Arc::new(self.time.clone()))
            .queue(queue)
            .start()
            .await
            .expect("an engine")
    }

    fn entered(&self) -> usize {
        self.counted.entered.load(Ordering::SeqCst)
    }

    async fn until_entered(&self, runs: usize) {
        until(&format!("{runs} runs have begun"), async || self.entered() >= runs).await;
    }

    fn let_go(&self, runs: usize) {
        self.counted.go.add_permits(runs);
    }
}

fn mail() -> Queue {
    Queue::named("mail").expect("a name")
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

fn of(run: &str) -> StartRun {
    StartRun::new("send", run, &1_u64).expect("a start")
}

fn with_key(run: &str, key: &str) -> StartRun {
    of(run).limit_key(Name::new(key).expect("a name"))
}

async fn start(engine: &Engine, run: StartRun) -> RunHandle {
    engine.start_with(run).await.expect("a run")
}

async fn is_parked(engine: &Engine, run: &str) -> bool {
    matches!(engine.cause(&key(run)).await, Ok(Some(Cause::Limit { .. } | Cause::QueuePaused { .. })))
}

async fn view(engine: &Engine) -> stepwell::QueueView {
    let queues = engine.queues().await.expect("queues");
    queues.into_iter().find(|queue| queue.name.as_str() == "mail").expect("the queue")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tally_counts_runs_and_not_what_the_engine_keeps_of_its_queues() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(1)).await;
    for nth in 0..3 {
        start(&engine, of(&format!("r-{nth}"))).await;
    }
    let tally = engine.tally().await.expect("counted");
    assert_eq!(tally.iter().map(|counted| counted.runs).sum::<u64>(), 3, "{tally:?}");
    assert!(tally.iter().all(|counted| counted.queue.as_str() == "mail"), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_than_the_limit_run_at_once_over_two_engines_and_all_end() {
    let stage = Stage::new();
    let one = stage.engine(mail().concurrency(3)).await;
    let two = stage.engine(mail().concurrency(3)).await;
    let mut runs = Vec::new();
    for nth in 0..20 {
        let engine = if nth % 2 == 0 { &one } else { &two };
        runs.push(start(engine, of(&format!("r-{nth}"))).await);
    }
    stage.until_entered(3).await;
    until("the others are parked", async || view(&one).await.parked == 17).await;
    for done in 1..=20 {
        stage.let_go(1);
        stage.until_entered((done + 3).min(20)).await;
    }
    for run in &runs {
        soon("the run ends", run.result::<u64>()).await.expect("a result");
    }
    assert_eq!(stage.counted.most.load(Ordering::SeqCst), 3);
    until("no room is taken", async || view(&one).await.counted.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gets_its_share_and_room_goes_to_the_key_with_the_fewest() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(2).per_key(1)).await;
    start(&engine, with_key("a-0", "a")).await;
    stage.until_entered(1).await;
    for run in ["a-1", "a-2"] {
        start(&engine, with_key(run, "a")).await;
    }
    until("two are parked", async || view(&engine).await.parked == 2).await;
    let Some(Cause::Limit { key: Some(limit_key), limit: 1, holders, since, .. }) =
        engine.cause(&key("a-1")).await.expect("a cause")
    else {
        panic!("not parked");
    };
    assert_eq!((limit_key.as_str(), holders, since), ("a", vec![key("a-0")], START));
    start(&engine, with_key("b-0", "b")).await;
    stage.until_entered(2).await;
    start(&engine, with_key("c-0", "c")).await;
    until("c is parked", async || is_parked(&engine, "c-0").await).await;
    // Whoever of the two ends, c has fewer than they.
    stage.let_go(1);
    stage.until_entered(3).await;
    stage.let_go(10);
    stage.until_entered(5).await;
    assert_eq!(stage.counted.most.load(Ordering::SeqCst), 2);
    let order = stage.counted.order.lock().expect("no panic").clone();
    assert_eq!(order[..2], ["a-0", "b-0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_are_spread_over_time_and_a_delayed_one_says_when_it_begins() {
    let stage = Stage::new();
    stage.let_go(100);
    let engine = stage.engine(mail().rate(2, secs(10))).await;
    for nth in 0..5 {
        start(&engine, of(&format!("r-{nth}"))).await;
    }
    stage.until_entered(1).await;
    until("the others have their turns", async || {
        let mut at = Vec::new();
        for nth in 0..5 {
            if let Ok(Some(Cause::NotBefore { at: turn })) = engine.cause(&key(&format!("r-{nth}"))).await {
                at.push(turn.since_ms(START));
            }
        }
        at.sort_unstable();
        at == [5_000, 10_000, 15_000, 20_000]
    })
    .await;
    assert_eq!(stage.entered(), 1);
    for begun in 2..=5 {
        stage.time.advance(secs(5));
        stage.until_entered(begun).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_one_key_does_not_hold_up_another() {
    let stage = Stage::new();
    stage.let_go(100);
    let engine = stage.engine(mail().rate_per_key(1, secs(60))).await;
    start(&engine, with_key("a-0", "a")).await;
    start(&engine, with_key("a-1", "a")).await;
    start(&engine, with_key("b-0", "b")).await;
    stage.until_entered(2).await;
    until("one of a waits for its turn", async || view(&engine).await.parked == 1).await;
    stage.time.advance(secs(60));
    stage.until_entered(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_a_dead_worker_is_free_once_its_lease_is_over() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(1)).await;
    // A worker took the run and the room, and died without a word. Nobody else can go on with that run.
    let other = StartRun::new("other", "r-0", &1_u64).expect("a start");
    start(&stage.starter().await, other.queue(Name::new("mail").expect("a name"))).await;
    stage.die_with(&engine, "r-0").await;
    stage.let_go(10);
    let waiting = start(&engine, of("r-1")).await;
    until("it is parked", async || is_parked(&engine, "r-1").await).await;
    // The dead one's lease, and half as much until whoever waits looks again.
    stage.time.advance(millis(22_500));
    soon("it ends", waiting.result::<u64>()).await.expect("a result");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_can_be_cancelled_and_its_room_goes_to_the_next() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(1)).await;
    for run in ["r-0", "r-1", "r-2"] {
        start(&engine, of(run)).await;
        stage.until_entered(1).await;
    }
    until("two are parked", async || view(&engine).await.parked == 2).await;
    let head = engine.cancel(&key("r-1"), "not needed").await.expect("cancelled");
    assert_eq!(head.status, Status::Cancelled);
    stage.let_go(1);
    stage.until_entered(2).await;
    assert_eq!(stage.counted.order.lock().expect("no panic").as_slice(), ["r-0", "r-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_a_parked_run_is_kept_and_does_not_make_it_come_again_and_again() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(1)).await;
    start(&engine, of("r-0")).await;
    stage.until_entered(1).await;
    start(&engine, of("r-1")).await;
    until("it is parked", async || is_parked(&engine, "r-1").await).await;
    engine.signal(&key("r-1"), "news", "m-1", &1).await.expect("sent");
    until("it is recorded and the run parked", async || {
        let history = engine.history(&key("r-1")).await.expect("the run");
        history.iter().any(|record| record.kind.as_str() == "signal_received")
            && is_parked(&engine, "r-1").await
    })
    .await;
    stage.let_go(2);
    stage.until_entered(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_begins_nothing_until_it_is_resumed_and_tells_who_and_why() {
    let stage = Stage::new();
    let engine = stage.engine(mail()).await;
    let nina = Actor::Person("nina".to_owned());
    engine.pause_queue("mail", nina.clone(), "the server is down").await.expect("paused");
    engine.pause_queue("mail", Actor::Program, "again").await.expect("paused");
    let run = start(&engine, of("r-0")).await;
    until("it waits", async || {
        let cause = engine.cause(run.key()).await.expect("a cause");
        matches!(cause, Some(Cause::QueuePaused { by, message, .. })
            if by == nina && message == "the server is down")
    })
    .await;
    let seen = view(&engine).await;
    assert_eq!((seen.parked, seen.paused.map(|pause| pause.actor)), (1, Some(nina.clone())));
    assert_eq!(engine.resume_queue("mail", nina, "it is up").await.expect("resumed"), 1);
    stage.until_entered(1).await;
    let kinds: Vec<_> = engine.queue_history("mail").await.expect("a history");
    let kinds: Vec<_> = kinds.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds, ["queue_paused", "queue_resumed"]);
    stage.let_go(1);
    soon("it ends", run.result::<u64>()).await.expect("a result");
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_returns_when_nothing_of_the_queue_is_advanced() {
    let stage = Stage::new();
    let engine = stage.engine(mail()).await;
    let first = start(&engine, of("r-0")).await;
    stage.until_entered(1).await;
    let drained = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.drain_queue("mail", Actor::Program, "deploy").await })
    };
    until("it is paused", async || view(&engine).await.paused.is_some()).await;
    let second = start(&engine, of("r-1")).await;
    until("it is parked", async || is_parked(&engine, "r-1").await).await;
    assert!(!drained.is_finished());
    stage.let_go(1);
    soon("the queue is drained", drained).await.expect("no panic").expect("drained");
    assert_eq!(first.head().await.expect("the run").status, Status::Succeeded);
    assert_eq!(second.head().await.expect("the run").status, Status::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_run_begins_at_its_time_and_its_history_says_so() {
    let stage = Stage::new();
    stage.let_go(10);
    let engine = stage.engine(mail()).await;
    let run = start(&engine, of("r-0").delay(secs(30))).await;
    let at = START.plus_ms(30_000);
    assert_eq!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::NotBefore { at }));
    let created: serde_json::Value =
        engine.history(run.key()).await.expect("a history")[0].payload.decode().expect("json");
    assert_eq!(created["not_before"], serde_json::json!(at));
    engine.pause(run.key(), "wait").await.expect("paused");
    engine.resume(run.key(), "go on").await.expect("resumed");
    stage.time.advance(secs(29));
    assert_eq!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::NotBefore { at }));
    stage.time.advance(secs(1));
    soon("it ends", run.result::<u64>()).await.expect("a result");
}

/// What is said to it is answered at once; a limited queue does not count that as a start.
#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_run_does_not_begin_early_because_something_is_said_to_it() {
    for queue in [mail(), mail().concurrency(1).rate(1, secs(60))] {
        let stage = Stage::new();
        stage.let_go(10);
        let engine = stage.engine(queue).await;
        let run = start(&engine, of("r-0").delay(secs(120))).await;
        let at = START.plus_ms(120_000);
        let rests = async |what: &str| {
            until(what, async || {
                let head = run.head().await.expect("a head");
                head.lease.is_none()
                    && stage.backend.inbox(run.key(), 1).await.expect("an inbox").is_empty()
                    && engine.running() == 0
            })
            .await;
            let head = run.head().await.expect("a head");
            assert_eq!((head.status, head.wake_at), (Status::Queued, Some(at)), "{what}");
            assert_eq!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::NotBefore { at }));
        };
        for nth in 0..3 {
            engine.signal(run.key(), "hello", &format!("m-{nth}"), "x").await.expect("sent");
            rests("the signal is taken").await;
        }
        let change = std::collections::BTreeMap::from([("a", 1)]);
        engine.merge_context(run.key(), &change, "").await.expect("merged");
        rests("the change is taken").await;
        engine.pause(run.key(), "hold").await.expect("paused");
        engine.resume(run.key(), "go on").await.expect("resumed");
        rests("it was held for a while").await;
        assert_eq!(engine.state(run.key()).await.expect("a state").signals.len(), 1, "they are kept");
        assert_eq!(stage.entered(), 0);
        stage.time.advance(secs(120));
        soon("it ends", run.result::<u64>()).await.expect("a result");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_run_has_its_time_from_when_it_begins() {
    let work = |_ctx: StepContext, n: u64| async move { Ok(n) };
    let flow = Workflow::named("send").run_deadline(hours(1)).queue_wait(hours(1)).step_fn("send", work);
    let flow = flow.build().expect("a workflow");
    let stage = Stage::new();
    let builder = Engine::builder(Arc::clone(&stage.backend) as Arc<dyn Backend>).register(flow);
    let engine = builder.time(Arc::new(stage.time.clone())).build().await.expect("an engine");
    let run = start(&engine, of("r-0").delay(hours(2))).await;
    stage.time.advance(hours(2));
    engine.work();
    soon("it ends", run.result::<u64>()).await.expect("a result");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_run_is_not_said_to_lack_a_worker_before_its_time() {
    let flow = || {
        let work = |_ctx: StepContext, n: u64| async move { Ok(n) };
        let flow = Workflow::named("send").queue("mail").queue_wait(hours(1)).step_fn("send", work);
        flow.build().expect("a workflow")
    };
    let stage = Stage::new();
    // It looks after runs that nobody takes, and takes none of them.
    let options = EngineOptions { queues: vec![Name::new("other").expect("a name")], ..Default::default() };
    let builder = Engine::builder(Arc::clone(&stage.backend) as Arc<dyn Backend>).register(flow());
    let builder = builder.options(options).time(Arc::new(stage.time.clone()));
    let engine = builder.start().await.expect("an engine");
    let run = start(&engine, of("r-0").delay(hours(2))).await;
    let now = start(&engine, of("r-1")).await;
    stage.time.advance(hours(2));
    let is_held = async |run: &RunHandle| run.head().await.expect("a head").status == Status::Paused;
    let mut looks = 0;
    until("the one that was to begin at once is held", async || {
        looks += 1;
        if looks < 100 {
            // Whoever looks after them does so every few seconds.
            stage.time.advance(secs(5));
        }
        is_held(&now).await
    })
    .await;
    assert!(!is_held(&run).await);
    stage.time.advance(hours(1));
    until("now its time is over as well", async || {
        stage.time.advance(secs(5));
        is_held(&run).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_singleton_is_one_unfinished_run_whoever_starts_it() {
    let stage = Stage::new();
    let engine = Arc::new(stage.engine(mail()).await);
    let starts = (0..16).map(|nth| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move { start(&engine, of(&format!("r-{nth}")).singleton("nightly")).await })
    });
    let mut handles = Vec::new();
    for started in starts.collect::<Vec<_>>() {
        handles.push(started.await.expect("no panic"));
    }
    assert_eq!(handles.iter().filter(|handle| handle.is_new()).count(), 1);
    assert!(handles.iter().all(|handle| handle.key() == handles[0].key()));
    stage.let_go(10);
    soon("it ends", handles[0].result::<u64>()).await.expect("a result");
    let next = start(&engine, of("next").singleton("nightly")).await;
    assert!(next.is_new());
    let other = start(&engine, of("other").singleton("weekly")).await;
    assert!(other.is_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_cut_off_between_its_two_writes_is_finished_by_the_next_under_its_key() {
    let store = Arc::new(MemoryBackend::new());
    let step = |_ctx: StepContext, input: u64| async move { Ok(input) };
    let send = || Workflow::named("send").step_fn("send", step).build().expect("a workflow");
    let plan = FaultPlan::seeded(1).nth(Method::Commit, 2, fault::Effect::Refuse(FaultKind::Invalid));
    let failing = Arc::new(FaultBackend::new(Arc::clone(&store) as _, plan));
    let first = Engine::builder(failing).register(send()).build().await.expect("an engine");
    first.start_with(of("r-1").singleton("nightly")).await.expect_err("cut off");
    assert!(first.get(&key("r-1")).await.expect("the store").is_none());
    // It works only then: a run that has ended stands in nobody's way.
    let next = Engine::builder(store).register(send()).build().await.expect("an engine");
    let found = start(&next, of("r-2").singleton("nightly")).await;
    assert_eq!((found.key(), found.is_new()), (&key("r-1"), false));
    next.work();
    assert_eq!(soon("it ends", found.result::<u64>()).await.expect("a result"), 1);
    assert!(next.get(&key("r-2")).await.expect("the store").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_within_the_window_returns_the_earlier_run_even_when_it_has_ended() {
    let stage = Stage::new();
    stage.let_go(10);
    let engine = stage.engine(mail()).await;
    let first = start(&engine, of("r-0").dedup("order-7", mins(5))).await;
    soon("it ends", first.result::<u64>()).await.expect("a result");
    stage.time.advance(mins(4));
    let again = start(&engine, of("r-1").dedup("order-7", mins(5))).await;
    assert_eq!((again.key(), again.is_new()), (first.key(), false));
    stage.time.advance(mins(1));
    let later = start(&engine, of("r-2").dedup("order-7", mins(5))).await;
    assert!(later.is_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_in_a_row_the_last_input_counts_and_the_history_has_all() {
    let stage = Stage::new();
    stage.let_go(10);
    let engine = stage.engine(mail()).await;
    let typed = |run: &str, input: u64| {
        let by = Actor::Person(format!("typist {input}"));
        StartRun::new("send", run, &input).expect("a start").actor(by).debounce("doc", secs(10), secs(25))
    };
    let run = start(&engine, typed("r-1", 1)).await;
    for input in 2..=4 {
        stage.time.advance(secs(7));
        let same = start(&engine, typed(&format!("r-{input}"), input)).await;
        assert_eq!((same.key(), same.is_new()), (run.key(), false));
    }
    // Quiet until 31 s would be longer than the first may wait.
    let at = START.plus_ms(25_000);
    assert_eq!(engine.cause(run.key()).await.expect("a cause"), Some(Cause::NotBefore { at }));
    let history = engine.history(run.key()).await.expect("a history");
    assert_eq!(history.iter().filter(|record| record.kind.as_str() == "start_moved").count(), 3);
    stage.time.advance(secs(4));
    assert_eq!(soon("it ends", run.result::<u64>()).await.expect("a result"), 4);
    assert!(start(&engine, typed("r-9", 9)).await.is_new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_own_tenant_is_closed_and_not_listed() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(1)).await;
    let own = TenantId::new("stepwell.system").expect("an id");
    let refused = engine.start_with(of("r-0").tenant(own.clone())).await.expect_err("refused");
    assert!(matches!(refused, Error::Options(_)), "{refused}");
    let listed = engine.list(&Query::default(), None, 10).await.expect("a page");
    assert_eq!((listed.items.len(), listed.next), (0, None));
    let sort = Name::new("stepwell.queue").expect("a name");
    let query = Query { tenant: Some(own), workflow: Some(sort), ..Query::default() };
    assert_eq!(engine.list(&query, None, 10).await.expect("a page").items.len(), 1);
    assert!(engine.select(&Query::default(), 10).await.expect("a selection").runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_one_run_does_not_wait_for_all_runs_of_another() {
    let stage = Stage::new();
    let idle = stage.engine_of(mail(), 1).await;
    idle.shutdown().await;
    let starter = stage.starter().await;
    for nth in 0..100 {
        start(&starter, of(&format!("r-{nth}")).tenant(TenantId::new("big").expect("an id"))).await;
    }
    start(&starter, of("small").tenant(TenantId::new("small").expect("an id"))).await;
    until("both tenants are known", async || stage.known_tenants(&starter).await == 2).await;
    let _worker = stage.engine_of(mail(), 4).await;
    for begun in 1..=12 {
        stage.until_entered(begun).await;
        stage.let_go(1);
    }
    let order = stage.counted.order.lock().expect("no panic").clone();
    assert!(order.iter().take(12).any(|run| run == "small"), "{order:?}");
}

impl Stage {
    /// An engine that takes no runs.
    async fn starter(&self) -> Engine {
        let step = |_ctx: StepContext, input: u64| async move { Ok(input) };
        let send = Workflow::named("send").queue("mail").step_fn("send", step);
        let backend: Arc<dyn Backend> = Arc::clone(&self.backend) as _;
        let other = Workflow::named("other").step_fn("send", step).build().expect("a workflow");
        let builder = Engine::builder(backend).register(send.build().expect("a workflow")).register(other);
        builder.time(Arc::new(self.time.clone())).build().await.expect("an engine")
    }

    /// Makes a run that counts for the queue one of a dead worker.
    async fn die_with(&self, engine: &Engine, run: &str) {
        let own = TenantId::new("stepwell.system").expect("an id");
        let sort = Name::new("stepwell.queue").expect("a name");
        let query = Query { tenant: Some(own), workflow: Some(sort), ..Query::default() };
        let before = engine.list(&query, None, 1).await.expect("a page").items.remove(0);
        let mut roster: serde_json::Value = before.summary.decode().expect("json");
        roster["held"] = serde_json::json!([[format!("/{run}"), 1]]);
        let head = Head {
            version: before.version.next(1),
            summary: Payload::encode(&roster).expect("json"),
            ..before.clone()
        };
        let mut dead = engine.get(&key(run)).await.expect("the store").expect("the run");
        let version = dead.version;
        dead.version = version.next(2);
        dead.fence = Fence(1);
        dead.lease =
            Some(Lease { worker: WorkerId::new("dead").expect("an id"), ttl_ms: 15_000, expires_at: START });
        let batches =
            [Batch::replace(before.version, head, Vec::new()), Batch::replace(version, dead, Vec::new())];
        let verdicts = self.backend.commit(&batches).await.expect("the store");
        assert!(verdicts.iter().all(|verdict| verdict.is_accepted()), "{verdicts:?}");
    }

    async fn known_tenants(&self, engine: &Engine) -> usize {
        let own = TenantId::new("stepwell.system").expect("an id");
        let workflow = Some(Name::new("stepwell.tenant").expect("a name"));
        let query = Query { tenant: Some(own), workflow, ..Query::default() };
        engine.list(&query, None, 10).await.expect("a page").items.len()
    }
}

#[tokio::test]
async fn figures_that_make_no_limit_are_refused() {
    for queue in
        [mail().concurrency(0), mail().per_key(65), mail().rate(0, secs(1)), mail().rate(1, Duration::ZERO)]
    {
        let built = Engine::builder(Arc::new(MemoryBackend::new())).queue(queue).build().await;
        assert!(matches!(built, Err(Error::Options(_))), "{built:?}");
    }
}

#[tokio::test]
async fn a_holder_that_is_quiet_for_far_longer_than_usual_is_named_to_who_waits_for_it() {
    let stage = Stage::new();
    let engine = stage.engine(mail().concurrency(1)).await;
    for nth in 1..=3 {
        stage.let_go(1);
        let run = start(&engine, of(&format!("r-{nth}"))).await;
        soon("a result", run.result::<u64>()).await.expect("a result");
    }
    start(&engine, of("r-stuck")).await;
    stage.until_entered(4).await;
    let waits = start(&engine, of("r-waits")).await;
    until("the second is parked", async || is_parked(&engine, "r-waits").await).await;
    assert_eq!(engine.diagnosis(waits.key()).await.expect("an answer"), None, "it waits its turn");
    for _ in 0..20 {
        stage.time.advance(secs(10));
        // The holder is alive: its lease never ends, also not at the next leap.
        until("the lease is renewed", async || {
            let head = engine.get(&key("r-stuck")).await.expect("a head").expect("the run");
            head.lease.is_some_and(|lease| lease.expires_at > engine.now().plus_ms(10_000))
        })
        .await;
    }
    // Now and then it is looked at again, and waits for nothing in that moment.
    until("it is said why", async || engine.diagnosis(waits.key()).await.expect("an answer").is_some()).await;
    let found = engine.diagnosis(waits.key()).await.expect("an answer").expect("a diagnosis");
    assert_eq!(found.code, "SW6012", "{found:#?}");
    assert!(found.summary.contains("r-stuck"), "{found:#?}");
}
