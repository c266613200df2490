//! What must not be repeated blindly is not, and what kills its worker again and again is put aside.

use std::sync::Arc;

use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::{EngineOptions, RunError};
use stepwell_contract::Backend;
use stepwell_tests::hold::Hold;
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place};

async fn start(backend: Arc<dyn Backend>, hold: &Hold, policy: StepPolicy) -> Engine {
    let options = EngineOptions { lease_ms: 1_000, poll_ms: 20, threads: 2, ..EngineOptions::default() };
    let engine = Engine::builder(backend).register(hold.workflow(policy)).options(options);
    engine.start().await.expect("the engine starts")
}

async fn pause(engine: &Engine) -> (PauseReason, String) {
    let handle = engine.start_run("hold", "run", &()).await.expect("found");
    match handle.result::<u32>().await {
        Err(RunError::Paused { reason, message, .. }) => (reason, message),
        other => panic!("not paused, but {other:?}"),
    }
}

async fn a_crash_in_a_step_that_is_not_idempotent_leaves_it_in_doubt(kind: Kind) {
    let mut place = Place::new(kind);
    let hold = Hold::default();
    let policy = || StepPolicy::default().effect(Effect::NotIdempotent);
    let engine = start(place.open().await, &hold, policy()).await;
    let handle = engine.start_run("hold", "run", &()).await.expect("started");
    hold.begun(1).await;
    let key = handle.key().clone();
    drop((handle, engine));
    let engine = start(place.open().await, &hold, policy()).await;
    let (reason, message) = pause(&engine).await;
    assert_eq!(reason, PauseReason::InDoubt);
    assert!(message.contains("held"), "it names the step: {message}");
    assert_eq!(hold.count(), 1, "it was not repeated");
    // Only a person can know, and says so.
    hold.release();
    engine.retry(&key, "it did not happen").await.expect("retried");
    let handle = engine.start_run("hold", "run", &()).await.expect("found");
    assert_eq!(handle.result::<u32>().await.expect("a result"), 2);
}
on_every_store!(a_crash_in_a_step_that_is_not_idempotent_leaves_it_in_doubt);

async fn a_step_during_which_workers_die_is_quarantined(kind: Kind) {
    let mut place = Place::new(kind);
    let hold = Hold::default();
    let policy = || StepPolicy::default().crash_max(3);
    for attempt in 1..=3 {
        let engine = start(place.open().await, &hold, policy()).await;
        engine.start_run("hold", "run", &()).await.expect("started or found");
        hold.begun(attempt).await;
        drop(engine);
    }
    let engine = start(place.open().await, &hold, policy()).await;
    assert_eq!(pause(&engine).await.0, PauseReason::Quarantined);
    assert_eq!(hold.count(), 3);
}
on_every_store!(a_step_during_which_workers_die_is_quarantined);
