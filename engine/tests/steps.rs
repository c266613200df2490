//! What a step can do, on a real engine in memory.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use stepwell::clock::SimulatedTime;
use stepwell::contract::{Backend, Clock, MemoryBackend, Name, Query, RunId, RunKey, TenantId, Timestamp};
use stepwell::prelude::*;
use stepwell::run::place::Place;
use stepwell::run::state::StepStatus;
use stepwell::{EngineBuilder, Error, RunError, Runs, StartRun};
use tokio::sync::Notify;
use until::{soon, until};

mod until;

/// A clock for engine and store, and an engine on it.
fn on_paper() -> (SimulatedTime, EngineBuilder) {
    let time = SimulatedTime::at(Timestamp(1_000_000));
    let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
    (time.clone(), Engine::builder(Arc::new(backend)).time(Arc::new(time)))
}

/// Calls counted from inside steps.
#[derive(Default)]
struct Calls(AtomicU32);

impl Calls {
    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn each_step_gets_the_output_of_the_one_before_and_can_read_earlier_ones() {
    struct Double;
    #[async_trait]
    impl Step for Double {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "double";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n * 2)
        }
    }
    struct Half;
    #[async_trait]
    impl Step for Half {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "half";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n / 2)
        }
    }
    let flow = Workflow::named("sum")
        .step(Double)
        .parallel((Half, Double2))
        .step_fn("list", |_ctx, (half, more): (u64, u64)| async move {
            Ok((half..half + more % 4 + 3).collect::<Vec<_>>())
        })
        .map(Square, 2)
        .step_fn("total", |ctx: StepContext, squares: Vec<u64>| async move {
            Ok(squares.iter().sum::<u64>() + ctx.output::<Double>()?)
        })
        .build()
        .expect("a workflow");
    struct Double2;
    #[async_trait]
    impl Step for Double2 {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "double_again";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n * 2)
        }
    }
    struct Square;
    #[async_trait]
    impl Step for Square {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "square";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n * n)
        }
    }
    let (_, builder) = on_paper();
    let engine = builder.register(flow).start().await.expect("an engine");
    let run = engine.start_run("sum", "r-1", &2u64).await.expect("a run");
    // 2 → 4 → (2, 8) → [2, 3, 4] → [4, 9, 16] → 29 + 4
    assert_eq!(run.result::<u64>().await.expect("a result"), 33);
    let progress = engine.progress(run.key()).await.expect("progress");
    assert!((progress.percent - 100.0).abs() < f64::EPSILON);
    assert_eq!(progress.steps.len(), 6);
    assert_eq!(progress.steps[4].items, Some((3, 3)));
}

#[tokio::test]
async fn a_part_runs_once_and_a_cursor_is_where_the_next_attempt_begins() {
    let flow = Workflow::named("w")
        .step_fn("work", |ctx: StepContext, (): ()| async move {
            let calls = ctx.resource::<Calls>()?;
            let token: u32 = ctx.once("token", || async { Ok(calls.next()) }).await?;
            let from: u32 = ctx.cursor()?.unwrap_or(0);
            ctx.info(format!("from {from}"));
            ctx.checkpoint(&(from + 10), 0.5).await?;
            if ctx.attempt() < 3 {
                return Err(StepError::transient("not yet"));
            }
            Ok((token, from))
        })
        .policy(StepPolicy::default().retry(Retry::fixed(millis(300))))
        .build()
        .expect("a workflow");
    let (time, builder) = on_paper();
    let engine = builder.register(flow).resource(Calls::default()).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    for attempt in 1..3 {
        // Each attempt fails and waits; only then does time pass, and just as much as it waits for.
        let due = loop {
            let state = engine.state(run.key()).await.expect("a state");
            match state
                .steps
                .values()
                .next()
                .and_then(|step| step.single.as_ref())
                .map(|step| (step.attempt, step.status))
            {
                Some((now, StepStatus::Backoff(due))) if now == attempt => break due,
                _ => tokio::task::yield_now().await,
            }
        };
        time.advance(millis(due.since_ms(time.now())));
    }
    assert_eq!(run.result::<(u32, u32)>().await.expect("a result"), (1, 20));
    let lines = engine.logs(run.key()).await.expect("logs");
    let texts: Vec<_> = lines.iter().map(|line| (line.attempt, line.line.text.as_str())).collect();
    assert_eq!(texts, [(1, "from 0"), (2, "from 10"), (3, "from 20")]);
}

#[tokio::test]
async fn starting_the_same_run_again_finds_it_and_another_input_is_refused() {
    let calls = Arc::new(Calls::default());
    let counted = Arc::clone(&calls);
    let flow = Workflow::named("w")
        .step_fn("work", move |_ctx, n: u32| {
            counted.next();
            async move { Ok(n) }
        })
        .build()
        .expect("a workflow");
    let (_, builder) = on_paper();
    let engine = builder.register(flow).start().await.expect("an engine");
    let first = engine.start_run("w", "r-1", &1u32).await.expect("a run");
    assert!(first.is_new());
    first.result::<u32>().await.expect("a result");
    let again = engine.start_run("w", "r-1", &1u32).await.expect("the run");
    assert!(!again.is_new());
    assert_eq!(again.result::<u32>().await.expect("a result"), 1);
    assert_eq!(calls.count(), 1);
    let error = engine.start_run("w", "r-1", &2u32).await.expect_err("a conflict");
    assert!(matches!(error, Error::Conflict { what: "input", .. }), "{error}");
    let error = engine.start_run("v", "r-2", &2u32).await.expect_err("unknown");
    assert!(error.to_string().contains("there is w version 1"), "{error}");
    let error = engine.start_run("w", "../r", &2u32).await.expect_err("hostile");
    assert!(matches!(error, Error::Id(_)), "{error}");
}

#[tokio::test]
async fn a_result_of_another_type_says_where_it_differs() {
    let flow = Workflow::named("w").step_fn("work", |_ctx, (): ()| async { Ok(vec![("a", 1)]) }).build();
    let (_, builder) = on_paper();
    let engine = builder.register(flow.expect("a workflow")).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    let error = run.result::<Vec<(String, String)>>().await.expect_err("another type");
    assert!(matches!(error, RunError::Undecodable(_)));
    assert!(error.to_string().contains("[0][1]"), "{error}");
}

#[tokio::test]
async fn a_missing_resource_pauses_the_run_and_says_what_to_add() {
    let flow = Workflow::named("w")
        .step_fn("work", |ctx: StepContext, (): ()| async move { Ok(ctx.resource::<Calls>()?.count()) })
        .build();
    let (_, builder) = on_paper();
    let engine = builder.register(flow.expect("a workflow")).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    let error = run.result::<u32>().await.expect_err("no resource");
    assert!(matches!(error, RunError::Paused { .. }) && error.to_string().contains(".resource("), "{error}");
    let page = engine.unfinished(None, 10).await.expect("a list");
    assert!(page.items[0].trouble.as_ref().is_some_and(|trouble| trouble.message.contains("Calls")));
    let verdict = engine.can_resume(run.key()).await.expect("a verdict");
    assert!(verdict.can_resume && verdict.reasons.len() == 1, "{verdict:?}");
}

#[tokio::test]
async fn the_output_of_a_step_is_reached_by_the_name_it_was_added_under() {
    struct Add(u64);
    #[async_trait]
    impl Step for Add {
        type Input = u64;
        type Output = u64;
        const NAME: &'static str = "add";
        async fn run(&self, _ctx: &StepContext, n: u64) -> StepResult<u64> {
            Ok(n + self.0)
        }
    }
    async fn both(ctx: StepContext, _: u64) -> StepResult<(u64, u64)> {
        Ok((ctx.output_of("add_one")?, ctx.output_of("add_ten")?))
    }
    let flow = Workflow::named("w")
        .input::<u64>()
        .step_named("add_one", Add(1))
        .step_named("add_ten", Add(10))
        .step_fn("both", both);
    let (_, builder) = on_paper();
    let engine = builder.register(flow.build().expect("a workflow")).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &5u64).await.expect("a run");
    assert_eq!(soon("a result", run.result::<(u64, u64)>()).await.expect("a result"), (6, 16));

    let alone = StepContext::test().output_of("add_one", &6u64).output_of("add_ten", &16u64).build();
    assert_eq!(both(alone, 0).await.expect("both"), (6, 16));
    let error = both(StepContext::for_test(), 0).await.expect_err("no outputs");
    assert!(error.to_string().contains("step add_one has no recorded output"), "{error}");
}

/// Starts the run `child` for itself and waits for it, once for each name.
async fn start_children(ctx: StepContext, names: Vec<String>) -> StepResult<u64> {
    let mut sum = 0;
    for name in names {
        let child = ctx.runs()?.start("child", &format!("{}-{name}", ctx.run_id()), &name).await?;
        sum += child.result::<u64>().await?;
    }
    Ok(sum)
}

#[tokio::test]
async fn a_step_starts_runs_for_its_own_tenant_and_waits_for_them() {
    let child = Workflow::named("child")
        .step_fn("measure", |_ctx, name: String| async move { Ok(name.len() as u64) })
        .build()
        .expect("a workflow");
    let parent = Workflow::named("parent").step_fn("start", start_children).build().expect("a workflow");
    let (_, builder) = on_paper();
    let engine = builder.register(child).register(parent).start().await.expect("an engine");
    let tenant = TenantId::new("acme").expect("a tenant");
    let start = StartRun::new("parent", "p", &["a", "bcd"]).expect("a start").tenant(tenant.clone());
    let run = engine.start_with(start).await.expect("a run");
    assert_eq!(soon("a result", run.result::<u64>()).await.expect("a result"), 4);
    let key = |id| RunKey::new(tenant.clone(), RunId::new(id).expect("an id"));
    let runs = engine.runs();
    for id in ["p-a", "p-bcd"] {
        assert!(runs.get(&key(id)).await.expect("the store answers").is_some(), "{id}");
    }
    let query = Query { tenant: Some(tenant.clone()), ..Query::default() };
    assert_eq!(runs.list(&query, None, 10).await.expect("a page").items.len(), 3);

    // The same step in a test of its own: without an engine, and with one.
    let error = start_children(StepContext::for_test(), vec!["a".to_owned()]).await.expect_err("no engine");
    assert!(error.to_string().contains("StepContext::test().runs("), "{error}");
    let ctx = StepContext::test().runs(&engine.runs()).build();
    assert_eq!(soon("a sum", start_children(ctx, vec!["ab".to_owned()])).await.expect("a sum"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_keeps_the_runs_of_its_engine_does_not_keep_the_engine() {
    type Kept = Arc<Mutex<Option<Runs>>>;
    let flow = Workflow::named("w").step_fn("keep", |ctx: StepContext, (): ()| async move {
        *ctx.resource::<Kept>()?.lock().expect("not poisoned") = Some(ctx.runs()?);
        Ok(())
    });
    let backend = Arc::new(MemoryBackend::new());
    let left = Arc::downgrade(&backend);
    let kept = Kept::default();
    let builder = Engine::builder(backend).register(flow.build().expect("a workflow"));
    let engine = builder.resource(Arc::clone(&kept)).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    soon("a result", run.result::<()>()).await.expect("a result");
    drop((engine, run));
    until("the store is free", async || left.strong_count() == 0).await;
    let runs = kept.lock().expect("not poisoned").take().expect("it was kept");
    let error = runs.start("w", "r-2", &()).await.expect_err("the engine is gone");
    assert!(matches!(error, Error::ShuttingDown), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_learns_of_a_shutdown_before_it_is_told_to_stop() {
    async fn work(ctx: StepContext, (): ()) -> StepResult<u32> {
        if ctx.attempt() > 1 {
            return Ok(ctx.attempt());
        }
        ctx.resource::<Arc<Notify>>()?.notify_one();
        ctx.stopping().cancelled().await;
        assert!(!ctx.cancelled().is_cancelled(), "the grace time is not over");
        Err(StepError::cancelled("a good place to stop"))
    }
    // Its own time stands still: the grace time is never over.
    let (time, _) = on_paper();
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::with_clock(Arc::new(time.clone())));
    let entered = Arc::new(Notify::new());
    let engine = async || {
        let flow = Workflow::named("w").step_fn("work", work).build().expect("a workflow");
        let builder = Engine::builder(Arc::clone(&backend)).register(flow).time(Arc::new(time.clone()));
        builder.resource(Arc::clone(&entered)).start().await.expect("an engine")
    };
    let first = engine().await;
    let key = first.start_run("w", "r-1", &()).await.expect("a run").key().clone();
    soon("the step begins", entered.notified()).await;
    soon("the shutdown", first.shutdown()).await;
    let second = engine().await;
    let run = second.find(&key).await.expect("the run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 2);
    let state = second.state(&key).await.expect("a state");
    let step = state.step(&Place::of(Name::new("work").expect("a name"))).expect("a step");
    assert_eq!((step.spent, step.crashes), (1, 0), "it has used up nothing");
}

#[tokio::test]
async fn a_number_that_is_not_finite_is_an_error_and_never_null() {
    let mean = |_ctx, of: Vec<f64>| async move { Ok(Some(of.iter().sum::<f64>() / of.len() as f64)) };
    let once = StepPolicy::default().retry(Retry::fixed(secs(1)).max_attempts(1));
    let flow = Workflow::named("w").step_fn("mean", mean).policy(once).build().expect("a workflow");
    let (_, builder) = on_paper();
    let engine = builder.register(flow).start().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &[0.0; 0]).await.expect("a run");
    let error = soon("it is held", run.result::<Option<f64>>()).await.expect_err("no mean of nothing");
    assert!(matches!(error, RunError::Paused { .. }), "{error}");
    assert!(error.to_string().contains("it is NaN, for which JSON has no word"), "{error}");
    let error = engine.start_run("w", "r-2", &[f64::INFINITY]).await.expect_err("no JSON form");
    assert!(error.to_string().contains("[0] is inf"), "{error}");
}
