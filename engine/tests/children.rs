//! Runs that other runs start, and what they tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bench::{Bench, at, count, failed, waits};
use stepwell::contract::fault::{Effect, FaultBackend, FaultPlan};
use stepwell::contract::{Batch, FaultKind, Name, RunId, RunKey, Status, TenantId};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::{Actor, Child, ChildRun, OnClose, Queue, RunError, StartRun, Verb};
use until::{soon, until};

mod bench;
mod until;

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

/// A child that does its first step once, and fails in the second while the flag is set.
fn ship(packed: &Arc<AtomicU32>, broken: &Arc<AtomicBool>) -> Workflow<u32, u32> {
    let (packed, broken) = (Arc::clone(packed), Arc::clone(broken));
    Workflow::named("ship")
        .step_fn("pack", move |_ctx: StepContext, n: u32| {
            packed.fetch_add(1, Ordering::Relaxed);
            async move { Ok(n + 1) }
        })
        .step_fn("send", move |_ctx: StepContext, n: u32| {
            let is_broken = broken.load(Ordering::Relaxed);
            async move { if is_broken { Err(StepError::permanent("no van")) } else { Ok(n * 10) } }
        })
        .build()
        .expect("a workflow")
}

fn order(ship: &Workflow<u32, u32>) -> Workflow<u32, String> {
    let say = |_ctx: StepContext, n: u32| async move { Ok(format!("shipped {n}")) };
    Workflow::named("order")
        .input::<u32>()
        .child("shipment", ship)
        .step_fn("say", say)
        .build()
        .expect("a workflow")
}

async fn status(engine: &Engine, run: &str) -> Option<Status> {
    engine.get(&key(run)).await.expect("the store answers").map(|head| head.status)
}

#[tokio::test]
async fn a_child_is_a_run_of_its_own_whose_result_flows_on() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::default());
    let child = ship(&packed, &broken);
    let engine = bench.builder().register(order(&child)).register(child).start().await.expect("an engine");
    let run = engine.start_run("order", "o-1", &1u32).await.expect("a run");
    assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), "shipped 20");
    let child = engine.find(&key("o-1.shipment")).await.expect("the child");
    assert_eq!(child.result::<u32>().await.expect("a result"), 20);
    let state = engine.state(child.key()).await.expect("a state");
    assert_eq!(state.created.parent.as_ref().expect("a parent").run, *run.key());
    assert_eq!(count(&engine, &run, "child_started").await, 1);
    assert_eq!(count(&engine, &run, "child_ended").await, 1);
}

#[tokio::test]
async fn a_parent_waits_for_a_child_that_only_another_worker_can_run() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::default());
    let parents = bench.engine(order(&ship(&packed, &broken))).await;
    let run = parents.start_run("order", "o-1", &1u32).await.expect("a run");
    until("the parent waits for its child", async || {
        let cause = parents.cause(run.key()).await.expect("a cause");
        matches!(&cause, Some(Cause::Child { runs, .. }) if runs[0] == key("o-1.shipment"))
    })
    .await;
    let children = bench.engine(ship(&packed, &broken)).await;
    assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), "shipped 20");
    children.shutdown().await;
}

#[tokio::test]
async fn a_child_that_failed_fails_its_parent_and_a_retry_of_either_goes_on_where_the_child_failed() {
    for retries_parent in [true, false] {
        let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::new(AtomicBool::new(true)));
        let child = ship(&packed, &broken);
        let engine =
            bench.builder().register(order(&child)).register(child).start().await.expect("an engine");
        let run = engine.start_run("order", "o-1", &1u32).await.expect("a run");
        let (step, code) = failed(soon("an end", run.result::<String>()).await);
        assert_eq!((step.as_str(), code.as_str()), ("shipment", "child.failed"));
        broken.store(false, Ordering::Relaxed);
        let retried = if retries_parent { run.key().clone() } else { key("o-1.shipment") };
        engine.retry(&retried, "the van is back").await.expect("retried");
        until("the parent has its result", async || status(&engine, "o-1").await == Some(Status::Succeeded))
            .await;
        assert_eq!(run.result::<String>().await.expect("a result"), "shipped 20");
        assert_eq!(packed.load(Ordering::Relaxed), 1, "what the child had done it did not do again");
    }
}

#[tokio::test]
async fn a_parent_that_ends_first_cancels_its_children_or_leaves_them_alone() {
    for (on_close, left) in [(OnClose::Cancel, Status::Cancelled), (OnClose::Abandon, Status::Waiting)] {
        let nap = Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
        let child = ChildRun::of(&nap).on_close(on_close);
        let flow = Workflow::named("w").input::<u32>().child("nap", child).build().expect("a workflow");
        let bench = Bench::new();
        let engine = bench.builder().register(flow).register(nap).start().await.expect("an engine");
        let run = engine.start_run("w", "p", &1u32).await.expect("a run");
        until("both wait", async || {
            status(&engine, "p.nap").await == Some(Status::Waiting)
                && status(&engine, "p").await == Some(Status::Waiting)
        })
        .await;
        engine.cancel(run.key(), "no longer").await.expect("asked");
        assert!(matches!(soon("an end", run.result::<u32>()).await, Err(RunError::Cancelled)));
        until("the child is as it was to be", async || status(&engine, "p.nap").await == Some(left)).await;
        if on_close == OnClose::Abandon {
            // Its word comes to a parent that has ended, and changes nothing.
            bench.time.advance(days(1));
            until("it ends alone", async || status(&engine, "p.nap").await == Some(Status::Succeeded)).await;
            assert_eq!(status(&engine, "p").await, Some(Status::Cancelled));
        }
    }
}

#[tokio::test]
async fn a_parent_ended_at_once_still_tells_its_children_also_where_no_worker_is() {
    let nap = || Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
    let flow = Workflow::named("w").input::<u32>().child("nap", &nap()).build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.builder().register(flow).register(nap()).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    until("both wait", async || {
        status(&engine, "p.nap").await == Some(Status::Waiting)
            && status(&engine, "p").await == Some(Status::Waiting)
    })
    .await;
    engine.shutdown().await;
    let other = bench.builder().build().await.expect("an engine without workflows");
    let head = other.ask(run.key(), Verb::Terminate, stepwell::Actor::Program, "now").await.expect("asked");
    assert_eq!(head.status, Status::Cancelled);
    let engine = bench.engine(nap()).await;
    until("the child is cancelled", async || status(&engine, "p.nap").await == Some(Status::Cancelled)).await;
}

#[tokio::test]
async fn a_step_starts_several_children_and_gathers_their_results() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::default());
    let child = ship(&packed, &broken);
    let gather = |ctx: StepContext, all: Vec<u32>| async move {
        let mut children: Vec<Child<u32>> = Vec::new();
        for n in all {
            let how = ChildRun::<u32, u32>::named("ship").tag("batch", "b-1");
            children.push(ctx.start_child(&format!("n-{n}"), how, &n).await?);
        }
        let mut sum = 0;
        for child in &children {
            sum += child.result(&ctx).await?;
        }
        Ok(sum)
    };
    let flow = Workflow::named("w").step_fn("gather", gather).build().expect("a workflow");
    let engine = bench.builder().register(flow).register(child).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &vec![1u32, 2, 3]).await.expect("a run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 20 + 30 + 40);
    assert_eq!(packed.load(Ordering::Relaxed), 3, "each child was begun once");
    // A child tells its parent before its end is final.
    until("the child has ended", async || status(&engine, "p.gather.n-2").await == Some(Status::Succeeded))
        .await;
}

#[tokio::test]
async fn children_of_a_map_run_no_more_at_once_than_it_allows() {
    let most = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let counted = Arc::clone(&most);
    let child = Workflow::named("c").step_fn("work", move |_ctx: StepContext, n: u32| {
        let counted = Arc::clone(&counted);
        async move {
            let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
            counted.1.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            counted.0.fetch_sub(1, Ordering::SeqCst);
            Ok(n + 1)
        }
    });
    let child = child.build().expect("a workflow");
    let flow = Workflow::named("w").input::<Vec<u32>>().map_flow(3, |item| item.child("c", &child));
    let flow = flow.build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.builder().register(flow).register(child).start().await.expect("an engine");
    let items: Vec<u32> = (0..40).collect();
    let run = engine.start_run("w", "p", &items).await.expect("a run");
    let expected: Vec<u32> = items.iter().map(|n| n + 1).collect();
    assert_eq!(soon("a result", run.result::<Vec<u32>>()).await.expect("a result"), expected);
    assert!(most.1.load(Ordering::SeqCst) <= 3, "{most:?}");
    assert!(status(&engine, "p.c.39").await.is_some());
}

#[tokio::test]
async fn a_child_whose_id_another_run_has_fails_its_parent_and_leaves_that_run_alone() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::default());
    let child = ship(&packed, &broken);
    let engine = bench.builder().register(order(&child)).register(child).start().await.expect("an engine");
    let taken = engine.start_run("ship", "o-1.shipment", &1u32).await.expect("a run");
    assert_eq!(taken.result::<u32>().await.expect("a result"), 20);
    let run = engine.start_run("order", "o-1", &1u32).await.expect("a run");
    let error = soon("an end", run.result::<String>()).await.expect_err("it is another one's");
    assert!(
        matches!(&error, RunError::Failed { place: Some(place), .. } if *place == at("shipment")),
        "{error}"
    );
    assert!(error.to_string().contains("o-1.shipment"), "{error}");
}

#[tokio::test]
async fn a_restart_begins_the_child_anew_and_waits_for_none_that_still_runs() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::default());
    let child = ship(&packed, &broken);
    let last = |_ctx: StepContext, n: u32| async move {
        if n == 20 { Err(StepError::permanent("not twenty")) } else { Ok(n) }
    };
    let flow = Workflow::named("w").input::<u32>().child("shipment", &child).step_fn("check", last);
    let flow = flow.build().expect("a workflow");
    let engine = bench.builder().register(flow).register(child).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    assert_eq!(failed(soon("an end", run.result::<u32>()).await).0, "check");
    engine.restart(run.key(), &at("shipment"), "once more").await.expect("restarted");
    until("it has failed again", async || count(&engine, &run, "run_failed").await == 2).await;
    assert_eq!(packed.load(Ordering::Relaxed), 2);
    assert_eq!(status(&engine, "p.shipment.3").await, Some(Status::Succeeded));
}

#[tokio::test]
async fn a_step_that_begins_again_finds_the_result_of_a_child_that_it_named_itself() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::default());
    let child = ship(&packed, &broken);
    let flow = Workflow::named("w").input::<u32>().child("shipment", ChildRun::of(&child).id("parcel-7"));
    let flow = flow.step_fn("check", |ctx: StepContext, n: u32| async move {
        if ctx.attempt() == 1 { Err(StepError::permanent("look again")) } else { Ok(n) }
    });
    let flow = flow.build().expect("a workflow");
    let engine = bench.builder().register(flow).register(child).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    assert_eq!(failed(soon("an end", run.result::<u32>()).await).0, "check");
    engine.restart(run.key(), &at("shipment"), "once more").await.expect("restarted");
    until("it has its result", async || status(&engine, "p").await == Some(Status::Succeeded)).await;
    assert_eq!(run.result::<u32>().await.expect("a result"), 20);
    assert_eq!(packed.load(Ordering::Relaxed), 1, "its id says that it is the same one");
}

#[tokio::test]
async fn a_restart_over_a_child_that_runs_is_refused_and_names_it() {
    let nap = Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
    let flow = Workflow::named("w").input::<u32>().child("nap", &nap).build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.builder().register(flow).register(nap).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    until("the child sleeps", async || status(&engine, "p.nap").await == Some(Status::Waiting)).await;
    waits(&engine, &run).await;
    let refused = engine.restart(run.key(), &at("nap"), "once more").await;
    assert!(
        matches!(&refused, Err(stepwell::Error::Refused { why, .. }) if why.contains("default/p.nap")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_retry_of_a_parent_brings_back_the_children_that_its_failure_cancelled() {
    let broken = Arc::new(AtomicBool::new(true));
    let nap = Workflow::named("nap").input::<u32>().sleep("rest", hours(1)).build().expect("a workflow");
    let is_broken = Arc::clone(&broken);
    let fails = move |_ctx: StepContext, n: u32| {
        let is_broken = is_broken.load(Ordering::Relaxed);
        async move { if is_broken { Err(StepError::permanent("no")) } else { Ok(n) } }
    };
    let flow = Workflow::named("w").input::<u32>().both(
        |left| left.child("nap", &nap),
        |right| right.wait_for::<u32>("go").step_fn("fails", move |ctx, (n, _): (u32, u32)| fails(ctx, n)),
    );
    let flow = flow.build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.builder().register(flow).register(nap).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    until("the child sleeps", async || status(&engine, "p.nap").await == Some(Status::Waiting)).await;
    engine.signal(run.key(), "go", "m-1", &1u32).await.expect("sent");
    assert_eq!(failed(soon("an end", run.result::<(u32, u32)>()).await).0, "fails");
    until("the child is cancelled", async || status(&engine, "p.nap").await == Some(Status::Cancelled)).await;
    broken.store(false, Ordering::Relaxed);
    engine.retry(run.key(), "mended").await.expect("retried");
    until("another child sleeps", async || status(&engine, "p.nap.again").await == Some(Status::Waiting))
        .await;
    bench.time.advance(hours(1));
    until("it has its result", async || {
        // Whoever looks now and then may only begin to wait once that hour has passed.
        bench.time.advance(secs(1));
        status(&engine, "p").await == Some(Status::Succeeded)
    })
    .await;
    assert_eq!(run.result::<(u32, u32)>().await.expect("a result"), (1, 1));
}

#[tokio::test]
async fn what_undoes_a_step_may_wait_as_well() {
    let undone = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&undone);
    let undo = move |ctx: StepContext, _: u32| {
        let counted = Arc::clone(&counted);
        async move {
            ctx.sleep("cool", hours(1)).await?;
            let _: u32 = ctx.wait_for("confirmed").await?;
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let book = |_ctx: StepContext, n: u32| async move { Ok(n) };
    let flow = Workflow::named("w").step_fn("book", book).compensate_fn(undo).wait_for::<u32>("never");
    let flow = flow.build().expect("a workflow");
    let bench = Bench::new();
    let engine = bench.engine(flow).await;
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    engine.undo(run.key(), "no longer").await.expect("asked");
    until("it cools", async || count(&engine, &run, "step_suspended").await == 1).await;
    bench.time.advance(hours(1));
    until("it waits to be confirmed", async || count(&engine, &run, "step_suspended").await == 2).await;
    engine.signal(run.key(), "confirmed", "m-1", &1u32).await.expect("sent");
    assert!(matches!(soon("an end", run.result::<u32>()).await, Err(RunError::Cancelled)));
    assert_eq!(undone.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_child_that_ends_late_reopens_no_parent_that_has_failed_for_another_one() {
    let (bench, packed, broken) = (Bench::new(), Arc::default(), Arc::new(AtomicBool::new(true)));
    let child = ship(&packed, &broken);
    let nap = Workflow::named("nap").input::<u32>().sleep("rest", days(1)).build().expect("a workflow");
    let gather = |ctx: StepContext, n: u32| async move {
        let slow = ChildRun::<u32, u32>::named("nap").on_close(OnClose::Abandon);
        ctx.start_child("slow", slow, &n).await?;
        ctx.start_child("ship", ChildRun::<u32, u32>::named("ship"), &n).await?.result(&ctx).await
    };
    let flow = Workflow::named("w").step_fn("gather", gather).build().expect("a workflow");
    let engine = bench.builder().register(flow).register(child).register(nap).start().await;
    let engine = engine.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    let (step, code) = failed(soon("an end", run.result::<u32>()).await);
    assert_eq!((step.as_str(), code.as_str()), ("gather", "child.failed"));
    until("the other child sleeps", async || status(&engine, "p.gather.slow").await == Some(Status::Waiting))
        .await;
    bench.time.advance(days(1));
    until("the other child's word is taken in", async || count(&engine, &run, "child_ended").await == 2)
        .await;
    assert_eq!(status(&engine, "p").await, Some(Status::Failed));
    broken.store(false, Ordering::Relaxed);
    engine.retry(run.key(), "the van is back").await.expect("it can be tried again");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 20);
}

#[tokio::test]
async fn a_child_in_a_queue_that_lets_nobody_in_is_cancelled_with_its_parent() {
    for is_paused in [true, false] {
        let bench = Bench::new();
        let child = Workflow::named("c").step_fn("work", |_ctx: StepContext, n: u32| async move { Ok(n) });
        let child = child.build().expect("a workflow");
        let shipment = ChildRun::of(&child).queue("slow");
        let parent = Workflow::named("w").input::<u32>().child("c", shipment).build().expect("a workflow");
        let stuck = |_ctx: StepContext, _n: u32| std::future::pending::<StepResult<u32>>();
        let stuck = Workflow::named("stuck").step_fn("work", stuck).build().expect("a workflow");
        let slow = Queue::named("slow").expect("a name").concurrency(1);
        let builder = bench.builder().register(parent).register(child).register(stuck).queue(slow);
        let engine = builder.start().await.expect("an engine");
        if is_paused {
            engine.pause_queue("slow", Actor::Program, "maintenance").await.expect("paused");
        } else {
            let start = StartRun::new("stuck", "s", &1u32).expect("a start");
            engine.start_with(start.queue(Name::new("slow").expect("a name"))).await.expect("a run");
            until("the queue is full", async || status(&engine, "s").await == Some(Status::Running)).await;
        }
        let run = engine.start_run("w", "p", &1u32).await.expect("a run");
        until("the child is parked", async || {
            let cause = engine.cause(&key("p.c")).await;
            matches!(cause, Ok(Some(Cause::QueuePaused { .. } | Cause::Limit { .. })))
        })
        .await;
        engine.cancel(run.key(), "no longer").await.expect("asked");
        until("both have ended", async || {
            status(&engine, "p").await == Some(Status::Cancelled)
                && status(&engine, "p.c").await == Some(Status::Cancelled)
        })
        .await;
        let child = engine.find(&key("p.c")).await.expect("the child");
        assert_eq!(count(&engine, &child, "step_started").await, 0, "only its end was let in");
    }
}

/// Its worker dies between the word to its parent and its end.
#[tokio::test]
async fn a_run_whose_end_is_decided_ends_although_its_queue_is_paused() {
    let bench = Bench::new();
    let is_end = |batch: &Batch| {
        batch.key == key("p.c") && batch.append.iter().any(|record| record.kind.as_str() == "run_succeeded")
    };
    let is_end = move |batches: &[Batch]| batches.iter().any(is_end);
    let plan = FaultPlan::seeded(1).nth_commit_that(is_end, 1, Effect::Refuse(FaultKind::Locked));
    let store = Arc::new(FaultBackend::new(Arc::clone(&bench.store) as _, plan));
    let child = Workflow::named("c").queue("slow");
    let child = child.step_fn("work", |_ctx: StepContext, n: u32| async move { Ok(n) });
    let child = child.build().expect("a workflow");
    let parent = Workflow::named("w").input::<u32>().child("c", &child).build().expect("a workflow");
    let builder = Engine::builder(store).time(Arc::new(bench.time.clone())).register(parent).register(child);
    let slow = Queue::named("slow").expect("a name").concurrency(1);
    let engine = builder.queue(slow).start().await.expect("an engine");
    let run = engine.start_run("w", "p", &1u32).await.expect("a run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 1);
    until("the child is left", async || engine.running() == 0).await;
    assert_eq!(status(&engine, "p.c").await, Some(Status::Running));
    engine.pause_queue("slow", Actor::Program, "maintenance").await.expect("paused");
    bench.time.advance(mins(5));
    until("it has ended", async || status(&engine, "p.c").await == Some(Status::Succeeded)).await;
}
