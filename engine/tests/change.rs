//! Code that changes under runs: what goes on, what is migrated, and what is held.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stepwell::contract::{RunKey, Status};
use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::run::event::{Event, PauseReason};
use stepwell::{Error, ForkRun, OnChange, StartRun};
use until::soon;
use world::{Total, World, comes_to, held, new, old, place, with_currency};

mod until;
mod world;

async fn kinds(engine: &Engine, key: &RunKey) -> Vec<String> {
    let records = engine.history(key).await.expect("a history");
    records.iter().map(|record| record.kind.as_str().to_owned()).collect()
}

async fn result<T: DeserializeOwned>(engine: &Engine, key: &RunKey) -> T {
    let run = engine.find(key).await.expect("the run");
    soon("a result", run.result::<T>()).await.expect("a result")
}

// ---- stored values

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_output_is_migrated_when_it_is_read_and_stays_as_it_was_stored() {
    let world = World::new();
    let key = world.left_by(old(), Status::Waiting).await;
    let stored = world.all().await;
    world.time.advance(days(1));
    let engine = world.worker(new(2, true)).await;
    assert_eq!(result::<String>(&engine, &key).await, "70 EUR");
    let now = engine.history(&key).await.expect("a history");
    let (_, before, _) = &stored[&key];
    assert_eq!(&now[..before.len()], before.as_slice());
    assert!(!kinds(&engine, &key).await.contains(&"run_paused".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_migration_the_run_is_held_before_any_attempt_and_goes_on_where_there_is_one() {
    let world = World::new();
    let key = world.left_by(old(), Status::Waiting).await;
    world.time.advance(days(1));
    let worker = world.worker(new(2, false)).await;
    let (reason, at, message) = held(&worker, &key).await;
    assert_eq!((reason, at), (PauseReason::NeedsMigration, Some(place("tell"))));
    for part in [
        "tell cannot read the output of total",
        "in version 1",
        "has version 2",
        "no migration from version 1",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let so_far = kinds(&worker, &key).await;
    let parked = ["run_released", "run_taken", "diagnosed", "run_paused"];
    assert_eq!(so_far[so_far.len() - 4..], parked, "the timer does not even fire");
    // A resume that changes nothing holds it again, once.
    worker.resume(&key, "try").await.expect("resumed");
    assert_eq!(held(&worker, &key).await.0, PauseReason::NeedsMigration);
    worker.shutdown().await;
    let mended = world.worker(new(2, true)).await;
    mended.resume(&key, "the migration is there").await.expect("resumed");
    assert_eq!(result::<String>(&mended, &key).await, "70 EUR");
    let tell = mended.state(&key).await.expect("a state").step(&place("tell")).expect("begun").attempt;
    assert_eq!(tell, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_finished_run_is_read_in_its_present_form() {
    let flow = |version| {
        let flow = Workflow::named("w").step_fn("total", |_ctx, n: u32| async move { Ok(n) });
        flow.output_version(version)
    };
    let world = World::new();
    let key = world.left_by(flow(1).build().expect("sound"), Status::Succeeded).await;
    let migrated = flow(2).migrate_named("total", 1, with_currency).build().expect("sound");
    let engine = world.engine(migrated).await;
    let total: Total = result(&engine, &key).await;
    assert_eq!((total.cents, total.currency.as_str()), (7, "EUR"));
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_map_are_migrated_each() {
    fn flow(version: u32) -> Workflow<u32, Vec<String>> {
        let list = |_ctx, n: u32| async move { Ok((0..n).collect::<Vec<u32>>()) };
        let flow = Workflow::named("w").step_fn("list", list).map_flow(8, |item| {
            let total = move |_ctx, n: u32| async move {
                Ok(if version == 1 { json!(n) } else { json!({"cents": n, "currency": "USD"}) })
            };
            let item = item.step_fn("total", total).output_version(version).sleep("later", days(1));
            item.step_fn("tell", move |_ctx, total: Value| async move {
                Ok(if version == 1 { total.to_string() } else { total["currency"].to_string() })
            })
        });
        let flow = if version == 1 { flow } else { flow.migrate_named("total", 1, with_currency) };
        flow.build().expect("sound")
    }
    let world = World::new();
    let key = world.left_by(flow(1), Status::Waiting).await;
    world.time.advance(days(1));
    let engine = world.worker(flow(2)).await;
    assert_eq!(result::<Vec<String>>(&engine, &key).await, vec!["\"EUR\""; 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_an_attempt_finds_unreadable_is_held_not_retried_and_goes_on_once_it_is_read() {
    /// A step that reads what the engine cannot foresee, as `T`.
    fn flow<T: DeserializeOwned + Serialize + Send + 'static>(reads: &'static str) -> Workflow<u32, bool> {
        let look = move |ctx: StepContext, (): ()| async move {
            match reads {
                "cursor" => ctx.cursor::<T>().map(drop)?,
                "part" => drop(ctx.once("part", || async { Err::<T, _>(StepError::auth("never")) }).await?),
                _ => drop(ctx.output_of::<T>("first")?),
            }
            if ctx.attempt() == 1 { Err(StepError::auth("not yet")) } else { Ok(true) }
        };
        Workflow::named("w")
            .step_fn("first", |_ctx, n: u32| async move { Ok(n) })
            .step_fn("between", |_ctx, _n: u32| async move { Ok(()) })
            .step_fn("look", look)
            .build()
            .expect("sound")
    }
    fn begun() -> Workflow<u32, bool> {
        let look = |ctx: StepContext, (): ()| async move {
            ctx.checkpoint(&7_u32, 0.5).await?;
            ctx.once("part", || async { Ok(7_u32) }).await?;
            Err::<bool, _>(StepError::auth("not yet"))
        };
        Workflow::named("w")
            .step_fn("first", |_ctx, n: u32| async move { Ok(n) })
            .step_fn("between", |_ctx, _n: u32| async move { Ok(()) })
            .step_fn("look", look)
            .build()
            .expect("sound")
    }
    for reads in ["cursor", "part", "output"] {
        let world = World::new();
        let key = world.left_by(begun(), Status::Paused).await;
        let changed = world.worker(flow::<String>(reads)).await;
        changed.retry(&key, "with new code").await.expect("retried");
        let (reason, at, message) = held(&changed, &key).await;
        assert_eq!((reason, at), (PauseReason::NeedsMigration, Some(place("look"))), "{reads}");
        assert!(message.contains("invalid type: integer `7`"), "{reads}: {message}");
        let attempts = |kinds: &[String]| kinds.iter().filter(|kind| *kind == "attempt_failed").count();
        assert_eq!(attempts(&kinds(&changed, &key).await), 2, "{reads}: one more and no other");
        changed.shutdown().await;
        let mended = world.worker(flow::<u32>(reads)).await;
        mended.resume(&key, "it reads numbers again").await.expect("resumed");
        assert!(result::<bool>(&mended, &key).await, "{reads}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_does_not_tolerate_what_could_not_be_read() {
    fn flow<T: DeserializeOwned + Send + 'static>() -> Workflow<u32, usize> {
        let list = |_ctx, n: u32| async move { Ok(vec![n, n]) };
        let tolerance = Tolerance { count: 9, share: 1.0 };
        let flow = Workflow::named("w").step_fn("list", list).map_flow_tolerant(8, tolerance, |item| {
            item.sleep("later", days(1)).step_fn("look", |ctx: StepContext, _n: u32| async move {
                ctx.output_of::<T>("list").map(drop)?;
                Ok(true)
            })
        });
        let count = |_ctx, items: Vec<stepwell::ItemResult<bool>>| async move {
            Ok(items.iter().filter(|item| matches!(item, stepwell::ItemResult::Ok(_))).count())
        };
        flow.step_fn("count", count).build().expect("sound")
    }
    let world = World::new();
    let key = world.left_by(flow::<Vec<u32>>(), Status::Waiting).await;
    world.time.advance(days(1));
    let changed = world.worker(flow::<Vec<String>>()).await;
    assert_eq!(held(&changed, &key).await.0, PauseReason::NeedsMigration);
    changed.shutdown().await;
    let mended = world.worker(flow::<Vec<u32>>()).await;
    mended.resume(&key, "").await.expect("resumed");
    assert_eq!(result::<usize>(&mended, &key).await, 2);
}

// ---- versions of the workflow

/// The workflow in a version, with a step of its own behind the sleep.
fn versioned(version: u32, takes_over: &[u32]) -> Workflow<u32, String> {
    let mut flow = Workflow::named("w").version(version);
    if !takes_over.is_empty() {
        flow = flow
            .on_change(OnChange::Migrate)
            .migrate_input(1, |old| Ok(json!(old.as_u64().unwrap_or(0) + 1)));
    }
    let flow = takes_over.iter().fold(flow, |flow, version| flow.takes_over(*version));
    let tell = move |_ctx, n: u32| async move { Ok(format!("{n} by version {version}")) };
    let flow = flow.input::<u32>().sleep("later", days(1)).step_fn("tell", tell);
    flow.build().expect("a workflow")
}

#[tokio::test(flavor = "multi_thread")]
async fn side_by_side_each_worker_takes_the_runs_of_its_own_version() {
    let world = World::new();
    let (one, two) = (world.worker(versioned(1, &[])).await, world.worker(versioned(2, &[])).await);
    let mut runs = Vec::new();
    for nth in 0..20_u32 {
        let (engine, other) = if nth % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let run = engine.start_run("w", &format!("r-{nth}"), &nth).await.expect("a run");
        assert!(other.get(run.key()).await.expect("a head").is_some());
        runs.push(run);
    }
    for run in &runs {
        comes_to(run, Status::Waiting).await;
    }
    world.time.advance(days(1));
    for (nth, run) in runs.iter().enumerate() {
        let told = soon("a result", run.result::<String>()).await.expect("a result");
        assert_eq!(told, format!("{nth} by version {}", 1 + nth % 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_no_workflow_here_goes_on_with_says_so_at_once_with_the_nearest_name() {
    let world = World::new();
    let key = world.left_by(versioned(1, &[]), Status::Waiting).await;
    world.time.advance(days(1));
    let newer = world.worker(versioned(2, &[])).await;
    let cause = newer.cause(&key).await.expect("a cause").expect("it has not ended");
    let Cause::NoDefinition { version: 1, nearest: Some(near), .. } = &cause else { panic!("{cause:?}") };
    assert_eq!((near.name.as_str(), near.version), ("w", 2));
    assert!(
        cause.to_string().contains("no workflow w version 1 is registered here; the nearest is w version 2")
    );
    let steering = Engine::builder(Arc::clone(&world.backend)).time(Arc::new(world.time.clone()));
    let steering = steering.build().await.expect("an engine");
    let cause = steering.cause(&key).await.expect("a cause");
    assert!(matches!(cause, Some(Cause::FreeWorker { .. })), "{cause:?}");
    let unknown = StartRun::new("w", "r-2", &1_u32).expect("a start").version(7);
    let unknown = newer.start_with(unknown).await.expect_err("unknown");
    assert!(matches!(unknown, Error::UnknownWorkflow { .. }));
    assert!(unknown.to_string().contains("did you mean w version 2?"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_takes_over_the_runs_of_those_that_it_lists() {
    let world = World::new();
    let key = world.left_by(versioned(1, &[]), Status::Waiting).await;
    world.time.advance(days(1));
    let newer = world.worker(versioned(3, &[1, 2])).await;
    assert_eq!(result::<String>(&newer, &key).await, "8 by version 3", "the input was migrated");
    let head = newer.get(&key).await.expect("a head").expect("there");
    assert_eq!(head.workflow_version, 3);
    let records = newer.history(&key).await.expect("a history");
    let changed = records.iter().find_map(|record| match Event::read(record).expect("readable") {
        Event::DefinitionChanged(changed) => Some(changed),
        _ => None,
    });
    let changed = changed.expect("recorded");
    assert_eq!((changed.from, changed.to, &changed.worker), (1, 3, newer.worker()));
    assert_eq!(newer.state(&key).await.expect("a state").created.workflow_version, 1, "how it began stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_the_old_version_too_leaves_its_runs_to_it() {
    let world = World::new();
    let key = world.left_by(versioned(1, &[]), Status::Waiting).await;
    world.time.advance(days(1));
    let builder = Engine::builder(Arc::clone(&world.backend)).time(Arc::new(world.time.clone()));
    let both =
        builder.register(versioned(1, &[])).register(versioned(2, &[1])).start().await.expect("an engine");
    assert_eq!(result::<String>(&both, &key).await, "7 by version 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_fit_the_version_that_takes_it_over_is_held_as_it_is() {
    let renamed = Workflow::named("w").version(2).on_change(OnChange::Migrate).takes_over(1).input::<u32>();
    let renamed = renamed.sleep("afterwards", days(1)).build().expect("sound");
    let world = World::new();
    let key = world.left_by(versioned(1, &[]), Status::Waiting).await;
    world.time.advance(days(1));
    let newer = world.worker(renamed).await;
    let (reason, _, message) = held(&newer, &key).await;
    assert_eq!(reason, PauseReason::DefinitionChanged);
    assert!(message.contains("version 2 of w does not fit this run: step later"), "{message}");
    assert_eq!(newer.get(&key).await.expect("a head").expect("there").workflow_version, 1);
    newer.shutdown().await;
    let older = world.worker(versioned(1, &[])).await;
    older.resume(&key, "back").await.expect("resumed");
    assert_eq!(result::<String>(&older, &key).await, "7 by version 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_refuses_changes_holds_runs_from_before_also_where_it_would_fit() {
    fn flow(on_change: OnChange) -> Workflow<u32, u32> {
        let flow = Workflow::named("w").on_change(on_change).input::<u32>().sleep("later", days(1));
        flow.step_fn("more", |_ctx, n: u32| async move { Ok(n + 1) }).build().expect("sound")
    }
    let before = Workflow::named("w").input::<u32>().sleep("later", days(1)).build().expect("sound");
    let world = World::new();
    let key = world.left_by(before, Status::Waiting).await;
    world.time.advance(days(1));
    let strict = world.worker(flow(OnChange::Refuse)).await;
    let (reason, _, message) = held(&strict, &key).await;
    assert_eq!(reason, PauseReason::DefinitionChanged);
    assert!(message.contains("the definition has changed (fingerprint "), "{message}");
    let fresh = strict.start_run("w", "r-2", &1_u32).await.expect("a run");
    strict.shutdown().await;
    let lenient = world.worker(flow(OnChange::Pin)).await;
    lenient.resume(&key, "it fits").await.expect("resumed");
    assert_eq!(result::<u32>(&lenient, &key).await, 8);
    comes_to(&lenient.find(fresh.key()).await.expect("the run"), Status::Waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_step_gave_is_migrated_before_it_is_undone() {
    fn flow(version: u32, undone: Arc<std::sync::Mutex<Vec<String>>>) -> Workflow<u32, ()> {
        let book = |_ctx, n: u32| async move { Ok(json!(n)) };
        let undo = move |_ctx, booked: Value| {
            let undone = Arc::clone(&undone);
            async move {
                undone.lock().expect("not poisoned").push(booked.to_string());
                Ok(())
            }
        };
        let flow = Workflow::named("w").step_fn("book", book).output_version(version);
        let flow = flow.compensate_fn(undo).sleep("later", days(1));
        let flow = if version == 1 { flow } else { flow.migrate_named("book", 1, with_currency) };
        let fails = |_ctx, _booked: Value| async move { Err::<(), _>(StepError::permanent("no")) };
        flow.step_fn("pay", fails).build().expect("sound")
    }
    let undone = Arc::default();
    let world = World::new();
    let key = world.left_by(flow(1, Arc::clone(&undone)), Status::Waiting).await;
    let engine = world.worker(flow(2, Arc::clone(&undone))).await;
    engine.undo(&key, "").await.expect("asked");
    comes_to(&engine.find(&key).await.expect("the run"), Status::Cancelled).await;
    assert_eq!(*undone.lock().expect("not poisoned"), ["{\"cents\":7,\"currency\":\"EUR\"}"]);
}

#[test]
fn what_a_definition_says_of_older_runs_has_to_make_sense() {
    let flow = || Workflow::named("w").version(3);
    let refused = |flow: stepwell::workflow::builder::WorkflowStart| {
        let built = flow.step_fn("a", |_ctx, n: u32| async move { Ok(n) }).build();
        built.expect_err("refused").to_string()
    };
    assert!(refused(flow().takes_over(1)).contains("needs `on_change(OnChange::Migrate)`"));
    assert!(refused(flow().on_change(OnChange::Migrate)).contains("needs `takes_over`"));
    assert!(refused(flow().on_change(OnChange::Migrate).takes_over(3)).contains("not older"));
    assert!(refused(flow().migrate_input(3, Ok)).contains("the workflow has version 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_another_version_is_not_taken_for_the_present_one_although_it_would_decode() {
    fn flow(version: u32) -> Workflow<u32, u32> {
        let flow = Workflow::named("w").step_fn("price", |_ctx, n: u32| async move { Ok(n) });
        let flow = flow.output_version(version).step_fn("next", |_ctx, _n: u32| async move { Ok(()) });
        let look = |ctx: StepContext, (): ()| async move { ctx.output_of::<u32>("price") };
        flow.sleep("later", days(1)).step_fn("look", look).build().expect("sound")
    }
    let world = World::new();
    let key = world.left_by(flow(1), Status::Waiting).await;
    world.time.advance(days(1));
    let cents = world.worker(flow(2)).await;
    let (reason, at, message) = held(&cents, &key).await;
    assert_eq!((reason, at), (PauseReason::NeedsMigration, Some(place("look"))));
    assert!(message.contains("output of step price: there is no migration from version 1"), "{message}");
    cents.shutdown().await;
    let back = world.worker(flow(1)).await;
    back.resume(&key, "back").await.expect("resumed");
    assert_eq!(result::<u32>(&back, &key).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_into_a_newer_version_migrates_what_it_copies() {
    let world = World::new();
    let key = world.left_by(versioned(1, &[]), Status::Waiting).await;
    let newer = world.worker(versioned(2, &[1])).await;
    let into = ForkRun::new("r-2", place("later")).version(2);
    let forked = newer.fork(&key, into).await.expect("forked");
    comes_to(&forked, Status::Waiting).await;
    world.time.advance(days(1));
    assert_eq!(result::<String>(&newer, forked.key()).await, "8 by version 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_only_now_is_held_where_its_output_cannot_be_read() {
    fn flow(version: u32, undone: Arc<std::sync::Mutex<Vec<u32>>>) -> Workflow<u32, ()> {
        let undo = move |_ctx, booked: u32| {
            let undone = Arc::clone(&undone);
            async move {
                undone.lock().expect("not poisoned").push(booked);
                Ok(())
            }
        };
        let flow = Workflow::named("w").step_fn("book", |_ctx, n: u32| async move { Ok(n) });
        let flow = flow.output_version(version).compensate_fn(undo);
        let flow = flow.step_fn("next", |_ctx, _n: u32| async move { Ok(()) }).sleep("later", days(1));
        let flow =
            if version == 3 { flow.migrate_named("book", 1, Ok).migrate_named("book", 2, Ok) } else { flow };
        let fails = |_ctx, (): ()| async move { Err::<(), _>(StepError::permanent("no")) };
        flow.step_fn("pay", fails).build().expect("sound")
    }
    let undone = Arc::default();
    let world = World::new();
    let key = world.left_by(flow(1, Arc::clone(&undone)), Status::Waiting).await;
    world.time.advance(days(1));
    let engine = world.worker(flow(2, Arc::clone(&undone))).await;
    for _ in 0..2 {
        let (reason, at, message) = held(&engine, &key).await;
        assert_eq!((reason, at), (PauseReason::NeedsMigration, Some(place("book.undo"))));
        assert!(message.contains("the output of book, stored in version 1"), "{message}");
        assert!(undone.lock().expect("not poisoned").is_empty());
        engine.resume(&key, "again").await.expect("resumed");
    }
    held(&engine, &key).await;
    engine.shutdown().await;
    let engine = world.worker(flow(3, Arc::clone(&undone))).await;
    engine.resume(&key, "it has migrations").await.expect("resumed");
    comes_to(&engine.find(&key).await.expect("the run"), Status::Failed).await;
    assert_eq!(*undone.lock().expect("not poisoned"), [7]);
}
