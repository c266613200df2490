//! A store under code that changes, and a workflow of two releases.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell::clock::SimulatedTime;
use stepwell::contract::{
    Backend, Clock, Head, MemoryBackend, Message, Query, Record, RunKey, Seq, Status, Timestamp,
};
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::{Place, RunError, RunHandle};

use crate::until::{soon, until};

const START: Timestamp = Timestamp(1_000_000);

/// A store, its clock, and what one worker after the other does there.
pub(crate) struct World {
    pub(crate) time: SimulatedTime,
    pub(crate) backend: Arc<dyn Backend>,
}

impl World {
    pub(crate) fn new() -> Self {
        let time = SimulatedTime::at(START);
        let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
        Self { time, backend: Arc::new(backend) }
    }

    pub(crate) async fn engine<O>(&self, flow: Workflow<u32, O>) -> Engine {
        let builder = Engine::builder(Arc::clone(&self.backend)).time(Arc::new(self.time.clone()));
        builder.register(flow).build().await.expect("an engine")
    }

    pub(crate) async fn worker<O>(&self, flow: Workflow<u32, O>) -> Engine {
        let engine = self.engine(flow).await;
        engine.work();
        engine
    }

    /// Lets a worker bring a run to where nothing more happens, and leave.
    pub(crate) async fn left_by<O>(&self, flow: Workflow<u32, O>, status: Status) -> RunKey {
        let old = self.worker(flow).await;
        let run = old.start_run("w", "r-1", &7_u32).await.expect("a run");
        comes_to(&run, status).await;
        old.shutdown().await;
        run.key().clone()
    }

    /// Everything that is in the store.
    pub(crate) async fn all(&self) -> BTreeMap<RunKey, (Head, Vec<Record>, Vec<Message>)> {
        let heads = self.backend.scan(&Query::default(), None, 1_000).await.expect("heads").items;
        let mut all = BTreeMap::new();
        for head in heads {
            let journal = self.backend.journal(&head.key, Seq::FIRST, 1_000);
            let journal = journal.await.expect("a journal");
            let inbox = self.backend.inbox(&head.key, 1_000).await.expect("an inbox");
            all.insert(head.key.clone(), (head, journal, inbox));
        }
        all
    }
}

pub(crate) async fn comes_to(run: &RunHandle, status: Status) {
    until("the status", async || run.head().await.expect("a head").status == status).await;
}

/// Waits until the run is held, and tells why.
pub(crate) async fn held(engine: &Engine, key: &RunKey) -> (PauseReason, Option<Place>, String) {
    let run = engine.find(key).await.expect("the run");
    match soon("it is held", run.output()).await.expect_err("it is held") {
        RunError::Paused { reason, place, message, .. } => (reason, place, message),
        other => panic!("not held: {other}"),
    }
}

pub(crate) fn place(text: &str) -> Place {
    text.parse().expect("a place")
}

// ---- the workflow: a sum, a day of sleep, and a sentence about the sum

/// What `total` gives from its version 2 on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) cents: u32,
    pub(crate) currency: String,
}

/// Version 1: the sum is a number.
pub(crate) fn old() -> Workflow<u32, String> {
    Workflow::named("w")
        .step_fn("total", |_ctx, n: u32| async move { Ok(n * 10) })
        .sleep("later", days(1))
        .step_fn("tell", |_ctx, total: u32| async move { Ok(format!("{total}")) })
        .build()
        .expect("a workflow")
}

/// A number of `total` as version 2 gives it.
pub(crate) fn with_currency(old: Value) -> Result<Value, String> {
    Ok(json!({"cents": old.as_u64().ok_or("no number")?, "currency": "EUR"}))
}

/// The sum has a currency; how version 1 becomes that is told or not.
pub(crate) fn new(version: u32, is_migrated: bool) -> Workflow<u32, String> {
    let flow =
        Workflow::named("w")
            .step_fn("total", |_ctx, n: u32| async move {
                Ok(Total { cents: n * 10, currency: "EUR".to_owned() })
            })
            .output_version(version)
            .sleep("later", days(1))
            .step_fn("tell", |_ctx, total: Total| async move {
                Ok(format!("{} {}", total.cents, total.currency))
            });
    let flow = if is_migrated { flow.migrate_named("total", 1, with_currency) } else { flow };
    flow.build().expect("a workflow")
}
