//! What is shown of runs afterwards is the same on every store: the audit log is searched, figures are counted, and case files are
//! made from what the store has kept, also after it was opened anew.

use std::collections::BTreeMap;

use stepwell::contract::{Order, Status, Timestamp};
use stepwell::prelude::*;
use stepwell::run::event::LogLevel;
use stepwell::{Actor, Category, EventFilter, FoundEvent, StatsFilter, Verb};
use stepwell_tests::on_every_store;
use stepwell_tests::place::Kind;
use stepwell_tests::site::{Site, comes_to, key, until};

const START: Timestamp = Timestamp(1_800_000_000_000);

/// A step that ends as its input says, and logs that.
fn ends() -> Workflow<String, String> {
    Workflow::named("ends")
        .step_fn("act", |ctx: StepContext, input: String| async move {
            ctx.warn(format!("the order is {input}"));
            match input.as_str() {
                "broken" => Err(StepError::permanent("the till is broken").code("till.broken")),
                "again" if ctx.attempt() == 1 => Err(StepError::transient("not yet")),
                _ => Ok(input),
            }
        })
        .policy(StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(3)))
        .build()
        .expect("a workflow")
}

async fn engine(site: &Site) -> Engine {
    site.builder().register(ends()).start().await.expect("an engine")
}

/// Everything that fits, page by page.
async fn all(engine: &Engine, filter: &EventFilter, limit: usize) -> Vec<FoundEvent> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = engine.search(filter, after, limit).await.expect("a page");
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

async fn what_is_shown_of_runs_is_what_happened(kind: Kind) {
    let mut site = Site::at(kind, START).await;
    let first = engine(&site).await;
    let runs = [("r-fine", "fine"), ("r-again", "again"), ("r-broken-1", "broken"), ("r-broken-2", "broken")];
    for (run, input) in runs {
        first.start_run("ends", run, &input).await.expect("a run");
        until("it ends", async || {
            site.pass(millis(1));
            first.get(&key(run)).await.expect("a head").is_some_and(|head| head.status.is_finished())
        })
        .await;
    }
    let ada = Actor::Person("ada".to_owned());
    let asked = first.ask(&key("r-broken-1"), Verb::Retry, ada.clone(), "the till is mended").await;
    asked.expect("retried");
    comes_to(&first, &key("r-broken-1"), Status::Failed).await;
    site.die([first]).await;
    let engine = engine(&site).await;

    // The log of each run is its journal, in either order, in pages of whatever size.
    let by_age = |order| EventFilter { order, ..EventFilter::default() };
    let everything = all(&engine, &by_age(Order::Oldest), 7).await;
    let mut backwards = all(&engine, &by_age(Order::Newest), 100).await;
    backwards.reverse();
    let marks = |found: &[FoundEvent]| -> Vec<_> {
        found.iter().map(|event| (event.run.clone(), event.entry.mark())).collect()
    };
    assert_eq!(marks(&everything), marks(&backwards));
    for (run, _) in runs {
        let seqs: std::collections::BTreeSet<_> = everything
            .iter()
            .filter(|event| event.run == key(run))
            .map(|event| event.entry.mark().seq)
            .collect();
        let journal = engine.history(&key(run)).await.expect("a history");
        assert_eq!(seqs.len(), journal.len(), "{run}: each record is told");
    }
    let by_ada = EventFilter { actor: Some(ada), ..EventFilter::default() };
    let by_ada = all(&engine, &by_ada, 10).await;
    assert_eq!(marks(&by_ada).into_iter().map(|(run, _)| run).collect::<Vec<_>>(), [key("r-broken-1")]);
    let coded = EventFilter { code: Some("till.broken".to_owned()), ..EventFilter::default() };
    let coded = all(&engine, &coded, 10).await;
    assert!(coded.len() >= 3 && coded.iter().all(|event| event.run.run.as_str().starts_with("r-broken")));
    let logged = EventFilter {
        text: Some("the ORDER is again".to_owned()),
        level: Some(LogLevel::Warn),
        ..EventFilter::default()
    };
    assert_eq!(all(&engine, &logged, 10).await.len(), 2, "a line of each attempt");
    let later = EventFilter { since: Some(site.now().plus_ms(1)), ..EventFilter::default() };
    assert_eq!(all(&engine, &later, 10).await.len(), 0);
    let of_requests = EventFilter { categories: vec![Category::Operator], ..EventFilter::default() };
    assert_eq!(all(&engine, &of_requests, 10).await.len(), 1, "the retry");

    // Figures are counted from the same records.
    let stats = engine.stats(&StatsFilter::default()).await.expect("figures");
    assert_eq!(stats.runs, 4);
    let act = &stats.steps[0];
    assert_eq!((act.attempts, act.succeeded, act.failed, act.retries), (6, 2, 4, 2));
    let mut diagnosed = BTreeMap::new();
    for event in everything.iter().filter(|event| event.entry.kind == "diagnosed") {
        *diagnosed.entry(event.entry.code.clone().expect("a code")).or_insert(0) += 1;
    }
    let counted: BTreeMap<String, u64> = stats.codes.into_iter().collect();
    assert_eq!(counted, diagnosed);

    // A case file has what the run's journal has, and several are told in one.
    let file = engine.case_file(&key("r-broken-1")).await.expect("a case file");
    let text = serde_json::to_string(&file).expect("json");
    for told in ["the till is broken", "the till is mended", "ada", "till.broken"] {
        assert!(text.contains(told), "{told} is missing: {text}");
    }
    let joint =
        engine.joint_case_file([key("r-broken-1"), key("r-broken-2")]).await.expect("a joint case file");
    let text = serde_json::to_string(&joint).expect("json");
    assert!(["r-broken-1", "r-broken-2"].iter().all(|run| text.contains(run)), "{text}");
    engine.shutdown().await;
}
on_every_store!(what_is_shown_of_runs_is_what_happened);
