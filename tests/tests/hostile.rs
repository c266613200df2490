//! A step that misbehaves harms its own run and no other.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::{EngineOptions, RunError};
use stepwell_contract::{Backend, Payload, RunId, RunKey, Status, TenantId};
use stepwell_tests::harness::trial::PATIENCE;
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place, folder_in_memory};
use stepwell_tests::process::{Signal, Watched, binary, was_ended_by};

/// Threads for steps: fewer than there are hostile steps.
const THREADS: usize = 2;

/// An engine with one workflow, `bad`, of one step, and one that is good.
async fn start<O, F, Fut>(backend: Arc<dyn Backend>, policy: StepPolicy, step: F) -> Engine
where
    O: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
    F: Fn(StepContext, ()) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<O>> + Send + 'static,
{
    let bad = Workflow::named("bad").step_fn("bad", step).policy(policy);
    let good = Workflow::named("good")
        .step_fn("one", |_ctx: StepContext, n: u32| async move { Ok(n + 1) })
        .step_fn("two", |_ctx: StepContext, n: u32| async move { Ok(n * 2) });
    let options =
        EngineOptions { threads: THREADS, poll_ms: 20, stop_grace_ms: 100, ..EngineOptions::default() };
    Engine::builder(backend)
        .register(bad.build().expect("valid"))
        .register(good.build().expect("valid"))
        .options(options)
        .start()
        .await
        .expect("the engine starts")
}

/// Ten runs that have nothing to do with it.
async fn others_are_unhurt(engine: &Engine) {
    for n in 0..10 {
        let handle = engine.start_run("good", &format!("good-{n}"), &n).await.expect("started");
        let result = tokio::time::timeout(PATIENCE, handle.result::<u32>()).await;
        assert_eq!(result.expect("it is held up").expect("a result"), (n + 1) * 2);
    }
}

async fn a_step_that_panics_fails_with_the_place_of_the_panic(kind: Kind) {
    let step = |ctx: StepContext, (): ()| async move {
        assert!(ctx.attempt() > 9, "the step has lost its head");
        Ok(())
    };
    let mut place = Place::new(kind);
    let engine = start(place.open().await, StepPolicy::default(), step).await;
    let handle = engine.start_run("bad", "run", &()).await.expect("started");
    let failure = match handle.result::<()>().await {
        Err(RunError::Failed { failure, .. } | RunError::Paused { failure: Some(failure), .. }) => failure,
        other => panic!("it ended with {other:?}"),
    };
    assert_eq!(failure.class, ErrorClass::Bug);
    assert!(failure.message.contains("the step has lost its head"), "{failure}");
    assert!(failure.location.as_deref().is_some_and(|place| place.contains("hostile.rs:")), "{failure:?}");
    others_are_unhurt(&engine).await;
}
on_every_store!(a_step_that_panics_fails_with_the_place_of_the_panic);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_block_or_never_yield_hold_up_no_other_run() {
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let step = move |ctx: StepContext, (): ()| {
        let over = Arc::clone(&seen);
        async move {
            // Half of them sleep in the operating system, half of them burn their thread.
            let burns = ctx.run_id().as_str().ends_with('0');
            while !over.load(Ordering::Relaxed) {
                if burns { std::hint::spin_loop() } else { std::thread::sleep(Duration::from_millis(5)) }
            }
            Ok(7_u32)
        }
    };
    let mut place = Place::new(Kind::Memory);
    let engine = start(place.open().await, StepPolicy::default(), step).await;
    let mut handles = Vec::new();
    for run in ["sleeps-1", "sleeps-2", "burns-0", "sleeps-3"] {
        handles.push(engine.start_run("bad", run, &()).await.expect("started"));
    }
    others_are_unhurt(&engine).await;
    over.store(true, Ordering::Relaxed);
    for handle in handles {
        assert_eq!(handle.result::<u32>().await.expect("it ends when it is let"), 7);
    }
}

async fn a_result_over_the_limit_fails_its_run_alone(kind: Kind) {
    let step = |_ctx: StepContext, (): ()| async { Ok("x".repeat(2 << 20)) };
    let mut place = Place::new(kind);
    let engine = start(place.open().await, StepPolicy::default(), step).await;
    let handle = engine.start_run("bad", "run", &()).await.expect("started");
    let error = handle.result::<String>().await.expect_err("it is too large");
    assert!(error.to_string().contains("limit"), "{error}");
    others_are_unhurt(&engine).await;
}
on_every_store!(a_result_over_the_limit_fails_its_run_alone);

/// Has no JSON form: its key is not a text.
fn formless() -> std::collections::BTreeMap<(u8, u8), u8> {
    [((1, 2), 3)].into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_without_a_stored_form_fails_its_run_alone() {
    #[derive(serde::Deserialize)]
    struct Formless;
    impl serde::Serialize for Formless {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            formless().serialize(to)
        }
    }
    let step = |_ctx: StepContext, (): ()| async { Ok(Formless) };
    let mut place = Place::new(Kind::Memory);
    let engine = start(place.open().await, StepPolicy::default(), step).await;
    let handle = engine.start_run("bad", "run", &()).await.expect("started");
    let error = handle.result::<Payload>().await.expect_err("it has no stored form");
    assert!(error.to_string().contains("output"), "{error}");
    others_are_unhurt(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_result_that_does_not_decode_is_told_with_its_place() {
    let step = |_ctx: StepContext, (): ()| async { Ok(vec![1, 2]) };
    let mut place = Place::new(Kind::Memory);
    let engine = start(place.open().await, StepPolicy::default(), step).await;
    let handle = engine.start_run("bad", "run", &()).await.expect("started");
    let error = handle.result::<Vec<String>>().await.expect_err("they are numbers");
    assert!(matches!(error, RunError::Undecodable(_)), "{error:?}");
    assert!(error.to_string().contains("[0]"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_ignores_its_time_limit_is_cut_off() {
    let step = |_ctx: StepContext, (): ()| std::future::pending::<StepResult<()>>();
    let policy = StepPolicy::default().attempt_timeout(millis(50)).retry(Retry::none());
    let mut place = Place::new(Kind::Memory);
    let engine = start(place.open().await, policy, step).await;
    let handle = engine.start_run("bad", "run", &()).await.expect("started");
    let error = tokio::time::timeout(PATIENCE, handle.result::<()>()).await.expect("it is cut off");
    assert!(error.expect_err("no result").to_string().contains("attempt_timeout"));
    others_are_unhurt(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_kills_its_process_is_quarantined_and_the_others_end() {
    let folder = folder_in_memory();
    let url = format!("file:{}", folder.path().join("store").display());
    let witness = folder.path().join("witness");
    let mut deaths = 0;
    loop {
        let mut command = Command::new(binary("worker"));
        command.args(["abort", "--store", &url]).arg("--witness").arg(&witness);
        let mut worker = Watched::start(&mut command).expect("started");
        let status = worker.wait(PATIENCE).expect("ended");
        if status.success() {
            break;
        }
        assert!(was_ended_by(status, Signal::ABORT), "{status}: {}", worker.last_words());
        deaths += 1;
        assert!(deaths <= 3, "it goes on killing workers");
    }
    assert_eq!(deaths, 3, "as often as its policy lets it");
    let backend = stepwell_backends::open(&url).await.expect("opens");
    let engine = Engine::builder(backend).build().await.expect("an engine");
    let key = |run: &str| RunKey::new(TenantId::default(), RunId::new(run).expect("an id"));
    let state = engine.state(&key("aborts")).await.expect("its state");
    assert_eq!(state.pause.map(|pause| pause.reason), Some(PauseReason::Quarantined));
    for nth in 1..=5 {
        let head = engine.get(&key(&format!("run-{nth}"))).await.expect("answers").expect("is there");
        assert_eq!(head.status, Status::Succeeded, "{}", head.key);
    }
}
