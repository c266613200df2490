//! Runs that fail for one cause form a group: how it is counted, asked and kept.

mod until;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use stepwell::clock::SimulatedTime;
use stepwell::contract::MemoryBackend;
use stepwell::contract::limits::TAGS_MAX;
use stepwell::contract::{Backend, Clock, Name, Query, RunId, RunKey, Status, TenantId, Timestamp};
use stepwell::exec::start::StartRun;
use stepwell::prelude::*;
use stepwell::run::said::FAILURE_TAG;
use stepwell::{
    Actor, Ask, EngineOptions, Error, ForkRun, GroupEntry, GroupFilter, Place, RunError, RunHandle, Standing,
    Verb,
};

use crate::until::{soon, until};

/// What is wrong with the world.
#[derive(Debug, Default)]
struct World {
    is_mended: AtomicBool,
    tries: AtomicU32,
}

/// Fails for one of two causes while nothing is mended: even orders have no file, odd ones no price.
fn order(world: &Arc<World>) -> Workflow<u32, u32> {
    let world = Arc::clone(world);
    Workflow::named("order")
        .step_fn("price", move |_ctx, order: u32| {
            let world = Arc::clone(&world);
            async move {
                world.tries.fetch_add(1, Ordering::SeqCst);
                if world.is_mended.load(Ordering::SeqCst) {
                    return Ok(order);
                }
                if order.is_multiple_of(2) {
                    std::fs::read(format!("/nowhere/{order}/prices-{order}.csv"))
                        .note(format!("reading the prices of order {order}"))?;
                }
                let host = format!("db{order}.example.com:{}", 5_000 + order);
                Err(StepError::config(format!("order {order} has no price at {host}")).code("price.none"))
            }
        })
        .build()
        .expect("a workflow")
}

async fn engine(backend: &Arc<dyn Backend>, flow: Workflow<u32, u32>) -> Engine {
    let builder = Engine::builder(Arc::clone(backend)).code_version("1.4.2");
    builder.register(flow).start().await.expect("an engine")
}

fn memory() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::new())
}

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("an id")
}

async fn fails(engine: &Engine, tenant: &TenantId, order: u32) -> (RunHandle, RunError) {
    let start =
        StartRun::new("order", &format!("o-{order}"), &order).expect("a start").tenant(tenant.clone());
    let run = engine.start_with(start).await.expect("a run");
    let error = soon("it comes to rest", run.result::<u32>()).await.expect_err("it fails");
    (run, error)
}

/// The groups that fit, once there are so many.
async fn groups(engine: &Engine, filter: &GroupFilter, count: usize) -> Vec<GroupEntry> {
    let mut listed = Vec::new();
    until("the groups", async || {
        listed = engine.failure_groups(filter, None, 100).await.expect("groups").items;
        listed.len() == count
    })
    .await;
    listed
}

fn place(text: &str) -> Place {
    text.parse().expect("a place")
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_fail_for_two_causes_make_two_groups_whatever_they_name() {
    let engine = engine(&memory(), order(&Arc::default())).await;
    let own = TenantId::default();
    let mut errors = Vec::new();
    for nth in 0..20 {
        errors.push(fails(&engine, &own, nth).await);
    }
    let listed = groups(&engine, &GroupFilter::default(), 2).await;
    let [priceless, fileless] = &listed[..] else { panic!("two: {listed:?}") };
    assert_ne!(priceless.group.code, fileless.group.code, "the last that came up is the first");
    assert_eq!((fileless.failed, fileless.held, priceless.failed, priceless.held), (10, 0, 0, 10));
    assert!(listed.iter().all(|entry| entry.is_complete && entry.last_seen >= Some(entry.group.first_seen)));
    for entry in &listed {
        let group = &entry.group;
        assert!(group.fingerprint.starts_with(&group.code), "{group:?}");
        assert_eq!(
            (group.workflow.as_str(), group.step.as_ref().map(Name::as_str)),
            ("order", Some("price"))
        );
        let view = engine.failure_group(&group.fingerprint, None).await.expect("read").expect("known");
        assert_eq!((view.members.standings.all(), view.members.standings.in_trouble()), (10, 10));
        assert_eq!(view.members.tenants, [(own.clone(), 10)].into());
        assert_eq!(view.members.versions, [(1, 10)].into());
        assert_eq!(view.members.code_versions, [("1.4.2".to_owned(), 10)].into());
        assert_eq!(view.members.workers, [(engine.worker().clone(), 10)].into());
        let members = engine.group_members(&group.fingerprint, None, None, 7).await.expect("members");
        assert!(members.items.len() == 7 && members.next.is_some());
        assert!(
            members.items.iter().all(|member| member.said.as_ref().is_some_and(|s| s.code == group.code))
        );
        let sample = engine.diagnosis(&group.sample).await.expect("read").expect("diagnosed");
        assert_eq!(sample.fingerprint, group.fingerprint);
    }
    // Whoever waits for a run is told the same.
    for (run, error) in &errors {
        let diagnosis = engine.diagnosis(run.key()).await.expect("read").expect("diagnosed");
        let line = format!("; {}: {}", diagnosis.code, diagnosis.summary);
        assert!(error.to_string().ends_with(&line), "{error} / {line}");
        // Also by whoever reads it later.
        let later =
            engine.find(run.key()).await.expect("the run").result::<u32>().await.expect_err("it failed");
        assert_eq!(later.to_string(), error.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_asked_as_it_was_listed_and_counts_who_recovered() {
    let world = Arc::<World>::default();
    let engine = engine(&memory(), order(&world)).await;
    let own = TenantId::default();
    for nth in [1, 3, 5] {
        fails(&engine, &own, nth).await;
    }
    let group = groups(&engine, &GroupFilter::default(), 1).await.remove(0).group.fingerprint;
    let selected = engine.select_group(&group, None, 100).await.expect("listed");
    assert!(selected.is_complete && selected.runs.len() == 3);
    // One more fails, one that a person holds is not asked, and one goes on by itself.
    fails(&engine, &own, 7).await;
    world.is_mended.store(true, Ordering::SeqCst);
    let first = RunKey::new(own.clone(), RunId::new("o-1").expect("an id"));
    engine.retry(&first, "mended").await.expect("retried");
    soon("it succeeds", engine.find(&first).await.expect("the run").result::<u32>()).await.expect("a result");

    let ask = Ask::new(Verb::Retry, Actor::Program, "prices are there").of_group(&group);
    let dry = engine.dry_run_all(&selected, &ask, 3).await.expect("a preview");
    let allowed: Vec<_> =
        dry.sample.iter().map(|(run, preview)| (run.run.as_str(), preview.is_allowed())).collect();
    assert_eq!((dry.runs, allowed), (3, vec![("o-5", true), ("o-3", true), ("o-1", false)]));
    let asked = engine.ask_all(&selected, &ask).await;
    let refused: Vec<_> =
        asked.iter().filter(|asked| asked.outcome.is_err()).map(|asked| &asked.run).collect();
    assert_eq!(refused, [&first]);
    for asked in &asked {
        let run = engine.find(&asked.run).await.expect("the run");
        soon("it succeeds", run.result::<u32>()).await.expect("a result");
    }
    let view = engine.failure_group(&group, None).await.expect("read").expect("known");
    let standings = view.members.standings;
    assert_eq!((standings.recovered, standings.held, standings.all()), (3, 1, 4));
    let entry =
        groups(&engine, &GroupFilter { in_trouble: true, ..GroupFilter::default() }, 1).await.remove(0);
    assert_eq!((entry.held, entry.failed), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_again_for_another_cause_changes_its_group_and_refuses_what_is_asked_of_the_old_one()
{
    let tries = AtomicU32::new(0);
    let flow = Workflow::named("order").step_fn("price", move |_ctx, _: u32| {
        let nth = tries.fetch_add(1, Ordering::SeqCst);
        async move {
            let why = if nth == 0 { "the till is shut" } else { "the baker is ill" };
            Err::<u32, _>(StepError::config(why))
        }
    });
    let engine = engine(&memory(), flow.build().expect("a workflow")).await;
    let (run, _) = fails(&engine, &TenantId::default(), 1).await;
    let group = groups(&engine, &GroupFilter::default(), 1).await.remove(0).group.fingerprint;
    let selected = engine.select_group(&group, None, 10).await.expect("listed");
    engine.retry(run.key(), "again").await.expect("retried");
    soon("it is held again", run.result::<u32>()).await.expect_err("held");
    let asked = engine.ask_all(&selected, &Ask::new(Verb::Skip, Actor::Program, "").of_group(&group)).await;
    assert!(matches!(&asked[0].outcome, Err(Error::Refused { .. })), "{asked:?}");
    let old = engine.failure_group(&group, None).await.expect("read").expect("known");
    assert_eq!(old.members.standings.all(), 0);
    groups(&engine, &GroupFilter { in_trouble: true, ..GroupFilter::default() }, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_that_a_group_failed_at_is_skipped_wherever_each_run_has_it() {
    let flow = Workflow::named("order")
        .step_fn("list", |_ctx, bad: u32| async move { Ok((0..4).map(|nth| (nth, bad)).collect::<Vec<_>>()) })
        .map(Pack, 1)
        .step_fn("count", |_ctx, packed: Vec<(u32, u32)>| async move { Ok(packed.len() as u32) });
    let engine = engine(&memory(), flow.build().expect("a workflow")).await;
    for bad in [1, 3] {
        fails(&engine, &TenantId::default(), bad).await;
    }
    let group = groups(&engine, &GroupFilter::default(), 1).await.remove(0).group.fingerprint;
    let selected = engine.select_group(&group, None, 10).await.expect("listed");
    let asked =
        engine.ask_all(&selected, &Ask::new(Verb::Skip, Actor::Program, "without").of_group(&group)).await;
    assert_eq!(asked.len(), 2);
    for asked in asked {
        asked.outcome.expect("skipped");
        let run = engine.find(&asked.run).await.expect("the run");
        assert_eq!(soon("it succeeds", run.result::<u32>()).await.expect("a result"), 4);
    }
}

struct Pack;

#[async_trait]
impl Step for Pack {
    type Input = (u32, u32);
    type Output = (u32, u32);
    const NAME: &'static str = "pack";

    async fn run(&self, _ctx: &StepContext, (nth, bad): (u32, u32)) -> StepResult<(u32, u32)> {
        if nth == bad { Err(StepError::config(format!("no box for {nth}"))) } else { Ok((nth, bad)) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_told_of_its_own_runs_alone() {
    let engine = engine(&memory(), order(&Arc::default())).await;
    let (ada, bob) = (tenant("ada"), tenant("bob"));
    fails(&engine, &ada, 1).await;
    fails(&engine, &bob, 3).await;
    fails(&engine, &bob, 2).await;
    let all = groups(&engine, &GroupFilter::default(), 2).await;
    let of = |tenant: &TenantId| GroupFilter { tenant: Some(tenant.clone()), ..GroupFilter::default() };
    let (adas, bobs) = (groups(&engine, &of(&ada), 1).await, groups(&engine, &of(&bob), 2).await);
    assert!(adas[0].group.sample.tenant == ada && adas[0].held == 1);
    assert!(bobs.iter().all(|entry| entry.group.sample.tenant == bob));
    let shared = &adas[0].group.fingerprint;
    assert!(bobs.iter().any(|entry| entry.group.fingerprint == *shared));
    let both = all.iter().find(|entry| entry.group.fingerprint == *shared).expect("listed");
    assert_eq!(both.held, 2);
    let view = engine.failure_group(shared, Some(&bob)).await.expect("read").expect("known");
    assert_eq!((view.group.sample.tenant, view.members.tenants), (bob.clone(), [(bob.clone(), 1)].into()));
    assert_eq!(engine.select_group(shared, Some(&ada), 10).await.expect("listed").runs.len(), 1);
    let file = bobs.iter().find(|entry| entry.group.fingerprint != *shared).expect("listed");
    assert_eq!(engine.failure_group(&file.group.fingerprint, Some(&ada)).await.expect("read"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_outlive_the_engine_and_what_is_not_written_of_them_is_made_up_for() {
    let backend = memory();
    let first = engine(&backend, order(&Arc::default())).await;
    fails(&first, &TenantId::default(), 1).await;
    let before = groups(&first, &GroupFilter::default(), 1).await;
    first.shutdown().await;
    let second = engine(&backend, order(&Arc::default())).await;
    assert_eq!(groups(&second, &GroupFilter::default(), 1).await, before);
    fails(&second, &TenantId::default(), 3).await;
    let group = &before[0].group;
    let view = second.failure_group(&group.fingerprint, None).await.expect("read").expect("known");
    assert_eq!((&view.group, view.members.standings.held), (group, 2));
    // As after a crash before it was written: the runs tell of it.
    assert!(second.forget_failure_group(&group.fingerprint).await.expect("forgotten"));
    assert_eq!(groups(&second, &GroupFilter::default(), 1).await[0].group, *group);
    assert!(!second.forget_failure_group("SW0000-none").await.expect("asked"));
    // What the engine keeps for itself is no run.
    let heads = second.list(&Query::default(), None, 10).await.expect("heads").items;
    assert_eq!(heads.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_person_holds_after_it_went_on_is_not_in_trouble() {
    let world = Arc::<World>::default();
    let flow = Workflow::named("order")
        .step_fn("price", {
            let world = Arc::clone(&world);
            move |_ctx, order: u32| {
                let nth = world.tries.fetch_add(1, Ordering::SeqCst);
                async move { if nth == 0 { Err(StepError::config("no price")) } else { Ok(order) } }
            }
        })
        .sleep("rest", days(1));
    let engine = engine(&memory(), flow.build().expect("a workflow")).await;
    let (run, _) = fails(&engine, &TenantId::default(), 1).await;
    engine.retry(run.key(), "").await.expect("retried");
    until("it sleeps", async || run.head().await.expect("a head").status == Status::Waiting).await;
    engine.pause(run.key(), "not today").await.expect("paused");
    let head = run.head().await.expect("a head");
    let group = head.tags.get(&*FAILURE_TAG).cloned().expect("it keeps its group");
    assert_eq!((head.status, Standing::of(&head)), (Status::Paused, Standing::Open));
    assert!(engine.select_group(&group, None, 10).await.expect("listed").runs.is_empty());
    let held = run.result::<u32>().await.expect_err("held");
    assert_eq!(held.to_string(), "the run is paused: not today");
    // A fork has not failed.
    let fork = engine.fork(run.key(), ForkRun::new("o-2", place("rest"))).await.expect("a fork");
    assert!(fork.head().await.expect("a head").tags.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_no_worker_takes_in_time_is_grouped_too() {
    let time = SimulatedTime::at(Timestamp(1_900_000_000_000));
    let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
    let flow =
        Workflow::named("order").queue_wait(mins(10)).step_fn("price", |_ctx, n: u32| async move { Ok(n) });
    let name = |text| Name::new(text).expect("a name");
    let options = EngineOptions { queues: vec![name("default")], ..EngineOptions::default() };
    let builder = Engine::builder(Arc::new(backend)).options(options).time(Arc::new(time.clone()));
    let engine = builder.register(flow.build().expect("a workflow")).start().await.expect("an engine");
    let start = StartRun::new("order", "o-1", &1).expect("a start").queue(name("nobody"));
    let run = engine.start_with(start).await.expect("a run");
    until("it is paused", async || {
        time.advance(secs(1));
        run.head().await.expect("a head").status == Status::Paused
    })
    .await;
    let diagnosis = engine.diagnosis(run.key()).await.expect("read").expect("diagnosed");
    assert_eq!(diagnosis.code, "SW6009", "no worker reads that queue: {diagnosis:#?}");
    let listed = groups(&engine, &GroupFilter::default(), 1).await;
    assert_eq!((&listed[0].group.fingerprint, listed[0].held), (&diagnosis.fingerprint, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_of_the_engine_are_its_own_and_always_have_room() {
    let engine = engine(&memory(), order(&Arc::default())).await;
    let start = |tags: usize| {
        let start = StartRun::new("order", "o-1", &1).expect("a start");
        (0..tags).fold(start, |start, nth| start.tag(&format!("t-{nth}"), "v").expect("a tag"))
    };
    let own = start(0).tag("stepwell.failure", "mine").expect("a name");
    for refused in [own, start(TAGS_MAX)] {
        let error = engine.start_with(refused).await.expect_err("refused");
        assert!(matches!(error, Error::Options(_)), "{error}");
    }
    let run = engine.start_with(start(TAGS_MAX - 1)).await.expect("a run");
    soon("it comes to rest", run.result::<u32>()).await.expect_err("it fails");
    let head = run.head().await.expect("a head");
    assert!(head.tags.len() == TAGS_MAX && head.tags.contains_key(&*FAILURE_TAG));
}
