//! Schedules on every store: whoever keeps them dies while their runs wait, and times come and go while nobody is there.

use stepwell::Actor;
use stepwell::prelude::*;
use stepwell::schedule::{Overlap, Schedule, ScheduleView, SkipReason, time_of};
use stepwell_contract::{Name, Order, Query, Status, Timestamp};
use stepwell_tests::on_every_store;
use stepwell_tests::place::Kind;
use stepwell_tests::site::{Site, key, result, until};

/// Midnight UTC on 1 January 2030.
const MIDNIGHT: Timestamp = Timestamp(1_893_456_000_000);

/// The nth full hour of that day.
fn hour(n: u64) -> Timestamp {
    MIDNIGHT.plus_ms(n * 3_600_000)
}

/// One workflow that ends at once and one that waits to be let go.
async fn worker(site: &Site) -> Engine {
    let note =
        |ctx: StepContext, what: String| async move { Ok((what, time_of(ctx.run_id()).map(|time| time.0))) };
    let quick = Workflow::named("quick").step_fn("note", note).build().expect("a workflow");
    let note = |_ctx: StepContext, (what, _go): (String, u32)| async move { Ok(what) };
    let slow = Workflow::named("slow").input::<String>().wait_for::<u32>("go").step_fn("note", note);
    let slow = slow.build().expect("a workflow");
    site.builder().register(quick).register(slow).start().await.expect("a worker")
}

/// The schedule, once it and its runs have come to rest.
async fn settled(site: &Site, engine: &Engine, name: &str) -> ScheduleView {
    site.rests(engine).await;
    engine.schedules().get(name).await.expect("a schedule")
}

async fn at(site: &Site, engine: &Engine, name: &str, time: Timestamp) -> ScheduleView {
    site.pass_until(time);
    settled(site, engine, name).await
}

fn hourly(workflow: &str, overlap: Overlap) -> Schedule {
    Schedule::every(hours(1)).starts(workflow, &"x").expect("a sound schedule").overlap(overlap)
}

/// The runs of a workflow: what their ids have behind the name of the schedule and the day, and their statuses.
async fn runs(engine: &Engine, workflow: &str) -> Vec<(String, Status)> {
    let workflow = Name::new(workflow).expect("a name");
    let query = Query { workflow: Some(workflow), order: Order::Oldest, ..Query::default() };
    let page = engine.list(&query, None, 1_000).await.expect("a page");
    let named = |id: &str| id.split_once('-').expect("an id of a schedule").1.replace("20300101T", "");
    let mut runs: Vec<_> =
        page.items.into_iter().map(|head| (named(head.key.run.as_str()), head.status)).collect();
    runs.sort();
    runs
}

fn seen(expected: &[(&str, Status)]) -> Vec<(String, Status)> {
    expected.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect()
}

async fn let_go(engine: &Engine, run: &str) {
    engine.signal(&key(run), "go", "go", &1u32).await.expect("it waits");
}

async fn a_schedule_starts_one_run_for_each_time_whoever_keeps_it(kind: Kind) {
    let mut site = Site::at(kind, MIDNIGHT).await;
    let mut engine = worker(&site).await;
    let schedule = Schedule::cron("0 9-11 * * *").timezone("Europe/Berlin").starts("quick", &"figures");
    engine.schedules().create("report", schedule.expect("sound")).await.expect("a schedule");
    for n in [8, 9, 10] {
        settled(&site, &engine, "report").await;
        site.die([engine]).await;
        engine = worker(&site).await;
        let view = at(&site, &engine, "report", hour(n)).await;
        assert_eq!(view.counts.started, n - 7);
    }
    // The next one is on the next day.
    let view = at(&site, &engine, "report", hour(20)).await;
    assert_eq!((view.counts.started, view.next[0].time), (3, hour(32)));
    let ended = ["080000Z", "090000Z", "100000Z"].map(|id| (id, Status::Succeeded));
    assert_eq!(runs(&engine, "quick").await, seen(&ended));
    let run = engine.find(&key("report-20300101T090000Z")).await.expect("the run");
    assert_eq!(result::<(String, Option<i64>)>(&run).await, ("figures".to_owned(), Some(hour(9).0)));
    assert_eq!(site.faults([view.keeper]).await, Vec::<String>::new());
}
on_every_store!(a_schedule_starts_one_run_for_each_time_whoever_keeps_it);

async fn what_overlaps_is_skipped_or_waits_for_the_run_before_across_deaths(kind: Kind) {
    for overlap in [Overlap::Skip, Overlap::Queue] {
        let mut site = Site::at(kind, MIDNIGHT).await;
        let mut engine = worker(&site).await;
        engine.schedules().create("s", hourly("slow", overlap)).await.expect("a schedule");
        at(&site, &engine, "s", hour(1)).await;
        site.die([engine]).await;
        engine = worker(&site).await;
        let view = at(&site, &engine, "s", hour(2)).await;
        let (skipped, waiting) = match overlap {
            Overlap::Skip => (view.passed_over.last().and_then(|times| times.skipped), None),
            _ => (None, Some(hour(2))),
        };
        assert_eq!(view.waiting, waiting);
        assert!(overlap == Overlap::Queue || skipped == Some(SkipReason::StillRunning), "{skipped:?}");
        assert_eq!((view.counts.started, view.running.len()), (1, 1));

        site.die([engine]).await;
        engine = worker(&site).await;
        let_go(&engine, "s-20300101T010000Z").await;
        let next = match overlap {
            // The next time finds nothing in its way.
            Overlap::Skip => {
                settled(&site, &engine, "s").await;
                at(&site, &engine, "s", hour(3)).await;
                "030000Z"
            }
            // The end of the run wakes the schedule.
            _ => {
                until("the one that waited is started", async || runs(&engine, "slow").await.len() == 2)
                    .await;
                "020000Z"
            }
        };
        let view = settled(&site, &engine, "s").await;
        let expected = seen(&[("010000Z", Status::Succeeded), (next, Status::Waiting)]);
        assert_eq!(runs(&engine, "slow").await, expected);
        assert_eq!((view.counts.started, view.waiting), (2, None));
        let started = view.running.iter().map(|run| key(run.as_str()));
        let all = started.chain([view.keeper.clone(), key("s-20300101T010000Z")]);
        assert_eq!(site.faults(all).await, Vec::<String>::new());
    }
}
on_every_store!(what_overlaps_is_skipped_or_waits_for_the_run_before_across_deaths);

async fn after_an_outage_the_times_within_the_window_are_caught_up_and_older_ones_are_missed(kind: Kind) {
    let mut site = Site::at(kind, MIDNIGHT).await;
    let engine = worker(&site).await;
    let schedule = hourly("quick", Overlap::Allow).catch_up(hours(3));
    engine.schedules().create("s", schedule).await.expect("a schedule");
    at(&site, &engine, "s", hour(1)).await;
    site.die([engine]).await;

    site.pass_until(hour(10).plus_ms(60_000));
    let engine = worker(&site).await;
    until("it caught up", async || runs(&engine, "quick").await.len() == 4).await;
    let view = settled(&site, &engine, "s").await;
    let ended = ["010000Z", "080000Z", "090000Z", "100000Z"].map(|id| (id, Status::Succeeded));
    assert_eq!(runs(&engine, "quick").await, seen(&ended));
    assert_eq!((view.counts.missed, view.counts.started), (6, 4));
    let missed = &view.passed_over[0];
    assert_eq!((missed.skipped, missed.span.first, missed.span.count), (None, hour(2), 6));
}
on_every_store!(after_an_outage_the_times_within_the_window_are_caught_up_and_older_ones_are_missed);

async fn a_pause_and_a_trigger_hold_for_whoever_keeps_the_schedule_next(kind: Kind) {
    let mut site = Site::at(kind, MIDNIGHT).await;
    let engine = worker(&site).await;
    engine.schedules().create("s", hourly("quick", Overlap::Allow)).await.expect("a schedule");
    at(&site, &engine, "s", hour(1)).await;
    site.die([engine]).await;

    // It is paused by an engine that keeps no schedules, and that one dies as well.
    let elsewhere = site.builder().build().await.expect("an engine");
    let ada = Actor::Person("ada".to_owned());
    let asked = elsewhere.schedules().by(ada.clone());
    let view = asked.pause("s", "the receiver is down").await.expect("paused");
    assert_eq!(
        view.paused.map(|paused| (paused.by, paused.reason)),
        Some((ada, "the receiver is down".into()))
    );
    let triggered = asked.trigger("s", "by-hand", "a look").await.expect("a run");
    drop(asked);
    site.die([elsewhere]).await;

    let engine = worker(&site).await;
    until("it is started all the same", async || engine.get(&triggered).await.expect("a head").is_some())
        .await;
    at(&site, &engine, "s", hour(4)).await;
    let ended = ["010000Z", "by-by-hand"].map(|id| (id, Status::Succeeded));
    assert_eq!(runs(&engine, "quick").await, seen(&ended), "nothing by the clock");
    // The same trigger again is the same run.
    assert_eq!(engine.schedules().trigger("s", "by-hand", "a look").await.expect("a run"), triggered);
    settled(&site, &engine, "s").await;
    site.die([engine]).await;

    let engine = worker(&site).await;
    engine.schedules().resume("s", "it is up").await.expect("resumed");
    let view = settled(&site, &engine, "s").await;
    let passed = view.passed_over.last().expect("the times of the pause");
    assert_eq!((passed.skipped, passed.span.count), (Some(SkipReason::Paused), 3));
    let view = at(&site, &engine, "s", hour(5)).await;
    let ended = ["010000Z", "050000Z", "by-by-hand"].map(|id| (id, Status::Succeeded));
    assert_eq!(runs(&engine, "quick").await, seen(&ended));
    let run = engine.find(&triggered).await.expect("the run");
    assert_eq!(result::<(String, Option<i64>)>(&run).await, ("x".to_owned(), None));
    assert_eq!(site.faults([view.keeper, triggered]).await, Vec::<String>::new());
}
on_every_store!(a_pause_and_a_trigger_hold_for_whoever_keeps_the_schedule_next);
