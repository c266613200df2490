//! Code that changes under runs, on every store: what a look before says is what the new worker does, and what it cannot go
//! on with it leaves as it was for the next one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stepwell::prelude::*;
use stepwell::run::event::{Event, PauseReason};
use stepwell::{Block, Fitness, OnChange, RunError};
use stepwell_contract::{Head, Query, Record, RunKey, Status, Timestamp};
use stepwell_tests::audit::{is_of_users, journal};
use stepwell_tests::hold::PATIENCE;
use stepwell_tests::on_every_store;
use stepwell_tests::place::Kind;
use stepwell_tests::site::{Site, comes_to, key, result};

const START: Timestamp = Timestamp(1_800_000_000_000);

/// What `total` gives from its version 2 on.
#[derive(Debug, Serialize, Deserialize)]
struct Total {
    cents: u32,
    currency: String,
}

fn with_currency(old: Value) -> Result<Value, String> {
    Ok(json!({"cents": old.as_u64().ok_or("no number")?, "currency": "EUR"}))
}

/// A sum, a day of sleep, and a sentence about the sum.
fn old() -> Workflow<u32, String> {
    plain(Workflow::named("w"))
}

fn plain(flow: stepwell::workflow::builder::WorkflowStart) -> Workflow<u32, String> {
    flow.step_fn("total", |_ctx, n: u32| async move { Ok(n * 10) })
        .sleep("later", days(1))
        .step_fn("tell", |_ctx, total: u32| async move { Ok(format!("{total}")) })
        .build()
        .expect("a workflow")
}

/// The sum has a currency; `version` is that of its output, and how version 1 becomes that is told or not.
fn priced(version: u32, is_migrated: bool) -> Workflow<u32, String> {
    let total = |_ctx, n: u32| async move { Ok(Total { cents: n * 10, currency: "EUR".to_owned() }) };
    let tell = |_ctx, total: Total| async move { Ok(format!("{} {}", total.cents, total.currency)) };
    let flow = Workflow::named("w").step_fn("total", total).output_version(version).sleep("later", days(1));
    let flow = flow.step_fn("tell", tell);
    let flow = if is_migrated { flow.migrate_named("total", 1, with_currency) } else { flow };
    flow.build().expect("a workflow")
}

/// The old one with a step more behind the others.
fn longer(on_change: OnChange) -> Workflow<u32, String> {
    Workflow::named("w")
        .on_change(on_change)
        .step_fn("total", |_ctx, n: u32| async move { Ok(n * 10) })
        .sleep("later", days(1))
        .step_fn("tell", |_ctx, total: u32| async move { Ok(format!("{total}")) })
        .step_fn("more", |_ctx, told: String| async move { Ok(format!("{told} and more")) })
        .build()
        .expect("a workflow")
}

fn taking_over() -> Workflow<u32, String> {
    let flow = Workflow::named("w").version(2).on_change(OnChange::Migrate).takes_over(1);
    plain(flow.migrate_input(1, |old| Ok(json!(old.as_u64().unwrap_or(0) + 1))))
}

/// What is deployed over the runs, what a look before has to say, and who goes on with what the deploy cannot.
struct Deploy {
    name: &'static str,
    flow: fn() -> Workflow<u32, String>,
    asleep: Told,
    unbegun: Told,
    mended: fn() -> Workflow<u32, String>,
}

/// An answer, and the result that the run comes to, with the deploy or with what mends it.
type Told = (Answer, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Fine,
    NeedsMigration,
    Changed,
    NoDefinition,
}

use Answer::{Changed, Fine, NeedsMigration, NoDefinition};

const DEPLOYS: [Deploy; 8] = [
    Deploy { name: "the same", flow: old, asleep: (Fine, "70"), unbegun: (Fine, "80"), mended: old },
    Deploy {
        name: "another form, migrated",
        flow: || priced(2, true),
        asleep: (Fine, "70 EUR"),
        unbegun: (Fine, "80 EUR"),
        mended: old,
    },
    Deploy {
        name: "another form, not migrated",
        flow: || priced(2, false),
        asleep: (NeedsMigration, "70 EUR"),
        unbegun: (Fine, "80 EUR"),
        mended: || priced(2, true),
    },
    Deploy {
        name: "a value that no longer decodes",
        flow: || priced(1, false),
        asleep: (NeedsMigration, "70"),
        unbegun: (Fine, "80 EUR"),
        mended: old,
    },
    Deploy {
        name: "pinned, one step more",
        flow: || longer(OnChange::Pin),
        asleep: (Fine, "70 and more"),
        unbegun: (Fine, "80 and more"),
        mended: old,
    },
    Deploy {
        name: "refused, one step more",
        flow: || longer(OnChange::Refuse),
        asleep: (Changed, "70"),
        unbegun: (Changed, "80"),
        mended: old,
    },
    Deploy {
        name: "a version that takes over",
        flow: taking_over,
        asleep: (Fine, "70"),
        unbegun: (Fine, "90"),
        mended: old,
    },
    Deploy {
        name: "a version of its own",
        flow: || plain(Workflow::named("w").version(2)),
        asleep: (NoDefinition, "70"),
        unbegun: (NoDefinition, "80"),
        mended: old,
    },
];

async fn engine(site: &Site, flow: Workflow<u32, String>) -> Engine {
    site.builder().register(flow).build().await.expect("an engine")
}

async fn all(site: &Site) -> BTreeMap<RunKey, (Head, Vec<Record>)> {
    let heads = site.backend().scan(&Query::default(), None, 1_000).await.expect("heads").items;
    let mut all = BTreeMap::new();
    for head in heads.into_iter().filter(|head| is_of_users(&head.key)) {
        let records = journal(site.backend().as_ref(), &head.key).await.expect("a journal");
        all.insert(head.key.clone(), (head, records));
    }
    all
}

/// Why the run is held, once it is.
async fn held(engine: &Engine, key: &RunKey) -> (PauseReason, String) {
    let run = engine.find(key).await.expect("the run");
    let ended = tokio::time::timeout(PATIENCE, run.output()).await.expect("it is held in time");
    match ended.expect_err("it is held") {
        RunError::Paused { reason, message, .. } => (reason, message),
        other => panic!("not held: {other}"),
    }
}

/// The run comes to its end with that result; it may have a day of sleep before it.
async fn ends(site: &Site, engine: &Engine, key: &RunKey, expected: &str, what: &str) {
    let run = engine.find(key).await.expect("the run");
    let told = async { result::<String>(&run).await };
    let slept = async {
        comes_to_rest(engine, key).await;
        site.pass(days(1));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        told = told => assert_eq!(told, expected, "{what}"),
        () = slept => {}
    }
}

/// It waits for its day to pass, or has ended.
async fn comes_to_rest(engine: &Engine, key: &RunKey) {
    stepwell_tests::site::until("it rests", async || {
        let head = engine.get(key).await.expect("a head").expect("the run");
        head.lease.is_none() && head.wake_at.is_some_and(|at| at > engine.now()) || head.status.is_finished()
    })
    .await;
}

async fn what_a_look_before_says_is_what_the_new_worker_does(kind: Kind) {
    for deploy in &DEPLOYS {
        let mut site = Site::at(kind, START).await;
        let before = engine(&site, old()).await;
        before.work();
        before.start_run("w", "asleep", &7_u32).await.expect("a run");
        comes_to(&before, &key("asleep"), Status::Waiting).await;
        before.shutdown().await;
        site.die([before]).await;
        let starter = engine(&site, old()).await;
        starter.start_run("w", "unbegun", &8_u32).await.expect("a run");
        site.die([starter]).await;

        let stored = all(&site).await;
        let new = engine(&site, (deploy.flow)()).await;
        let mut told = BTreeMap::new();
        let mut checks = new.checks();
        while let Some(check) = checks.next().await.expect("a check") {
            told.insert(check.key, check.fitness);
        }
        drop(checks);
        assert_eq!(told.len(), 2, "{}", deploy.name);
        let fine = told.values().filter(|fitness| matches!(fitness, Fitness::Fine { .. })).count();
        let report = new.check().await.expect("a report");
        assert_eq!(
            (report.fine, report.exit_code()),
            (fine, u8::from(fine < 2)),
            "{}: {report}",
            deploy.name
        );
        assert_eq!(all(&site).await, stored, "{}: a look writes nothing", deploy.name);

        site.pass(days(1));
        new.work();
        let expected = [("asleep", deploy.asleep), ("unbegun", deploy.unbegun)];
        let mut left = Vec::new();
        for (run, (answer, output)) in expected {
            let (key, what) = (key(run), format!("{}, {run}", deploy.name));
            match (answer, &told[&key]) {
                (Fine, Fitness::Fine { .. }) => {
                    ends(&site, &new, &key, output, &what).await;
                    continue;
                }
                (NeedsMigration, Fitness::NeedsMigration { unread }) => {
                    let (reason, message) = held(&new, &key).await;
                    assert_eq!(reason, PauseReason::NeedsMigration, "{what}");
                    assert!(message.contains(&unread.to_string()), "{what}: {message}");
                }
                (Changed, Fitness::Blocked { block: Block::Changed(holdup) }) => {
                    let (reason, message) = held(&new, &key).await;
                    assert_eq!(reason, PauseReason::DefinitionChanged, "{what}");
                    assert!(message.contains(&holdup.to_string()), "{what}: {message}");
                }
                (NoDefinition, Fitness::Blocked { block: Block::NoDefinition { .. } }) => {}
                (answer, fitness) => panic!("{what}: {answer:?} was expected, and it was {fitness}"),
            }
            left.push((key, answer, output));
        }
        site.die([new]).await;
        let now = all(&site).await;
        for (key, (_, records)) in &stored {
            assert_eq!(now[key].1[..records.len()], records[..], "{}: what is stored stays", deploy.name);
        }
        let mended = engine(&site, (deploy.mended)()).await;
        mended.work();
        for (key, answer, output) in left {
            let what = format!("{}, {}", deploy.name, key.run);
            let (head, records) = &now[&key];
            match answer {
                NoDefinition => assert_eq!(records, &stored[&key].1, "{what}: it was left alone"),
                _ => {
                    assert_eq!(head.status, Status::Paused, "{what}");
                    let added = &records[stored[&key].1.len()..];
                    let has_run = added.iter().any(|record| record.kind.as_str() == "step_started");
                    assert!(!has_run, "{what}: it is held before any attempt");
                    mended.resume(&key, "this code goes on").await.expect("resumed");
                }
            }
            ends(&site, &mended, &key, output, &what).await;
        }
        assert_eq!(site.faults(stored.into_keys()).await, Vec::<String>::new());
    }
}
on_every_store!(what_a_look_before_says_is_what_the_new_worker_does);

async fn a_run_that_was_taken_over_is_recorded_as_such_and_stays_with_the_newer_version(kind: Kind) {
    let mut site = Site::at(kind, START).await;
    let one = engine(&site, old()).await;
    one.work();
    one.start_run("w", "r-1", &7_u32).await.expect("a run");
    comes_to(&one, &key("r-1"), Status::Waiting).await;
    site.die([one]).await;
    site.pass(days(1));
    let two = engine(&site, taking_over()).await;
    two.work();
    ends(&site, &two, &key("r-1"), "70", "r-1").await;
    site.die([two]).await;
    let records = journal(site.backend().as_ref(), &key("r-1")).await.expect("a journal");
    let changed = records.iter().find_map(|record| match Event::read(record).expect("readable") {
        Event::DefinitionChanged(changed) => Some((changed.from, changed.to)),
        _ => None,
    });
    assert_eq!(changed, Some((1, 2)));
    let head = site.backend().head(&key("r-1")).await.expect("a head").expect("the run");
    assert_eq!(head.workflow_version, 2);
}
on_every_store!(a_run_that_was_taken_over_is_recorded_as_such_and_stays_with_the_newer_version);
