//! When a worker is gone its runs go on: at once where one process owns the store, after the lease where many share it.

use std::sync::Arc;
use std::time::Duration;

use stepwell::EngineOptions;
use stepwell::prelude::*;
use stepwell_contract::Backend;
use stepwell_tests::audit::journal;
use stepwell_tests::hold::Hold;
use stepwell_tests::on_exclusive_stores;
use stepwell_tests::place::{Kind, Place};

async fn start(backend: Arc<dyn Backend>, hold: &Hold, lease_ms: u64) -> Engine {
    let options = EngineOptions { lease_ms, poll_ms: 20, threads: 2, ..EngineOptions::default() };
    let engine = Engine::builder(backend).register(hold.workflow(StepPolicy::default()));
    engine.options(options).start().await.expect("the engine starts")
}

async fn the_next_owner_takes_over_at_once(kind: Kind) {
    let mut place = Place::new(kind);
    let hold = Hold::default();
    // An hour: whoever waits for the lease fails.
    let engine = start(place.open().await, &hold, 3_600_000).await;
    engine.start_run("hold", "run", &()).await.expect("started");
    hold.begun(1).await;
    drop(engine);
    let engine = start(place.open().await, &hold, 3_600_000).await;
    hold.begun(2).await;
    hold.release();
    let handle = engine.start_run("hold", "run", &()).await.expect("found");
    assert!(!handle.is_new());
    assert_eq!(handle.result::<u32>().await.expect("a result"), 2);
}
on_exclusive_stores!(the_next_owner_takes_over_at_once);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_store_gives_a_run_away_when_its_lease_has_ended_and_not_before() {
    let mut place = Place::new(Kind::Redis);
    let hold = Hold::default();
    let lost = start(place.open().await, &hold, 1_500).await;
    let handle = lost.start_run("hold", "run", &()).await.expect("started");
    hold.begun(1).await;
    let (key, worker) = (handle.key().clone(), lost.worker().to_string());
    drop((handle, lost));
    let backend = place.open().await;
    let engine = start(Arc::clone(&backend), &hold, 1_500).await;
    hold.begun(2).await;
    hold.release();
    let handle = engine.start_run("hold", "run", &()).await.expect("found");
    assert_eq!(handle.result::<u32>().await.expect("a result"), 2);
    let records = journal(backend.as_ref(), &key).await.expect("a journal");
    let taken = records.iter().rposition(|record| record.kind.as_str() == "run_taken").expect("taken twice");
    let fields: serde_json::Value = records[taken].payload.decode().expect("json");
    assert_eq!(fields["lost"], worker, "the takeover names the worker that was lost");
    let gap_ms = records[taken].at.since_ms(records[taken - 1].at);
    assert!((1_400..15_000).contains(&gap_ms), "taken after {gap_ms} ms of a lease of 1500 ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_for_as_long_as_a_step_runs() {
    let mut place = Place::new(Kind::Redis);
    let hold = Hold::default();
    let owner = start(place.open().await, &hold, 1_000).await;
    let other = start(place.open().await, &hold, 1_000).await;
    let handle = owner.start_run("hold", "run", &()).await.expect("started");
    hold.begun(1).await;
    // Three leases long the other worker could take it, if it were free.
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    hold.release();
    assert_eq!(handle.result::<u32>().await.expect("a result"), 1);
    assert_eq!((hold.count(), other.running()), (1, 0));
}
