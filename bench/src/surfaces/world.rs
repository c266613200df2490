//! The engine that is looked at, and what it executes.

use std::sync::Arc;
use std::time::Duration;

use stepwell::contract::Backend;
use stepwell::prelude::*;
use stepwell::{EngineOptions, StepContext};

use crate::Failure;
use crate::flow::{Parcel, STEPS, chain};

/// The workflow whose steps wait a little.
pub(super) const WAITING: &str = "waiting";
/// The workflow whose steps do nothing.
pub(super) const EMPTY: &str = "empty";
/// The workflow whose runs go on for as long as anything is measured.
const LONG: &str = "long";
/// How many of these there are.
pub(super) const LONG_RUNS: usize = 8;
/// How long a step waits.
const WAIT: Duration = Duration::from_millis(5);
/// Items of a long run, one after the other: more than there is time for.
const ITEMS: u64 = 5_000;
/// How long each takes.
const ITEM: Duration = Duration::from_millis(100);

/// Passes the parcel on, after a while.
struct Pass(Duration);

#[async_trait]
impl Step for Pass {
    type Input = Parcel;
    type Output = Parcel;
    const NAME: &'static str = "pass";

    async fn run(&self, _ctx: &StepContext, parcel: Parcel) -> StepResult<Parcel> {
        if !self.0.is_zero() {
            tokio::time::sleep(self.0).await;
        }
        Ok(Parcel { step: parcel.step + 1, ..parcel })
    }
}

/// One item of a long run.
struct Item;

#[async_trait]
impl Step for Item {
    type Input = u64;
    type Output = u64;
    const NAME: &'static str = "item";

    async fn run(&self, ctx: &StepContext, item: u64) -> StepResult<u64> {
        ctx.info(format!("item {item} is under way"));
        tokio::time::sleep(ITEM).await;
        Ok(item)
    }
}

/// An engine with its long runs under way and room for `concurrency` others.
pub(super) async fn open(backend: Arc<dyn Backend>, concurrency: usize) -> Result<Engine, Failure> {
    let options = EngineOptions { concurrency: concurrency * 2 + LONG_RUNS, ..EngineOptions::default() };
    let engine = Engine::builder(backend)
        .register(chain(WAITING, || Pass(WAIT))?)
        .register(chain(EMPTY, || Pass(Duration::ZERO))?)
        .register(Workflow::named(LONG).map(Item, 1).build()?)
        .options(options)
        .start()
        .await?;
    let items: Vec<u64> = (0..ITEMS).collect();
    for nth in 0..LONG_RUNS {
        engine.start_run(LONG, &long_run(nth), &items).await?;
    }
    Ok(engine)
}

/// The id of a long run.
pub(super) fn long_run(nth: usize) -> String {
    format!("long-{nth}")
}

/// One run from its start to its result.
pub(super) async fn once(engine: &Engine, workflow: &str, run: &str, nth: u64) -> Result<(), Failure> {
    let parcel: Parcel = engine.start_run(workflow, run, &Parcel::of(nth)).await?.result().await?;
    if parcel.step == Parcel::of(nth).step + STEPS { Ok(()) } else { Err("a wrong result".into()) }
}
