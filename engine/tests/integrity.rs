//! What is wrong in a store is found, what is not is not, and what can be mended is.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bench::{Bench, waits};
use damage::odd::{Cut, Odd};
use damage::{add, all_issues, copy, everything, head, issue, key, kinds, records, spoil, taken, write};
use stepwell::contract::{
    Backend, Batch, Head, Kind, Lease, Message, MessageId, Name, Payload, Query, Record, RunKey, Seq, Status,
    TenantId, WorkerId,
};
use stepwell::prelude::*;
use stepwell::run::event::{CancelRequested, Event, RunCancelled, RunFailed, RunSucceeded, StepStarted};
use stepwell::run::output::Shape;
use stepwell::run::waiting::Parent;
use stepwell::schedule::Schedule;
use stepwell::workflow::failure::Failure;
use stepwell::{Actor, ChildRun, Error, IntegrityFilter, IssueKind, Mend, OnClose, Queue, RunHandle};
use until::{soon, until};

mod bench;
mod damage;
mod until;

use IssueKind::{
    ChildLeftOpen, ChildMissing, ChildOfAnother, HeadDiffers, IllegalTransition, ItemsDiffer, JournalGap,
    LeaseOrphaned, MailUnread, NoProgress, ParentMissing, ParentNotTold, ParentUnaware, ResultMissing,
    RunUnclaimed, ScheduleStopped, SlotHeld, TimerMissed, UnreadableRecord,
};

/// Doubles, sleeps for a day, and tells.
fn nap() -> Workflow<u32, String> {
    Workflow::named("nap")
        .step_fn("double", |_ctx: StepContext, n: u32| async move { Ok(n * 2) })
        .sleep("rest", days(1))
        .step_fn("tell", |_ctx: StepContext, n: u32| async move { Ok(format!("it is {n}")) })
        .build()
        .expect("a workflow")
}

/// Leaves its work to a child that naps.
fn order() -> Workflow<u32, String> {
    Workflow::named("order").input::<u32>().child("nap", &nap()).build().expect("a workflow")
}

struct Double;

#[async_trait]
impl Step for Double {
    type Input = u32;
    type Output = u32;
    const NAME: &'static str = "double";

    async fn run(&self, _ctx: &StepContext, n: u32) -> StepResult<u32> {
        Ok(n * 2)
    }
}

/// Doubles each number of a list.
fn list() -> Workflow<Vec<u32>, Vec<u32>> {
    Workflow::named("list").input::<Vec<u32>>().map(Double, 2).build().expect("a workflow")
}

/// An engine that has all workflows and does not work.
async fn looker(bench: &Bench) -> Engine {
    let builder = bench.builder().register(nap()).register(order()).register(list()).keep_schedules();
    builder.build().await.expect("an engine")
}

/// An engine over a store with faults.
async fn looker_on(store: Odd, bench: &Bench) -> Engine {
    let builder = Engine::builder(Arc::new(store)).time(Arc::new(bench.time.clone()));
    let builder = builder.register(nap()).register(order()).register(list()).keep_schedules();
    builder.build().await.expect("an engine")
}

async fn worker(bench: &Bench) -> Engine {
    let engine = looker(bench).await;
    engine.work();
    engine
}

/// A store in which a run naps, another waits for a child that naps, and one has ended; nobody works, and nothing is wrong.
async fn healthy() -> (Bench, Engine) {
    let bench = Bench::new();
    let engine = worker(&bench).await;
    let run = engine.start_run("nap", "nap-1", &1u32).await.expect("a run");
    let parent = engine.start_run("order", "order-1", &2u32).await.expect("a run");
    let done = engine.start_run("list", "list-1", &vec![1u32, 2, 3]).await.expect("a run");
    assert_eq!(soon("a result", done.result::<Vec<u32>>()).await.expect("a result"), [2, 4, 6]);
    waits(&engine, &run).await;
    waits(&engine, &parent).await;
    waits(&engine, &engine.find(&key("order-1.nap")).await.expect("a child")).await;
    engine.shutdown().await;
    let looker = looker(&bench).await;
    assert_eq!(all_issues(&looker).await, []);
    (bench, looker)
}

async fn ends_well(bench: &Bench, run: &RunHandle, wanted: &str) {
    bench.time.advance(days(1));
    assert_eq!(soon("a result", run.result::<String>()).await.expect("a result"), wanted);
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

fn leased(ttl_ms: u64) -> impl FnOnce(&mut Head) {
    move |head| {
        let worker = WorkerId::new("w-gone").expect("an id");
        head.lease = Some(Lease { worker, ttl_ms, expires_at: head.updated_at });
    }
}

#[tokio::test]
async fn a_head_that_says_something_else_than_the_journal_is_found_and_written_anew() {
    let wrong: [fn(&mut Head); 5] = [
        |head| head.status = Status::Queued,
        |head| head.workflow_version = 7,
        |head| head.summary = Payload::null(),
        |head| (head.status, head.finished_at) = (Status::Succeeded, Some(head.updated_at)),
        |head| head.wake_at = None,
    ];
    for damage in wrong {
        let (bench, engine) = healthy().await;
        spoil(bench.store.as_ref(), &key("nap-1"), damage).await;
        let issues = all_issues(&engine).await;
        assert!(!issues.is_empty() && issues.iter().all(|issue| issue.run == key("nap-1")), "{issues:?}");
        let differs = issues.into_iter().find(|issue| issue.kind == HeadDiffers).expect("it differs");

        let before = everything(&bench.store).await;
        let dry = engine.repair(&differs, Actor::Person("Ada".into()), "why", true).await.expect("a plan");
        assert_eq!(everything(&bench.store).await, before, "a dry run writes nothing");
        let done = engine.repair(&differs, Actor::Person("Ada".into()), "why", false).await.expect("mended");
        assert_eq!((dry.applied, done.applied), (false, true));
        assert_eq!(dry.writes[0].head, done.writes[0].head);
        assert_eq!(all_issues(&engine).await, []);

        let last = records(bench.store.as_ref(), &key("nap-1")).await.pop().expect("a record");
        assert_eq!(last.payload, done.writes[0].records[0].payload, "what was shown was written");
        let Ok(Event::Repaired(repaired)) = Event::read(&last) else { panic!("not audited: {last:?}") };
        assert_eq!((repaired.actor, repaired.message.as_str()), (Actor::Person("Ada".into()), "why"));
        let again = engine.repair(&differs, Actor::Program, "why", false).await;
        assert!(matches!(again, Err(Error::Refused { .. })), "the finding is stale: {again:?}");
        engine.work();
        let run = engine.find(&key("nap-1")).await.expect("the run");
        ends_well(&bench, &run, "it is 2").await;
    }
}

#[tokio::test]
async fn a_head_is_written_anew_although_all_that_it_says_would_not_fit() {
    let (bench, engine) = healthy().await;
    let run = key("nap-1");
    engine.pause(&run, &"\u{1F9EF}".repeat(300)).await.expect("held");
    spoil(bench.store.as_ref(), &run, |head| {
        let mut summary: serde_json::Value = head.summary.decode().expect("JSON");
        summary.as_object_mut().expect("fields").remove("trouble");
        let note = "n".repeat(3_500);
        summary["at"] = serde_json::json!({ "step": "double", "fraction": 0.5, "note": note });
        head.summary = Payload::encode(&summary).expect("JSON");
    })
    .await;
    let differs = issue(&engine, HeadDiffers).await;
    engine.repair(&differs, Actor::Program, "seen", false).await.expect("mended");
    assert_eq!(all_issues(&engine).await, []);
}

#[tokio::test]
async fn records_that_do_not_read_or_contradict_each_other_are_found_and_left_alone() {
    let (bench, engine) = healthy().await;
    let (store, run) = (bench.store.as_ref(), key("nap-1"));
    let next = head(store, &run).await.next_seq;
    let mut torn = Event::from(RunCancelled {}).record(next, bench.now()).expect("a record");
    torn.crc ^= 1;
    write(store, &run, vec![torn], |_| {}).await;
    let unread = issue(&engine, UnreadableRecord).await;
    assert_eq!((unread.mend.clone(), unread.run.clone()), (None, run.clone()));
    let refused = engine.repair(&unread, Actor::Program, "try", false).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");

    let (bench, engine) = healthy().await;
    let store = bench.store.as_ref();
    let ended = Event::from(RunCancelled {}).record(next, bench.now()).expect("a record");
    write(store, &run, vec![ended], |_| {}).await;
    let illegal = issue(&engine, IllegalTransition).await;
    assert_eq!(illegal.about, format!("record {next}"));
    let newer = Record::new(next.plus(1), Kind::of("moon_landed"), bench.now(), 1, Payload::null());
    let other = key("order-1");
    let at = head(store, &other).await.next_seq;
    write(store, &other, vec![Record { seq: at, ..newer }], |_| {}).await;
    assert_eq!(issue(&engine, UnreadableRecord).await.facts["written by"], "a newer version");
}

#[tokio::test]
async fn a_record_that_the_store_has_lost_is_found() {
    let (bench, _) = healthy().await;
    let last = head(bench.store.as_ref(), &key("nap-1")).await.next_seq.0 - 1;
    for lost in [2, last] {
        let store = Odd { lost: Some((key("nap-1"), Seq(lost))), ..Odd::of(&bench.store) };
        let engine = looker_on(store, &bench).await;
        let gap = issue(&engine, JournalGap).await;
        let about = if lost == last { "end".to_owned() } else { format!("record {lost}") };
        assert_eq!((gap.about, gap.run), (about, key("nap-1")));
    }
}

#[tokio::test]
async fn a_child_whose_parent_is_gone_or_knows_nothing_of_it_is_found() {
    let (bench, engine) = healthy().await;
    for (child, parent, kind) in [("lone", "nobody", ParentMissing), ("strange", "order-1", ParentUnaware)] {
        copy(bench.store.as_ref(), &key("nap-1"), child, |event| {
            let Event::RunCreated(created) = event else { panic!("{event:?}") };
            let (place, part) = ("nap".parse().expect("a place"), "nap".to_owned());
            let run = key(parent);
            created.parent =
                Some(Parent { run, place, part, without_result: false, on_close: OnClose::Cancel });
        })
        .await;
        assert_eq!(issue(&engine, kind).await.run, key(child));
    }
    assert_eq!(kinds(&engine).await, [ParentMissing, ParentUnaware]);
}

#[tokio::test]
async fn a_child_that_was_to_go_on_alone_needs_no_parent() {
    let bench = Bench::new();
    let nap = nap();
    let alone = ChildRun::of(&nap).on_close(OnClose::Abandon);
    let errand = Workflow::named("errand").input::<u32>().child("nap", alone).build().expect("a workflow");
    let engine = bench.builder().register(errand).register(nap).start().await.expect("an engine");
    let run = engine.start_run("errand", "errand-1", &1u32).await.expect("a run");
    waits(&engine, &run).await;
    let child = key("errand-1.nap");
    waits(&engine, &engine.find(&child).await.expect("a child")).await;
    engine.cancel(run.key(), "no longer").await.expect("asked");
    until("its parent ends", async || run.head().await.expect("a head").status == Status::Cancelled).await;
    engine.shutdown().await;
    let engine = looker(&bench).await;
    assert_eq!(bench.store.remove(&[key("errand-1")]).await.expect("removed"), 1);
    assert_eq!(all_issues(&engine).await, [], "it was told to go on alone");
    copy(bench.store.as_ref(), &child, "errand-1", |_| {}).await;
    assert_eq!(all_issues(&engine).await, [], "another run has the id of the one that is gone");
}

/// Ends the child of `order-1` past the engine, which so tells nobody.
async fn end_child(bench: &Bench) {
    let (store, child) = (bench.store.as_ref(), key("order-1.nap"));
    let failure = Failure::panic("it broke", None);
    let failed = RunFailed { place: None, failure }.into();
    add(store, &child, vec![taken(store, &child).await, failed]).await;
}

#[tokio::test]
async fn a_parent_that_was_not_told_of_the_end_of_its_child_is_told_by_a_repair() {
    let (bench, engine) = healthy().await;
    end_child(&bench).await;
    let not_told = issue(&engine, ParentNotTold).await;
    assert_eq!((not_told.run.clone(), not_told.about.as_str()), (key("order-1"), "default/order-1.nap"));
    let before = everything(&bench.store).await;
    let dry = engine.repair(&not_told, Actor::Program, "seen", true).await.expect("a plan");
    assert_eq!(everything(&bench.store).await, before);
    let writes: Vec<_> = dry.writes.iter().map(|write| (write.run.clone(), write.messages.len())).collect();
    assert_eq!(writes, [(key("order-1.nap"), 0), (key("order-1"), 1)], "the parent's head is not touched");
    engine.repair(&not_told, Actor::Program, "seen", false).await.expect("mended");
    assert_eq!(all_issues(&engine).await, []);
    engine.work();
    let run = engine.find(&key("order-1")).await.expect("the run");
    let (step, code) = bench::failed(soon("an end", run.result::<String>()).await);
    assert_eq!((step.as_str(), code.as_str()), ("nap", "child.failed"));
}

#[tokio::test]
async fn a_step_that_waits_for_a_run_that_is_not_there_or_not_its_own_is_found() {
    let (bench, engine) = healthy().await;
    end_child(&bench).await;
    assert_eq!(bench.store.remove(&[key("order-1.nap")]).await.expect("removed"), 1);
    assert_eq!(issue(&engine, ChildMissing).await.run, key("order-1"));
    copy(bench.store.as_ref(), &key("nap-1"), "order-1.nap", |_| {}).await;
    assert_eq!(kinds(&engine).await, [ChildOfAnother]);
}

#[tokio::test]
async fn a_child_that_was_to_end_with_its_parent_is_asked_to_by_a_repair() {
    let (bench, engine) = healthy().await;
    let (store, parent) = (bench.store.as_ref(), key("order-1"));
    let asked = CancelRequested { actor: Actor::Program, message: String::new(), undo: false }.into();
    add(store, &parent, vec![asked, RunCancelled {}.into()]).await;
    assert_eq!(all_issues(&engine).await, [], "it may be asked in a moment");
    bench.time.advance(minutes(11));
    let left = issue(&engine, ChildLeftOpen).await;
    engine.repair(&left, Actor::Program, "seen", false).await.expect("mended");
    engine.work();
    let child = engine.find(&key("order-1.nap")).await.expect("the child");
    until("it is cancelled", async || child.head().await.expect("a head").status == Status::Cancelled).await;
    assert_eq!(all_issues(&looker(&bench).await).await, []);
}

#[tokio::test]
async fn a_success_with_items_left_or_without_its_result_is_found() {
    let (bench, engine) = healthy().await;
    let (store, run) = (bench.store.as_ref(), key("list-2"));
    copy(store, &key("list-1"), "list-2", |_| {}).await;
    let ended = RunSucceeded { result: Shape::Given }.into();
    add(store, &run, vec![taken(store, &run).await, ended]).await;
    assert_eq!(issue(&engine, ItemsDiffer).await.run, run);

    let (bench, engine) = healthy().await;
    let store = bench.store.as_ref();
    let ghost = Shape::Step(Name::new("ghost").expect("a name"));
    add(store, &key("nap-1"), vec![taken(store, &key("nap-1")).await, RunSucceeded { result: ghost }.into()])
        .await;
    assert_eq!(kinds(&engine).await, [ItemsDiffer, ResultMissing]);
}

#[tokio::test]
async fn a_lease_that_never_ends_is_released_and_one_that_ended_long_ago_is_for_a_person() {
    let (bench, engine) = healthy().await;
    let (store, run) = (bench.store.as_ref(), key("nap-1"));
    spoil(store, &run, leased(400 * 86_400_000)).await;
    let endless = issue(&engine, LeaseOrphaned).await;
    assert_eq!(endless.mend, Some(Mend::ReleaseLease));
    engine.repair(&endless, Actor::Program, "seen", false).await.expect("mended");
    assert_eq!(all_issues(&engine).await, []);
    engine.work();
    ends_well(&bench, &engine.find(&run).await.expect("the run"), "it is 2").await;

    let (bench, engine) = healthy().await;
    spoil(bench.store.as_ref(), &run, leased(30_000)).await;
    bench.time.advance(days(1) + minutes(5));
    assert_eq!(all_issues(&engine).await, [], "its sleep has just ended");
    bench.time.advance(minutes(11));
    let late = kinds(&engine).await;
    assert_eq!(late, [LeaseOrphaned, RunUnclaimed]);
    assert_eq!(issue(&engine, LeaseOrphaned).await.mend, None);
}

#[tokio::test]
async fn a_run_that_nothing_wakes_is_woken_by_a_repair() {
    let (bench, engine) = healthy().await;
    spoil(bench.store.as_ref(), &key("nap-1"), |head| head.wake_at = None).await;
    assert!(!kinds(&engine).await.contains(&TimerMissed), "someone may be about to wake it");
    bench.time.advance(minutes(11));
    let missed = issue(&engine, TimerMissed).await;
    engine.repair(&missed, Actor::Program, "seen", false).await.expect("mended");
    assert!(!kinds(&engine).await.contains(&TimerMissed));
    engine.work();
    ends_well(&bench, &engine.find(&key("nap-1")).await.expect("the run"), "it is 2").await;
}

#[tokio::test]
async fn mail_that_a_held_run_does_not_get_and_an_attempt_beyond_its_limit_are_found() {
    let (bench, engine) = healthy().await;
    let (store, run) = (bench.store.as_ref(), key("nap-1"));
    engine.pause(&run, "held").await.expect("held");
    let started = StepStarted { place: "tell".parse().expect("a place"), attempt: 1 };
    copy(store, &run, "nap-2", |_| {}).await;
    let busy = key("nap-2");
    add(store, &busy, vec![taken(store, &busy).await, started.into()]).await;
    spoil(store, &busy, leased(3_600_000)).await;
    let id = MessageId::new("m-1").expect("an id");
    let message = Message::new(id, Kind::of("signal"), bench.now(), Payload::null());
    store.commit(&[Batch::post(run.clone(), message)]).await.expect("posted");
    bench.time.advance(minutes(9));
    assert_eq!(all_issues(&engine).await, []);
    bench.time.advance(minutes(12));
    assert_eq!(kinds(&engine).await, [NoProgress, MailUnread]);
}

/// The head that keeps the limits of the one queue that has some.
async fn limits_head(bench: &Bench) -> Head {
    let system = TenantId::new("stepwell.system").expect("an id");
    let workflow = Some(Name::new("stepwell.queue").expect("a name"));
    let query = Query { tenant: Some(system), workflow, ..Query::default() };
    bench.store.scan(&query, None, 10).await.expect("heads").items.remove(0)
}

#[tokio::test]
async fn room_that_an_ended_run_takes_is_freed_by_a_repair() {
    let (bench, engine) = healthy().await;
    let mail = Queue::named("mail").expect("a name").concurrency(1);
    drop(bench.builder().queue(mail).build().await.expect("an engine"));
    let queue = limits_head(&bench).await;
    spoil(bench.store.as_ref(), &queue.key, |head| {
        let mut roster: serde_json::Value = head.summary.decode().expect("JSON");
        roster["held"] = serde_json::json!([["/list-1", 1], ["/nap-1", 1]]);
        head.summary = Payload::encode(&roster).expect("JSON");
    })
    .await;
    assert_eq!(all_issues(&engine).await, [], "it may let go in a moment");
    bench.time.advance(minutes(11));
    // The queue is busy: its head is written at each admission.
    spoil(bench.store.as_ref(), &queue.key, |head| head.updated_at = bench.now()).await;
    let held = issue(&engine, SlotHeld).await;
    assert_eq!(held.about, "default/list-1", "the other one has not ended");
    let before = everything(&bench.store).await;
    let dry = engine.repair(&held, Actor::Program, "seen", true).await.expect("a plan");
    assert_eq!(everything(&bench.store).await, before);
    assert!(dry.writes[0].head.contains_key("summary"), "{dry:?}");
    engine.repair(&held, Actor::Program, "seen", false).await.expect("mended");
    assert_eq!(all_issues(&engine).await, []);
    let last = records(bench.store.as_ref(), &queue.key).await.pop().expect("a record");
    assert_eq!(last.kind.as_str(), "slot_freed");
    spoil(bench.store.as_ref(), &queue.key, |head| {
        let mut roster: serde_json::Value = head.summary.decode().expect("JSON");
        roster["held"] = serde_json::json!([["/removed", 4]]);
        (head.summary, head.updated_at) = (Payload::encode(&roster).expect("JSON"), bench.now());
    })
    .await;
    assert_eq!(issue(&engine, SlotHeld).await.about, "default/removed", "however busy the queue is");
}

#[tokio::test]
async fn a_schedule_that_is_not_woken_any_more_goes_on_after_a_repair() {
    let (bench, engine) = healthy().await;
    let hourly = Schedule::every(hours(1)).starts("nap", &1u32).expect("a schedule");
    let working = worker(&bench).await;
    let view = working.schedules().create("hourly", hourly).await.expect("made");
    waits(&working, &working.find(&view.keeper).await.expect("a run")).await;
    working.shutdown().await;
    assert_eq!(all_issues(&engine).await, []);
    spoil(bench.store.as_ref(), &view.keeper, |head| head.wake_at = None).await;
    let stopped = issue(&engine, ScheduleStopped).await;
    engine.repair(&stopped, Actor::Program, "seen", false).await.expect("mended");
    engine.work();
    until("it has its next time", async || {
        let head = head(bench.store.as_ref(), &view.keeper).await;
        head.wake_at.is_some() && head.lease.is_none()
    })
    .await;
    assert_eq!(all_issues(&engine).await, []);
}

#[tokio::test]
async fn a_repair_leaves_a_run_alone_that_a_worker_has() {
    let (bench, engine) = healthy().await;
    spoil(bench.store.as_ref(), &key("nap-1"), |head| {
        head.workflow_version = 7;
        leased(30_000)(head);
    })
    .await;
    let differs = issue(&engine, HeadDiffers).await;
    let refused = engine.repair(&differs, Actor::Program, "seen", false).await;
    assert!(refused.as_ref().is_err_and(|error| error.to_string().contains("w-gone")), "{refused:?}");
    bench.time.advance(minutes(1));
    engine.repair(&differs, Actor::Program, "seen", false).await.expect("mended");
}

#[tokio::test]
async fn nothing_is_wrong_with_runs_while_they_run() {
    let bench = Bench::new();
    let short = Workflow::named("short")
        .input::<u32>()
        .step_fn("wait", |ctx: StepContext, n: u32| async move {
            ctx.sleep("a moment", millis(5)).await?;
            ctx.checkpoint(&n, 0.5).await?;
            Ok((0..n % 5).collect::<Vec<u32>>())
        })
        .map(Double, 2)
        .build()
        .expect("a workflow");
    let family = Workflow::named("family")
        .input::<u32>()
        .child("short", &short)
        .step_fn("sum", |_ctx: StepContext, all: Vec<u32>| async move { Ok(all.iter().sum::<u32>()) })
        .build()
        .expect("a workflow");
    let queue = Queue::named("default").expect("a name").concurrency(7);
    let engine =
        bench.builder().register(short).register(family).queue(queue).start().await.expect("an engine");
    let mut runs = Vec::new();
    for nth in 0..60u32 {
        runs.push(engine.start_run("family", &format!("f-{nth}"), &nth).await.expect("a run"));
    }
    let (mut looks, mut moving) = (0, 0);
    loop {
        let filter = IntegrityFilter { runs: 1_000, ..IntegrityFilter::default() };
        let found = engine.validate(&filter, None).await.expect("an answer");
        assert_eq!(found.issues, []);
        (looks, moving) = (looks + found.looked_at, moving + found.moving.len());
        bench.time.advance(millis(20));
        let unfinished = engine.unfinished(None, 1).await.expect("a page");
        if unfinished.items.is_empty() && unfinished.next.is_none() {
            break;
        }
    }
    assert!(looks > 120, "{looks} looks, {moving} runs moved all the time");
    for (nth, run) in runs.iter().enumerate() {
        let n = nth as u32 % 5;
        assert_eq!(run.result::<u32>().await.expect("a result"), n * n.saturating_sub(1));
    }
    engine.shutdown().await;
}

/// The passes that have ended, the newest first.
async fn passes(engine: &Engine) -> Vec<Head> {
    let query = Query { workflow: Name::new("stepwell.validate").ok(), ..Query::default() };
    let page = engine.list(&query, None, 100).await.expect("a page");
    page.items.into_iter().filter(|head| head.status == Status::Succeeded).collect()
}

/// Lets so many passes come round, one every `minutes`.
async fn pass(bench: &Bench, engine: &Engine, count: usize, every: u64) {
    let before = passes(engine).await.len();
    for nth in 1..=count {
        bench.time.advance(minutes(every));
        until("a pass has ended", async || passes(engine).await.len() >= before + nth).await;
        until("nobody works", async || engine.running() == 0).await;
    }
}

/// The issues that the journals of these runs tell of: in which, of what kind, and about which run.
async fn told(store: &dyn Backend, runs: Vec<RunKey>) -> Vec<(String, IssueKind, RunKey)> {
    let mut found = Vec::new();
    for run in runs {
        let records = records(store, &run).await;
        for record in records.iter().filter(|record| record.kind.as_str() == "issue_found") {
            let Ok(Event::IssueFound(issue)) = Event::read(record) else { panic!("{record:?}") };
            found.push((run.run.to_string(), issue.issue.kind, issue.issue.run));
        }
    }
    found
}

#[tokio::test]
async fn the_store_is_looked_through_by_the_clock_and_each_finding_is_recorded_once() {
    let (bench, _) = healthy().await;
    let store = bench.store.as_ref();
    // One can tell of itself, the other cannot.
    spoil(store, &key("nap-1"), |head| head.workflow_version = 7).await;
    let next = head(store, &key("list-1")).await.next_seq;
    let odd = Record::new(next, Kind::of("moon_landed"), bench.now(), 1, Payload::null());
    write(store, &key("list-1"), vec![odd], |_| {}).await;

    // Many others have ended: the report of the last pass is not on the first page of those.
    let engine = looker_on(Odd { is_slow: true, ..Odd::of(&bench.store) }, &bench).await;
    engine.work();
    engine.keep_validating(minutes(5)).await.expect("a schedule");
    engine.keep_validating(minutes(1)).await.expect("another interval");
    pass(&bench, &engine, 3, 1).await;
    let mut runs = vec![key("nap-1"), key("list-1")];
    runs.extend(passes(&engine).await.into_iter().map(|head| head.key));
    let found = told(store, runs).await;
    let of = |run: &str| found.iter().filter(|(_, _, about)| *about == key(run)).collect::<Vec<_>>();
    assert_eq!(of("nap-1").len(), 1, "{found:?}");
    assert_eq!((of("nap-1")[0].0.as_str(), of("nap-1")[0].1), ("nap-1", HeadDiffers));
    assert_eq!(of("list-1").len(), 1, "{found:?}");
    assert_eq!(of("list-1")[0].1, UnreadableRecord);
    assert_ne!(of("list-1")[0].0, "list-1", "what cannot be read is written to by nobody");
    let last: RunKey = passes(&engine).await.remove(0).key;
    let report: stepwell::integrity::PassReport =
        engine.find(&last).await.expect("a pass").result().await.expect("a report");
    assert_eq!((report.known.len(), report.raised), (2, 0), "{report:?}");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_pass_that_is_cut_off_in_the_middle_of_a_page_records_nothing_twice() {
    // The first finding is recorded by its run, or by the pass where a worker has that.
    for (ttl_ms, by_pass) in [(0, false), (3_600_000, true)] {
        let (bench, _) = healthy().await;
        let store = bench.store.as_ref();
        for run in ["nap-1", "order-1"] {
            spoil(store, &key(run), |head| head.workflow_version = 7).await;
        }
        if ttl_ms > 0 {
            let until = bench.now().plus_ms(ttl_ms);
            let worker = WorkerId::new("w-other").expect("an id");
            let lease = Some(Lease { worker, ttl_ms, expires_at: until });
            spoil(store, &key("nap-1"), |head| head.lease = lease).await;
        }
        let (is_due, is_made) = Default::default();
        let cut = Arc::new(Cut { run: key("order-1"), is_due, is_made });
        let engine = looker_on(Odd { cut: Some(Arc::clone(&cut)), ..Odd::of(&bench.store) }, &bench).await;
        engine.work();
        engine.keep_validating(minutes(1)).await.expect("a schedule");
        bench.time.advance(minutes(1));
        let query = Query { workflow: Name::new("stepwell.validate").ok(), ..Query::default() };
        until("the pass is cut off", async || {
            let heads = engine.list(&query, None, 1).await.expect("a page").items;
            let Some(pass) = heads.first() else { return false };
            records(store, &pass.key).await.iter().any(|record| record.kind.as_str() == "attempt_failed")
        })
        .await;
        assert!(cut.is_made.load(Relaxed) && passes(&engine).await.is_empty());
        pass(&bench, &engine, 2, 1).await;
        let mut runs = vec![key("nap-1"), key("order-1")];
        runs.extend(passes(&engine).await.into_iter().map(|head| head.key));
        let found = told(store, runs).await;
        let of = |run: &str| found.iter().filter(|(_, _, about)| *about == key(run)).collect::<Vec<_>>();
        assert_eq!((of("nap-1").len(), of("order-1").len()), (1, 1), "{found:?}");
        assert_eq!(of("nap-1")[0].0 != "nap-1", by_pass, "{found:?}");
        engine.shutdown().await;
    }
}

#[tokio::test]
async fn a_run_that_stays_late_is_told_so_once() {
    let (bench, _) = healthy().await;
    let engine = bench.builder().register(list()).keep_schedules().build().await.expect("an engine");
    engine.work();
    bench.time.advance(days(1) + minutes(15));
    engine.keep_validating(minutes(6)).await.expect("a schedule");
    pass(&bench, &engine, 6, 6).await;
    let found = told(bench.store.as_ref(), vec![key("nap-1")]).await;
    assert_eq!(found, [("nap-1".to_owned(), RunUnclaimed, key("nap-1"))], "nobody has its workflow");
    engine.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_read_beside_a_journal_is_an_issue_and_hides_no_other() {
    let (bench, _) = healthy().await;
    let mail = Queue::named("mail").expect("a name").concurrency(1);
    drop(bench.builder().queue(mail).build().await.expect("an engine"));
    let limits = limits_head(&bench).await.key;
    spoil(bench.store.as_ref(), &limits, |head| head.summary = Payload::null()).await;
    spoil(bench.store.as_ref(), &key("order-1"), |head| head.workflow_version = 7).await;
    let engine = looker_on(Odd { torn: Some(key("nap-1")), ..Odd::of(&bench.store) }, &bench).await;
    let mut found: Vec<_> =
        all_issues(&engine).await.into_iter().map(|issue| (issue.kind, issue.run, issue.about)).collect();
    found.sort();
    let unread = |run: RunKey, about: &str| (UnreadableRecord, run, about.to_owned());
    let differs = (HeadDiffers, key("order-1"), "workflow_version".to_owned());
    assert_eq!(found, [unread(key("nap-1"), "inbox"), unread(limits, "limits"), differs]);
}
