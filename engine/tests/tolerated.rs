//! What a tolerated failure inside the flow of a map looks like when the result is read from the store.

use std::sync::Arc;

use stepwell::ItemResult;
use stepwell::clock::SimulatedTime;
use stepwell::contract::{Clock, MemoryBackend, Status, Timestamp};
use stepwell::prelude::*;
use tokio::sync::Notify;
use until::{soon, until};

mod until;

/// An engine in memory on simulated time.
async fn engine<I, O>(flow: Workflow<I, O>) -> Engine {
    let time = SimulatedTime::at(Timestamp(1_700_000_000_000));
    let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
    let builder = Engine::builder(Arc::new(backend)).register(flow).time(Arc::new(time));
    builder.start().await.expect("an engine")
}

const ONE: Tolerance = Tolerance { count: 1, share: 0.0 };

/// Adds as much to what it is given.
macro_rules! add {
    ($more:expr) => {
        |_ctx: StepContext, n: u32| async move { Ok(n + $more) }
    };
}

/// What a run of a map with tolerance gives, as it is read from the store: outputs, and codes or messages of failures.
async fn ended_as(flow: Workflow<Vec<u32>, Vec<ItemResult<u32>>>, input: &[u32]) -> Vec<Result<u32, String>> {
    let engine = engine(flow).await;
    let run = engine.start_run("w", "r-1", input).await.expect("a run");
    until("it has ended", async || run.head().await.expect("a head").status == Status::Succeeded).await;
    let ended = run.result::<Vec<ItemResult<u32>>>().await.expect("a result");
    let ended = ended.into_iter().map(|ended| match ended {
        ItemResult::Ok(output) => Ok(output),
        ItemResult::Failed(failure) => Err(failure.code.unwrap_or(failure.message)),
    });
    ended.collect()
}

#[tokio::test]
async fn a_tolerated_loop_that_wants_too_many_rounds_is_a_failure_in_the_result() {
    let flow = Workflow::named("w").input::<Vec<u32>>().map_flow_tolerant(2, ONE, |item| {
        item.repeat_while("is_small", 2, |n: &u32| *n < 10, |round| round.step_fn("add", add!(3)))
    });
    let ended = ended_as(flow.build().expect("a workflow"), &[9, 0]).await;
    assert_eq!(ended, [Ok(12), Err("repeat.rounds_max".to_owned())]);
}

#[tokio::test]
async fn a_tolerated_word_that_no_arm_has_is_a_failure_in_the_result() {
    let flow = Workflow::named("w").input::<Vec<u32>>().map_flow_tolerant(2, ONE, |item| {
        item.choose(
            "route",
            |n: &u32| if *n == 2 { "rail" } else { "air" },
            |arms| arms.arm("air", |f| f.step_fn("fly", add!(1))),
        )
    });
    let ended = ended_as(flow.build().expect("a workflow"), &[1, 2, 3]).await;
    assert_eq!(ended, [Ok(2), Err("choose.no_arm".to_owned()), Ok(4)]);
}

#[tokio::test]
async fn the_failure_of_an_item_is_its_own_and_not_one_that_was_tolerated_further_in() {
    let check = |_ctx: StepContext, n: u32| async move {
        if n == 2 { Err(StepError::validation("tolerated further in")) } else { Ok(n) }
    };
    let sum = |_ctx: StepContext, inner: Vec<ItemResult<u32>>| async move {
        match inner.first() {
            Some(ItemResult::Ok(7)) => Err(StepError::validation("its own")),
            _ => Ok(inner.len() as u32),
        }
    };
    let flow = Workflow::named("w").input::<Vec<u32>>().map_flow_tolerant(2, ONE, |item| {
        item.step_fn("spread", |_ctx: StepContext, n: u32| async move { Ok(vec![n, 2]) })
            .map_flow_tolerant(2, ONE, |inner| inner.step_fn("check", check))
            .step_fn("sum", sum)
    });
    let ended = ended_as(flow.build().expect("a workflow"), &[1, 7]).await;
    assert_eq!(ended, [Ok(2), Err("its own".to_owned())]);
}

#[tokio::test]
async fn what_a_map_gives_is_the_same_for_whoever_drove_the_run_and_whoever_reads_it() {
    let leave = Arc::new(Notify::new());
    let left = Arc::clone(&leave);
    let slow = move |_ctx: StepContext, _: u32| {
        let left = Arc::clone(&left);
        async move {
            left.notified().await;
            Err::<u32, _>(StepError::validation("failed when the item had failed already"))
        }
    };
    let bad = |_ctx: StepContext, _: u32| async move { Err::<u32, _>(StepError::validation("failed first")) };
    let flow = Workflow::named("w").input::<Vec<u32>>().map_flow_tolerant(2, ONE, |item| {
        item.both(|left| left.step_fn("slow", slow), |right| right.step_fn("bad", bad))
    });
    let engine = engine(flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &[1u32]).await.expect("a run");
    let waiting = tokio::spawn({
        let run = run.clone();
        async move { run.output().await }
    });
    until("one branch has failed", async || {
        let records = engine.history(run.key()).await.expect("a history");
        records.iter().any(|record| record.kind.as_str() == "attempt_failed")
    })
    .await;
    leave.notify_one();
    let told = soon("a result", waiting).await.expect("it is awaited").expect("a result");
    let read = run.output().await.expect("a result");
    assert_eq!(read.text(), told.text());
}
