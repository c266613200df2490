//! Schedules end to end: engines in memory on simulated time.

use std::sync::Arc;
use std::time::Duration;

use stepwell::clock::SimulatedTime;
use stepwell::contract::{Clock, MemoryBackend, Name, Order, Query, RunKey, Status, TenantId, Timestamp};
use stepwell::prelude::*;
use stepwell::schedule::{Cause, Overlap, Schedule, ScheduleError, ScheduleView, SkipReason, time_of};
use stepwell::{Actor, EngineOptions};
use until::until;

mod until;

/// Midnight UTC on 1 January 2030.
const MIDNIGHT: Timestamp = Timestamp(1_893_456_000_000);

/// The nth full hour of that day.
fn hour(n: u64) -> Timestamp {
    MIDNIGHT.plus_ms(n * 3_600_000)
}

/// A store and its clock, which outlive the engines on them.
struct Bench {
    time: SimulatedTime,
    store: Arc<MemoryBackend>,
}

impl Bench {
    fn new() -> Self {
        let time = SimulatedTime::at(MIDNIGHT);
        let store = MemoryBackend::with_clock(Arc::new(time.clone()) as Arc<dyn Clock>);
        Self { time, store: Arc::new(store) }
    }

    async fn engine(&self) -> Engine {
        let quick = Workflow::named("quick")
            .step_fn("note", |ctx: StepContext, what: String| async move {
                Ok((what, time_of(ctx.run_id()).map(|time| time.0)))
            })
            .build();
        let slow = Workflow::named("slow")
            .input::<String>()
            .wait_for::<u32>("go")
            .step_fn("note", |_ctx: StepContext, (what, _go): (String, u32)| async move { Ok(what) })
            .build();
        let builder = Engine::builder(Arc::clone(&self.store) as _)
            .register(quick.expect("a workflow"))
            .register(slow.expect("a workflow"));
        let options = EngineOptions { poll_ms: 10, ..EngineOptions::default() };
        let builder = builder.options(options).time(Arc::new(self.time.clone()));
        builder.start().await.expect("an engine")
    }

    /// Moves the clock to a time, and waits until the schedule has decided what there is to decide.
    async fn at(&self, engine: &Engine, name: &str, time: Timestamp) -> ScheduleView {
        self.time.advance(Duration::from_millis(time.since_ms(self.time.now())));
        settled(engine, name).await
    }
}

/// The schedule once its run waits for something that lies ahead, and nobody works.
async fn settled(engine: &Engine, name: &str) -> ScheduleView {
    until("the schedule has nothing to do", async || {
        let view = engine.schedules().get(name).await.expect("a schedule");
        let due = Query { due: true, ..Query::default() };
        let due = engine.list(&due, None, 1).await.expect("a page");
        let head = engine.get(&view.keeper).await.expect("a head").expect("a run");
        let is_left = head.lease.is_none() && head.status == Status::Waiting;
        due.items.is_empty() && engine.running() == 0 && is_left
    })
    .await;
    engine.schedules().get(name).await.expect("a schedule")
}

fn hourly(workflow: &str, overlap: Overlap) -> Schedule {
    Schedule::every(hours(1)).starts(workflow, &"x").expect("a sound schedule").overlap(overlap)
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), run.parse().expect("an id"))
}

/// The runs of a workflow, the oldest first: what their ids have behind the name of the schedule, and their statuses.
async fn runs(engine: &Engine, workflow: &str) -> Vec<(String, Status)> {
    let workflow = Name::new(workflow).expect("a name");
    let query = Query { workflow: Some(workflow), order: Order::Oldest, ..Query::default() };
    let page = engine.list(&query, None, 1_000).await.expect("a page");
    let mut runs: Vec<(String, Status)> = page
        .items
        .into_iter()
        .map(|head| {
            let id = head.key.run.as_str();
            (id.split_once('-').expect("an id of a schedule").1.replace("20300101T", ""), head.status)
        })
        .collect();
    runs.sort();
    runs
}

fn seen(expected: &[(&str, Status)]) -> Vec<(String, Status)> {
    expected.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect()
}

async fn let_go(engine: &Engine, run: &str) {
    engine.signal(&key(run), "go", "go", &1u32).await.expect("it waits");
}

#[tokio::test]
async fn a_schedule_starts_runs_at_its_times_with_its_input_and_tags() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedule =
        Schedule::cron("0 9-11 * * *").timezone("Europe/Berlin").starts("quick", &"figures").expect("sound");
    let schedule = schedule.tag("team", "ops").expect("a tag").priority(7);
    let view = engine.schedules().create("report", schedule.clone()).await.expect("a schedule");
    assert_eq!(view.next.iter().map(|next| next.time).take(2).collect::<Vec<_>>(), [hour(8), hour(9)]);

    bench.at(&engine, "report", hour(8)).await;
    let view = bench.at(&engine, "report", hour(9)).await;

    assert_eq!(
        runs(&engine, "quick").await,
        seen(&[("080000Z", Status::Succeeded), ("090000Z", Status::Succeeded)])
    );
    let run = engine.find(&key("report-20300101T080000Z")).await.expect("the run");
    let (what, time) = run.result::<(String, Option<i64>)>().await.expect("a result");
    assert_eq!((what.as_str(), time), ("figures", Some(hour(8).0)));
    let head = run.head().await.expect("a head");
    let tags: Vec<(&str, &str)> =
        head.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(tags, [("schedule", "report"), ("scheduled_for", "2030-01-01T08:00:00Z"), ("team", "ops")]);
    assert_eq!(head.priority, 7);
    assert_eq!((view.counts.started, view.running.len(), view.next[0].time), (2, 0, hour(10)));
    assert_eq!(
        view.recent.iter().map(|run| run.cause.clone()).collect::<Vec<_>>(),
        [Cause::Time, Cause::Time]
    );
}

#[tokio::test]
async fn skip_starts_nothing_while_a_run_has_not_ended() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    engine.schedules().create("s", hourly("slow", Overlap::Skip)).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;
    let view = bench.at(&engine, "s", hour(2)).await;
    assert_eq!(view.passed_over[0].skipped, Some(SkipReason::StillRunning));
    assert_eq!((view.counts.started, view.counts.skipped, view.running.len()), (1, 1, 1));
    let_go(&engine, "s-20300101T010000Z").await;
    settled(&engine, "s").await;
    bench.at(&engine, "s", hour(3)).await;
    assert_eq!(
        runs(&engine, "slow").await,
        seen(&[("010000Z", Status::Succeeded), ("030000Z", Status::Waiting)])
    );
}

#[tokio::test]
async fn queue_lets_one_time_wait_and_starts_it_when_the_run_has_ended() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    engine.schedules().create("s", hourly("slow", Overlap::Queue)).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;
    assert_eq!(bench.at(&engine, "s", hour(2)).await.waiting, Some(hour(2)));
    let view = bench.at(&engine, "s", hour(3)).await;
    assert_eq!((view.waiting, view.passed_over[0].skipped), (Some(hour(2)), Some(SkipReason::OneWaits)));

    // No time passes: the end of the run wakes the schedule.
    let_go(&engine, "s-20300101T010000Z").await;
    until("the one that waited is started", async || runs(&engine, "slow").await.len() == 2).await;
    settled(&engine, "s").await;
    assert_eq!(
        runs(&engine, "slow").await,
        seen(&[("010000Z", Status::Succeeded), ("020000Z", Status::Waiting)])
    );
}

#[tokio::test]
async fn cancel_old_cancels_the_run_that_has_not_ended_and_starts_the_newer_one() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    engine.schedules().create("s", hourly("slow", Overlap::CancelOld)).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;
    bench.at(&engine, "s", hour(2)).await;
    until("the newer one is started", async || runs(&engine, "slow").await.len() == 2).await;
    let view = settled(&engine, "s").await;
    assert_eq!(
        runs(&engine, "slow").await,
        seen(&[("010000Z", Status::Cancelled), ("020000Z", Status::Waiting)])
    );
    assert_eq!((view.counts.started, view.counts.skipped, view.waiting), (2, 0, None));
}

#[tokio::test]
async fn allow_starts_runs_beside_each_other() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    engine.schedules().create("s", hourly("slow", Overlap::Allow)).await.expect("a schedule");
    for n in 1..=3 {
        bench.at(&engine, "s", hour(n)).await;
    }
    let waiting = ["010000Z", "020000Z", "030000Z"].map(|id| (id, Status::Waiting));
    assert_eq!(runs(&engine, "slow").await, seen(&waiting));
}

#[tokio::test]
async fn after_an_outage_the_times_within_the_window_are_started_and_older_ones_are_counted_as_missed() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedule = hourly("quick", Overlap::Allow).catch_up(hours(3));
    engine.schedules().create("s", schedule).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;
    engine.shutdown().await;
    drop(engine);

    bench.time.advance(hours(9) + mins(1));
    let engine = bench.engine().await;
    until("it caught up", async || runs(&engine, "quick").await.len() == 4).await;
    let view = settled(&engine, "s").await;
    let ended = ["010000Z", "080000Z", "090000Z", "100000Z"].map(|id| (id, Status::Succeeded));
    assert_eq!(runs(&engine, "quick").await, seen(&ended));
    assert_eq!((view.counts.missed, view.counts.started), (6, 4));
    let missed = &view.passed_over[0];
    assert_eq!((missed.skipped, missed.span.first, missed.span.count), (None, hour(2), 6));
}

#[tokio::test]
async fn a_paused_schedule_starts_nothing_by_the_clock_and_its_journal_says_who_paused_it() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedules = engine.schedules().by(Actor::Person("ada".to_owned()));
    schedules.create("s", hourly("quick", Overlap::Allow)).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;

    let view = schedules.pause("s", "the receiver is down").await.expect("paused");
    let paused = view.paused.as_ref().expect("who paused it");
    assert_eq!(
        (paused.reason.as_str(), &paused.by),
        ("the receiver is down", &Actor::Person("ada".to_owned()))
    );
    assert!(view.next.is_empty());
    settled(&engine, "s").await;
    bench.at(&engine, "s", hour(4)).await;
    assert_eq!(runs(&engine, "quick").await.len(), 1);
    // A run that someone asks for is started all the same.
    let asked = schedules.trigger("s", "by-hand", "a look").await.expect("a run");
    until("it is started", async || engine.get(&asked).await.expect("a head").is_some()).await;

    schedules.resume("s", "it is up").await.expect("resumed");
    let view = settled(&engine, "s").await;
    let passed = view.passed_over.last().expect("the times of the pause");
    assert_eq!(
        (passed.skipped, passed.span.first, passed.span.count),
        (Some(SkipReason::Paused), hour(2), 3)
    );
    let view = bench.at(&engine, "s", hour(5)).await;
    let ended = ["010000Z", "050000Z", "by-by-hand"].map(|id| (id, Status::Succeeded));
    assert_eq!(runs(&engine, "quick").await, seen(&ended));

    let history = engine.history(&view.keeper).await.expect("a history");
    let said: Vec<&str> = history
        .iter()
        .filter(|record| record.kind.as_str() == "signal_received")
        .map(|record| record.payload.text())
        .collect();
    assert_eq!(said.len(), 3);
    assert!(said[0].contains("the receiver is down") && said[0].contains("ada"), "{}", said[0]);
}

#[tokio::test]
async fn a_trigger_starts_a_run_once_for_each_id() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedules = engine.schedules();
    schedules.create("s", hourly("slow", Overlap::Skip)).await.expect("a schedule");
    for _ in 0..3 {
        let run = schedules.trigger("s", "deploy-7", "").await.expect("a run");
        assert_eq!(run, key("s-by-deploy-7"));
        until("it is started", async || engine.get(&run).await.expect("a head").is_some()).await;
        settled(&engine, "s").await;
    }
    // It counts as a run of the schedule.
    let view = bench.at(&engine, "s", hour(1)).await;
    assert_eq!((view.counts.started, view.counts.skipped), (1, 1));
    let error = schedules.trigger("nobody", "x", "").await.expect_err("there is none");
    assert!(matches!(error, ScheduleError::NoSuchSchedule { .. }), "{error}");
}

#[tokio::test]
async fn a_backfill_starts_times_gone_by_one_after_the_other_and_none_twice() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedules = engine.schedules();
    schedules.create("s", hourly("slow", Overlap::Skip)).await.expect("a schedule");
    for n in 1..=4 {
        bench.at(&engine, "s", hour(n)).await;
    }
    let_go(&engine, "s-20300101T010000Z").await;
    settled(&engine, "s").await;

    let listed = schedules.dry_run_backfill("s", MIDNIGHT, hour(9)).await.expect("a list");
    let listed: Vec<(Timestamp, Option<Status>)> =
        listed.into_iter().map(|one| (one.time, one.status)).collect();
    let ended = Some(Status::Succeeded);
    assert_eq!(
        listed,
        [(hour(0), None), (hour(1), ended), (hour(2), None), (hour(3), None), (hour(4), None)]
    );
    assert_eq!(runs(&engine, "slow").await.len(), 1);

    schedules.backfill("s", hour(1), hour(3), "the report was wrong").await.expect("a backfill");
    for run in ["s-20300101T020000Z", "s-20300101T030000Z"] {
        until("it is started", async || engine.get(&key(run)).await.expect("a head").is_some()).await;
        let view = settled(&engine, "s").await;
        assert_eq!(view.running.iter().map(|run| run.as_str()).collect::<Vec<_>>(), [run]);
        let_go(&engine, run).await;
    }
    until("the backfill is done", async || {
        schedules.get("s").await.expect("a schedule").backfills.is_empty()
    })
    .await;
    let ended = ["010000Z", "020000Z", "030000Z"].map(|id| (id, Status::Succeeded));
    let view = settled(&engine, "s").await;
    assert_eq!(runs(&engine, "slow").await, seen(&ended));
    // The first was there before.
    assert_eq!((view.counts.started, view.counts.refused), (3, 1));
}

#[tokio::test]
async fn a_schedule_is_made_once_and_another_of_the_same_name_is_told_what_differs() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedules = engine.schedules();
    schedules.create("s", hourly("quick", Overlap::Skip)).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;
    let again = schedules.create("s", hourly("quick", Overlap::Skip)).await.expect("the same");
    assert_eq!(again.counts.started, 1);
    let error =
        schedules.create("s", hourly("quick", Overlap::Allow).priority(1)).await.expect_err("another");
    assert!(error.to_string().contains("its priority, overlap differ"), "{error}");
    let error = schedules.create("t", hourly("nobody", Overlap::Skip)).await.expect_err("no such workflow");
    assert!(error.to_string().contains("nobody"), "{error}");
    let other = schedules.clone().of("other".parse().expect("a tenant"));
    assert!(matches!(other.get("s").await, Err(ScheduleError::NoSuchSchedule { .. })));
    assert_eq!(schedules.list(None, 10).await.expect("a page").items.len(), 1);
    assert_eq!(other.list(None, 10).await.expect("a page").items.len(), 0);
}

#[tokio::test]
async fn an_update_counts_from_when_it_was_said_and_a_deleted_name_is_free_again() {
    let bench = Bench::new();
    let engine = bench.engine().await;
    let schedules = engine.schedules();
    schedules.create("s", hourly("quick", Overlap::Skip)).await.expect("a schedule");
    bench.at(&engine, "s", hour(1)).await;
    bench.at(&engine, "s", Timestamp(hour(1).0 + 60_000)).await;
    let daily = Schedule::cron("0 3,22 * * *").starts("quick", &"y").expect("sound");
    let view = schedules.update("s", daily.clone(), "less often").await.expect("updated");
    assert_eq!((view.next[0].time, &view.schedule), (hour(3), &daily));
    settled(&engine, "s").await;
    bench.at(&engine, "s", hour(2)).await;
    bench.at(&engine, "s", hour(3)).await;
    assert_eq!(
        runs(&engine, "quick").await,
        seen(&[("010000Z", Status::Succeeded), ("030000Z", Status::Succeeded)])
    );

    let keeper = schedules.get("s").await.expect("a schedule").keeper;
    schedules.delete("s", "done").await.expect("deleted");
    assert!(matches!(schedules.get("s").await, Err(ScheduleError::NoSuchSchedule { .. })));
    schedules.delete("s", "done").await.expect("it is gone already");
    until("its run has ended", async || {
        engine.get(&keeper).await.expect("a head").expect("a run").status == Status::Succeeded
    })
    .await;
    let again = schedules.create("s", hourly("quick", Overlap::Skip)).await.expect("another");
    assert_eq!(again.keeper.run.as_str(), "schedule.s.2");
    bench.at(&engine, "s", hour(4)).await;
    assert_eq!(runs(&engine, "quick").await.len(), 3);
}
