//! What the engine keeps doing for runs when something else goes wrong: a clock jumps, a journal cannot be read, a
//! write cannot be stored, nobody is there to take or to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stepwell::clock::SimulatedTime;
use stepwell::contract::fault::{self, FaultBackend, FaultPlan, Gate, Method};
use stepwell::contract::{
    Backend, Batch, Clock, FaultKind, Head, Kind, ManualClock, MemoryBackend, Message, MessageId, Name,
    Payload, Record, RunKey, Status, Timestamp,
};
use stepwell::prelude::*;
use stepwell::run::event::PauseReason;
use stepwell::run::request::Ask;
use stepwell::{Actor, EngineOptions, RunError, StartRun, Verb};
use tokio::sync::Semaphore;
use until::{soon, until};

mod until;

const START: Timestamp = Timestamp(1_000_000);

/// A clock, and a store on it.
fn on_paper() -> (SimulatedTime, Arc<MemoryBackend>) {
    let time = SimulatedTime::at(START);
    let backend = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
    (time, Arc::new(backend))
}

/// A step that tells how many are in it and waits to be let go.
#[derive(Clone)]
struct Door {
    entered: Arc<AtomicUsize>,
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    leave: Arc<Semaphore>,
}

impl Door {
    fn closed() -> Self {
        let none = Arc::<AtomicUsize>::default;
        Self { entered: none(), inside: none(), most: none(), leave: Arc::new(Semaphore::new(0)) }
    }

    async fn pass(self) {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.leave.acquire().await.expect("never closed").forget();
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn workflow(&self) -> Workflow<(), ()> {
        let door = self.clone();
        let work = move |_ctx, (): ()| {
            let door = door.clone();
            async move {
                door.pass().await;
                Ok(())
            }
        };
        Workflow::named("w").step_fn("work", work).build().expect("a workflow")
    }

    async fn entered_by(&self, steps: usize) {
        until("the steps begin", async || self.entered.load(Ordering::SeqCst) >= steps).await;
    }
}

fn quick() -> Workflow<(), ()> {
    Workflow::named("w").step_fn("work", |_ctx, (): ()| async { Ok(()) }).build().expect("a workflow")
}

/// A queue that no worker reads.
fn nobody() -> Name {
    Name::new("nobody").expect("a name")
}

async fn head(backend: &Arc<dyn Backend>, key: &RunKey) -> Head {
    backend.head(key).await.expect("the store answers").expect("the run is there")
}

fn kinds(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.kind.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_held_run_is_answered_although_whoever_posted_it_has_gone() {
    let (time, backend) = on_paper();
    let options = EngineOptions { queues: vec![Name::new("default").expect("a name")], ..Default::default() };
    let engine = Engine::builder(backend).register(quick()).options(options).time(Arc::new(time.clone()));
    let engine = engine.start().await.expect("an engine");
    let start = StartRun::new("w", "r-1", &()).expect("a start").queue(nobody());
    let key = engine.start_with(start).await.expect("a run").key().clone();
    engine.pause(&key, "for the test").await.expect("paused");

    let ask = Ask::new(Verb::Resume, Actor::Person("ada".to_owned()), "");
    let id = MessageId::new("left-behind").expect("an id");
    let message =
        Message::new(id, Kind::of("request"), time.now(), Payload::encode(&ask).expect("a payload"));
    engine.backend().commit(&[Batch::post(key.clone(), message)]).await.expect("posted");

    until("the run goes on", async || {
        time.advance(secs(1));
        head(engine.backend(), &key).await.status == Status::Queued
    })
    .await;
    assert!(engine.backend().inbox(&key, 10).await.expect("an inbox").is_empty());
    let records = engine.history(&key).await.expect("a history");
    assert_eq!(kinds(&records), ["run_created", "run_paused", "run_resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_claims_its_own_run_after_a_clock_jump_begins_nothing_again() {
    let store_clock = ManualClock::at(START);
    let backend = Arc::new(MemoryBackend::with_clock(Arc::new(store_clock.clone())));
    let door = Door::closed();
    let options = EngineOptions { poll_ms: 1, ..Default::default() };
    let engine = Engine::builder(backend)
        .register(door.workflow())
        .options(options)
        .time(Arc::new(SimulatedTime::at(START)))
        .start()
        .await
        .expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    door.entered_by(1).await;
    let before = head(engine.backend(), run.key()).await;
    // By the store's clock the lease has ended long ago; the worker's own clock shows no need to renew it.
    store_clock.advance_ms(3_600_000);
    until("the worker claims it", async || {
        head(engine.backend(), run.key()).await.fence.0 == before.fence.0 + 1
    })
    .await;
    door.leave.add_permits(2);
    soon("the run comes to rest", run.result::<()>()).await.expect("a result");
    assert_eq!(door.entered.load(Ordering::SeqCst), 1);
    let records = engine.history(run.key()).await.expect("a history");
    assert_eq!(
        kinds(&records),
        ["run_created", "run_taken", "step_started", "step_succeeded", "run_succeeded"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_journal_cannot_be_read_rests_for_a_minute_untouched() {
    let (time, backend) = on_paper();
    let engine = Engine::builder(backend).register(quick()).time(Arc::new(time.clone()));
    let engine = engine.build().await.expect("an engine");
    let key = engine.start_run("w", "r-1", &()).await.expect("a run").key().clone();
    let store = engine.backend();
    let mut written = head(store, &key).await;
    let from = written.version;
    let record = Record::new(written.next_seq, Kind::of("from_the_future"), time.now(), 1, Payload::null());
    written.version = from.next(7);
    written.next_seq = written.next_seq.plus(1);
    store.commit(&[Batch::replace(from, written.clone(), vec![record])]).await.expect("written");
    let journal = engine.history(&key).await.expect("a history");

    engine.work();
    for claims in 1..=2 {
        let taken = written.fence.0 + claims;
        until("it is taken and put back", async || {
            let head = head(store, &key).await;
            head.fence.0 == taken && head.lease.is_none()
        })
        .await;
        let rested = head(store, &key).await;
        assert_eq!(rested.wake_at, Some(time.now().plus_ms(60_000)));
        assert_eq!((rested.status, rested.next_seq), (written.status, written.next_seq));
        assert_eq!(engine.history(&key).await.expect("a history"), journal);
        time.advance(secs(60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_result_cannot_be_stored_is_held_and_not_run_again() {
    let has_result =
        |batches: &[Batch]| batches.iter().any(|batch| kinds(&batch.append).contains(&"step_succeeded"));
    let too_large = fault::Effect::Refuse(FaultKind::TooLarge);
    let plan = FaultPlan::seeded(1).chance_of_commit_that(has_result, 1.0, too_large);
    let (time, backend) = on_paper();
    let faulty = Arc::new(FaultBackend::new(backend, plan));
    let door = Door::closed();
    door.leave.add_permits(10);
    let engine = Engine::builder(Arc::clone(&faulty) as Arc<dyn Backend>)
        .register(door.workflow())
        .time(Arc::new(time))
        .start()
        .await
        .expect("an engine");
    let run = engine.start_run("w", "r-1", &()).await.expect("a run");
    let error = soon("the run comes to rest", run.result::<()>()).await.expect_err("held");
    let RunError::Paused { reason: PauseReason::NeedsAttention, message, .. } = error else {
        panic!("it is not held: {error}")
    };
    assert!(message.contains("could not be recorded"), "{message}");
    assert!(message.contains("injected fault"), "the cause is told: {message}");
    assert_eq!(door.entered.load(Ordering::SeqCst), 1);
    assert_eq!(head(engine.backend(), run.key()).await.lease, None);
    // Once the cause is mended a person lets it go on.
    faulty.calm_down();
    engine.retry(run.key(), "mended").await.expect("asked");
    soon("the run comes to rest", run.result::<()>()).await.expect("a result");
    assert_eq!(door.entered.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_kept_for_runs_whose_claim_is_not_answered_yet() {
    let (time, backend) = on_paper();
    let gate = Gate::closed();
    let plan = FaultPlan::seeded(1).nth(Method::Claim, 1, fault::Effect::HoldReply(gate.clone()));
    let backend = Arc::new(FaultBackend::new(backend, plan));
    let door = Door::closed();
    let engine = Engine::builder(backend)
        .register(door.workflow())
        .options(EngineOptions { concurrency: 2, poll_ms: 1, ..Default::default() })
        .time(Arc::new(time))
        .build()
        .await
        .expect("an engine");
    let mut runs = Vec::new();
    for id in ["r-1", "r-2", "r-3"] {
        runs.push(engine.start_run("w", id, &()).await.expect("a run"));
    }
    engine.work();
    gate.reached_by(1).await;
    // Two runs are claimed and the worker does not know it yet: there is no room to begin another at once.
    runs.push(engine.start_run("w", "r-4", &()).await.expect("a run"));
    assert_eq!(runs[3].head().await.expect("a head").status, Status::Queued);
    assert_eq!(door.entered.load(Ordering::SeqCst), 0);
    gate.open();
    for passed in 0..4 {
        door.entered_by(4.min(passed + 2)).await;
        door.leave.add_permits(1);
    }
    for run in &runs {
        soon("the run comes to rest", run.result::<()>()).await.expect("a result");
    }
    assert_eq!(door.most.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_no_worker_takes_in_time_is_paused_and_says_why() {
    let (time, backend) = on_paper();
    let flow = Workflow::named("w").queue_wait(mins(10)).step_fn("work", |_ctx, (): ()| async { Ok(()) });
    let options = EngineOptions { queues: vec![Name::new("default").expect("a name")], ..Default::default() };
    let engine = Engine::builder(backend)
        .register(flow.build().expect("a workflow"))
        .options(options)
        .time(Arc::new(time.clone()))
        .start()
        .await
        .expect("an engine");
    let start = StartRun::new("w", "r-1", &()).expect("a start").queue(nobody());
    let run = engine.start_with(start).await.expect("a run");
    let paused_after_ms = async {
        until("it is paused", async || {
            time.advance(secs(1));
            run.head().await.expect("a head").status == Status::Paused
        })
        .await;
        run.head().await.expect("a head").updated_at.since_ms(START)
    };
    assert!(paused_after_ms.await >= 600_000);
    let error = soon("the run comes to rest", run.result::<()>()).await.expect_err("paused");
    let RunError::Paused { reason: PauseReason::QueueWait, message, .. } = error else {
        panic!("it is not paused for that: {error}")
    };
    assert!(message.contains("queue nobody"), "{message}");
}
