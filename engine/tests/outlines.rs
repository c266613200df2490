//! What an engine that has registered nothing knows of the workflows of others, and does with them.

use std::sync::Arc;

use bench::{Bench, at};
use stepwell::contract::{
    Backend as _, Batch, Head, Name, Payload, Query, Status, TenantId, Timestamp, Version, WorkerId,
};
use stepwell::observe::verdict::Reason;
use stepwell::prelude::*;
use stepwell::run::actor::Actor;
use stepwell::run::event::{Event, RunCreated};
use stepwell::run::request::{Ask, Verb};
use stepwell::{ChildRun, Error, ForkRun, OnChange, OutlineView, RunHandle, StartRun};
use tokio::sync::Semaphore;
use until::{soon, until};

mod bench;
mod until;

/// Two steps in queue `bulk`, the second behind a gate.
fn order(version: u32, gate: &Arc<Semaphore>) -> Workflow<u32, u32> {
    let gate = Arc::clone(gate);
    Workflow::named("order")
        .version(version)
        .queue("bulk")
        .run_deadline(hours(5))
        .step_fn("weigh", |_: StepContext, n: u32| async move { Ok(n + 1) })
        .policy(StepPolicy::default().estimate(secs(1)))
        .step_fn("pack", move |_: StepContext, n: u32| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                Ok(n + 1)
            }
        })
        .policy(StepPolicy::default().estimate(secs(10)).effect(Effect::NotIdempotent))
        .build()
        .expect("a workflow")
}

/// A worker of that name with this workflow.
async fn worker<I, O>(bench: &Bench, name: &str, flow: Workflow<I, O>) -> Engine {
    let worker = Some(WorkerId::new(name).expect("an id"));
    let options = stepwell::EngineOptions { worker, ..stepwell::EngineOptions::default() };
    bench.builder().options(options).register(flow).start().await.expect("an engine")
}

/// An engine that registers nothing and takes no runs.
async fn desk(bench: &Bench) -> Engine {
    bench.builder().build().await.expect("an engine")
}

/// What is known of a workflow, once it is.
async fn told(desk: &Engine, workflow: &str, version: u32) -> OutlineView {
    soon("its worker tells of it", async {
        loop {
            match desk.outline(workflow, version).await.expect("readable") {
                Some(told) => return told,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

async fn created(desk: &Engine, run: &RunHandle) -> RunCreated {
    let records = desk.history(run.key()).await.expect("a history");
    match Event::read(&records[0]) {
        Ok(Event::RunCreated(created)) => created,
        other => panic!("a run begins with its creation: {other:?}"),
    }
}

/// The heads of outlines as they are stored.
async fn heads(bench: &Bench) -> Vec<Head> {
    let query = Query {
        tenant: Some(TenantId::new("stepwell.system").expect("an id")),
        workflow: Some(Name::new("stepwell.outline").expect("a name")),
        ..Query::default()
    };
    bench.store.scan(&query, None, 100).await.expect("heads").items
}

#[tokio::test]
async fn a_program_that_registers_nothing_starts_runs_of_what_others_have_and_sees_all_their_steps() {
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(0)));
    let (worker, desk) = (worker(&bench, "w-1", order(3, &gate)).await, desk(&bench).await);
    let told = told(&desk, "order", 3).await;
    assert_eq!((told.worker.as_str(), told.at), ("w-1", bench.now()));

    let run = desk.start_run("order", "r-1", &40u32).await.expect("a run");
    let created = created(&desk, &run).await;
    assert_eq!((created.workflow_version, &created.fingerprint), (3, &told.outline.fingerprint));
    assert_eq!(created.deadline_at, Some(bench.now().plus_ms(5 * 3_600_000)));
    assert_eq!(run.head().await.expect("a head").queue.as_str(), "bulk");
    until("the worker has it", async || {
        desk.state(run.key()).await.expect("a state").step(&at("pack")).is_some()
    })
    .await;

    let progress = desk.progress(run.key()).await.expect("progress");
    let steps: Vec<_> = progress.steps.iter().map(|step| (step.step.as_str(), step.state)).collect();
    assert_eq!(steps, [("weigh", "succeeded"), ("pack", "running")]);
    assert!(progress.is_complete);
    assert_eq!(progress.remaining_ms, Some(10_000), "as the step declares it");
    let verdict = desk.can_resume(run.key()).await.expect("a verdict");
    let elsewhere = Reason::Elsewhere("order".to_owned(), 3, "w-1".to_owned());
    assert!(verdict.can_resume && verdict.reasons.contains(&elsewhere), "{verdict:?}");

    gate.add_permits(1);
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 42);
    let again = desk.fork(run.key(), ForkRun::new("r-2", at("pack"))).await.expect("a fork");
    gate.add_permits(1);
    assert_eq!(soon("a result", again.result::<u32>()).await.expect("a result"), 42);
    worker.shutdown().await;

    let waits = desk.start_run("order", "r-3", &1u32).await.expect("a run");
    let progress = desk.progress(waits.key()).await.expect("progress");
    let steps: Vec<_> = progress.steps.iter().map(|step| (step.step.as_str(), step.state)).collect();
    assert_eq!(steps, [("weigh", "not begun"), ("pack", "not begun")]);
    let verdict = desk.can_resume(waits.key()).await.expect("a verdict");
    assert!(!verdict.can_resume, "nobody has its workflow: {verdict:?}");
    let unknown = desk.start_run("ordre", "r-4", &1u32).await.expect_err("no such workflow");
    assert!(matches!(unknown, Error::UnknownWorkflow { .. }));
    assert!(unknown.to_string().contains("did you mean order version 3?"), "{unknown}");
}

#[tokio::test]
async fn an_engine_that_is_started_again_writes_nothing_and_a_changed_definition_is_told_anew() {
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(0)));
    let desk = desk(&bench).await;
    worker(&bench, "w-1", order(1, &gate)).await.shutdown().await;
    let first = told(&desk, "order", 1).await;
    let stored = heads(&bench).await;

    bench.time.advance(mins(1));
    let later = Workflow::named("return").step_fn("open", |_: StepContext, n: u32| async move { Ok(n) });
    let again = bench.builder().register(order(1, &gate)).register(later.build().expect("a workflow"));
    let again = again.start().await.expect("an engine");
    // They are told in the order of their names.
    told(&desk, "return", 1).await;
    assert!(heads(&bench).await.contains(&stored[0]), "nothing of it has changed");
    again.shutdown().await;

    let changed = Workflow::named("order").step_fn("weigh", |_: StepContext, n: u32| async move { Ok(n) });
    let changed = worker(&bench, "w-2", changed.build().expect("a workflow")).await;
    until("the change is told", async || told(&desk, "order", 1).await.outline != first.outline).await;
    let now = told(&desk, "order", 1).await;
    assert_eq!((now.outline.graph.steps.len(), now.worker.as_str(), now.at), (1, "w-2", bench.now()));
    assert_eq!(desk.outlines().await.expect("readable").len(), 2, "one of each name and version");
    changed.shutdown().await;
}

#[tokio::test]
async fn of_several_versions_the_newest_of_a_worker_that_is_there_is_started() {
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(8)));
    let desk = desk(&bench).await;
    let first = worker(&bench, "w-1", order(1, &gate)).await;
    let second = worker(&bench, "w-2", order(2, &gate)).await;
    told(&desk, "order", 1).await;
    told(&desk, "order", 2).await;
    until("both are there", async || desk.workers().await.expect("workers").len() == 2).await;
    let version = async |run: RunHandle| run.head().await.expect("a head").workflow_version;
    assert_eq!(version(desk.start_run("order", "r-1", &1u32).await.expect("a run")).await, 2);
    second.shutdown().await;
    assert_eq!(version(desk.start_run("order", "r-2", &1u32).await.expect("a run")).await, 1);
    let named = StartRun::new("order", "r-3", &1u32).expect("a value").version(2);
    let waits = desk.start_with(named).await.expect("a run");
    assert_eq!(waits.head().await.expect("a head").status, Status::Queued);
    first.shutdown().await;
}

#[tokio::test]
async fn a_run_that_a_newer_version_takes_over_is_shown_by_that_ones_steps() {
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(0)));
    let desk = desk(&bench).await;
    // It takes no runs, so it tells of nothing.
    let starter = bench.idle_engine(order(1, &gate)).await;
    let run = starter.start_run("order", "r-1", &1u32).await.expect("a run");
    assert!(!desk.progress(run.key()).await.expect("progress").is_complete);
    let newer = Workflow::named("order").version(2).on_change(OnChange::Migrate).takes_over(1).input::<u32>();
    let newer = newer.wait_for::<u32>("approved").build().expect("a workflow");
    let newer = worker(&bench, "w-2", newer).await;
    told(&desk, "order", 2).await;
    let progress = desk.progress(run.key()).await.expect("progress");
    assert!(progress.is_complete && progress.steps[0].step == "approved", "{progress:?}");
    newer.shutdown().await;
}

#[tokio::test]
async fn a_child_that_is_named_by_its_version_waits_in_the_queue_of_its_workflow() {
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(0)));
    let desk = desk(&bench).await;
    worker(&bench, "w-1", order(1, &gate)).await.shutdown().await;
    told(&desk, "order", 1).await;
    let parent = Workflow::named("parent").input::<u32>();
    let parent = parent.child("order", ChildRun::<u32, u32>::named("order").version(1).id("c-1"));
    let parent = worker(&bench, "w-2", parent.build().expect("a workflow")).await;
    parent.start_run("parent", "p-1", &1u32).await.expect("a run");
    let bulk = Query { queue: Some(Name::new("bulk").expect("a name")), ..Query::default() };
    until("the child waits there", async || !desk.list(&bulk, None, 1).await.expect("runs").items.is_empty())
        .await;
    parent.shutdown().await;
}

#[tokio::test]
async fn an_outline_says_all_that_the_definition_says_and_is_in_no_list_of_runs() {
    let add = |_: StepContext, n: u32| async move { Ok(n + 1) };
    let flow = Workflow::named("all")
        .step_policy(StepPolicy::default().attempt_timeout(mins(2)))
        .queue_wait(hours(1))
        .input::<u32>()
        .step_fn("charge", add)
        .policy(StepPolicy::default().retry(Retry::exponential(millis(200)).max_attempts(5).jitter()))
        .compensate_fn(|_: StepContext, _: u32| async move { Ok(()) })
        .choose(
            "route",
            |n: &u32| if *n > 1 { "sea" } else { "air" },
            |arms| arms.arm("sea", |f| f.step_fn("ship", add)).arm("air", |f| f),
        )
        .repeat_while(
            "again",
            3,
            |n: &u32| *n < 10,
            |round| round.step_fn("more", add).sleep("rest", secs(1)),
        )
        .sleep_until("until", |_: &u32| Timestamp(7))
        .both(|left| left.step_fn("left", add), |right| right.step_fn("right", add))
        .wait_all()
        .recall_of::<u32>("charge")
        .step_fn("list", |_: StepContext, n: u32| async move { Ok(vec![n]) })
        .name_items("names", |n: &u32| n.to_string())
        .map_flow_tolerant(4, Tolerance { count: 2, share: 0.1 }, |item| item.step_fn("item", add))
        .wait_any("heard", &["one", "two"], hours(1))
        .wait_for::<u32>("last")
        .build()
        .expect("a workflow");
    let bench = Bench::shared();
    let (worker, desk) = (worker(&bench, "w-1", flow).await, desk(&bench).await);
    let told = told(&desk, "all", 1).await.outline;
    let known =
        worker.definitions().into_iter().find(|known| *known.name() == told.name).expect("registered");
    assert_eq!(told.graph.as_ref(), known.graph().as_ref());
    assert_eq!((&told.policy, &told.queue), (known.policy(), known.queue()));
    assert_eq!(
        (told.fingerprint.as_str(), told.graph.fingerprint()),
        (known.fingerprint(), told.fingerprint.clone())
    );

    for tenant in [None, Some(TenantId::default())] {
        let all = Query { tenant, ..Query::default() };
        let outlines =
            Query { workflow: Some(Name::new("stepwell.outline").expect("a name")), ..all.clone() };
        for query in [all, outlines] {
            assert_eq!(desk.list(&query, None, 100).await.expect("runs").items, []);
        }
    }
    worker.shutdown().await;
}

#[tokio::test]
async fn a_definition_that_no_record_can_hold_is_not_told_and_runs_all_the_same() {
    let id = |_: StepContext, n: u32| async move { Ok(n) };
    let large = Workflow::named("large").input::<u32>().branch(
        "by",
        |n: &u32| *n > 100,
        |many| (0..4_000).fold(many, |many, nth| many.step_fn(format!("{nth:0>120}"), id)),
        |one| one.step_fn("do", id),
    );
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(0)));
    let desk = desk(&bench).await;
    let engine =
        bench.builder().register(large.build().expect("a workflow")).register(order(1, &gate)).start().await;
    let engine = engine.expect("an engine");
    let run = engine.start_run("large", "r-1", &7u32).await.expect("a run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 7);
    // It is told after the other.
    told(&desk, "order", 1).await;
    assert_eq!(desk.outline("large", 1).await.expect("readable"), None);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_the_first_step_cannot_read_is_refused_where_the_code_is_and_else_said_to_be_the_cause()
{
    let (bench, gate) = (Bench::shared(), Arc::new(Semaphore::new(1)));
    let (worker, desk) = (worker(&bench, "w-1", order(1, &gate)).await, desk(&bench).await);
    told(&desk, "order", 1).await;

    let refused = worker.start_run("order", "o-1", "many").await.expect_err("no number");
    assert!(matches!(&refused, Error::Input { why, .. } if why.contains("weigh")), "{refused}");
    assert!(
        desk.list(&Query::default(), None, 10).await.expect("a list").items.is_empty(),
        "nothing was made"
    );

    let run = desk.start_run("order", "o-2", "many").await.expect("nobody here knows better");
    until("it is held", async || run.head().await.expect("a head").status == Status::Paused).await;
    let said = desk.diagnosis(run.key()).await.expect("readable").expect("a diagnosis");
    assert_eq!(said.code, "SW1104");
    desk.edit_input(run.key(), &2, "a number").await.expect("edited");
    desk.resume(run.key(), "").await.expect("resumed");
    assert_eq!(soon("its result", run.result::<u32>()).await.expect("done"), 4);
}

#[tokio::test]
async fn a_step_of_a_failed_run_is_mended_where_its_workflow_is_only_told_of() {
    let bench = Bench::shared();
    let fails = |_: StepContext, _: u32| async { Err::<u32, _>(StepError::permanent("no such tariff")) };
    let flow = Workflow::named("tariffs").step_fn("find", fails);
    let flow = flow.step_fn("apply", |_: StepContext, n: u32| async move { Ok(n + 1) });
    let worker = worker(&bench, "w-1", flow.build().expect("a workflow")).await;
    let run = worker.start_run("tariffs", "r-1", &1u32).await.expect("a run");
    until("it fails", async || run.head().await.expect("a head").status == Status::Failed).await;
    let (key, place) = (run.key(), "find".parse().expect("a place"));

    // Nobody has told of it here: nothing is known of its steps.
    let stranger = Bench::shared();
    let records = worker.history(key).await.expect("a history");
    let head = Head { version: Version { counter: 1, nonce: 1 }, ..run.head().await.expect("a head") };
    let copied = Batch::create(head, records);
    let verdicts = stranger.store.commit(&[copied]).await.expect("the store");
    assert!(verdicts[0].is_accepted(), "{verdicts:?}");
    let refused = desk(&stranger).await.skip(key, &place, "it is not needed").await;
    assert!(
        matches!(&refused, Err(Error::Refused { why, .. }) if why.contains("has told of")),
        "{refused:?}"
    );
    assert_eq!(stranger.store.inbox(key, 1).await.expect("an inbox"), []);

    let desk = desk(&bench).await;
    told(&desk, "tariffs", 1).await;
    let ask = Ask::new(Verb::SetOutput, Actor::Program, "").at(place.clone());
    let ask = ask.with(Payload::encode(&41u32).expect("a payload"));
    let preview = desk.dry_run(key, &ask).await.expect("a preview");
    assert_eq!(preview.refused, None, "{preview:?}");
    desk.set_output(key, &place, &41u32, "looked up by hand").await.expect("set");
    let run = desk.find(key).await.expect("a run");
    assert_eq!(soon("a result", run.result::<u32>()).await.expect("a result"), 42);
}
