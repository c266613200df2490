//! Many who look at once, while runs execute.

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use serde_json::json;
use stage::Stage;
use tower::ServiceExt as _;

const STREAMS: usize = 200;
const ASKERS: usize = 16;
const PAGES_EACH: usize = 50;
const RUNS: usize = 64;

/// What streams watch and pages show: lists, counts and runs.
const WATCHED: [&str; 5] = [
    "/events?q=",
    "/events?q=status:running",
    "/events",
    "/events?run=held&from=1",
    "/events?q=status:failed",
];
const PAGES: [&str; 9] = [
    "/",
    "/runs",
    "/runs?q=status:running",
    "/api/v1/runs",
    "/runs/held",
    "/runs/held/timeline",
    "/runs/r-7/steps",
    "/runs/r-7/graph",
    "/api/v1/runs/r-7/progress",
];

/// A stream that is followed to its end.
async fn follow(stage: &Stage, path: &str, events: &AtomicU64, open: &AtomicUsize) {
    let request = Request::get(path).header("host", "localhost").extension(stage::on_this_host());
    let request = request.body(Body::empty()).expect("a request");
    let answer = stage.app.router().oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let mut body = answer.into_body().into_data_stream();
    let mut is_open = false;
    while let Some(part) = body.next().await {
        let part = part.expect("the body goes on");
        let told = part.windows(6).filter(|window| window == b"event:").count();
        events.fetch_add(told as u64, Ordering::Relaxed);
        if told > 0 && !is_open {
            is_open = true;
            open.fetch_add(1, Ordering::Relaxed);
        }
    }
    open.fetch_sub(1, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_or_left_while_many_look_at_runs_that_execute() {
    let stage = Arc::new(Stage::new().await);
    stage.engine.start_run("hold", "held", &json!(1)).await.expect("started");
    let (events, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut streams = tokio::task::JoinSet::new();
    for nth in 0..STREAMS {
        let (stage, events, open) = (Arc::clone(&stage), Arc::clone(&events), Arc::clone(&open));
        streams.spawn(async move { follow(&stage, WATCHED[nth % WATCHED.len()], &events, &open).await });
    }
    for nth in 0..RUNS {
        stage.engine.start_run("chatty", &format!("r-{nth}"), &json!(40)).await.expect("started");
    }
    let mut askers = tokio::task::JoinSet::new();
    for asker in 0..ASKERS {
        let stage = Arc::clone(&stage);
        askers.spawn(async move {
            for nth in 0..PAGES_EACH {
                let path = PAGES[(asker + nth) % PAGES.len()];
                let answer = stage.call("GET", path, None).await;
                assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
            }
        });
    }
    while let Some(asker) = askers.join_next().await {
        asker.expect("every page was shown");
    }
    stage.until_so("/api/v1/tally", |tally| tally["by_status"]["succeeded"] == RUNS).await;
    let all_open = async {
        while open.load(Ordering::Relaxed) < STREAMS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), all_open).await.expect("every stream goes on");
    // However many watch, one looks at each thing: four lists and counts, and a run.
    let figures = stage.call("GET", "/metrics", None).await.text;
    assert!(figures.lines().any(|line| line == "stepwell_event_topics 5"), "{figures}");
    stage.app.stop();
    while let Some(stream) = streams.join_next().await {
        stream.expect("a stream that ended with the server");
    }
    println!(
        "HARNESS load streams={STREAMS} runs={RUNS} pages={} events={} errors=0",
        ASKERS * PAGES_EACH,
        events.load(Ordering::Relaxed)
    );
}
