//! The audit log: what is found of what happened, by what it is about, page by page, while runs go on.

mod bench;
mod until;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use proptest::prelude::*;
use stepwell::contract::{
    Backend, Batch, Guard, Kind, Name, Order, Payload, Query, Record, RunKey, Seq, Status, TenantId,
    Timestamp, Version,
};
use stepwell::observe::audit::{Mark, PAGE_RECORDS_MAX};
use stepwell::prelude::*;
use stepwell::run::event::LogLevel;
use stepwell::{Actor, Ask, Category, EventCursor, EventFilter, FoundEvent, Verb};

use crate::bench::{Bench, at};
use crate::until::{soon, until};

fn of(categories: &[Category]) -> EventFilter {
    EventFilter { categories: categories.to_vec(), ..EventFilter::default() }
}

/// Everything that fits, page by page.
async fn all(engine: &Engine, filter: &EventFilter, limit: usize) -> Vec<FoundEvent> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = engine.search(filter, after, limit).await.expect("a page");
        assert!(page.items.len() <= limit, "a page of {} entries", page.items.len());
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn places(found: &[FoundEvent]) -> Vec<(RunKey, Mark)> {
    found.iter().map(|event| (event.run.clone(), event.entry.mark())).collect()
}

/// Steps that end as their input says.
fn many_ends() -> Workflow<String, String> {
    Workflow::named("ends")
        .step_fn("act", |ctx: StepContext, input: String| async move {
            ctx.log(LogLevel::Debug, "beginning");
            ctx.warn(format!("input is {input}"));
            ctx.checkpoint(&7, 0.5).await?;
            match input.as_str() {
                "invalid" => Err(StepError::validation("no such customer").code("customer.unknown")),
                "slow" => Err(StepError::timeout("too slow")),
                "broken" => Err(StepError::permanent("it is broken").code("act.broken")),
                "held" => Err(StepError::auth("the key has expired")),
                "doubt" => {
                    ctx.cancelled().cancelled().await;
                    Ok(input)
                }
                _ => Ok(input),
            }
        })
        .policy(StepPolicy::default().retry(Retry::none()))
        .build()
        .expect("a workflow")
}

#[tokio::test]
async fn every_category_and_level_is_reached_and_only_what_fits_is_found() {
    let bench = Bench::new();
    let engine = bench.engine(many_ends()).await;
    for input in ["fine", "invalid", "slow", "broken", "held"] {
        let run = engine.start_run("ends", input, &input).await.expect("a run");
        let _ = soon("the run comes to rest", run.output()).await;
    }
    let held = engine.find(&key("held")).await.expect("the run");
    let ask = Ask::new(Verb::Cancel, Actor::Person("ada".to_owned()), "no longer wanted");
    engine.send(held.key(), ask).await.expect("cancelled");
    // A record that a newer engine wrote.
    append(
        &bench,
        &key("fine"),
        Record::new(Seq(0), Kind::of("teleported"), bench.now(), 1, Payload::encode(&1).expect("json")),
    )
    .await;

    let everything = all(&engine, &EventFilter::default(), 7).await;
    let mut by_category: BTreeMap<Category, usize> = BTreeMap::new();
    for category in Category::ALL {
        let found = all(&engine, &of(&[category]), 3).await;
        assert!(!found.is_empty(), "nothing is of category {category}");
        assert!(found.iter().all(|event| event.entry.category == category));
        by_category.insert(category, found.len());
    }
    assert_eq!(by_category.values().sum::<usize>(), everything.len(), "each entry has one category");
    let mut last = usize::MAX;
    for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
        let found = all(&engine, &EventFilter { level: Some(level), ..EventFilter::default() }, 100).await;
        assert!(found.iter().all(|event| event.entry.level >= level));
        assert!(found.iter().any(|event| event.entry.level == level), "{level:?}");
        assert!(found.len() < last, "a higher level finds less");
        last = found.len();
    }

    let texts =
        |found: Vec<FoundEvent>| -> Vec<String> { found.into_iter().map(|event| event.entry.text).collect() };
    let by = async |filter: EventFilter| all(&engine, &filter, 50).await;
    let code = by(EventFilter { code: Some("customer.unknown".to_owned()), ..EventFilter::default() }).await;
    assert!(!code.is_empty() && code.iter().all(|event| event.run == key("invalid")), "{code:?}");
    let diagnosed = by(EventFilter { text: Some("SW".to_owned()), ..of(&[Category::Validation]) }).await;
    let code = diagnosed.first().and_then(|event| event.entry.code.clone()).expect("a code");
    let same = by(EventFilter { code: Some(code.clone()), ..EventFilter::default() }).await;
    assert!(code.starts_with("SW") && same.iter().all(|event| event.entry.kind == "diagnosed"), "{same:?}");
    let ada =
        by(EventFilter { actor: Some(Actor::Person("ada".to_owned())), ..EventFilter::default() }).await;
    assert_eq!(texts(ada), ["ada asked the run to stop for good: no longer wanted"]);
    let lines = by(EventFilter { text: Some("INPUT IS BROKEN".to_owned()), ..EventFilter::default() }).await;
    assert_eq!(texts(lines), ["input is broken"]);
    let fine = EventFilter { run: Some(key("fine")), ..of(&[Category::Consistency]) };
    let unknown = by(fine).await;
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].entry.kind, "teleported");
    let other =
        EventFilter { tenant: Some(TenantId::new("other").expect("an id")), ..EventFilter::default() };
    assert_eq!(by(other).await, []);
    let other = EventFilter { workflow: Some(Name::new("other").expect("a name")), ..EventFilter::default() };
    assert_eq!(by(other).await, []);
    let missing = EventFilter { run: Some(key("missing")), ..EventFilter::default() };
    assert!(engine.search(&missing, None, 1).await.is_err(), "a run that is not there is said to be");
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), stepwell::contract::RunId::new(run).expect("an id"))
}

/// Adds a record to a run behind the engine's back.
async fn append(bench: &Bench, key: &RunKey, record: Record) {
    let mut head = bench.store.head(key).await.expect("readable").expect("a head");
    let from = head.version;
    let record = Record { seq: head.next_seq, ..record };
    head.version = Version { counter: from.counter + 1, nonce: 99 };
    head.next_seq = head.next_seq.plus(1);
    head.updated_at = bench.now();
    let batch = Batch {
        key: key.clone(),
        guard: Guard::At(from),
        head: Some(head),
        append: vec![record],
        post: Vec::new(),
        take: Vec::new(),
    };
    let verdicts = bench.store.commit(&[batch]).await.expect("written");
    assert!(verdicts[0].is_accepted());
}

#[tokio::test]
async fn an_effect_in_doubt_is_found_as_an_inconsistency() {
    let bench = Bench::new();
    let started = Arc::new(AtomicBool::new(false));
    let flow = |started: Arc<AtomicBool>| {
        Workflow::named("w")
            .step_fn("act", move |_: StepContext, input: u32| {
                let started = Arc::clone(&started);
                async move {
                    started.store(true, Ordering::SeqCst);
                    std::future::pending::<()>().await;
                    Ok(input)
                }
            })
            .policy(StepPolicy::default().effect(Effect::NotIdempotent))
            .build()
            .expect("a workflow")
    };
    let first = bench.engine(flow(Arc::clone(&started))).await;
    let run = first.start_run("w", "r-1", &1_u32).await.expect("a run");
    until("the step runs", async || started.load(Ordering::SeqCst)).await;
    let key = run.key().clone();
    drop((run, first));
    bench.time.advance(millis(60_000));
    let second = bench.engine(flow(started)).await;
    let run = second.find(&key).await.expect("the run");
    until("it is held", async || run.head().await.expect("a head").status == Status::Paused).await;
    let found = all(&second, &of(&[Category::Consistency]), 10).await;
    assert!(found.iter().any(|event| event.entry.kind == "run_paused"), "{found:?}");
    let lost = EventFilter { text: Some("did not give it up".to_owned()), ..EventFilter::default() };
    assert_eq!(all(&second, &lost, 10).await.len(), 1);
}

#[tokio::test]
async fn both_orders_tell_the_same_and_a_time_range_takes_its_part() {
    let bench = Bench::new();
    let engine = bench.engine(many_ends()).await;
    for nth in 0..12 {
        let run = engine.start_run("ends", &format!("r-{nth}"), "fine").await.expect("a run");
        soon("the run ends", run.output()).await.expect("a result");
        bench.time.advance(millis(1_000));
    }
    let newest = all(&engine, &EventFilter::default(), 5).await;
    let oldest = all(&engine, &EventFilter { order: Order::Oldest, ..EventFilter::default() }, 4).await;
    let reversed: Vec<_> = oldest.iter().rev().cloned().collect();
    assert_eq!(places(&newest), places(&reversed));
    let unpaged = all(&engine, &EventFilter::default(), 1_000).await;
    assert_eq!(unpaged, newest);

    let (since, until) = (Timestamp(bench.now().0 - 5_000), Timestamp(bench.now().0 - 2_000));
    for order in [Order::Newest, Order::Oldest] {
        let filter = EventFilter { since: Some(since), until: Some(until), order, ..EventFilter::default() };
        let found = all(&engine, &filter, 3).await;
        let expected: BTreeSet<_> = places(&oldest)
            .into_iter()
            .zip(&oldest)
            .filter(|(_, event)| event.entry.at >= since && event.entry.at < until)
            .map(|(place, _)| place)
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(places(&found).into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(found.len(), expected.len());
    }
}

/// Two thousand runs, of which some end while pages are read, and others are made and removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_two_thousand_runs_have_no_gaps_and_no_repeats_while_runs_change() {
    for order in [Order::Newest, Order::Oldest] {
        let bench = Bench::new();
        let flow = Workflow::named("w")
            .step_fn("log", |ctx: StepContext, n: u32| async move {
                ctx.info(format!("first of {n}"));
                ctx.info(format!("second of {n}"));
                Ok(n)
            })
            .wait_for::<u32>("go")
            .step_fn("end", |_: StepContext, n: (u32, u32)| async move { Ok(n.0) })
            .build()
            .expect("a workflow");
        let engine = bench.engine(flow).await;
        for nth in 0..2_000_u32 {
            engine.start_run("w", &format!("r-{nth}"), &nth).await.expect("a run");
            if nth % 20 == 0 {
                bench.time.advance(millis(1));
            }
        }
        until("all wait", async || {
            let query = Query { statuses: vec![Status::Waiting], ..Query::default() };
            engine.select(&query, 3_000).await.expect("a list").runs.len() == 2_000
        })
        .await;
        let there = all(&engine, &EventFilter { order, ..EventFilter::default() }, 1_000).await;
        let there: BTreeSet<_> = places(&there).into_iter().collect();
        assert!(there.len() > 2_000 * 6, "{}", there.len());

        // While pages are read, runs go on, new ones are made, and some of those made last end and are removed.
        let (mut found, mut after, mut pages) = (Vec::new(), None::<EventCursor>, 0_u32);
        let filter = EventFilter { order, ..EventFilter::default() };
        let changes = AtomicU32::new(0);
        loop {
            let page = engine.search(&filter, after, 137).await.expect("a page");
            found.extend(page.items);
            pages += 1;
            let nth = changes.fetch_add(1, Ordering::SeqCst) * 13;
            if nth < 2_000 {
                engine.signal(&key(&format!("r-{nth}")), "go", "s-1", &nth).await.expect("a signal");
            }
            engine.start_run("w", &format!("new-{pages}"), &pages).await.expect("a run");
            bench.time.advance(millis(1));
            // A cursor can be stored.
            let stored = serde_json::to_string(&page.next).expect("json");
            after = serde_json::from_str(&stored).expect("a cursor");
            if after.is_none() {
                break;
            }
        }
        assert!(pages > 50, "{pages}");
        let places = places(&found);
        let distinct: BTreeSet<_> = places.iter().cloned().collect();
        assert_eq!(distinct.len(), places.len(), "nothing is found twice");
        let missing: Vec<_> = there.difference(&distinct).take(5).collect();
        assert!(missing.is_empty(), "what was there is found: {missing:?}");
    }
}

#[tokio::test]
async fn a_page_reads_no_more_than_it_says_and_the_next_goes_on() {
    let bench = Bench::new();
    let flow = Workflow::named("w")
        .step_fn("log", |ctx: StepContext, lines: u32| async move {
            for nth in 0..lines {
                ctx.once(&format!("part-{nth}"), || async { Ok(nth) }).await?;
            }
            Ok(lines)
        })
        .build()
        .expect("a workflow");
    let engine = bench.engine(flow).await;
    let parts = u32::try_from(PAGE_RECORDS_MAX).expect("small") + 500;
    let run = engine.start_run("w", "long", &parts).await.expect("a run");
    soon("the run ends", run.output()).await.expect("a result");
    for order in [Order::Newest, Order::Oldest] {
        // Only the first and the last record fit; between them a page ends empty.
        let filter = EventFilter { order, ..of(&[Category::State]) };
        let (mut kinds, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = engine.search(&filter, after, 10).await.expect("a page");
            kinds.extend(page.items.into_iter().map(|event| event.entry.kind));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(pages >= 2, "{pages}");
        let mut expected = ["run_created", "run_taken", "run_succeeded"];
        if order == Order::Newest {
            expected.reverse();
        }
        assert_eq!(kinds, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever pages are asked for, of whatever filter, together they are what one look at every journal finds.
    #[test]
    fn pages_of_any_size_are_what_a_look_at_every_journal_finds(
        inputs in prop::collection::vec(prop::sample::select(vec!["fine", "invalid", "slow", "broken", "held"]), 1..8),
        category in prop::option::of(prop::sample::select(Category::ALL.to_vec())),
        level in prop::option::of(prop::sample::select(vec![LogLevel::Info, LogLevel::Warn])),
        limit in 1_usize..9,
        is_newest in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let bench = Bench::new();
            let engine = bench.engine(many_ends()).await;
            for (nth, input) in inputs.iter().enumerate() {
                let run = engine.start_run("ends", &format!("r-{nth}"), *input).await.expect("a run");
                let _ = soon("the run comes to rest", run.output()).await;
            }
            let order = if is_newest { Order::Newest } else { Order::Oldest };
            let filter = EventFilter { categories: category.into_iter().collect(), level, order, ..EventFilter::default() };
            let found = all(&engine, &filter, limit).await;
            let mut expected = Vec::new();
            for nth in 0..inputs.len() {
                let key = key(&format!("r-{nth}"));
                for record in engine.history(&key).await.expect("a history") {
                    for entry in filter.entries(&record) {
                        expected.push((key.clone(), entry.mark()));
                    }
                }
            }
            // Runs made in the same millisecond come by their keys.
            let by_run = |places: Vec<(RunKey, Mark)>| places.into_iter().collect::<BTreeSet<_>>();
            assert_eq!(found.len(), expected.len());
            assert_eq!(by_run(places(&found)), by_run(expected));
        });
    }
}

#[tokio::test]
async fn what_was_removed_is_found_no_more_and_a_child_stays_while_its_parent_may_ask_for_it() {
    let bench = Bench::new();
    let child = Workflow::named("child")
        .step_fn("work", |_: StepContext, n: u32| async move { Ok(n) })
        .build()
        .expect("a workflow");
    let parent = Workflow::named("parent")
        .input::<u32>()
        .child("part", &child)
        .wait_for::<u32>("go")
        .build()
        .expect("a workflow");
    let engine = bench.builder().register(child).register(parent).start().await.expect("an engine");
    let run = engine.start_run("parent", "p", &1_u32).await.expect("a run");
    let alone = engine.start_run("child", "alone", &1_u32).await.expect("a run");
    soon("the run ends", alone.output()).await.expect("a result");
    until("the parent waits for the signal", async || {
        let state = engine.state(run.key()).await.expect("a state");
        state.step(&at("go")).is_some()
    })
    .await;
    bench.time.advance(millis(10_000));
    let young = engine.start_run("child", "young", &1_u32).await.expect("a run");
    soon("the run ends", young.output()).await.expect("a result");

    let old = Query { finished_before: Some(Timestamp(bench.now().0 - 5_000)), ..Query::default() };
    let first = engine.remove_finished(&old, None, 100).await.expect("removed");
    assert_eq!((first.removed, first.kept.len(), first.next), (1, 1, None));
    assert!(engine.get(&key("alone")).await.expect("readable").is_none());
    assert!(engine.get(&key("young")).await.expect("readable").is_some());
    let found = all(&engine, &EventFilter::default(), 100).await;
    assert!(found.iter().all(|event| event.run != key("alone")));
    assert!(found.iter().any(|event| event.run == first.kept[0]), "the child and its audit stay");

    engine.signal(&key("p"), "go", "s-1", &1_u32).await.expect("a signal");
    soon("the parent ends", run.output()).await.expect("a result");
    bench.time.advance(millis(10_000));
    let any = Query::default();
    let (mut removed, mut after) = (0, None);
    loop {
        let some = engine.remove_finished(&any, after, 1).await.expect("removed");
        removed += some.removed;
        assert_eq!(some.kept, []);
        after = some.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(removed, 3);
    assert_eq!(all(&engine, &EventFilter::default(), 100).await, []);
}
