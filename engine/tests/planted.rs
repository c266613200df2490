//! The crash test finds an engine that breaks its promise. In a process of its own: a planted bug is everybody's.

use stepwell::contract::seeded::{self, Bug};
use stepwell::prelude::*;
use stepwell::testing::{self, Problem};

#[tokio::test]
async fn an_engine_that_begins_an_attempt_before_it_is_counted_repeats_a_charge_and_is_found() {
    seeded::plant(Bug::AttemptCountedAfter);
    let order = || {
        Workflow::named("order")
            .step_fn("price", |_ctx, pieces: u64| async move { Ok(pieces * 100) })
            .step_fn("charge", |_ctx, cents: u64| async move { Ok(cents) })
            .policy(StepPolicy::default().effect(Effect::NotIdempotent))
            .build()
            .expect("a workflow")
    };
    let report = testing::crash_at_every_commit(order, 3).await;
    let repeated = |problem: &Problem| matches!(problem, Problem::Repeated { step, .. } if step.step.as_str() == "charge");
    assert!(report.problems().iter().any(repeated), "{report}");
    assert!(report.step("charge").again_after_effect > 0, "{report}");
}
