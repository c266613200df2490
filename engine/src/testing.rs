//! Trying a workflow out, in memory and in no time.
//!
//! * [`run`] takes a workflow to its end. [`Rehearsal`] does so with stand-ins for steps, planned failures and
//!   resources. Simulated time stands still while anybody works and skips to the next timer when nobody does: a retry
//!   after six hours costs some ten milliseconds. It always comes back; a run that waits for what cannot come is returned
//!   as it is, with the [reason](End).
//! * [`Rehearsed`] is what came of it: the result, the attempts of each step, their outputs, the whole journal. A failed
//!   assertion prints the history.
//! * [`crash_at_every_commit`] lets the process die around each write of the run and reports which steps ran again, by what
//!   they [declare](crate::Effect). [`CrashTest`] does so with a look at the outside world after each run.
//!
//! A single step needs none of this: call its `run` with [`StepContext::for_test`](crate::StepContext::for_test).
//!
//! What is real: the engine, its retries, limits, writes and takeovers. What is not: the clock, the store (memory) and the
//! death of a process (the engine is dropped; what a step has spawned with `tokio::spawn` lives on).
//!
//! It is not behind a feature of the crate: it needs nothing that the engine does not need, apart from a word comparison of
//! a few hundred lines, and a program that does not use it does not contain it. A feature would have to be named by every
//! crate that tests a workflow, and would change nothing else.

mod cast;
pub(crate) mod clock;
mod crash;
mod history;
mod life;
mod outside;
mod rehearsal;
mod rehearsed;
mod report;
pub(crate) mod stage;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crash::CrashTest;
pub use rehearsal::{Rehearsal, RehearsalError};
pub use rehearsed::{End, Rehearsed};
pub use report::{CrashPoint, CrashReport, Problem, StepReport};
pub use stage::Side;

use crate::workflow::definition::Workflow;

/// Runs a workflow as far as it goes. See [`Rehearsal`] for one with stand-ins.
///
/// ```
/// use stepwell::prelude::*;
/// use stepwell::testing;
/// # tokio_test::block_on(async {
/// let workflow = Workflow::named("greet")
///     .step_fn("greet", |_ctx, name: String| async move { Ok(format!("Hello, {name}")) })
///     .build()
///     .unwrap();
///
/// let run = testing::run(workflow, "Ada".to_owned()).await;
///
/// assert_eq!(run.assert_succeeded(), "Hello, Ada");
/// # });
/// ```
///
/// # Panics
/// When the engine does not take the workflow or its input.
///
/// # Cancellation
/// Dropping the future ends the run.
pub async fn run<I: Serialize, O: DeserializeOwned>(workflow: Workflow<I, O>, input: I) -> Rehearsed<O> {
    Rehearsal::new(workflow).run(&input).await
}

/// Runs a workflow again and again, each time with a crash at another point, and reports what that did. `process` is called
/// for each process, and makes a [`Workflow`] or a [`Rehearsal`]. See [`CrashTest`] for one that looks at what the steps did
/// to the outside world.
///
/// ```
/// use stepwell::prelude::*;
/// use stepwell::testing;
///
/// fn workflow() -> Workflow<u64, u64> {
///     Workflow::named("sum")
///         .step_fn("double", |_ctx, n: u64| async move { Ok(n * 2) })
///         .step_fn("add", |_ctx, n: u64| async move { Ok(n + 1) })
///         .build()
///         .unwrap()
/// }
/// # tokio_test::block_on(async {
/// let report = testing::crash_at_every_commit(workflow, 20).await;
///
/// report.assert_never_in_doubt();
/// assert_eq!(report.crashes().len(), 6); // before and after each of three writes
/// assert_eq!(report.step("double").again_after_effect, 1);
/// # });
/// ```
///
/// # Panics
/// When the engine does not take the workflow or its input.
pub async fn crash_at_every_commit<I, O, R>(process: impl Fn() -> R, input: I) -> CrashReport
where
    I: Serialize,
    O: DeserializeOwned,
    R: Into<Rehearsal<I, O>>,
{
    CrashTest::new(process).run(&input).await
}
