//! A store in memory and its simulated clock, and how tests look at the runs there.
#![allow(dead_code, reason = "each test takes what it needs of it")]

use std::sync::Arc;

use stepwell::clock::SimulatedTime;
use stepwell::contract::{Clock, MemoryBackend, Name, Status, Timestamp};
use stepwell::prelude::*;
use stepwell::run::place::Place;
use stepwell::{EngineBuilder, RunError, RunHandle};

use crate::until::until;

pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);

/// A store and its clock, which outlive the engines on them.
pub(crate) struct Bench {
    pub(crate) time: SimulatedTime,
    pub(crate) store: Arc<MemoryBackend>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let time = SimulatedTime::at(START);
        let store = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
        Self { time, store: Arc::new(store) }
    }

    /// One that several processes could have opened.
    pub(crate) fn shared() -> Self {
        let time = SimulatedTime::at(START);
        let store = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
        Self { time, store: Arc::new(store.shared()) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// An engine on the store that has no workflow yet.
    pub(crate) fn builder(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store) as _).time(Arc::new(self.time.clone()))
    }

    /// An engine that has this workflow and does not work yet.
    pub(crate) async fn idle_engine<I, O>(&self, flow: Workflow<I, O>) -> Engine {
        self.builder().register(flow).build().await.expect("an engine")
    }

    pub(crate) async fn engine<I, O>(&self, flow: Workflow<I, O>) -> Engine {
        let engine = self.idle_engine(flow).await;
        engine.work();
        engine
    }
}

/// Returns once the run waits and nobody holds it.
pub(crate) async fn waits(engine: &Engine, run: &RunHandle) {
    until("the run waits, and no worker holds it", async || {
        let head = run.head().await.expect("a head");
        head.status == Status::Waiting && head.lease.is_none() && engine.running() == 0
    })
    .await;
}

/// How many records of this kind the run has.
pub(crate) async fn count(engine: &Engine, run: &RunHandle, kind: &str) -> usize {
    let records = engine.history(run.key()).await.expect("a history");
    records.iter().filter(|record| record.kind.as_str() == kind).count()
}

pub(crate) fn at(step: &str) -> Place {
    Place::of(Name::new(step).expect("a name"))
}

/// Why a run failed: the step and the code.
pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T, RunError>) -> (String, String) {
    match result {
        Err(RunError::Failed { place, failure, .. }) => {
            (place.map(|place| place.to_string()).unwrap_or_default(), failure.code.unwrap_or_default())
        }
        other => panic!("it was to fail: {other:?}"),
    }
}
