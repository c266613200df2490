//! How runs end and go on where batches are full, workers are late, and many wait at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench::{Bench, count, waits};
use stepwell::contract::pass_on::PassOn;
use stepwell::contract::{
    Backend, BackendError, Batch, Fault, FaultKind, Record, RunId, RunKey, Seq, Status, TenantId, Verdict,
};
use stepwell::prelude::*;
use stepwell::{Child, ChildRun, OnChange, Queue};
use tokio::sync::Semaphore;
use until::{soon, until};

mod bench;
mod until;

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

async fn status(engine: &Engine, run: &str) -> Option<Status> {
    engine.get(&key(run)).await.expect("the store answers").map(|head| head.status)
}

/// Whether something comes about while the time goes by, a minute after the other.
async fn in_time(bench: &Bench, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let come = tokio::time::timeout(Duration::from_secs(4), async {
        while !holds().await {
            bench.time.advance(mins(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    come.await.is_ok()
}

/// A store that loses posts to a run, or keeps the making of a run waiting.
#[derive(Debug)]
struct Odd {
    inner: Arc<dyn Backend>,
    deaf: Option<RunKey>,
    slow: Option<RunKey>,
    go: Semaphore,
    held: AtomicUsize,
    first_reads: AtomicUsize,
    /// Records of run `p`.
    records_read: AtomicUsize,
    /// This run's end as failed is not stored.
    no_end: std::sync::Mutex<Option<RunKey>>,
}

impl Odd {
    fn new(bench: &Bench) -> Self {
        let (held, first_reads, records_read) = Default::default();
        Self {
            inner: Arc::clone(&bench.store) as _,
            deaf: None,
            slow: None,
            go: Semaphore::new(0),
            held,
            first_reads,
            records_read,
            no_end: std::sync::Mutex::default(),
        }
    }
}

#[async_trait]
impl PassOn for Odd {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        if batches.iter().any(|batch| !batch.post.is_empty() && Some(&batch.key) == self.deaf.as_ref()) {
            return Err(BackendError::Definite(Fault::new(FaultKind::Locked, "deaf")));
        }
        let no_end = self.no_end.lock().expect("no panic").clone();
        let is_end = |batch: &Batch| {
            Some(&batch.key) == no_end.as_ref()
                && batch.append.iter().any(|record| record.kind.as_str() == "run_failed")
        };
        if batches.iter().any(is_end) {
            return Err(BackendError::Definite(Fault::new(FaultKind::Locked, "no end")));
        }
        let is_slow = |batch: &Batch| Some(&batch.key) == self.slow.as_ref() && batch.head.is_some();
        if batches.iter().any(is_slow) {
            self.held.fetch_add(1, Ordering::SeqCst);
            let _ = self.go.acquire().await;
        }
        self.inner.commit(batches).await
    }
    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        self.first_reads.fetch_add(usize::from(limit == 1 && from == Seq::FIRST), Ordering::SeqCst);
        let records = self.inner.journal(key, from, limit).await?;
        if key.run.as_str() == "p" {
            self.records_read.fetch_add(records.len(), Ordering::SeqCst);
        }
        Ok(records)
    }
}

fn on(bench: &Bench, store: &Arc<Odd>) -> stepwell::EngineBuilder {
    Engine::builder(Arc::clone(store) as _).time(Arc::new(bench.time.clone()))
}

fn simple(version: u32) -> Workflow<u32, u32> {
    let flow = Workflow::named("c").version(version);
    let flow = if version > 1 { flow.on_change(OnChange::Migrate).takes_over(1) } else { flow };
    flow.step_fn("work", |_ctx: StepContext, n: u32| async move { Ok(n + 1) }).build().expect("a workflow")
}

/// A worker dies between the decision on a run's end and that end; its successor has the next version.
#[tokio::test]
async fn a_run_whose_end_is_decided_ends_also_under_the_next_version() {
    let bench = Bench::new();
    let store = Arc::new(Odd { deaf: Some(key("p")), ..Odd::new(&bench) });
    let parent =
        || Workflow::named("w").input::<u32>().child("c", ChildRun::<u32, u32>::named("c").version(1));
    let parent = || parent().build().expect("a workflow");
    let old = on(&bench, &store).register(parent()).register(simple(1)).start().await.expect("an engine");
    old.start_run("w", "p", &1u32).await.expect("a run");
    until("the child's end is decided and not told", async || {
        let Ok(child) = old.find(&key("p.c")).await else { return false };
        count(&old, &child, "run_ending").await == 1 && old.running() == 0
    })
    .await;
    old.shutdown().await;
    let new = bench.builder().register(parent()).register(simple(2)).start().await.expect("an engine");
    let ended = in_time(&bench, async || status(&new, "p").await == Some(Status::Succeeded)).await;
    let terminated = new.terminate(&key("p.c"), "stuck").await.map(|head| head.status);
    assert!(
        ended,
        "child {:?}, cause {:?}, terminate {terminated:?}",
        status(&new, "p.c").await,
        new.cause(&key("p.c")).await
    );
}

#[tokio::test]
async fn gathering_twice_as_many_children_costs_twice_as_much() {
    let mut reads = Vec::new();
    for n in [16u32, 32] {
        let bench = Bench::new();
        let store = Arc::new(Odd::new(&bench));
        let nap = Workflow::named("nap")
            .step_fn("nap", |ctx: StepContext, n: u32| async move {
                ctx.sleep("rest", hours(u64::from(n) + 1)).await?;
                Ok(n)
            })
            .build()
            .expect("a workflow");
        let flow = Workflow::named("w")
            .step_fn("gather", |ctx: StepContext, n: u32| async move {
                let mut children: Vec<Child<u32>> = Vec::new();
                for nth in 0..n {
                    let child = ChildRun::<u32, u32>::named("nap");
                    children.push(ctx.start_child(&format!("n-{nth}"), child, &nth).await?);
                }
                let mut sum = 0;
                for child in &children {
                    sum += child.result(&ctx).await?;
                }
                Ok(sum)
            })
            .build()
            .expect("a workflow");
        let engine = on(&bench, &store).register(flow).register(nap).start().await.expect("an engine");
        let run = engine.start_run("w", "p", &n).await.expect("a run");
        for ended in 0..n as usize {
            until("the parent waits", async || {
                count(&engine, &run, "child_ended").await == ended
                    && status(&engine, "p").await == Some(Status::Waiting)
                    && engine.running() == 0
            })
            .await;
            bench.time.advance(hours(1));
        }
        soon("a result", run.result::<u32>()).await.expect("a result");
        reads.push(store.first_reads.load(Ordering::SeqCst));
    }
    assert!(reads[1] <= 3 * reads[0], "children looked up again: {reads:?} for 16 and 32 children");
}

/// A run made of ten thousand items, which is the number that the documentation speaks of.
#[tokio::test]
async fn a_map_of_ten_thousand_sleeps_waits() {
    let flow = Workflow::named("w")
        .step_fn("list", |_ctx: StepContext, n: u32| async move { Ok((0..n).collect::<Vec<u32>>()) })
        .map_flow(100, |item| item.sleep("rest", hours(1)))
        .build()
        .expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &10_000u32).await.expect("a run");
    until("it has come to rest", async || {
        matches!(status(&engine, "r").await, Some(Status::Waiting | Status::Paused)) && engine.running() == 0
    })
    .await;
    let state = engine.state(run.key()).await.expect("a state");
    assert_eq!(state.status, Status::Waiting, "{:?}", state.pause);
}

/// They have waited for the same time, or while no worker was there.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_steps_that_wait_can_be_woken_at_once() {
    let flow = Workflow::named("w")
        .step_fn("list", |_ctx: StepContext, n: u32| async move { Ok((0..n).collect::<Vec<u32>>()) })
        .map_flow(1_000, |item| {
            item.step_fn("nap", |ctx: StepContext, n: u32| async move {
                ctx.sleep("rest", hours(1)).await?;
                Ok(n)
            })
        })
        .build()
        .expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &10_000u32).await.expect("a run");
    until("all wait", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        status(&engine, "r").await == Some(Status::Waiting) && engine.running() == 0
    })
    .await;
    bench.time.advance(hours(1));
    until("it has come to rest", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        matches!(status(&engine, "r").await, Some(Status::Succeeded | Status::Paused))
            && engine.running() == 0
    })
    .await;
    let state = engine.state(run.key()).await.expect("a state");
    assert_eq!(state.status, Status::Succeeded, "{:?}", state.pause);
}

#[tokio::test]
async fn a_parent_and_its_child_share_a_queue_of_one() {
    let bench = Bench::new();
    let flow = Workflow::named("w").input::<u32>().child("c", &simple(1)).build().expect("a workflow");
    let queue = Queue::named("default").expect("a name").concurrency(1);
    let engine =
        bench.builder().register(flow).register(simple(1)).queue(queue).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
}

/// "The same `id` again has no effect."
#[tokio::test]
async fn a_signal_that_was_recorded_is_not_recorded_again_under_its_id() {
    let flow = Workflow::named("w").input::<u32>().wait_for::<String>("go").wait_for::<String>("go");
    drop(flow);
    let flow = Workflow::named("w").input::<u32>().wait_for::<String>("go").build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    for _ in 0..2 {
        engine.signal(run.key(), "other", "m-1", "x").await.expect("sent");
        until("it is taken", async || {
            count(&engine, &run, "signal_received").await > 0
                && bench.store.inbox(run.key(), 9).await.expect("an inbox").is_empty()
                && engine.running() == 0
        })
        .await;
    }
    assert_eq!(count(&engine, &run, "signal_received").await, 1);
}

/// "The limits hold for all workers of a store."
#[tokio::test]
async fn a_limit_holds_for_an_engine_that_does_not_declare_it() {
    let bench = Bench::new();
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0), Semaphore::new(0)));
    let flow = || {
        let inside = Arc::clone(&inside);
        Workflow::named("w")
            .step_fn("work", move |_ctx: StepContext, n: u32| {
                let inside = Arc::clone(&inside);
                async move {
                    let now = inside.0.fetch_add(1, Ordering::SeqCst) + 1;
                    inside.1.fetch_max(now, Ordering::SeqCst);
                    inside.2.acquire().await.expect("open").forget();
                    inside.0.fetch_sub(1, Ordering::SeqCst);
                    Ok(n)
                }
            })
            .build()
            .expect("a workflow")
    };
    let queue = Queue::named("default").expect("a name").concurrency(1);
    let one = bench.builder().register(flow()).queue(queue).start().await.expect("an engine");
    let two = bench.builder().register(flow()).start().await.expect("an engine");
    let first = one.start_run("w", "r-1", &1u32).await.expect("a run");
    until("it is in", async || inside.0.load(Ordering::SeqCst) == 1).await;
    let second = two.start_run("w", "r-2", &1u32).await.expect("a run");
    let both = async { until("both are in", async || inside.0.load(Ordering::SeqCst) == 2).await };
    let _ = tokio::time::timeout(Duration::from_secs(2), both).await;
    inside.2.add_permits(9);
    soon("an end", first.result::<u32>()).await.expect("a result");
    soon("an end", second.result::<u32>()).await.expect("a result");
    assert_eq!(inside.1.load(Ordering::SeqCst), 1);
}

/// One that is driven when it is asked.
#[tokio::test]
async fn a_running_parent_that_is_terminated_cancels_its_child() {
    let bench = Bench::new();
    let nap = Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
    let flow = Workflow::named("w")
        .step_fn("work", |ctx: StepContext, n: u32| async move {
            ctx.start_child("nap", ChildRun::<u32, u32>::named("nap"), &n).await?;
            std::future::pending::<()>().await;
            Ok(n)
        })
        .build()
        .expect("a workflow");
    let engine = bench.builder().register(flow).register(nap).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    until("the child sleeps", async || status(&engine, "p.work.nap").await == Some(Status::Waiting)).await;
    engine.terminate(run.key(), "now").await.expect("asked");
    assert!(soon("an end", run.result::<u32>()).await.is_err());
    until("the child is cancelled", async || status(&engine, "p.work.nap").await == Some(Status::Cancelled))
        .await;
    until("the parent too", async || status(&engine, "p").await == Some(Status::Cancelled)).await;
}

/// The child's worker dies between its word and its end, and the parent is retried before another has the child.
#[tokio::test]
async fn a_parent_that_is_retried_while_its_child_is_ending_hears_of_that_end() {
    let bench = Bench::new();
    let store = Arc::new(Odd::new(&bench));
    *store.no_end.lock().expect("no panic") = Some(key("p.c"));
    let child = Workflow::named("c")
        .step_fn(
            "work",
            |_ctx: StepContext, _n: u32| async move { Err::<u32, _>(StepError::permanent("no van")) },
        )
        .build()
        .expect("a workflow");
    let flow = Workflow::named("w").input::<u32>().child("c", &child).build().expect("a workflow");
    let engine = on(&bench, &store).register(flow).register(child).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    assert!(soon("an end", run.result::<u32>()).await.is_err());
    until("the child is left", async || engine.running() == 0).await;
    *store.no_end.lock().expect("no panic") = None;
    engine.retry(run.key(), "again").await.expect("retried");
    assert!(in_time(&bench, async || status(&engine, "p.c").await == Some(Status::Failed)).await);
    let moved = in_time(&bench, async || status(&engine, "p").await == Some(Status::Failed)).await;
    assert!(moved, "parent {:?}: {:?}", status(&engine, "p").await, engine.cause(run.key()).await);
}

/// A worker that is taken for dead makes the child after its parent has ended.
#[tokio::test]
async fn a_child_that_a_stale_worker_makes_after_its_parent_was_cancelled_does_not_run() {
    let bench = Bench::new();
    let store = Arc::new(Odd { slow: Some(key("p.nap")), ..Odd::new(&bench) });
    let nap = || Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
    let flow = || Workflow::named("w").input::<u32>().child("nap", &nap()).build().expect("a workflow");
    let stale = on(&bench, &store).register(flow()).register(nap()).start().await.expect("an engine");
    stale.start_run("w", "p", &1u32).await.expect("a run");
    until("the child is on its way", async || store.held.load(Ordering::SeqCst) > 0).await;
    let other = bench.builder().register(flow()).build().await.expect("an engine");
    let asker = other.clone();
    let asked = tokio::spawn(async move { asker.cancel(&key("p"), "no longer").await });
    until("the lease is over and the request answered", async || {
        bench.time.advance(secs(20));
        asked.is_finished()
    })
    .await;
    asked.await.expect("no panic").expect("asked");
    other.work();
    until("the parent has ended", async || status(&other, "p").await == Some(Status::Cancelled)).await;
    assert_eq!(status(&other, "p.nap").await, None);
    store.go.add_permits(1_000);
    until("the child is there", async || status(&other, "p.nap").await.is_some()).await;
    in_time(&bench, async || status(&other, "p.nap").await.is_some_and(Status::is_finished)).await;
    assert_eq!(
        status(&other, "p.nap").await,
        Some(Status::Cancelled),
        "its parent was cancelled before it was made"
    );
}
