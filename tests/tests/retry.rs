//! Attempts are counted before they run, and when the next one is due outlives the process.

use std::sync::Arc;
use std::time::Duration;

use stepwell::clock::SimulatedTime;
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::{EngineOptions, RunError};
use stepwell_contract::{Backend, RunId, RunKey, Status, TenantId, Timestamp};
use stepwell_tests::audit::journal;
use stepwell_tests::hold::PATIENCE;
use stepwell_tests::place::{Kind, Place};
use stepwell_tests::wait::wait_until;
use stepwell_tests::{on_every_store, on_exclusive_stores};
use tokio::sync::watch;

const START: Timestamp = Timestamp(1_700_000_000_000);

async fn start(backend: Arc<dyn Backend>, time: &SimulatedTime, ran: &Arc<watch::Sender<u32>>) -> Engine {
    let ran = Arc::clone(ran);
    let fails = move |ctx: StepContext, (): ()| {
        ran.send_replace(ctx.attempt());
        async move { Err::<(), _>(StepError::transient("the printer is on fire")) }
    };
    let hourly = StepPolicy::default().retry(Retry::fixed(hours(1)).max_attempts(3)).deadline(days(2));
    let failing = Workflow::named("failing").step_fn("fails", fails).policy(hourly);
    let marker = Workflow::named("marker").step_fn("passes", |_ctx: StepContext, (): ()| async { Ok(()) });
    let options = EngineOptions { poll_ms: 20, threads: 2, ..EngineOptions::default() };
    Engine::builder(backend)
        .register(failing.build().expect("valid"))
        .register(marker.build().expect("valid"))
        .options(options)
        .time(Arc::new(time.clone()))
        .start()
        .await
        .expect("the engine starts")
}

/// Shows that the worker has looked for due runs since: one that waited in its queue has ended.
async fn has_looked(engine: &Engine, nth: u32) {
    let handle = engine.start_run("marker", &format!("marker-{nth}"), &()).await.expect("started");
    handle.result::<()>().await.expect("a result");
}

async fn the_schedule_of_retries_outlives_the_process(kind: Kind) {
    let time = SimulatedTime::at(START);
    let mut place = Place::with_clock(kind, Arc::new(time.clone()));
    let ran = Arc::new(watch::Sender::new(0));
    let key = RunKey::new(TenantId::default(), RunId::new("run").expect("an id"));
    let mut engine = start(place.open().await, &time, &ran).await;
    engine.start_run("failing", "run", &()).await.expect("started");
    for attempt in 1..=3_u32 {
        let mut told = ran.subscribe();
        let waited = tokio::time::timeout(PATIENCE, told.wait_for(|ran| *ran >= attempt)).await;
        assert!(waited.is_ok(), "attempt {attempt} did not run");
        if attempt == 3 {
            break;
        }
        let head = wait_until("the wait for the next attempt", PATIENCE, async || {
            let head = engine.get(&key).await.expect("the store answers").expect("the run is there");
            (head.status == Status::Waiting).then_some(head)
        });
        let due_at = START.plus_ms(3_600_000 * u64::from(attempt));
        assert_eq!(head.await.expect("it waits").wake_at, Some(due_at));
        drop(engine);
        engine = start(place.open().await, &time, &ran).await;
        time.advance(Duration::from_millis(3_599_999));
        has_looked(&engine, attempt).await;
        assert_eq!(*ran.borrow(), attempt, "not a millisecond early");
        time.advance(Duration::from_millis(1));
    }
    let handle = engine.find(&key).await.expect("the run is there");
    match handle.result::<()>().await {
        Err(RunError::Paused { reason: PauseReason::Exhausted, .. }) => {}
        other => panic!("the attempts are used up, and it is {other:?}"),
    }
}
on_exclusive_stores!(the_schedule_of_retries_outlives_the_process);

async fn an_attempt_is_counted_before_it_runs(kind: Kind) {
    let mut place = Place::new(kind);
    let backend = place.open().await;
    let store = Arc::clone(&backend);
    let looks = move |ctx: StepContext, (): ()| {
        let store = Arc::clone(&store);
        async move {
            let key = RunKey::new(ctx.tenant().clone(), ctx.run_id().clone());
            let records = journal(store.as_ref(), &key).await?;
            let last = records.iter().rfind(|record| record.kind.as_str() == "step_started");
            let fields: serde_json::Value =
                last.map(|record| record.payload.decode()).transpose()?.unwrap_or_default();
            if fields["attempt"] != ctx.attempt() {
                return Err(StepError::permanent(format!(
                    "attempt {} runs, counted is {fields}",
                    ctx.attempt()
                )));
            }
            if ctx.attempt() < 3 { Err(StepError::transient("again")) } else { Ok(ctx.attempt()) }
        }
    };
    let policy = StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(3));
    let workflow = Workflow::named("counted").step_fn("looks", looks).policy(policy);
    let engine =
        Engine::builder(backend).register(workflow.build().expect("valid")).start().await.expect("starts");
    let handle = engine.start_run("counted", "run", &()).await.expect("started");
    assert_eq!(handle.result::<u32>().await.expect("each was counted"), 3);
}
on_every_store!(an_attempt_is_counted_before_it_runs);
