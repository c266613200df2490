//! What a pause is, while it is asked for and while it lasts.

use std::sync::Arc;

use stepwell::clock::SimulatedTime;
use stepwell::contract::{Clock, MemoryBackend, Name, RunKey, Status, Timestamp};
use stepwell::prelude::*;
use stepwell::run::place::Place;
use stepwell::run::state::{StepState, StepStatus};
use stepwell::{Error, RunHandle};
use tokio::sync::Notify;
use until::{soon, until};

mod until;

const START: Timestamp = Timestamp(1_000_000);

/// An engine on simulated time.
async fn engine(flow: Workflow<(), u32>) -> (SimulatedTime, Engine) {
    let time = SimulatedTime::at(START);
    let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
    let builder = Engine::builder(Arc::new(backend)).register(flow).time(Arc::new(time.clone()));
    (time, builder.start().await.expect("an engine"))
}

/// An engine with a run in a step that stays there until it is let go.
async fn in_a_step() -> (Engine, RunHandle, Arc<Notify>) {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, left) = (Arc::clone(&entered), Arc::clone(&leave));
    let work = move |ctx: StepContext, (): ()| {
        let (enter, left) = (Arc::clone(&enter), Arc::clone(&left));
        async move {
            enter.notify_one();
            left.notified().await;
            Ok(ctx.attempt())
        }
    };
    let (_, engine) = engine(Workflow::named("w").step_fn("work", work).build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    soon("the step begins", entered.notified()).await;
    (engine, run, leave)
}

async fn kinds(engine: &Engine, key: &RunKey) -> Vec<String> {
    let records = engine.history(key).await.expect("a history");
    records.iter().map(|record| record.kind.as_str().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_is_not_carried_out_yet_is_taken_back_by_resume() {
    let (engine, run, leave) = in_a_step().await;
    let key = run.key();
    let begun = kinds(&engine, key).await;
    let refused = engine.resume(key, "nothing to resume").await.expect_err("refused");
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert_eq!(kinds(&engine, key).await, begun, "a refusal that could be foreseen leaves no trace");

    engine.pause(key, "wait").await.expect("asked");
    let head = engine.resume(key, "no, go on").await.expect("taken back");
    assert_eq!(head.status, Status::Running);
    leave.notify_one();
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 1);
    let after: Vec<_> = kinds(&engine, key).await.split_off(begun.len());
    assert_eq!(after, ["pause_requested", "run_resumed", "step_succeeded", "run_succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_not_taken_back_since_its_steps_are_being_stopped() {
    let (engine, run, leave) = in_a_step().await;
    engine.interrupt(run.key(), "stop").await.expect("asked");
    let refused = engine.resume(run.key(), "no, go on").await.expect_err("refused");
    assert!(refused.to_string().contains("being stopped"), "{refused}");
    // The step has its result all the same; then the run is held.
    leave.notify_one();
    until("it is held", async || run.head().await.expect("a head").status == Status::Paused).await;
    engine.resume(run.key(), "now").await.expect("resumed");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_step_does_not_count_the_time_for_which_its_run_was_held() {
    let work = |ctx: StepContext, (): ()| async move {
        if ctx.attempt() < 3 { Err(StepError::transient("not yet")) } else { Ok(ctx.attempt()) }
    };
    let policy = StepPolicy::default().retry(Retry::fixed(secs(10)).max_attempts(5)).deadline(hours(1));
    let flow = Workflow::named("w").step_fn("work", work).policy(policy).build().expect("a workflow");
    let (time, engine) = engine(flow).await;
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    let step = async || -> Option<StepState> {
        let state = engine.state(run.key()).await.expect("a state");
        state.step(&Place::of(Name::new("work").expect("a name"))).cloned()
    };
    let waits_after = async |attempt: u32| {
        until("the step waits", async || {
            let waits =
                |step: StepState| step.attempt == attempt && matches!(step.status, StepStatus::Backoff(_));
            step().await.is_some_and(waits)
        })
        .await;
        until("the run waits", async || run.head().await.expect("a head").status == Status::Waiting).await;
    };
    waits_after(1).await;
    engine.pause(run.key(), "over the week end").await.expect("held");
    time.advance(hours(48));
    engine.resume(run.key(), "go on").await.expect("resumed");
    waits_after(2).await;
    let began_at = step().await.expect("a step").began_at;
    assert_eq!(began_at.since_ms(START), 48 * 3_600_000, "as if the run had not been held");
    time.advance(secs(10));
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 3);
}
