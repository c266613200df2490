//! Whichever write of a run fails, and however, the run ends with the right result and each step has one.

use std::sync::Arc;
use std::time::Duration;

use stepwell::prelude::*;
use stepwell::{EngineOptions, RunError, RunHandle};
use stepwell_contract::fault::{Effect as Fault, FaultBackend, FaultPlan, Method};
use stepwell_contract::{Backend, FaultKind, RunId, RunKey, TenantId};
use stepwell_tests::audit::{check_run, journal};
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place};

struct Plus(u64);

macro_rules! plus {
    ($($name:ident $step:literal $n:literal),+) => {
        $(
            struct $name;

            #[async_trait]
            impl Step for $name {
                type Input = u64;
                type Output = u64;
                const NAME: &'static str = $step;

                async fn run(&self, ctx: &StepContext, value: u64) -> StepResult<u64> {
                    Plus($n).run(ctx, value).await
                }
            }
        )+
    };
}

plus!(Left "left" 10, Right "right" 20, Each "each" 1);

impl Plus {
    async fn run(&self, ctx: &StepContext, value: u64) -> StepResult<u64> {
        ctx.checkpoint(&value, 0.5).await?;
        Ok(value + self.0)
    }
}

/// Retries, parallel steps, a map, a memoised part.
fn workflow() -> Workflow<u64, u64> {
    let flaky = |ctx: StepContext, value: u64| async move {
        let part = ctx.once("part", || async { Ok(1_u64) }).await?;
        if ctx.attempt() == 1 {
            return Err(StepError::transient("not yet"));
        }
        Ok(value + part)
    };
    let fan = |_ctx: StepContext, (left, right): (u64, u64)| async move { Ok(vec![left, right, 100]) };
    let sum = |_ctx: StepContext, parts: Vec<u64>| async move { Ok(parts.into_iter().sum::<u64>()) };
    Workflow::named("trip")
        .step_fn("flaky", flaky)
        .policy(StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(50)))
        .parallel((Left, Right))
        .step_fn("fan", fan)
        .map(Each, 2)
        .step_fn("sum", sum)
        .build()
        .expect("a valid definition")
}

/// What it makes of 5: (6 + 10 + 1) + (6 + 20 + 1) + (100 + 1).
const RESULT: u64 = 17 + 27 + 101;

async fn start(backend: Arc<dyn Backend>) -> Engine {
    let options = EngineOptions {
        lease_ms: 1_000,
        poll_ms: 20,
        threads: 2,
        // The writes that are met by faults are those of the run.
        heartbeat_ms: 0,
        ..EngineOptions::default()
    };
    let engine = Engine::builder(backend).register(workflow()).options(options).start().await;
    engine.expect("the engine starts")
}

/// Starts the run, or finds it; `None` once the store has to be opened again.
async fn run(engine: &Engine) -> Option<RunHandle> {
    loop {
        match engine.start_run("trip", "trip-1", &5_u64).await {
            Ok(handle) => return Some(handle),
            Err(_) if engine.is_poisoned() => return None,
            // A start whose outcome is not known is repeated.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// The result; `None` once the store has to be opened again.
async fn result(engine: &Engine, handle: &RunHandle) -> Option<u64> {
    let poisoned = async {
        while !engine.is_poisoned() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let result = async {
        match handle.result::<u64>().await {
            Ok(result) => Some(result),
            Err(RunError::Engine(_)) if engine.is_poisoned() => None,
            Err(error) => panic!("{error}"),
        }
    };
    tokio::select! {
        result = result => result,
        () = poisoned => None,
    }
}

/// One run during which the n-th commit is met by the fault. Returns how many commits there were, and whether the
/// fault struck: how many commits a run needs depends on what falls together.
async fn meet(kind: Kind, nth: u64, fault: Fault) -> (u64, bool) {
    let place = &mut Place::new(kind);
    let store = FaultBackend::new(place.open().await, FaultPlan::seeded(1).nth(Method::Commit, nth, fault));
    let store = Arc::new(store);
    let engine = start(Arc::clone(&store) as Arc<dyn Backend>).await;
    let first = match run(&engine).await {
        Some(handle) => result(&engine, &handle).await,
        None => None,
    };
    let counts = store.counts();
    drop(engine);
    drop(store);
    // A later process, which finds whatever was left.
    let backend = place.open().await;
    let engine = start(Arc::clone(&backend)).await;
    let handle = run(&engine).await.expect("a sound store");
    let second = result(&engine, &handle).await.expect("a sound store");
    assert!(first.is_none_or(|first| first == second));
    assert_eq!(second, RESULT);
    let key = RunKey::new(TenantId::default(), RunId::new("trip-1").expect("an id"));
    let records = journal(backend.as_ref(), &key).await.expect("a journal");
    let violations = check_run(backend.as_ref(), &key, &records, &RESULT.to_string()).await;
    assert!(violations.is_empty(), "{violations:?}");
    (counts.calls(Method::Commit), counts.fired(Method::Commit) > 0)
}

async fn whichever_write_fails_the_run_ends_right(kind: Kind) {
    let (commits, _) = meet(kind, u64::MAX, Fault::Drop).await;
    assert!(commits >= 10, "{commits} commits are too few to show anything");
    let faults = [Fault::Refuse(FaultKind::Unavailable), Fault::Drop, Fault::LoseReply, Fault::Poison];
    for fault in faults {
        let trials = (1..=commits).map(|nth| {
            let fault = fault.clone();
            async move {
                let what = format!("{fault:?} at commit {nth}");
                let met = tokio::time::timeout(Duration::from_secs(60), meet(kind, nth, fault)).await;
                met.unwrap_or_else(|_| panic!("{what}: it does not end")).1
            }
        });
        let struck =
            futures_util::future::join_all(trials).await.into_iter().filter(|struck| *struck).count();
        assert!(struck as u64 * 4 >= commits * 3, "{fault:?} struck {struck} times of {commits}");
    }
}
on_every_store!(whichever_write_fails_the_run_ends_right);
