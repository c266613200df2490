//! Runs that wait, their children and how they are undone, where things go wrong or come late.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bench::{Bench, at, count, failed, waits};
use stepwell::contract::{RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::{ChildRun, OnClose, Report, RunError, Token};
use until::{soon, until};

mod bench;
mod until;

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

async fn status(engine: &Engine, run: &str) -> Option<Status> {
    engine.get(&key(run)).await.expect("the store answers").map(|head| head.status)
}

fn nap() -> Workflow<u32, u32> {
    Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow")
}

/// A step that starts a child, and then fails or hangs for a reason of its own.
struct Pay {
    runs: Arc<AtomicU32>,
    hangs: bool,
    on_close: OnClose,
}

#[async_trait]
impl Step for Pay {
    type Input = u32;
    type Output = u32;
    const NAME: &'static str = "pay";

    fn policy(&self) -> StepPolicy {
        let policy = StepPolicy::default().effect(Effect::NotIdempotent);
        if self.hangs { policy.attempt_timeout(secs(30)) } else { policy }
    }

    async fn run(&self, ctx: &StepContext, n: u32) -> StepResult<u32> {
        let child = ChildRun::<u32, u32>::named("nap").on_close(self.on_close);
        ctx.start_child("receipt", child, &n).await?;
        self.runs.fetch_add(1, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(StepError::permanent("the card is stolen"))
    }
}

/// Promise 3: "A step declared NotIdempotent is not repeated blindly".
#[tokio::test]
async fn a_child_that_ends_well_does_not_repeat_a_step_that_is_in_doubt() {
    let (bench, runs) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    let pay = Pay { runs: Arc::clone(&runs), hangs: true, on_close: OnClose::Cancel };
    let flow = Workflow::named("w").step(pay).build().expect("a workflow");
    let engine = bench.builder().register(flow).register(nap()).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    until("the child sleeps", async || status(&engine, "p.pay.receipt").await == Some(Status::Waiting)).await;
    until("it hangs", async || runs.load(Ordering::SeqCst) == 1).await;
    bench.time.advance(secs(31));
    let held = soon("it is held", run.result::<u32>()).await;
    assert!(matches!(held, Err(RunError::Paused { reason: PauseReason::InDoubt, .. })), "{held:?}");
    bench.time.advance(days(1));
    until("the parent has the word", async || count(&engine, &run, "child_ended").await == 1).await;
    let repeated = async { until("another attempt", async || runs.load(Ordering::SeqCst) == 2).await };
    let repeated = tokio::time::timeout(std::time::Duration::from_secs(2), repeated).await.is_ok();
    assert!(!repeated, "nobody has said that it may be repeated: {} attempts", runs.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_run_that_failed_for_a_reason_of_its_own_is_not_reopened_by_a_child() {
    let (bench, runs) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    let pay = Pay { runs: Arc::clone(&runs), hangs: false, on_close: OnClose::Abandon };
    let flow = Workflow::named("w").step(pay).build().expect("a workflow");
    let engine = bench.builder().register(flow).register(nap()).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    assert_eq!(failed(soon("an end", run.result::<u32>()).await).0, "pay");
    until("the child sleeps", async || status(&engine, "p.pay.receipt").await == Some(Status::Waiting)).await;
    bench.time.advance(days(1));
    until("the parent has the word", async || count(&engine, &run, "child_ended").await == 1).await;
    let again = async { until("another attempt", async || runs.load(Ordering::SeqCst) == 2).await };
    let again = tokio::time::timeout(std::time::Duration::from_secs(2), again).await.is_ok();
    assert!(!again, "nobody asked for another attempt");
}

/// Two children: the first had its result of the old input.
#[tokio::test]
async fn the_result_of_a_child_of_the_old_input_is_not_taken_for_the_new_one() {
    let bench = Bench::new();
    let child = Workflow::named("c")
        .step_fn("work", |_ctx: StepContext, n: u32| async move { Ok(n * 10) })
        .build()
        .expect("a workflow");
    let flow = Workflow::named("w")
        .step_fn("gather", |ctx: StepContext, n: u32| async move {
            let child = ctx.start_child("a", ChildRun::<u32, u32>::named("c"), &n).await?;
            let ten = child.result(&ctx).await?;
            if n == 1 { Err(StepError::permanent("one is wrong")) } else { Ok(ten) }
        })
        .build()
        .expect("a workflow");
    let engine = bench.builder().register(flow).register(child).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    failed(soon("an end", run.result::<u32>()).await);
    if engine.edit_input(run.key(), &7u32, "seven").await.is_err() {
        return;
    }
    engine.retry(run.key(), "again").await.expect("retried");
    let result = soon("a result", async {
        loop {
            if status(&engine, "p").await == Some(Status::Succeeded) {
                break run.result::<u32>().await;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(result.expect("a result"), 70, "the child of input 1 gave 10");
}

/// A child whose work was undone can never be retried; its parent has to have a way on.
#[tokio::test]
async fn a_parent_of_a_child_that_was_undone_can_be_restarted() {
    let (bench, broken) = (Bench::new(), Arc::new(AtomicBool::new(true)));
    let is_broken = Arc::clone(&broken);
    let child = Workflow::named("c")
        .step_fn("book", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .compensate_fn(|_ctx: StepContext, _n: u32| async move { Ok(()) })
        .step_fn("pay", move |_ctx: StepContext, n: u32| {
            let is_broken = is_broken.load(Ordering::SeqCst);
            async move { if is_broken { Err(StepError::permanent("no money")) } else { Ok(n) } }
        })
        .build()
        .expect("a workflow");
    let once = StepPolicy::default().retry(Retry::none());
    let flow = Workflow::named("w").step_policy(once).input::<u32>().child("c", &child);
    let flow = flow.build().expect("a workflow");
    let engine = bench.builder().register(flow).register(child).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    failed(soon("an end", run.result::<u32>()).await);
    broken.store(false, Ordering::SeqCst);
    engine.retry(run.key(), "there is money").await.expect("retried");
    until("it has come to rest", async || {
        // Little by little: a worker that is kept waiting must not lose its leases over it.
        bench.time.advance(millis(50));
        let status = status(&engine, "p").await;
        matches!(status, Some(Status::Paused | Status::Succeeded | Status::Failed)) && engine.running() == 0
    })
    .await;
    if status(&engine, "p").await == Some(Status::Succeeded) {
        return;
    }
    let restarted = engine.restart(run.key(), &at("c"), "anew").await;
    let cancelled = engine.cancel(&key("p.c"), "as told").await;
    assert!(restarted.is_ok(), "restart: {restarted:?}\nand what it tells to do: {cancelled:?}");
}

fn undone_by<F, Fut>(undo: F) -> Workflow<u32, u32>
where
    F: Fn(StepContext, u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<()>> + Send + 'static,
{
    Workflow::named("w")
        .step_fn("book", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .compensate_fn(undo)
        .sleep("later", days(10))
        .step_fn("last", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .build()
        .expect("a workflow")
}

#[tokio::test]
async fn what_undoes_a_step_may_sleep_when_someone_asked_to_undo() {
    let bench = Bench::new();
    let flow = undone_by(|ctx, _n| async move { ctx.sleep("cool", hours(1)).await });
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.undo(run.key(), "no longer").await.expect("asked");
    until("it waits in its undoing", async || {
        count(&engine, &run, "step_suspended").await == 1 && engine.running() == 0
    })
    .await;
    bench.time.advance(hours(1));
    until("it has come to rest", async || {
        matches!(status(&engine, "r").await, Some(Status::Paused | Status::Cancelled))
            && engine.running() == 0
    })
    .await;
    let pause = engine.state(run.key()).await.expect("a state").pause;
    if pause.is_some() {
        engine.retry(run.key(), "as told").await.expect("retried");
        until("it has come to rest again", async || {
            matches!(status(&engine, "r").await, Some(Status::Paused | Status::Cancelled))
                && engine.running() == 0
        })
        .await;
    }
    assert_eq!(status(&engine, "r").await, Some(Status::Cancelled), "{pause:?}");
}

#[tokio::test]
async fn what_undoes_a_step_may_be_left_to_someone_outside() {
    let bench = Bench::new();
    let token = Arc::new(std::sync::Mutex::new(None::<Token>));
    let given = Arc::clone(&token);
    let flow = undone_by(move |ctx, _n| {
        *given.lock().expect("no panic") = Some(ctx.token());
        async move { ctx.report_later(hours(1)) }
    });
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.undo(run.key(), "no longer").await.expect("asked");
    until("it waits in its undoing", async || {
        count(&engine, &run, "step_suspended").await == 1 && engine.running() == 0
    })
    .await;
    let token = token.lock().expect("no panic").clone().expect("a token");
    engine.report(&token, Report::succeeded(&()).expect("a report")).await.expect("the report is taken");
    let end = soon("an end", run.result::<u32>()).await;
    assert!(matches!(end, Err(RunError::Cancelled)), "{end:?}");
}

/// Silence counts as a failure there too, and the worker does not spin.
#[tokio::test(flavor = "multi_thread")]
async fn silence_of_whom_an_undoing_was_left_to_holds_the_run() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("book", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .compensate_fn(|ctx: StepContext, _n: u32| async move { ctx.report_later(hours(1)) })
        .step_fn("pay", |_ctx: StepContext, _n: u32| async move {
            Err::<u32, _>(StepError::permanent("no money"))
        })
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    until("it waits in its undoing", async || {
        count(&engine, &run, "step_suspended").await == 1 && engine.running() == 0
    })
    .await;
    bench.time.advance(hours(1));
    let held = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        loop {
            bench.time.advance(mins(1));
            if status(&engine, "r").await == Some(Status::Paused) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let head = engine.get(run.key()).await.expect("answers").expect("a head");
    let cause = engine.cause(run.key()).await.expect("a cause");
    assert!(
        held.is_ok(),
        "five hours of minutes later: {:?}, lease {:?}, cause {cause:?}",
        head.status,
        head.lease
    );
}

/// The parts are each well under the limit of a value, the list is not.
#[tokio::test]
async fn a_child_with_a_large_result_ends_and_its_parent_hears_of_it() {
    let bench = Bench::new();
    let part = |_ctx: StepContext, n: u32| async move { Ok(n.to_string().repeat(600_000)) };
    let child = || {
        Workflow::named("c")
            .input::<Vec<u32>>()
            .map_flow(2, move |item| item.step_fn("part", part))
            .build()
            .expect("a workflow")
    };
    let flow = Workflow::named("w").input::<Vec<u32>>().child("c", &child());
    let flow = flow.step_fn("count", |_ctx: StepContext, all: Vec<String>| async move { Ok(all.len()) });
    let flow = flow.build().expect("a workflow");
    let engine = bench.builder().register(flow).register(child()).start().await.expect("an engine");
    // The same workflow without a parent ends well.
    let alone = engine.start_run("c", "alone", &vec![1u32, 2]).await.expect("a run");
    assert_eq!(soon("a result", alone.result::<Vec<String>>()).await.expect("a result").len(), 2);
    engine.start_run("w", "p", &vec![1u32, 2]).await.expect("a run");
    until("its end is decided", async || {
        let child = engine.find(&key("p.c")).await;
        match child {
            Ok(child) => count(&engine, &child, "run_ending").await == 1 && engine.running() == 0,
            Err(_) => false,
        }
    })
    .await;
    // Whoever takes it over comes to the same point.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(3), async {
        loop {
            bench.time.advance(mins(1));
            if matches!(
                status(&engine, "p.c").await,
                Some(Status::Succeeded | Status::Failed | Status::Paused)
            ) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let records = engine.history(&key("p.c")).await.expect("a history");
    let takeovers = records.iter().filter(|record| record.kind.as_str() == "run_taken").count();
    let terminated = engine.terminate(&key("p.c"), "stuck").await.map(|head| head.status);
    assert!(
        ended.is_ok(),
        "the child is {:?} after {takeovers} takeovers; parent {:?}, cause {:?}; terminate: {terminated:?}",
        status(&engine, "p.c").await,
        status(&engine, "p").await,
        engine.cause(&key("p.c")).await,
    );
}

/// A child of the old version ends after its parent's code has learnt how to read the new one, and how the old becomes it.
#[tokio::test]
async fn what_an_old_child_gives_is_migrated_for_a_parent_with_new_code() {
    let child = |version: u32| {
        Workflow::named("c")
            .version(version)
            .input::<u32>()
            .sleep("rest", days(1))
            .build()
            .expect("a workflow")
    };
    let old = Workflow::named("w")
        .input::<u32>()
        .child("c", ChildRun::<u32, u32>::named("c").version(1))
        .step_fn("say", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .build()
        .expect("a workflow");
    let new = Workflow::named("w")
        .input::<u32>()
        .child("c", ChildRun::<u32, (u32, String)>::named("c").version(2))
        .output_version(2)
        .step_fn("say", |_ctx: StepContext, (n, _): (u32, String)| async move { Ok(n) })
        .migrate_named("c", 1, |n: serde_json::Value| Ok(serde_json::json!([n, "EUR"])))
        .build()
        .expect("a workflow");
    let bench = Bench::new();
    let engine = bench.builder().register(old).register(child(1)).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &5u32).await.expect("a run");
    until("both wait", async || {
        status(&engine, "p.c").await == Some(Status::Waiting)
            && status(&engine, "p").await == Some(Status::Waiting)
            && engine.running() == 0
    })
    .await;
    engine.shutdown().await;
    let engine = bench.builder().register(new).register(child(1)).start().await.expect("an engine");
    bench.time.advance(days(1));
    let run = engine.find(run.key()).await.expect("the run");
    let result = soon("an end", run.result::<u32>()).await;
    assert_eq!(result.expect("a result"), 5);
}

/// What was undone is not tried again: `retry` says so, and the word of a child must not do it.
#[tokio::test]
async fn a_run_that_was_undone_ends_once() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("book", |_ctx: StepContext, n: u32| async move { Ok(n) })
        .compensate_fn(|_ctx: StepContext, _n: u32| async move { Ok(()) })
        .step_fn("pay", |ctx: StepContext, n: u32| async move {
            let child = ChildRun::<u32, u32>::named("nap").on_close(OnClose::Abandon);
            ctx.start_child("receipt", child, &n).await?;
            Err::<u32, _>(StepError::permanent("no money"))
        })
        .build()
        .expect("a workflow");
    let engine = bench.builder().register(flow).register(nap()).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    failed(soon("an end", run.result::<u32>()).await);
    until("the child sleeps", async || status(&engine, "p.pay.receipt").await == Some(Status::Waiting)).await;
    bench.time.advance(days(1));
    until("the parent has the word", async || count(&engine, &run, "child_ended").await == 1).await;
    let again = async { until("another end", async || count(&engine, &run, "run_failed").await == 2).await };
    let again = tokio::time::timeout(std::time::Duration::from_secs(2), again).await.is_ok();
    assert!(!again, "it has failed a second time");
}

/// Whoever has the token may be faster than the step's return.
#[tokio::test]
async fn a_report_that_comes_before_the_step_has_returned_is_not_lost() {
    let bench = Bench::new();
    let (tell, told) = tokio::sync::oneshot::channel::<Token>();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let may_go = Arc::clone(&go);
    let flow = Workflow::named("w")
        .step_fn("call", move |ctx: StepContext, _n: u32| {
            let (tell, go) = (tell.lock().expect("no panic").take(), Arc::clone(&may_go));
            async move {
                if let Some(tell) = tell {
                    let _ = tell.send(ctx.token());
                }
                // The answer of the one that was called is on its way.
                let _ = go.acquire().await;
                ctx.report_later::<u32>(None)
            }
        })
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "r", &1u32).await.expect("a run");
    let token = told.await.expect("a token");
    let report = engine.report(&token, Report::succeeded(&7u32).expect("a report"));
    let (told, ()) = tokio::join!(report, async {
        until("the report is there or refused", async || {
            count(&engine, &run, "request_refused").await > 0
                || count(&engine, &run, "step_reported").await > 0
        })
        .await;
        go.add_permits(1);
    });
    let result = tokio::time::timeout(std::time::Duration::from_secs(3), run.result::<u32>()).await;
    assert!(result.is_ok(), "it waits for ever; the report was {told:?}");
}
