//! The workflows that are measured, made of steps that do nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stepwell::contract::Backend;
use stepwell::prelude::*;
use stepwell::{EngineOptions, StepContext};

use crate::Failure;
use crate::ledger::Ledger;

/// Steps of a chain.
pub(crate) const STEPS: u32 = 10;
/// Items of the map that run at once.
pub(crate) const MAP_AT_ONCE: u32 = 1_000;

/// A result of 100 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parcel {
    pub(crate) run: u64,
    pub(crate) step: u32,
    pub(crate) text: String,
}

impl Parcel {
    pub(crate) fn of(run: u64) -> Self {
        let text = "The parcel is on its way to the next stop, unopened and unhurt.".to_owned();
        Self { run: 1_000_000 + run, step: 1_000, text }
    }
}

/// Passes the parcel on, and notes that it did where that is asked for.
struct Pass(Option<Arc<Ledger>>);

#[async_trait]
impl Step for Pass {
    type Input = Parcel;
    type Output = Parcel;
    const NAME: &'static str = "pass";

    async fn run(&self, _ctx: &StepContext, parcel: Parcel) -> StepResult<Parcel> {
        if let Some(ledger) = &self.0 {
            ledger.note(parcel.run, parcel.step).permanent()?;
        }
        Ok(Parcel { step: parcel.step + 1, ..parcel })
    }
}

/// Gives back its item.
struct Echo;

#[async_trait]
impl Step for Echo {
    type Input = u64;
    type Output = u64;
    const NAME: &'static str = "echo";

    async fn run(&self, _ctx: &StepContext, item: u64) -> StepResult<u64> {
        Ok(item)
    }
}

/// A workflow of [`STEPS`] such steps, one after the other.
pub(crate) fn chain<S>(name: &str, step: impl Fn() -> S) -> Result<Workflow<Parcel, Parcel>, Failure>
where
    S: Step<Input = Parcel, Output = Parcel>,
{
    let mut chain = Workflow::named(name).input::<Parcel>().step_named("step-01", step());
    for nth in 2..=STEPS {
        chain = chain.step_named(format!("step-{nth:02}"), step());
    }
    Ok(chain.build()?)
}

/// An engine that has both workflows, `chain` and `map`, with room for `concurrency` runs.
pub(crate) async fn engine(
    backend: Arc<dyn Backend>,
    concurrency: usize,
    lease_ms: u64,
    ledger: Option<Arc<Ledger>>,
) -> Result<Engine, Failure> {
    let chain = chain("chain", || Pass(ledger.clone()))?;
    let map = Workflow::named("map").map(Echo, MAP_AT_ONCE);
    // Some room beyond: no run has to wait for the place of one that is just ending.
    let options = EngineOptions { concurrency: concurrency * 2, lease_ms, ..EngineOptions::default() };
    let builder = Engine::builder(backend).register(chain).register(map.build()?);
    Ok(builder.options(options).start().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_has_a_hundred_bytes() {
        assert_eq!(serde_json::to_string(&Parcel::of(0)).expect("json").len(), 100);
    }
}
