//! Events as they happen: told once, in order, from where one left off, and looked for once for all who watch.

mod stage;

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::contract::{RunId, RunKey, TenantId};
use stepwell_server::ServerOptions;
use stepwell_server::access::Role;
use stepwell_server::access::token::TokenRule;
use tower::ServiceExt as _;

/// An event.
#[derive(Debug, Clone)]
struct Event {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// A stream of events that is open.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    async fn open(stage: &Stage, query: &str, last: Option<u64>) -> Self {
        let mut request = Request::get(format!("/events{query}")).header("host", "localhost");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = stage.router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        let next = async {
            loop {
                while let Some((block, rest)) = self.text.split_once("\n\n") {
                    let block = block.to_owned();
                    self.text = rest.to_owned();
                    if let Some(event) = read(&block) {
                        return Some(event);
                    }
                }
                let bytes = self.body.next().await?.expect("the body goes on");
                self.text.push_str(std::str::from_utf8(&bytes).expect("text"));
            }
        };
        tokio::time::timeout(Duration::from_secs(60), next).await.expect("an event within a minute")
    }

    /// The next event of that name that is so.
    async fn find(&mut self, name: &str, is_so: impl Fn(&Value) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == name && is_so(&event.data) {
                return event;
            }
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The event in a block of lines; `None` for a comment.
fn read(block: &str) -> Option<Event> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim).map(str::to_owned))
    };
    Some(Event {
        name: field("event")?,
        id: field("id").map(|id| id.parse().expect("a number")),
        data: serde_json::from_str(&field("data")?).expect("JSON"),
    })
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

async fn go(stage: &Stage, run: &str) {
    stage.engine.signal(&key(run), "go", "once", &json!(1)).await.expect("heard");
}

#[tokio::test]
async fn a_run_is_followed_to_its_end_and_from_where_one_left_off() {
    let stage = Stage::new().await;
    stage.engine.start_run("wait", "w", &json!(1)).await.expect("started");
    let mut events = Events::open(&stage, "?run=w", None).await;
    events.find("run", |run| run["status"] == "waiting").await;
    go(&stage, "w").await;
    let last = events.find("run", |run| run["status"] == "succeeded").await;
    assert_eq!(last.data["run"], "w");
    assert_eq!(events.rest().await.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["end"]);
    // All of it again, and the half of it that was not told.
    let all = Events::open(&stage, "?run=w", None).await.rest().await;
    let seqs: Vec<u64> =
        all.iter().filter(|event| event.name == "record").filter_map(|event| event.id).collect();
    let history = stage.engine.history(&key("w")).await.expect("a history");
    assert_eq!(seqs, (1..=history.len() as u64).collect::<Vec<_>>());
    let half = seqs[seqs.len() / 2];
    let rest = Events::open(&stage, "?run=w", Some(half)).await.rest().await;
    let again: Vec<u64> = rest.iter().filter_map(|event| event.id).collect();
    assert_eq!(again, seqs.into_iter().filter(|seq| *seq > half).collect::<Vec<_>>());
    let from = Events::open(&stage, &format!("?run=w&from={half}"), None).await.rest().await;
    assert_eq!(from.first().and_then(|event| event.id), Some(half));
}

#[tokio::test]
async fn a_run_with_more_records_than_are_kept_is_told_from_its_beginning() {
    let stage = Stage::new().await;
    stage.engine.start_run("chatty", "c", &json!(700)).await.expect("started");
    stage.until_so("/api/v1/runs/c", |run| run["status"] == "succeeded").await;
    let history = stage.engine.history(&key("c")).await.expect("a history");
    assert!(history.len() > 700, "{}", history.len());
    let told = Events::open(&stage, "?run=c", None).await.rest().await;
    let seqs: Vec<u64> = told.iter().filter_map(|event| event.id).collect();
    assert_eq!(seqs, (1..=history.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_list_tells_of_runs_that_come_change_and_go_and_of_counts() {
    let stage = Stage::new().await;
    let mut events = Events::open(&stage, "?q=status:waiting", None).await;
    events.find("list", |list| list["runs"] == json!([])).await;
    stage.engine.start_run("wait", "w", &json!(1)).await.expect("started");
    events.find("run", |run| run["run"] == "w" && run["status"] == "waiting").await;
    events.find("list", |list| list["runs"] == json!([{ "tenant": "default", "run": "w" }])).await;
    events.find("tally", |counts| counts["waiting"] == 1).await;
    go(&stage, "w").await;
    events.find("list", |list| list["runs"] == json!([])).await;
    events.find("tally", |counts| counts["succeeded"] == 1 && counts["waiting"] == 0).await;
}

#[tokio::test]
async fn many_who_watch_the_same_are_one_who_looks_and_none_is_none() {
    let stage = Stage::new().await;
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(Events::open(&stage, "?q=status:failed", None).await);
    }
    for events in &mut open {
        events.find("list", |_| true).await;
    }
    let figures = stage.call("GET", "/metrics", None).await.text;
    let has = |line: &str| figures.lines().any(|found| found == line);
    assert!(has("stepwell_event_streams 100") && has("stepwell_event_topics 2"), "{figures}");
    drop(open);
    let asked = async {
        while !stage.call("GET", "/metrics", None).await.text.contains("stepwell_event_topics 0\n") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("nobody looks any more");
}

#[tokio::test]
async fn streams_end_with_the_server_and_are_no_more_than_allowed() {
    let mut options = ServerOptions::default();
    options.streams_max = 1;
    let stage = Stage::with(options).await;
    let events = Events::open(&stage, "", None).await;
    let refused = stage.call("GET", "/events", None).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{}", refused.text);
    stage.app.stop();
    events.rest().await;
    // Those that are asked for afterwards end at once.
    Events::open(&stage, "", None).await.rest().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_by_name() {
    let stage = Stage::new().await;
    let rows = [
        ("?run=none", 404, "no run"),
        ("?q=stauts:failed", 400, "did you mean"),
        ("?run=a&q=", 400, "two streams"),
        ("?from=3", 400, "of a `run`"),
        ("?rnu=a", 400, "rnu"),
    ];
    for (query, status, text) in rows {
        let refused = stage.call("GET", &format!("/events{query}"), None).await;
        assert_eq!(refused.status.as_u16(), status, "{query}: {}", refused.text);
        assert!(refused.text.contains(text), "{query}: {}", refused.text);
    }
}

#[tokio::test]
async fn one_caller_leaves_streams_to_others_and_a_stream_ends_with_its_session() {
    let draw = |name: &str| TokenRule::draw(name, Role::Viewer, None).expect("random numbers");
    let ((anns, ann), (bobs, bob)) = (draw("ann"), draw("bob"));
    let mut options = ServerOptions::default().token(ann).token(bob);
    options.streams_max = 4;
    let stage = Stage::with(options).await;
    let login = format!("token={anns}&to=/");
    let form =
        Request::post("/login").header("host", "localhost").body(Body::from(login)).expect("a request");
    let logged_in = stage.app.alone().oneshot(form).await.expect("an answer");
    let set = logged_in.headers()["set-cookie"].to_str().expect("text").to_owned();
    let cookie = set.split(';').next().expect("a cookie").to_owned();
    let watch = async |name: &str, value: String| {
        let request = Request::get("/events").header("host", "localhost").header(name, value);
        let request = request.body(Body::empty()).expect("a request");
        stage.router.clone().oneshot(request).await.expect("an answer")
    };
    let in_session = watch("cookie", cookie.clone()).await;
    let by_token = watch("authorization", format!("Bearer {anns}")).await;
    assert_eq!((in_session.status(), by_token.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(
        watch("authorization", format!("Bearer {anns}")).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
    let bobs = watch("authorization", format!("Bearer {bobs}")).await;
    assert_eq!(bobs.status(), StatusCode::OK);
    let out = Request::post("/logout").header("host", "localhost").header("cookie", cookie);
    stage.app.alone().oneshot(out.body(Body::empty()).expect("a request")).await.expect("an answer");
    let ended = async { in_session.into_body().into_data_stream().collect::<Vec<_>>().await };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends with the session");
    // What it took is there for the next one.
    let again = watch("authorization", format!("Bearer {anns}")).await;
    assert_eq!(again.status(), StatusCode::OK);
}
