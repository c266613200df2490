//! What a new release finds out about the runs under way before it takes any.

use std::collections::{BTreeMap, HashSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stepwell::contract::{Clock, RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::run::unread::{Stored, Unread};
use stepwell::{Block, Fitness, OnChange};
use until::until;
use world::{World, comes_to, held, new, old, place};

mod until;
mod world;

/// What the look at the only run finds that it needs a migration for.
async fn unread(engine: &Engine) -> Unread {
    let found = engine.checks().next().await.expect("a check").expect("a run");
    let Fitness::NeedsMigration { unread } = found.fitness else { panic!("{found:?}") };
    unread
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_longer_decodes_holds_the_run_and_says_where_in_the_json() {
    #[derive(Serialize, Deserialize)]
    struct Line<T> {
        price: T,
    }
    fn flow<T: Serialize + DeserializeOwned + Send + Sync + From<u8> + 'static>() -> Workflow<u32, u32> {
        let lines =
            |_ctx, _n: u32| async move { Ok(vec![Line { price: T::from(1) }, Line { price: T::from(2) }]) };
        let flow = Workflow::named("w").step_fn("lines", lines).sleep("later", days(1));
        flow.step_fn("sum", |_ctx, lines: Vec<Line<T>>| async move { Ok(lines.len() as u32) })
            .build()
            .expect("sound")
    }
    /// A price that only a text makes.
    #[derive(Serialize, Deserialize)]
    struct Text(String);
    impl From<u8> for Text {
        fn from(n: u8) -> Self {
            Self(n.to_string())
        }
    }
    let world = World::new();
    let key = world.left_by(flow::<u32>(), Status::Waiting).await;
    let changed = world.engine(flow::<Text>()).await;
    let found = changed.checks().next().await.expect("a check").expect("a run");
    let Fitness::NeedsMigration { unread } = found.fitness else { panic!("{found:?}") };
    assert_eq!((unread.by, unread.value), (Some(place("sum")), Stored::Output(place("lines"))));
    assert_eq!(unread.path.as_deref(), Some("[0].price"));
    world.time.advance(days(1));
    changed.work();
    let (reason, at, message) = held(&changed, &key).await;
    assert_eq!((reason, at), (PauseReason::NeedsMigration, Some(place("sum"))));
    assert!(message.contains("at [0].price: invalid type: integer"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_for_a_signal_is_looked_at_as_far_as_it_is_known() {
    fn flow<T: Serialize + DeserializeOwned + Default + Send + Sync + 'static>() -> Workflow<u32, bool> {
        let flow = Workflow::named("w").step_fn("total", |_ctx, _n: u32| async move { Ok(T::default()) });
        let flow = flow.wait_for::<u32>("paid").wait_for::<u32>("sent");
        flow.step_fn("book", |_ctx, ((_, _), _): ((T, u32), u32)| async move { Ok(true) })
            .build()
            .expect("sound")
    }
    let world = World::new();
    let key = world.left_by(flow::<u32>(), Status::Waiting).await;
    let same = world.engine(flow::<u32>()).await.check().await.expect("a report");
    assert!(same.is_fine(), "what is missing is no reason: {same}");
    let changed = world.worker(flow::<String>()).await;
    let found = unread(&changed).await;
    assert_eq!((found.by, found.path.as_deref()), (Some(place("book")), Some("[0][0]")));
    changed.signal(&key, "paid", "s-1", &1_u32).await.expect("sent");
    assert_eq!(held(&changed, &key).await.0, PauseReason::NeedsMigration);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_left_to_someone_outside_reads_its_input_no_more() {
    fn flow<T: Serialize + DeserializeOwned + Default + Send + Sync + 'static>() -> Workflow<u32, ()> {
        let elsewhere = |ctx: StepContext, _given: T| async move { ctx.report_later::<()>(days(1)) };
        let flow = Workflow::named("w").step_fn("total", |_ctx, _n: u32| async move { Ok(T::default()) });
        flow.step_fn("elsewhere", elsewhere).build().expect("sound")
    }
    let world = World::new();
    world.left_by(flow::<u32>(), Status::Waiting).await;
    let report = world.engine(flow::<String>()).await.check().await.expect("a report");
    assert!(report.is_fine(), "{report}");
}

// ---- looking before taking

/// What is deployed over the runs of [`old`].
const DEPLOYS: [&str; 9] = [
    "same",
    "migrated",
    "not migrated",
    "another type",
    "step gone",
    "inserted",
    "renamed",
    "newer",
    "refused",
];

fn deployed(what: &str) -> Workflow<u32, String> {
    let total = |_ctx, n: u32| async move { Ok(n * 10) };
    let tell = |_ctx, total: u32| async move { Ok(format!("{total}")) };
    let refuses = Workflow::named("w").on_change(OnChange::Refuse);
    let more = |_ctx, told: String| async move { Ok(told) };
    match what {
        "same" => Ok(old()),
        "migrated" => Ok(new(2, true)),
        "not migrated" => Ok(new(2, false)),
        "another type" => Ok(new(1, false)),
        "step gone" => {
            Workflow::named("w").input::<u32>().sleep("later", days(1)).step_fn("tell", tell).build()
        }
        "inserted" => {
            let flow = Workflow::named("w").step_fn("first", total).step_fn("total", total);
            flow.sleep("later", days(1)).step_fn("tell", tell).build()
        }
        "renamed" => {
            let flow = Workflow::named("ww").step_fn("total", total).sleep("later", days(1));
            flow.step_fn("tell", tell).build()
        }
        "newer" => {
            let flow = Workflow::named("w").version(2).on_change(OnChange::Migrate).takes_over(1);
            let flow = flow.migrate_input(1, |old| if old == 8 { Err("eight".to_owned()) } else { Ok(old) });
            flow.step_fn("total", total).sleep("later", days(1)).step_fn("tell", tell).build()
        }
        "refused" => {
            let flow = refuses.step_fn("total", total).sleep("later", days(1)).step_fn("tell", tell);
            flow.step_fn("more", more).build()
        }
        other => panic!("{other}?"),
    }
    .expect("a workflow")
}

/// Runs of [`old`] at different places: not begun, asleep, held while asleep.
async fn runs_of_old(world: &World) -> Vec<RunKey> {
    let key = |run: &str| RunKey::new(TenantId::default(), RunId::new(run).expect("an id"));
    let old_worker = world.worker(old()).await;
    for (run, input) in [("asleep", 7_u32), ("held", 8)] {
        let run = old_worker.start_run("w", run, &input).await.expect("a run");
        comes_to(&run, Status::Waiting).await;
    }
    old_worker.pause(&key("held"), "wait").await.expect("held");
    old_worker.shutdown().await;
    let starter = world.engine(old()).await;
    for (run, input) in [("unbegun", 7_u32), ("eight", 8)] {
        starter.start_run("w", run, &input).await.expect("a run");
    }
    ["asleep", "held", "unbegun", "eight"].map(key).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_touches_nothing_and_says_what_a_worker_then_does() {
    let mut seen = HashSet::new();
    for deploy in DEPLOYS {
        let world = World::new();
        let keys = runs_of_old(&world).await;
        let before = world.all().await;
        let engine = world.engine(deployed(deploy)).await;
        let mut found = BTreeMap::new();
        let mut checks = engine.checks();
        while let Some(check) = checks.next().await.expect("a check") {
            found.insert(check.key.clone(), check.fitness);
        }
        let report = engine.check().await.expect("a report");
        assert_eq!(world.all().await, before, "{deploy}: a check writes nothing");
        assert_eq!(found.len(), keys.len(), "{deploy}: every run that has not ended");
        assert_eq!(report.fine, found.values().filter(|it| matches!(it, Fitness::Fine { .. })).count());

        world.time.advance(days(1));
        engine.resume(&keys[1], "go on").await.expect("resumed");
        engine.work();
        for (key, fitness) in &found {
            let run = engine.find(key).await.expect("the run");
            let rest = async || {
                let head = run.head().await.expect("a head");
                // What was not begun sleeps first.
                if head.status == Status::Waiting && head.wake_at.is_some_and(|at| at > world.time.now()) {
                    world.time.advance(days(1));
                }
                matches!(head.status, Status::Succeeded | Status::Paused)
            };
            let named = format!("{deploy}, {}: {fitness}", key.run);
            match fitness {
                Fitness::Fine { .. } => {
                    until(&named, rest).await;
                    assert_eq!(run.head().await.expect("a head").status, Status::Succeeded, "{named}");
                }
                Fitness::NeedsMigration { unread } => {
                    until(&named, rest).await;
                    let (reason, at, message) = held(&engine, key).await;
                    assert_eq!((reason, &at), (PauseReason::NeedsMigration, &unread.by), "{named}");
                    assert!(message.contains(&unread.to_string()), "{named}: {message}");
                }
                Fitness::Blocked { block: Block::Changed(holdup) } => {
                    until(&named, rest).await;
                    let (reason, _, message) = held(&engine, key).await;
                    assert_eq!(reason, PauseReason::DefinitionChanged, "{named}");
                    assert!(message.contains(&holdup.to_string()), "{named}: {message}");
                }
                Fitness::Blocked { block: Block::NoDefinition { .. } } => {
                    let (head, ..) = &world.all().await[key];
                    assert!(!head.status.is_finished() && head.lease.is_none(), "{named}");
                }
                Fitness::Blocked { block: Block::Unreadable(why) } => panic!("{named}: {why}"),
            }
            seen.insert(std::mem::discriminant(fitness));
        }
    }
    assert_eq!(seen.len(), 3, "the deploys bring about every answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_a_table_of_what_is_not_fine_and_an_exit_code() {
    let world = World::new();
    runs_of_old(&world).await;
    let fine = world.engine(old()).await.check().await.expect("a report");
    assert_eq!((fine.exit_code(), fine.to_string().as_str()), (0, "4 fine, 0 need migration, 0 blocked"));
    let report = world.engine(new(2, false)).await.check().await.expect("a report");
    assert_eq!((report.fine, report.needs_migration, report.exit_code()), (2, 2, 1));
    let text = report.to_string();
    assert!(text.contains("default/asleep  w 1  waiting  needs migration: tell cannot read"), "{text}");
    assert!(text.ends_with("2 fine, 2 need migration, 0 blocked"), "{text}");
    let gone = world.engine(deployed("renamed")).await.check().await.expect("a report");
    assert!(gone.to_string().contains("no such workflow is registered"), "{gone}");
    assert_eq!(gone.blocked, 4);
}
