//! What a definition is refused for, by the compiler and by `build`.

use stepwell::prelude::*;
use stepwell::{BuildError, EngineOptions, Error};

#[test]
fn wrong_chaining_does_not_compile_and_the_message_says_why() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

#[test]
fn a_definition_with_a_mistake_is_refused_with_what_to_do() {
    let step = |_ctx: StepContext, n: u32| async move { Ok(n) };
    let twice = Workflow::named("w").step_fn("a", step).step_fn("a", step).build().expect_err("twice");
    assert!(matches!(&twice, BuildError::DuplicateStep { step, .. } if step.as_str() == "a"), "{twice}");
    let name = Workflow::named("w/x").step_fn("a", step).build().expect_err("a bad name");
    assert!(matches!(name, BuildError::Name(_)), "{name}");
    let empty = Workflow::named("w").input::<u32>().build().expect_err("empty");
    assert!(matches!(empty, BuildError::Empty { .. }), "{empty}");
    let zero = Workflow::named("w").step_fn("a", step).policy(StepPolicy::default().attempt_timeout(secs(0)));
    assert!(matches!(zero.build(), Err(BuildError::Policy { .. })));
    let early = Workflow::named("w").input::<u32>().policy(StepPolicy::default()).step_fn("a", step);
    assert!(matches!(early.build(), Err(BuildError::PolicyBeforeStep { .. })));
}

#[tokio::test]
async fn an_engine_with_contradicting_settings_is_refused() {
    let backend = || std::sync::Arc::new(stepwell::contract::MemoryBackend::new());
    let flow = || {
        Workflow::named("w").step_fn("a", |_ctx, n: u32| async move { Ok(n) }).build().expect("a workflow")
    };
    let twice =
        Engine::builder(backend()).register(flow()).register(flow()).build().await.expect_err("twice");
    assert!(matches!(twice, Error::RegisteredTwice { .. }), "{twice}");
    let none =
        Engine::builder(backend()).options(EngineOptions { concurrency: 0, ..EngineOptions::default() });
    assert!(matches!(none.build().await, Err(Error::Options(_))));
}
