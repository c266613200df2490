//! Workflows that are posted as data, on every store: whoever does their steps outlives the engines, and the other way round.

use serde_json::value::RawValue;
use stepwell::prelude::*;
use stepwell::{Actor, OutsideFilter, OutsideStep, Outsider, PostedWorkflow, Report};
use stepwell_contract::{Status, Timestamp};
use stepwell_tests::on_every_store;
use stepwell_tests::place::Kind;
use stepwell_tests::site::{Site, comes_to, key, result, until};

const START: Timestamp = Timestamp(1_800_000_000_000);
const REEL: &str = r#"{"reel":123456789012345678901234567890,"label":"\u00fc"}"#;

fn film() -> PostedWorkflow {
    let text = r#"{"name": "film", "version": 3, "steps": [
        {"name": "cut", "timeout_ms": 3600000, "estimate_ms": 60000, "max_attempts": 2},
        {"name": "dub", "timeout_ms": 3600000, "effect": "not_idempotent"}
    ]}"#;
    serde_json::from_str(text).expect("it is read")
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn done(text: &str) -> Report {
    Report::succeeded(&*raw(text)).expect("JSON")
}

/// An engine that no program has registered anything with, and that takes runs.
async fn worker(site: &Site) -> Engine {
    site.builder().start().await.expect("a worker")
}

/// What is offered of a step, once it is.
async fn offered(engine: &Engine, step: &str) -> OutsideStep {
    let filter = OutsideFilter { with_begun: true, ..OutsideFilter::default() };
    let mut found = None;
    until(&format!("{step} waits for someone outside"), async || {
        let page = engine.outside_steps(&filter, None, 10).await.expect("a page");
        found = page.items.into_iter().find(|offered| offered.token.place.step.as_str() == step);
        found.is_some()
    })
    .await;
    found.expect("it was found")
}

async fn a_posted_workflow_outlives_every_engine_and_is_driven_by_reports_alone(kind: Kind) {
    let mut site = Site::at(kind, START).await;
    let (nina, ada) = (Actor::Person("nina".to_owned()), Outsider::named("ada").on_host("h-1"));
    let engine = worker(&site).await;
    let posted = engine.post_workflow(film(), nina.clone()).await.expect("posted");
    engine.start_run("film", "r-1", &*raw(REEL)).await.expect("a run");
    let cut = offered(&engine, "cut").await;
    assert_eq!(cut.input.as_ref().expect("its input").text(), REEL);
    engine.report(&cut.token, Report::started(ada.clone())).await.expect("it is hers");
    site.die([engine]).await;

    // The next one has read what was posted, and knows who is at work.
    let engine = worker(&site).await;
    assert_eq!(engine.posted_workflows().await.expect("a list"), std::slice::from_ref(&posted));
    let begun = offered(&engine, "cut").await;
    assert_eq!(begun.begun.as_ref().map(|begun| &begun.by), Some(&ada));
    assert_eq!(begun.input.as_ref().expect("its input").text(), REEL);
    let other = engine.report(&cut.token, Report::started(Outsider::named("bob"))).await;
    assert!(other.is_err_and(|refused| refused.to_string().contains("was begun by ada")));
    engine.report(&cut.token, Report::started(ada)).await.expect("she says it again");
    engine.report(&cut.token, done(REEL)).await.expect("taken");
    let dub = offered(&engine, "dub").await;
    assert_eq!(dub.input.as_ref().expect("its input").text(), REEL);
    site.die([engine]).await;

    // One that takes no runs takes the report, and another one goes on.
    let steering = site.builder().build().await.expect("an engine");
    steering.report(&dub.token, done("[1e400,2]")).await.expect("taken");
    steering.report(&dub.token, done("[1e400,2]")).await.expect("it was told before");
    site.die([steering]).await;
    let engine = worker(&site).await;
    comes_to(&engine, &key("r-1"), Status::Succeeded).await;
    let run = engine.find(&key("r-1")).await.expect("the run");
    assert_eq!(result::<Box<RawValue>>(&run).await.get(), "[1e400,2]");
    let again = engine.post_workflow(film(), Actor::Program).await.expect("the same");
    assert_eq!(again, posted, "who posted it first stays");
    assert_eq!(site.faults([key("r-1")]).await, Vec::<String>::new());
    engine.shutdown().await;
}
on_every_store!(a_posted_workflow_outlives_every_engine_and_is_driven_by_reports_alone);
