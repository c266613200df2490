//! A worker that finds that another one has its run tells what it had in hand of it, and how late that came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stepwell::clock::SimulatedTime;
use stepwell::contract::fault::{Effect as Hit, FaultBackend, FaultPlan, Gate, Method};
use stepwell::contract::{
    Backend, Batch, Clock, FaultKind, MemoryBackend, RunKey, Status, Timestamp, WorkerId,
};
use stepwell::diagnosis::Diagnosis;
use stepwell::prelude::*;
use stepwell::run::event::{Diagnosed, Event};
use stepwell::{EngineOptions, IntegrityFilter};
use until::until;

mod until;

const START: Timestamp = Timestamp(1_800_000_000_000);
const LEASE_MS: u64 = 10_000;

/// A shared store with a clock, and a step that fails or not, and that waits in the second worker until it is let go.
struct Site {
    time: SimulatedTime,
    store: Arc<dyn Backend>,
    fails: bool,
    may_end: Arc<AtomicBool>,
}

impl Site {
    fn new(fails: bool, may_end: bool) -> Self {
        let time = SimulatedTime::at(START);
        let store = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>).shared();
        Self { time, store: Arc::new(store), fails, may_end: Arc::new(AtomicBool::new(may_end)) }
    }

    async fn worker(&self, name: &'static str, store: Arc<dyn Backend>) -> Engine {
        let (fails, may_end) = (self.fails && name == "w-1", Arc::clone(&self.may_end));
        let act = move |_: StepContext, n: u32| {
            let may_end = Arc::clone(&may_end);
            async move {
                if fails {
                    return Err(StepError::transient("the till is locked"));
                }
                while name != "w-1" && !may_end.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
                Ok(n + 1)
            }
        };
        let flow = Workflow::named("w").step_fn("act", act).build().expect("a workflow");
        let worker = Some(WorkerId::new(name).expect("an id"));
        let options = EngineOptions { worker, lease_ms: LEASE_MS, ..EngineOptions::default() };
        let builder = Engine::builder(store).time(Arc::new(self.time.clone())).options(options);
        builder.register(flow).start().await.expect("an engine")
    }

    /// A worker whose write of the end of its attempt comes to the store when the gate is opened, and its run, which the second
    /// worker has by then.
    async fn taken_over(&self, end: &'static str) -> (Engine, Engine, RunKey, Gate) {
        let gate = Gate::closed();
        let ends = move |batches: &[Batch]| {
            batches.iter().flat_map(|batch| &batch.append).any(|record| record.kind.as_str() == end)
        };
        // It must not take its own run again.
        let plan = FaultPlan::seeded(1).nth_commit_that(ends, 1, Hit::Hold(gate.clone())).chance(
            Method::Claim,
            1.0,
            Hit::Refuse(FaultKind::Unavailable),
        );
        let first = self.worker("w-1", Arc::new(FaultBackend::new(Arc::clone(&self.store), plan))).await;
        let key = first.start_run("w", "r-1", &1u32).await.expect("a run").key().clone();
        gate.reached_by(1).await;
        self.time.advance(Duration::from_millis(3 * LEASE_MS));
        let second = self.worker("w-2", Arc::clone(&self.store)).await;
        until("the second worker has the run", async || {
            let head = self.store.head(&key).await.expect("an answer").expect("a run");
            head.fence.0 > 1 && head.next_seq.0 > 5
        })
        .await;
        (first, second, key, gate)
    }

    /// What was told too late.
    async fn late(&self, engine: &Engine, key: &RunKey) -> Vec<Diagnosed> {
        let records = engine.history(key).await.expect("a history");
        let events = records.iter().map(|record| Event::read(record).expect("readable"));
        let told = events.filter_map(|event| match event {
            Event::Diagnosed(told) if told.late_by.is_some() => Some(told),
            _ => None,
        });
        told.collect()
    }
}

fn says<'a>(found: &'a Diagnosis, fact: &str) -> &'a str {
    let said = found.evidence.iter().find(|sentence| sentence.says == fact);
    said.map(|said| said.text.as_str()).unwrap_or_else(|| panic!("{fact} is not told: {found:#?}"))
}

#[tokio::test]
async fn a_result_that_came_too_late_is_told_of_in_a_run_that_has_ended() {
    let site = Site::new(false, true);
    let (first, second, key, gate) = site.taken_over("step_succeeded").await;
    let handle = second.find(&key).await.expect("the run");
    assert_eq!(handle.result::<u32>().await.expect("a result"), 2);
    let ended = handle.head().await.expect("a head");
    gate.open();
    until("it is told", async || !site.late(&second, &key).await.is_empty()).await;
    let told = site.late(&second, &key).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let Diagnosed { place, attempt, diagnosis, late_by } = &told[0];
    assert_eq!(late_by.as_ref().map(WorkerId::as_str), Some("w-1"));
    assert_eq!((place.as_ref().map(ToString::to_string).as_deref(), *attempt), (Some("act"), Some(1)));
    assert_eq!(diagnosis.code, "SW6001");
    assert!(diagnosis.summary.contains("w-1"), "{diagnosis:#?}");
    assert!(says(diagnosis, "late_result").contains("Attempt 1"));
    assert!(says(diagnosis, "lease_now").contains("w-2"));
    assert!(says(diagnosis, "lease_taken").contains("30"), "how late it was: {diagnosis:#?}");
    let after = handle.head().await.expect("a head");
    assert_eq!((after.status, after.finished_at), (Status::Succeeded, ended.finished_at));
    assert_eq!(after.tags, ended.tags, "it is no failure of the run");
    let last = second.diagnosis(&key).await.expect("an answer");
    assert!(
        last.is_none_or(|last| last.code != "SW6001"),
        "how the run stands is not what the late one says"
    );
    let found = second.validate(&IntegrityFilter::default(), None).await.expect("an answer");
    assert_eq!(found.issues, []);
    drop(first);
}

#[tokio::test]
async fn a_failure_that_came_too_late_is_recorded_by_the_worker_that_has_the_run() {
    let site = Site::new(true, false);
    let (first, second, key, gate) = site.taken_over("attempt_failed").await;
    gate.open();
    until("it is told", async || {
        site.time.advance(Duration::from_millis(100));
        !site.late(&second, &key).await.is_empty()
    })
    .await;
    let told = site.late(&second, &key).await;
    let found = &told[0].diagnosis;
    assert_eq!((told.len(), found.code.as_str()), (1, "SW6001"));
    assert!(says(found, "late_failure").contains("Attempt 1"));
    assert!(says(found, "error").contains("the till is locked"), "the failure itself is not lost");
    site.may_end.store(true, Ordering::SeqCst);
    let handle = second.find(&key).await.expect("the run");
    assert_eq!(handle.result::<u32>().await.expect("a result"), 2, "the owner is not disturbed");
    drop(first);
}
