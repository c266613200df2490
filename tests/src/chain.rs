//! The workflow that is cut short: a chain of steps whose result anybody can compute, each with a part that is
//! written on its own.

use stepwell::contract::RunKey;
use stepwell::{Engine, Error, StepContext, StepResult, Workflow};
use stepwell_contract::{RunId, TenantId};

use crate::witness::Witness;

/// Its name.
pub const NAME: &str = "chain";

/// A chain of that many steps. What it does is told to the witness. `padding` bytes are added to each result.
///
/// # Panics
/// Never: the definition is valid.
#[must_use]
pub fn workflow(steps: u32, padding: usize, witness: &Witness) -> Workflow<Link, Link> {
    let mut chain = Workflow::named(NAME).input::<Link>();
    for step in 1..=steps {
        let witness = witness.clone();
        chain = chain.step_fn(format!("s{step:02}"), move |ctx: StepContext, link: Link| {
            let witness = witness.clone();
            async move { advance(&ctx, link, padding, &witness).await }
        });
    }
    chain.build().expect("names of steps differ")
}

/// What travels along the chain: a number, and dead weight.
pub type Link = (u64, String);

async fn advance(ctx: &StepContext, (value, _): Link, padding: usize, witness: &Witness) -> StepResult<Link> {
    witness.executes(ctx);
    let doubled = ctx
        .once("double", || async {
            witness.tell(&format!("part {} {} double", ctx.run_id(), ctx.place()));
            Ok(value.wrapping_mul(2))
        })
        .await?;
    Ok((doubled.wrapping_add(1), "x".repeat(padding)))
}

/// The result of a chain of that many steps.
#[must_use]
pub fn result_of(input: u64, steps: u32) -> u64 {
    (0..steps).fold(input, |value, _| value.wrapping_mul(2).wrapping_add(1))
}

/// The id of the n-th run.
#[must_use]
pub fn run_id(nth: u32) -> String {
    format!("run-{nth}")
}

/// The key of the n-th run.
///
/// # Panics
/// Never: it is a valid id.
#[must_use]
pub fn key(nth: u32) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run_id(nth)).expect("a valid id"))
}

/// Starts the n-th run, or finds it, and tells the witness when that is durable.
///
/// # Errors
/// As for [`Engine::start_run`].
pub async fn start(engine: &Engine, witness: &Witness, nth: u32) -> Result<stepwell::RunHandle, Error> {
    let handle = engine.start_run(NAME, &run_id(nth), &(u64::from(nth), String::new())).await?;
    witness.tell(&format!("started {}", run_id(nth)));
    Ok(handle)
}
