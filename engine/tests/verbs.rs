//! What people ask of a run, on an engine: each verb does what it says, and the history says who asked and why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use stepwell::clock::SimulatedTime;
use stepwell::contract::fault::{self, FaultBackend, FaultPlan, Method};
use stepwell::contract::{
    Backend, Batch, Clock, FaultKind, Kind, MemoryBackend, Message, MessageId, Payload, Query, RunKey,
    Status, Timestamp,
};
use stepwell::prelude::*;
use stepwell::run::event::Event;
use stepwell::{Actor, Ask, Error, ForkRun, Place, RunError, RunHandle, Verb};
use tokio::sync::Semaphore;
use until::{soon, until};

mod until;

const START: Timestamp = Timestamp(1_000_000);

fn store() -> (SimulatedTime, Arc<dyn Backend>) {
    let time = SimulatedTime::at(START);
    let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
    (time, Arc::new(backend))
}

async fn engine_on(store: &(SimulatedTime, Arc<dyn Backend>), flow: Workflow<u32, u32>) -> Engine {
    let builder = Engine::builder(Arc::clone(&store.1)).register(flow).time(Arc::new(store.0.clone()));
    builder.start().await.expect("an engine")
}

async fn events(engine: &Engine, key: &RunKey) -> Vec<Event> {
    let records = engine.history(key).await.expect("a history");
    records.iter().map(|record| Event::read(record).expect("readable")).collect()
}

async fn kinds(engine: &Engine, key: &RunKey) -> Vec<&'static str> {
    events(engine, key).await.iter().map(Event::kind).collect()
}

async fn comes_to(run: &RunHandle, status: Status) {
    until("the status", async || run.head().await.expect("a head").status == status).await;
}

/// A step that tells how often it was begun and waits to be let go.
#[derive(Clone)]
struct Door {
    entered: Arc<AtomicU32>,
    leave: Arc<Semaphore>,
}

impl Door {
    fn closed() -> Self {
        Self { entered: Arc::default(), leave: Arc::new(Semaphore::new(0)) }
    }

    fn workflow(&self) -> Workflow<u32, u32> {
        let door = self.clone();
        let work = move |_ctx, n: u32| {
            let door = door.clone();
            async move {
                door.entered.fetch_add(1, Ordering::SeqCst);
                door.leave.acquire().await.expect("never closed").forget();
                Ok(n)
            }
        };
        Workflow::named("w").step_fn("work", work).build().expect("a workflow")
    }

    async fn entered_by(&self, attempts: u32) {
        until("the step begins", async || self.entered.load(Ordering::SeqCst) >= attempts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_run_ends_at_once_although_its_step_never_does() {
    let (door, store) = (Door::closed(), store());
    let engine = engine_on(&store, door.workflow()).await;
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    door.entered_by(1).await;
    // A step that does not listen holds a cancellation up for its grace time, which does not pass here.
    engine.cancel(run.key(), "please stop").await.expect("asked");
    let head = engine.terminate(run.key(), "now").await.expect("terminated");
    assert_eq!(head.status, Status::Cancelled);
    assert!(matches!(soon("an end", run.output()).await, Err(RunError::Cancelled)));
    let kinds = kinds(&engine, run.key()).await;
    assert_eq!(kinds, ["run_created", "run_taken", "step_started", "cancel_requested", "run_terminated"]);
    let again = engine.terminate(run.key(), "again").await.expect_err("refused");
    assert!(matches!(again, Error::Refused { status: Status::Cancelled, .. }), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_terminated_over_the_head_of_an_owner_that_does_not_answer() {
    let (door, store) = (Door::closed(), store());
    let deaf = FaultPlan::seeded(1).chance(Method::Inbox, 1.0, fault::Effect::Refuse(FaultKind::Unavailable));
    let deaf = Arc::new(FaultBackend::new(Arc::clone(&store.1), deaf)) as Arc<dyn Backend>;
    let owner = engine_on(&(store.0.clone(), deaf), door.workflow()).await;
    let run = owner.start_run("w", "r-1", &1_u32).await.expect("a run");
    door.entered_by(1).await;
    let builder = Engine::builder(Arc::clone(&store.1)).time(Arc::new(store.0.clone()));
    let other = builder.build().await.expect("an engine");
    let head = soon("an answer", other.terminate(run.key(), "it hangs")).await.expect("terminated");
    assert_eq!((head.status, head.lease), (Status::Cancelled, None));
    let ended = kinds(&other, run.key()).await;
    // What the step gives comes too late.
    door.leave.add_permits(1);
    until("the owner lets go", async || owner.running() == 0).await;
    assert_eq!(kinds(&other, run.key()).await, ended);
    assert_eq!(ended.last(), Some(&"run_terminated"));
}

/// Three steps; the second one fails as long as it is broken.
#[derive(Clone, Default)]
struct Line {
    is_mended: Arc<AtomicBool>,
}

impl Line {
    fn workflow(&self) -> Workflow<u32, u32> {
        let line = self.clone();
        let charge = move |_ctx, n: u32| {
            let is_mended = line.is_mended.load(Ordering::SeqCst);
            async move { if is_mended { Ok(n * 10) } else { Err(StepError::permanent("broken")) } }
        };
        Workflow::named("w")
            .step_fn("pack", |_ctx, n: u32| async move { Ok(n + 1) })
            .step_fn("charge", charge)
            .step_fn("ship", |_ctx, n: u32| async move { Ok(n + 2) })
            .build()
            .expect("a workflow")
    }

    async fn failed(&self) -> (Engine, RunHandle) {
        let engine = engine_on(&store(), self.workflow()).await;
        let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
        comes_to(&run, Status::Failed).await;
        (engine, run)
    }
}

fn place(text: &str) -> Place {
    text.parse().expect("a place")
}

async fn result(run: &RunHandle) -> u32 {
    soon("a result", run.result::<u32>()).await.expect("a result")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_skipped_and_the_history_says_who_and_why() {
    let (engine, run) = Line::default().failed().await;
    let ask = Ask::new(Verb::Skip, Actor::Person("ada".to_owned()), "paid in cash").at(place("charge"));
    engine.send(run.key(), ask).await.expect("skipped");
    assert_eq!(result(&run).await, 4);
    let events = events(&engine, run.key()).await;
    let skipped = events.iter().find_map(|event| match event {
        Event::StepSkipped(skipped) => Some(skipped),
        _ => None,
    });
    let skipped = skipped.expect("recorded");
    assert_eq!((skipped.actor.to_string().as_str(), skipped.reason.as_str()), ("ada", "paid in cash"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_given_its_result() {
    let (engine, run) = Line::default().failed().await;
    let refused = engine.set_output(run.key(), &place("chrage"), &7, "").await.expect_err("refused");
    assert!(refused.to_string().contains("no step chrage"), "{refused}");
    let before = kinds(&engine, run.key()).await;
    assert_eq!(before.last(), Some(&"run_failed"), "a refusal that could be foreseen leaves no trace");
    engine.set_output(run.key(), &place("charge"), &7, "charged by hand").await.expect("set");
    assert_eq!(result(&run).await, 9);
    let after = kinds(&engine, run.key()).await.split_off(before.len());
    assert_eq!(after, ["output_set", "run_taken", "step_started", "step_succeeded", "run_succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_begins_again_at_a_step_with_another_input() {
    let line = Line::default();
    let (engine, run) = line.failed().await;
    let refused = engine.edit_input(run.key(), &5, "").await.expect_err("pack has had the old one");
    assert!(refused.to_string().contains("pack has gone on"), "{refused}");
    line.is_mended.store(true, Ordering::SeqCst);
    engine.restart(run.key(), &place("pack"), "from the top").await.expect("asked");
    assert_eq!(result(&run).await, 22);
    let refused = engine.restart(run.key(), &place("ship"), "once more").await.expect_err("refused");
    assert!(matches!(refused, Error::Refused { status: Status::Succeeded, .. }), "{refused}");
    let attempts = events(&engine, run.key()).await.into_iter().filter_map(|event| match event {
        Event::StepStarted(started) => Some(format!("{}#{}", started.place, started.attempt)),
        _ => None,
    });
    let attempts: Vec<String> = attempts.collect();
    assert_eq!(attempts, ["pack#1", "charge#1", "pack#2", "charge#2", "ship#1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_not_begun_takes_the_edited_input() {
    let line = Line { is_mended: Arc::new(AtomicBool::new(true)) };
    let store = store();
    let builder = Engine::builder(Arc::clone(&store.1)).register(line.workflow());
    let engine = builder.time(Arc::new(store.0.clone())).build().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    engine.edit_input(run.key(), &2, "a typing error").await.expect("edited");
    engine.work();
    assert_eq!(result(&run).await, 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_outlives_the_owner_that_did_not_answer_it() {
    let (door, store) = (Door::closed(), store());
    let flow = || {
        let first = Workflow::named("w").input::<u32>().include(&door.workflow());
        first.step_fn("then", |_ctx, n: u32| async move { Ok(n + 1) }).build().expect("a workflow")
    };
    // Of what this owner writes nothing arrives after its first step has begun, and it hears of nothing.
    let dead = FaultPlan::seeded(1)
        .chance(Method::Inbox, 1.0, fault::Effect::Refuse(FaultKind::Unavailable))
        .chance(Method::Claim, 1.0, fault::Effect::Refuse(FaultKind::Unavailable))
        .from(Method::Commit, 2, fault::Effect::Refuse(FaultKind::Unavailable));
    let dead = Arc::new(FaultBackend::new(Arc::clone(&store.1), dead)) as Arc<dyn Backend>;
    // The first write is that of the run, and not what the worker tells of itself.
    let options = stepwell::EngineOptions { heartbeat_ms: 0, ..Default::default() };
    let owner = Engine::builder(dead).register(flow()).time(Arc::new(store.0.clone())).options(options);
    let owner = owner.start().await.expect("an engine");
    let run = owner.start_run("w", "r-1", &1_u32).await.expect("a run");
    door.entered_by(1).await;
    let builder = Engine::builder(Arc::clone(&store.1)).register(flow());
    let other = builder.time(Arc::new(store.0.clone())).build().await.expect("an engine");
    let (key, asker) = (run.key().clone(), other.clone());
    let asked = tokio::spawn(async move { asker.skip(&key, &place("then"), "not needed").await });
    until("the request is there", async || !store.1.inbox(run.key(), 1).await.expect("mail").is_empty())
        .await;
    store.0.advance(hours(1));
    other.work();
    soon("an answer", asked).await.expect("no panic").expect("skipped");
    door.entered_by(2).await;
    door.leave.add_permits(2);
    let run = other.find(run.key()).await.expect("a run");
    assert_eq!(result(&run).await, 1);
    let kinds = kinds(&other, run.key()).await;
    let begins = [
        "run_created",
        "run_taken",
        "step_started",
        "step_skipped",
        "run_taken",
        "attempt_lost",
        "diagnosed",
        "step_started",
    ];
    assert_eq!(kinds[..begins.len()], begins);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_goes_on_from_a_step_and_leaves_the_old_run_alone() {
    let line = Line { is_mended: Arc::new(AtomicBool::new(true)) };
    let engine = engine_on(&store(), line.workflow()).await;
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    assert_eq!(result(&run).await, 22);
    let before = (run.head().await.expect("a head"), engine.history(run.key()).await.expect("a history"));
    let into = || ForkRun::new("r-2", place("charge")).message("try that again");
    let forked = engine.fork(run.key(), into()).await.expect("forked");
    assert_eq!(result(&forked).await, 22);
    let kinds = kinds(&engine, forked.key()).await;
    assert_eq!(kinds[..5], ["run_created", "run_forked", "step_copied", "run_taken", "step_started"]);
    assert_eq!(
        (run.head().await.expect("a head"), engine.history(run.key()).await.expect("a history")),
        before
    );

    assert!(!engine.fork(run.key(), into()).await.expect("the same").is_new());
    let other = engine.fork(run.key(), ForkRun::new("r-2", place("ship"))).await.expect_err("another");
    assert!(matches!(other, Error::Conflict { .. }), "{other}");
    let late = ForkRun::new("r-3", place("charge")).input(&5_u32).expect("an input");
    assert!(matches!(engine.fork(run.key(), late).await, Err(Error::Refused { .. })));
    let anew = ForkRun::new("r-3", place("pack")).input(&5_u32).expect("an input");
    let anew = engine.fork(run.key(), anew).await.expect("forked");
    assert_eq!(result(&anew).await, 62);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_a_request_would_do_and_writes_nothing() {
    let ship =
        |_ctx, n: u32| async move { if n > 5 { Err(StepError::permanent("too many")) } else { Ok(n) } };
    let flow = Workflow::named("w")
        .step_fn("pack", |_ctx, n: u32| async move { Ok(n + 1) })
        .step_fn("charge", |_ctx, n: u32| async move { Ok(n * 10) })
        .policy(StepPolicy::default().effect(Effect::NotIdempotent))
        .step_fn("ship", ship);
    let engine = engine_on(&store(), flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    comes_to(&run, Status::Failed).await;
    let before = engine.history(run.key()).await.expect("a history");
    let ask = |verb| Ask::new(verb, Actor::Program, "");

    let restart =
        engine.dry_run(run.key(), &ask(Verb::Restart).at(place("charge"))).await.expect("a preview");
    assert!(restart.is_allowed());
    assert_eq!((restart.status, restart.status_after), (Status::Failed, Status::Queued));
    assert_eq!(restart.set_aside, [place("charge")]);
    let again: Vec<_> =
        restart.runs_again.iter().map(|step| (step.place.to_string(), step.attempts)).collect();
    assert_eq!(again, [("charge".to_owned(), 1), ("ship".to_owned(), 1)]);
    let not_idempotent: Vec<_> = restart.not_idempotent().map(|step| step.place.clone()).collect();
    assert_eq!(not_idempotent, [place("charge")]);

    let skip = engine.dry_run(run.key(), &ask(Verb::Skip).at(place("ship"))).await.expect("a preview");
    assert_eq!((skip.status_after, skip.runs_again.len(), skip.set_aside.len()), (Status::Queued, 0, 0));
    let resume = engine.dry_run(run.key(), &ask(Verb::Resume)).await.expect("a preview");
    assert!(resume.refused.is_some_and(|why| why.contains("retry")));
    let fork = ForkRun::new("r-2", place("ship"));
    let fork = engine.dry_run_fork(run.key(), &fork).await.expect("a preview");
    assert_eq!(fork.runs_again.iter().map(|step| step.place.clone()).collect::<Vec<_>>(), [place("ship")]);

    assert_eq!(engine.history(run.key()).await.expect("a history"), before);
    assert!(engine.backend().inbox(run.key(), 1).await.expect("an inbox").is_empty());
    let other = RunKey::new(run.key().tenant.clone(), "r-2".parse().expect("an id"));
    assert!(engine.get(&other).await.expect("an answer").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_are_asked_at_once_and_each_only_once() {
    let line = Line::default();
    let engine = engine_on(&store(), line.workflow()).await;
    let mut runs = Vec::new();
    for nth in 0..5 {
        runs.push(engine.start_run("w", &format!("r-{nth}"), &nth).await.expect("a run"));
    }
    for run in &runs {
        comes_to(run, Status::Failed).await;
    }
    let query = Query { statuses: vec![Status::Failed], ..Query::default() };
    let part = engine.select(&query, 3).await.expect("a selection");
    assert_eq!((part.runs.len(), part.is_complete), (3, false));
    let all = engine.select(&query, 100).await.expect("a selection");
    assert_eq!((all.runs.len(), all.is_complete), (5, true));
    // One goes its own way before it is asked.
    engine.set_output(runs[0].key(), &place("charge"), &7, "by hand").await.expect("set");
    assert_eq!(result(&runs[0]).await, 9);

    let ask = Ask::new(Verb::Restart, Actor::Program, "for all").at(place("charge"));
    let preview = engine.dry_run_all(&all, &ask, 2).await.expect("a preview");
    assert_eq!((preview.runs, preview.sample.len()), (5, 2));
    for asked in engine.ask_all(&all, &ask).await {
        let is_first = asked.run == *runs[0].key();
        assert_eq!(matches!(asked.outcome, Err(Error::Refused { .. })), is_first, "{asked:?}");
    }
    let resets = async || {
        let mut resets = 0;
        for run in &runs {
            resets += kinds(&engine, run.key()).await.iter().filter(|kind| **kind == "steps_reset").count();
        }
        resets
    };
    for run in &runs[1..] {
        comes_to(run, Status::Failed).await;
    }
    assert_eq!(resets().await, 4);
    for asked in engine.ask_all(&all, &ask).await {
        let is_first = asked.run == *runs[0].key();
        assert_eq!(asked.outcome.is_err(), is_first, "{asked:?}");
    }
    assert_eq!(resets().await, 4, "asked again with the same selection, none begins again");

    let another = Ask::new(Verb::SetOutput, Actor::Program, "for all").at(place("charge"));
    let another = another.with(Payload::encode(&7).expect("a payload"));
    for asked in engine.ask_all(&all, &another).await {
        let is_first = asked.run == *runs[0].key();
        assert_eq!(asked.outcome.is_err(), is_first, "{asked:?}");
    }
    for run in &runs[1..] {
        assert_eq!(result(run).await, 9, "something else that is asked of the same selection is carried out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_that_was_left_in_the_inbox_ends_the_run_before_it_begins() {
    let (door, store) = (Door::closed(), store());
    let builder = Engine::builder(Arc::clone(&store.1)).register(door.workflow());
    let engine = builder.time(Arc::new(store.0.clone())).build().await.expect("an engine");
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    let ask = Payload::encode(&Ask::new(Verb::Terminate, Actor::Program, "")).expect("a payload");
    let id = MessageId::new("left-behind").expect("an id");
    let message = Message::new(id, Kind::of("request"), store.0.now(), ask);
    store.1.commit(&[Batch::post(run.key().clone(), message)]).await.expect("posted");
    engine.work();
    comes_to(&run, Status::Cancelled).await;
    assert_eq!(kinds(&engine, run.key()).await, ["run_created", "run_terminated"]);
    assert_eq!(door.entered.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_given_its_answer_while_another_branch_runs() {
    let (door, store) = (Door::closed(), store());
    let flow = Workflow::named("w").input::<u32>().both(
        |left| left.include(&door.workflow()),
        |right| {
            right
                .wait_for::<u32>("go")
                .step_fn("add", |_ctx, (n, said): (u32, u32)| async move { Ok(n + said) })
        },
    );
    let flow = flow.step_fn("sum", |_ctx, (left, right): (u32, u32)| async move { Ok(left + right) });
    let engine = engine_on(&store, flow.build().expect("a workflow")).await;
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    door.entered_by(1).await;
    let refused = engine.skip(run.key(), &place("work"), "").await.expect_err("it runs");
    assert!(refused.to_string().contains("is running"), "{refused}");
    engine.set_output(run.key(), &place("go"), &40, "said on the phone").await.expect("set");
    until("the branch goes on", async || {
        kinds(&engine, run.key()).await.iter().filter(|kind| **kind == "step_succeeded").count() == 1
    })
    .await;
    door.leave.add_permits(1);
    assert_eq!(result(&run).await, 42);
    assert_eq!(door.entered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_to_a_run_that_has_failed_is_carried_out_whole_or_leaves_nothing_behind() {
    let store = store();
    let flow = || {
        let fails = |_: StepContext, _: u32| async { Err::<u32, _>(StepError::permanent("no such tariff")) };
        Workflow::named("w").step_fn("work", fails).build().expect("a workflow")
    };
    let engine = engine_on(&store, flow()).await;
    let run = engine.start_run("w", "r-1", &1_u32).await.expect("a run");
    comes_to(&run, Status::Failed).await;
    engine.shutdown().await;

    let is_answer = |batches: &[Batch]| {
        batches.iter().any(|batch| batch.key.run.as_str() == "r-1" && !batch.append.is_empty())
    };
    let plan = FaultPlan::seeded(1).nth_commit_that(is_answer, 1, fault::Effect::Refuse(FaultKind::Invalid));
    let refusing = Arc::new(FaultBackend::new(Arc::clone(&store.1), plan)) as Arc<dyn Backend>;
    let builder = Engine::builder(refusing).register(flow()).time(Arc::new(store.0.clone()));
    let asker = builder.build().await.expect("an engine");
    let cut_off = asker.retry(run.key(), "the tariff is there").await;
    assert!(matches!(cut_off, Err(Error::Store(_))), "{cut_off:?}");
    let waits = store.1.inbox(run.key(), 10).await.expect("an answer");
    assert_eq!(waits, [], "nobody would ever look for it");
    assert_eq!(run.head().await.expect("a head").status, Status::Failed);
    let head = asker.retry(run.key(), "the tariff is there").await.expect("retried");
    assert_eq!(head.status, Status::Queued);
}
