//! Queues with limits, on every store: their workers die while runs are inside, parked, or wait for their turns.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::{Actor, Queue, QueueView, RunHandle, StartRun};
use stepwell_contract::{Name, Query, RunKey, Status, TenantId, Timestamp};
use stepwell_tests::on_every_store;
use stepwell_tests::place::Kind;
use stepwell_tests::site::{Site, comes_to, key, result, until};
use tokio::sync::Semaphore;

const START: Timestamp = Timestamp(1_800_000_000_000);

/// Who is inside the step, who was, and who may leave.
struct Counted {
    seen: Mutex<Seen>,
    go: Semaphore,
}

impl Default for Counted {
    fn default() -> Self {
        Self { seen: Mutex::default(), go: Semaphore::new(0) }
    }
}

#[derive(Default)]
struct Seen {
    inside: BTreeMap<String, usize>,
    most: usize,
    most_of_key: usize,
    entered: Vec<String>,
}

/// A stay inside the step: it ends with the step, however that ends.
struct Stay {
    counted: Arc<Counted>,
    key: String,
}

impl Counted {
    fn enter(self: &Arc<Self>, ctx: &StepContext, key: String) -> Stay {
        let mut seen = self.seen.lock().expect("no panic");
        *seen.inside.entry(key.clone()).or_default() += 1;
        seen.most = seen.most.max(seen.inside.values().sum());
        seen.most_of_key = seen.most_of_key.max(seen.inside[&key]);
        seen.entered.push(ctx.run_id().to_string());
        drop(seen);
        Stay { counted: Arc::clone(self), key }
    }

    fn inside(&self) -> usize {
        self.seen.lock().expect("no panic").inside.values().sum()
    }

    fn entered(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").entered.clone()
    }

    async fn comes_to(&self, runs: usize) {
        until(&format!("{runs} runs have entered"), async || self.entered().len() >= runs).await;
    }

    fn let_go(&self, runs: usize) {
        self.go.add_permits(runs);
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if let Some(of_key) = self.counted.seen.lock().expect("no panic").inside.get_mut(&self.key) {
            *of_key -= 1;
        }
    }
}

fn send(counted: &Arc<Counted>) -> Workflow<String, String> {
    let counted = Arc::clone(counted);
    let send = move |ctx: StepContext, key: String| {
        let counted = Arc::clone(&counted);
        async move {
            let _stay = counted.enter(&ctx, key.clone());
            counted.go.acquire().await.expect("open").forget();
            Ok(key)
        }
    };
    Workflow::named("send").queue("mail").step_fn("send", send).build().expect("a workflow")
}

fn mail() -> Queue {
    Queue::named("mail").expect("a name")
}

async fn worker(site: &Site, counted: &Arc<Counted>, queue: Queue, concurrency: usize) -> Engine {
    let builder = site.builder().concurrency(concurrency).register(send(counted)).queue(queue);
    builder.start().await.expect("a worker")
}

/// An engine that takes no runs.
async fn starter(site: &Site, counted: &Arc<Counted>) -> Engine {
    site.builder().register(send(counted)).build().await.expect("an engine")
}

fn of(run: &str, limit_key: &str) -> StartRun {
    let start = StartRun::new("send", run, limit_key).expect("a start");
    start.limit_key(Name::new(limit_key).expect("a name"))
}

async fn start(engine: &Engine, run: StartRun) -> RunHandle {
    engine.start_with(run).await.expect("a run")
}

async fn view(engine: &Engine) -> QueueView {
    let queues = engine.queues().await.expect("queues");
    queues.into_iter().find(|queue| queue.name.as_str() == "mail").expect("the queue")
}

async fn ends(engine: &Engine, key: &RunKey) {
    result::<String>(&engine.find(key).await.expect("the run")).await;
}

async fn no_more_than_the_limits_allow_are_inside_whoever_dies_and_all_end(kind: Kind) {
    let (mut site, counted) = (Site::at(kind, START).await, Arc::<Counted>::default());
    let limited = || mail().concurrency(3).per_key(2);
    let one = worker(&site, &counted, limited(), 64).await;
    let two = worker(&site, &counted, limited(), 64).await;
    let mut runs = Vec::new();
    for nth in 0..12 {
        // Of two keys one has three times as many.
        let limit_key = if nth % 4 == 3 { "b" } else { "a" };
        let engine = if nth % 2 == 0 { &one } else { &two };
        runs.push(start(engine, of(&format!("r-{nth}"), limit_key)).await.key().clone());
    }
    counted.comes_to(3).await;
    until("the others are parked", async || view(&one).await.parked == 9).await;

    // Three die inside, nine while they are parked.
    site.die([one, two]).await;
    until("the steps of the dead are gone", async || counted.inside() == 0).await;
    let three = worker(&site, &counted, limited(), 64).await;
    counted.comes_to(6).await;
    until("the others are parked again", async || view(&three).await.parked == 9).await;
    counted.let_go(4);
    counted.comes_to(10).await;

    site.die([three]).await;
    until("the steps of the dead are gone", async || counted.inside() == 0).await;
    let four = worker(&site, &counted, limited(), 64).await;
    let five = worker(&site, &counted, limited(), 64).await;
    counted.let_go(64);
    for key in &runs {
        ends(&four, key).await;
    }
    let (most, most_of_key) = {
        let seen = counted.seen.lock().expect("no panic");
        (seen.most, seen.most_of_key)
    };
    assert_eq!((most, most_of_key), (3, 2));
    until("no room is taken", async || view(&five).await.counted.is_empty()).await;
    assert_eq!(site.faults(runs).await, Vec::<String>::new());
}
on_every_store!(no_more_than_the_limits_allow_are_inside_whoever_dies_and_all_end);

async fn turns_of_a_rate_outlive_the_worker_that_gave_them(kind: Kind) {
    let (mut site, counted) = (Site::at(kind, START).await, Arc::<Counted>::default());
    counted.let_go(100);
    let rated = || mail().rate(2, mins(60)).rate_per_key(1, mins(60));
    let engine = worker(&site, &counted, rated(), 64).await;
    for (run, limit_key) in [("r-0", "a"), ("r-1", "b"), ("r-2", "c"), ("r-3", "d")] {
        start(&engine, of(run, limit_key)).await;
    }
    let turns = async |engine: &Engine| {
        let mut turns = Vec::new();
        for run in ["r-0", "r-1", "r-2", "r-3"] {
            if let Ok(Some(Cause::NotBefore { at })) = engine.cause(&key(run)).await {
                turns.push(at.since_ms(START) / 60_000);
            }
        }
        turns.sort_unstable();
        turns
    };
    until("one has begun, the others have their turns", async || turns(&engine).await == [30, 60, 90]).await;
    comes_to(&engine, &key(&counted.entered()[0]), Status::Succeeded).await;
    site.die([engine]).await;
    let engine = worker(&site, &counted, rated(), 64).await;
    assert_eq!(turns(&engine).await, [30, 60, 90]);
    for (begun, until) in [(2, 35), (3, 65), (4, 95)] {
        assert_eq!(counted.entered().len(), begun - 1);
        site.pass_until(START.plus_ms(until * 60_000));
        counted.comes_to(begun).await;
        site.rests(&engine).await;
    }
    // The rate of one key: another start of it has to wait, and a key of its own not, once its turn is there.
    site.pass(hours(2));
    start(&engine, of("d-1", "e")).await;
    counted.comes_to(5).await;
    site.rests(&engine).await;
    site.pass(mins(30));
    start(&engine, of("e-1", "e")).await;
    start(&engine, of("f-1", "f")).await;
    counted.comes_to(6).await;
    assert_eq!(counted.entered()[5], "f-1");
    site.rests(&engine).await;
    site.die([engine]).await;
    let _engine = worker(&site, &counted, rated(), 64).await;
    site.pass(mins(60));
    counted.comes_to(7).await;
}
on_every_store!(turns_of_a_rate_outlive_the_worker_that_gave_them);

async fn a_paused_queue_stays_paused_for_the_next_worker_and_tells_who_and_why(kind: Kind) {
    let (mut site, counted) = (Site::at(kind, START).await, Arc::<Counted>::default());
    let nina = Actor::Person("nina".to_owned());
    let engine = worker(&site, &counted, mail(), 64).await;
    let first = start(&engine, of("r-0", "a")).await.key().clone();
    counted.comes_to(1).await;
    let drained = {
        let (engine, nina) = (engine.clone(), nina.clone());
        tokio::spawn(async move { engine.drain_queue("mail", nina, "the server moves").await })
    };
    until("it is paused", async || view(&engine).await.paused.is_some()).await;
    let second = start(&engine, of("r-1", "a")).await.key().clone();
    until("it is parked", async || view(&engine).await.parked == 1).await;
    assert!(!drained.is_finished(), "one is inside");
    counted.let_go(1);
    drained.await.expect("no panic").expect("drained");
    comes_to(&engine, &first, Status::Succeeded).await;

    site.die([engine]).await;
    let engine = worker(&site, &counted, mail(), 64).await;
    let third = start(&engine, of("r-2", "b")).await.key().clone();
    for run in [&second, &third] {
        until("it waits for the queue", async || {
            let cause = engine.cause(run).await.expect("a cause");
            matches!(cause, Some(Cause::QueuePaused { by, message, .. })
                if by == nina && message == "the server moves")
        })
        .await;
    }
    until("both are parked", async || view(&engine).await.parked == 2).await;
    assert_eq!(counted.entered(), ["r-0"]);
    assert_eq!(engine.resume_queue("mail", nina, "it is there").await.expect("resumed"), 2);
    counted.let_go(2);
    for run in [&second, &third] {
        ends(&engine, run).await;
    }
    let history = engine.queue_history("mail").await.expect("a history");
    let kinds: Vec<_> = history.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds, ["queue_paused", "queue_resumed"]);
}
on_every_store!(a_paused_queue_stays_paused_for_the_next_worker_and_tells_who_and_why);

async fn what_a_dead_starter_left_is_taken_by_priority_and_then_by_age(kind: Kind) {
    let (mut site, counted) = (Site::at(kind, START).await, Arc::<Counted>::default());
    let engine = starter(&site, &counted).await;
    let mut expected = Vec::new();
    for (nth, priority) in [0, 5, -3, 5, 0, 9].into_iter().enumerate() {
        let run = format!("r-{nth}");
        start(&engine, of(&run, "a").priority(priority)).await;
        expected.push((std::cmp::Reverse(priority), nth, run));
        // The age is told in milliseconds.
        site.pass(millis(5));
    }
    expected.sort();
    site.die([engine]).await;
    counted.let_go(100);
    let engine = worker(&site, &counted, mail(), 1).await;
    for nth in 0..6 {
        ends(&engine, &key(&format!("r-{nth}"))).await;
    }
    let expected: Vec<String> = expected.into_iter().map(|(.., run)| run).collect();
    assert_eq!(counted.entered(), expected);
}
on_every_store!(what_a_dead_starter_left_is_taken_by_priority_and_then_by_age);

async fn a_tenant_with_one_run_does_not_wait_for_all_runs_of_another(kind: Kind) {
    let (mut site, counted) = (Site::at(kind, START).await, Arc::<Counted>::default());
    let engine = starter(&site, &counted).await;
    let tenant = |tenant: &str| TenantId::new(tenant).expect("an id");
    for nth in 0..60 {
        start(&engine, of(&format!("r-{nth}"), "a").tenant(tenant("big"))).await;
    }
    start(&engine, of("small", "a").tenant(tenant("small"))).await;
    until("both tenants are known", async || {
        let workflow = Some(Name::new("stepwell.tenant").expect("a name"));
        let query = Query { tenant: Some(tenant("stepwell.system")), workflow, ..Query::default() };
        engine.list(&query, None, 10).await.expect("a page").items.len() == 2
    })
    .await;
    site.die([engine]).await;
    let _engine = worker(&site, &counted, mail(), 4).await;
    for entered in 1..=12 {
        counted.comes_to(entered).await;
        counted.let_go(1);
    }
    let entered = counted.entered();
    assert!(entered.iter().take(12).any(|run| run == "small"), "{entered:?}");
}
on_every_store!(a_tenant_with_one_run_does_not_wait_for_all_runs_of_another);
