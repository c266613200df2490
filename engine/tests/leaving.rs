//! What happens when whoever holds a future, a handle or the engine goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stepwell::contract::fault::{self, FaultBackend, FaultPlan, Gate, Method};
use stepwell::contract::{Backend, MemoryBackend};
use stepwell::prelude::*;
use stepwell::{Error, RunError};
use tokio::sync::Notify;
use until::{soon, until};

mod until;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_starter_left_during_the_first_write_is_driven_all_the_same() {
    let ran = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ran);
    let flow = Workflow::named("w")
        .step_fn("work", move |_ctx, (): ()| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        })
        .build()
        .expect("a workflow");
    let gate = Gate::closed();
    let plan = FaultPlan::seeded(1).nth(Method::Commit, 1, fault::Effect::HoldReply(gate.clone()));
    let backend = Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new()), plan));
    // The first write is that of the run, and not what the worker tells of itself.
    let options = stepwell::EngineOptions { heartbeat_ms: 0, ..Default::default() };
    let engine = Engine::builder(backend).register(flow).options(options).start().await.expect("an engine");
    let starter = engine.clone();
    let starting = tokio::spawn(async move { starter.start_run("w", "r-1", &()).await.map(|_| ()) });
    gate.reached_by(1).await;
    starting.abort();
    gate.open();
    until("the step runs", async || ran.load(Ordering::SeqCst) == 1).await;
    let key = engine.start_run("w", "r-1", &()).await.expect("the run").key().clone();
    let run = engine.find(&key).await.expect("the run");
    soon("a result", run.result::<()>()).await.expect("a result");
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

/// A step that waits until the test lets it go, and an engine with a run that is in it.
async fn in_a_step(backend: Arc<dyn Backend>) -> (Engine, stepwell::RunHandle) {
    let entered = Arc::new(Notify::new());
    let enter = Arc::clone(&entered);
    let flow = Workflow::named("w")
        .step_fn("work", move |_ctx, (): ()| {
            let enter = Arc::clone(&enter);
            async move {
                enter.notify_one();
                std::future::pending::<StepResult<()>>().await
            }
        })
        .build()
        .expect("a workflow");
    let options = stepwell::EngineOptions { shutdown_grace_ms: 1, stop_grace_ms: 1, ..Default::default() };
    let engine = Engine::builder(backend).register(flow).options(options).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    entered.notified().await;
    (engine, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_result_is_told_of_the_shutdown() {
    let (engine, run) = in_a_step(Arc::new(MemoryBackend::new())).await;
    let waiting = tokio::spawn(async move { run.result::<()>().await });
    engine.shutdown().await;
    let answer = soon("an answer", waiting).await.expect("no panic");
    assert!(matches!(answer, Err(RunError::Engine(Error::ShuttingDown))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_dropped_in_the_middle_of_a_run_lets_its_store_go() {
    let backend = Arc::new(MemoryBackend::new());
    let left = Arc::downgrade(&backend);
    let (engine, run) = in_a_step(backend).await;
    drop((engine, run));
    until("the store is free", async || left.strong_count() == 0).await;
}
