//! Starts that count once, begin later, or stand for each other, on every store: whoever made them dies before they begin.

use std::sync::Arc;

use stepwell::observe::cause::Cause;
use stepwell::prelude::*;
use stepwell::{Actor, StartRun};
use stepwell_contract::{Status, Timestamp};
use stepwell_tests::hold::Hold;
use stepwell_tests::on_every_store;
use stepwell_tests::place::Kind;
use stepwell_tests::site::{Site, comes_to, key, result, until};

const START: Timestamp = Timestamp(1_800_000_000_000);

async fn worker(site: &Site, hold: &Hold) -> Engine {
    let tell = |_ctx: StepContext, n: u64| async move { Ok(n) };
    let quick = Workflow::named("quick").step_fn("tell", tell).build().expect("a workflow");
    let builder = site.builder().register(quick).register(hold.workflow(StepPolicy::default()));
    builder.start().await.expect("a worker")
}

fn held(run: &str) -> StartRun {
    StartRun::new("hold", run, &()).expect("a start").singleton("nightly")
}

fn quick(run: &str, input: u64) -> StartRun {
    StartRun::new("quick", run, &input).expect("a start")
}

/// The run that a start stands for, and whether it made that.
async fn start(engine: &Engine, run: StartRun) -> (String, bool) {
    let run = engine.start_with(run).await.expect("a run");
    (run.key().run.to_string(), run.is_new())
}

async fn a_singleton_is_one_unfinished_run_also_for_those_who_come_after_a_death(kind: Kind) {
    let (mut site, hold) = (Site::at(kind, START).await, Hold::default());
    let (one, two) = (Arc::new(worker(&site, &hold).await), Arc::new(worker(&site, &hold).await));
    let starts = (0..12).map(|nth| {
        let engine = Arc::clone(if nth % 2 == 0 { &one } else { &two });
        tokio::spawn(async move { start(&engine, held(&format!("r-{nth}"))).await })
    });
    let mut found = Vec::new();
    for started in starts.collect::<Vec<_>>() {
        found.push(started.await.expect("no panic"));
    }
    let (run, _) = found[0].clone();
    assert!(found.iter().all(|(other, _)| *other == run), "{found:?}");
    assert_eq!(found.iter().filter(|(_, is_new)| *is_new).count(), 1);
    hold.begun(1).await;
    let workers = [one, two].map(|worker| Arc::into_inner(worker).expect("nobody else starts any more"));
    site.die(workers).await;

    let engine = worker(&site, &hold).await;
    assert_eq!(start(&engine, held("late")).await, (run.clone(), false));
    hold.begun(2).await;
    hold.release();
    comes_to(&engine, &key(&run), Status::Succeeded).await;
    assert_eq!(start(&engine, held("next")).await, ("next".to_owned(), true));
    assert_eq!(start(&engine, held("weekly").singleton("weekly")).await.0, "weekly");
    comes_to(&engine, &key("next"), Status::Succeeded).await;
    assert_eq!(site.faults([key(&run), key("next")]).await, Vec::<String>::new());
}
on_every_store!(a_singleton_is_one_unfinished_run_also_for_those_who_come_after_a_death);

async fn a_start_within_the_window_is_the_earlier_one_after_its_end_and_the_death_of_its_worker(kind: Kind) {
    let (mut site, hold) = (Site::at(kind, START).await, Hold::default());
    let engine = worker(&site, &hold).await;
    let order = |run: &str| quick(run, 7).dedup("order-7", hours(1));
    assert_eq!(start(&engine, order("r-0")).await, ("r-0".to_owned(), true));
    comes_to(&engine, &key("r-0"), Status::Succeeded).await;
    site.die([engine]).await;

    let engine = worker(&site, &hold).await;
    site.pass_until(START.plus_ms(50 * 60_000));
    assert_eq!(start(&engine, order("r-1")).await, ("r-0".to_owned(), false));
    assert_eq!(engine.get(&key("r-1")).await.expect("a head"), None);
    site.pass_until(START.plus_ms(70 * 60_000));
    assert_eq!(start(&engine, order("r-2")).await, ("r-2".to_owned(), true));
}
on_every_store!(a_start_within_the_window_is_the_earlier_one_after_its_end_and_the_death_of_its_worker);

async fn of_many_starts_in_a_row_the_last_input_counts_whichever_engine_took_it(kind: Kind) {
    let (mut site, hold) = (Site::at(kind, START).await, Hold::default());
    let typed = |input: u64| {
        let by = Actor::Person(format!("typist {input}"));
        quick(&format!("r-{input}"), input).actor(by).debounce("doc", mins(10), mins(60))
    };
    let mut engine = worker(&site, &hold).await;
    assert_eq!(start(&engine, typed(1)).await, ("r-1".to_owned(), true));
    for input in 2..=8 {
        site.die([engine]).await;
        engine = worker(&site, &hold).await;
        site.pass_until(START.plus_ms((input - 1) * 8 * 60_000));
        assert_eq!(start(&engine, typed(input)).await, ("r-1".to_owned(), false));
    }
    // Ten quiet minutes would end after an hour: longer than the first may wait.
    let Some(Cause::NotBefore { at }) = engine.cause(&key("r-1")).await.expect("a cause") else {
        panic!("it has begun");
    };
    assert_eq!(at.since_ms(START) / 60_000, 60);
    site.die([engine]).await;
    let engine = worker(&site, &hold).await;
    let history = engine.history(&key("r-1")).await.expect("a history");
    assert_eq!(history.iter().filter(|record| record.kind.as_str() == "start_moved").count(), 7);
    site.pass_until(at);
    let run = engine.find(&key("r-1")).await.expect("the run");
    assert_eq!(result::<u64>(&run).await, 8);
    assert_eq!(start(&engine, typed(9)).await, ("r-9".to_owned(), true));
    drop(run);
    assert_eq!(site.faults([key("r-1")]).await, Vec::<String>::new());
}
on_every_store!(of_many_starts_in_a_row_the_last_input_counts_whichever_engine_took_it);

async fn a_delayed_run_begins_at_its_time_whoever_is_there_and_not_because_of_mail(kind: Kind) {
    let (mut site, hold) = (Site::at(kind, START).await, Hold::default());
    let mut engine = worker(&site, &hold).await;
    let at = START.plus_ms(24 * 3_600_000);
    assert_eq!(start(&engine, quick("r-0", 5).not_before(at)).await, ("r-0".to_owned(), true));
    for (nth, hour) in [1_u64, 12, 23].into_iter().enumerate() {
        site.die([engine]).await;
        engine = worker(&site, &hold).await;
        site.pass_until(START.plus_ms(hour * 3_600_000));
        engine.signal(&key("r-0"), "hello", &format!("m-{nth}"), "x").await.expect("sent");
        until("the signal is taken and the run left alone", async || {
            let history = engine.history(&key("r-0")).await.expect("a history");
            let signals = history.iter().filter(|record| record.kind.as_str() == "signal_received").count();
            let head = engine.get(&key("r-0")).await.expect("a head").expect("the run");
            signals == nth + 1 && head.lease.is_none() && engine.running() == 0
        })
        .await;
        let head = engine.get(&key("r-0")).await.expect("a head").expect("the run");
        assert_eq!((head.status, head.wake_at), (Status::Queued, Some(at)), "in hour {hour}");
        assert_eq!(engine.cause(&key("r-0")).await.expect("a cause"), Some(Cause::NotBefore { at }));
    }
    site.die([engine]).await;
    let engine = worker(&site, &hold).await;
    site.pass_until(at);
    let run = engine.find(&key("r-0")).await.expect("the run");
    assert_eq!(result::<u64>(&run).await, 5);
    let records = engine.history(&key("r-0")).await.expect("a history");
    let begun = records.iter().find(|record| record.kind.as_str() == "step_started").expect("it has begun");
    assert!(begun.at >= at, "{} is before {at}", begun.at);
    drop(run);
    assert_eq!(site.faults([key("r-0")]).await, Vec::<String>::new());
}
on_every_store!(a_delayed_run_begins_at_its_time_whoever_is_there_and_not_because_of_mail);
