//! What is shown of one run: every view with its tag, to its own tenant, page by page and digit by digit.

mod stage;

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::contract::{MemoryBackend, TenantId};
use stepwell::prelude::*;
use stepwell::{Queue, StartRun};
use stepwell_server::ServerOptions;
use stepwell_server::access::Role;
use stepwell_server::access::token::{SecretHash, TokenRule};
use stepwell_server::view::Listed;
use stepwell_server::view::attempt::Attempt;
use stepwell_server::view::diagnosis::Diagnosis;
use stepwell_server::view::entry::Entry;
use stepwell_server::view::explanation::{CanResume, Explanation};
use stepwell_server::view::graph::RunGraph;
use stepwell_server::view::progress::Progress;
use stepwell_server::view::record::HistoryEntry;
use stepwell_server::view::run::Run;
use stepwell_server::view::step::Step;
use stepwell_server::view::unfinished::UnfinishedRun;

/// A waiting run `w`, a failed run `bad` and a run `packed` that has done three items of a map.
async fn three(stage: &Stage) {
    stage.engine.start_run("wait", "w", &json!({ "n": 1 })).await.expect("started");
    stage.until("w", "waiting").await;
    stage.run("check", "bad", &json!("bad")).await;
    stage.run("pack", "packed", &json!([7, 8, 9])).await;
}

/// Every view of a run.
const VIEWS: [&str; 13] = [
    "",
    "/progress",
    "/steps",
    "/steps/check",
    "/steps/check/attempts",
    "/history",
    "/logs",
    "/explain",
    "/diagnosis",
    "/report",
    "/can-resume",
    "/graph",
    "/input",
];

#[tokio::test]
async fn every_view_says_what_the_run_is_and_has_its_tag() {
    let stage = Stage::new().await;
    three(&stage).await;
    let rows = [
        ("w/progress", "/steps/1/state", json!("waits_for_a_signal")),
        ("w/progress", "/is_complete", json!(true)),
        ("w/steps", "/items/1/signals/0", json!("go")),
        ("w/steps?state=succeeded", "/items/0/step", json!("greet")),
        ("w/explain", "/reason", json!("signal")),
        ("w/explain", "/signals/0", json!("go")),
        ("w/explain", "/who", json!("signal")),
        ("w/can-resume", "/can_resume", json!(true)),
        ("w/graph", "/nodes/1/kind", json!("wait")),
        ("w/graph", "/nodes/1/signals/0", json!("go")),
        ("w/history", "/items/0/kind", json!("run_created")),
        ("w/history?order=newest&limit=1", "/items/0/category", json!("state")),
        ("w/input", "/n", json!(1)),
        ("w/context", "", json!(null)),
        ("w/steps/greet/output", "/n", json!(1)),
        ("bad/steps/check", "/failure/class", json!("validation")),
        ("bad/steps/check/attempts", "/items/0/ended", json!("failed")),
        ("bad/steps/check/attempts", "/items/0/class", json!("validation")),
        ("bad/explain", "/reason", json!("ended")),
        ("bad/diagnosis", "/confidence", json!("high")),
        ("bad/diagnosis?language=ja", "/language", json!("ja")),
        ("bad/report", "/run/key", json!("default/bad")),
        ("bad/history?level=error&category=validation", "/items/0/step", json!("check")),
        ("packed/progress", "/steps/0/items_done", json!(3)),
        ("packed/graph", "/nodes/0/bodies/0/nodes/0/step", json!("pack")),
        ("packed/output", "/2", json!(9)),
        ("packed/logs?step=pack[1]&level=warn", "/items/0/text", json!("heavy")),
        ("packed/logs", "/items/0/text", json!("item 7 with password=[redacted]")),
    ];
    for (path, pointer, expected) in rows {
        let path = path.replace('[', "%5B").replace(']', "%5D");
        let answer = stage.call("GET", &format!("/api/v1/runs/{path}"), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        assert_eq!(answer.json().pointer(pointer), Some(&expected), "{path}{pointer}: {}", answer.text);
        let run = path.split('/').next().expect("a run");
        let head = stage.call("GET", &format!("/api/v1/runs/{run}"), None).await;
        assert_eq!(answer.headers["etag"], head.headers["etag"], "{path}");
    }
    let markdown = stage.call("GET", "/api/v1/runs/bad/report?format=markdown", None).await;
    assert_eq!(markdown.headers["content-type"], "text/markdown; charset=utf-8");
    assert!(markdown.text.starts_with('#'), "{}", markdown.text);
}

type Again = fn(&str) -> Value;

/// Reads an answer as its view, and writes it again.
fn again<T: DeserializeOwned + Serialize>(text: &str) -> Value {
    let view: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    serde_json::to_value(view).expect("JSON")
}

#[tokio::test]
async fn a_client_in_rust_reads_every_view_as_what_it_is() {
    let stage = Stage::new().await;
    three(&stage).await;
    let rows: [(&str, Again); 12] = [
        ("runs/w", again::<Run>),
        ("runs/w/progress", again::<Progress>),
        ("runs/w/steps", again::<Listed<Step>>),
        ("runs/bad/steps/check/attempts", again::<Listed<Attempt>>),
        ("runs/bad/history?raw=true", again::<Listed<HistoryEntry>>),
        ("runs/packed/logs", again::<Listed<Entry>>),
        ("runs/w/explain", again::<Explanation>),
        ("runs/bad/explain", again::<Explanation>),
        ("runs/bad/diagnosis", again::<Diagnosis>),
        ("runs/w/can-resume", again::<CanResume>),
        ("runs/packed/graph", again::<RunGraph>),
        ("unfinished?context=true", again::<Listed<UnfinishedRun>>),
    ];
    for (path, read) in rows {
        let answer = stage.call("GET", &format!("/api/v1/{path}"), None).await;
        assert_eq!(read(&answer.text), answer.json(), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_refused_by_name() {
    let stage = Stage::new().await;
    three(&stage).await;
    let rows = [
        ("w/diagnosis", 404, "nothing of run default/w has failed"),
        ("w/output", 404, "has no result"),
        ("w/steps/ghost", 404, "no step ghost"),
        ("w/steps/go/output", 404, "no result of its own"),
        ("w/steps/pack%5Bx%5D/attempts", 400, "is not a place"),
        ("w/steps?cursor=x", 400, "next_cursor"),
        ("w/steps?limit=0", 400, "from 1 to 200"),
        ("w/history?category=stat", 400, "is no category"),
        ("w/history?level=loud", 400, "loud"),
        ("w/history?sort=up", 400, "sort"),
        ("bad/diagnosis?language=de", 400, "there are en and ja"),
        ("bad/report?format=pdf", 400, "pdf"),
        ("w/..%2Fbad/explain", 404, "nothing at this path"),
        ("%00/explain", 400, "only ASCII letters"),
    ];
    for (path, status, text) in rows {
        let answer = stage.call("GET", &format!("/api/v1/runs/{path}"), None).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}");
        assert!(answer.json()["detail"].as_str().expect("detail").contains(text), "{path}: {}", answer.text);
    }
}

fn token(name: &str, secret: &str, role: Role, tenant: Option<&str>) -> TokenRule {
    TokenRule {
        name: name.to_owned(),
        hash: SecretHash::of(secret),
        role,
        tenant: tenant.map(|tenant| TenantId::new(tenant).expect("a tenant")),
    }
}

#[tokio::test]
async fn a_run_of_another_tenant_looks_missing_in_every_view() {
    let options = ServerOptions::default().token(token("all", "everything", Role::Admin, None)).token(token(
        "theirs",
        "stranger",
        Role::Admin,
        Some("strange"),
    ));
    let stage = Stage::with(options).await;
    stage.run("check", "bad", &json!("bad")).await;
    let (all, theirs) = ([("authorization", "Bearer everything")], [("authorization", "Bearer stranger")]);
    for view in VIEWS {
        let path = format!("/api/v1/runs/bad{view}");
        let own = stage.send("GET", &path, &all, None).await;
        assert_eq!(own.status, StatusCode::OK, "{path}: {}", own.text);
        for path in [path.clone(), format!("{path}?tenant=default")] {
            let foreign = stage.send("GET", &path, &theirs, None).await;
            assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{path}: {}", foreign.text);
            assert!(!foreign.text.contains("not \\\"good"), "{path}: {}", foreign.text);
        }
    }
}

#[tokio::test]
async fn an_explanation_names_no_run_of_another_tenant() {
    let hold = |_: StepContext, n: u32| async move {
        std::future::pending::<()>().await;
        Ok(n)
    };
    let held = Workflow::named("held").queue("narrow").step_fn("hold", hold).build().expect("a workflow");
    let narrow = Queue::named("narrow").expect("a name").concurrency(1);
    let store = Arc::new(MemoryBackend::new());
    let engine = Engine::builder(store).register(held).queue(narrow).start().await.expect("an engine");
    let options = ServerOptions::default()
        .token(token("all", "everything", Role::Viewer, None))
        .token(token("ours", "ourselves", Role::Viewer, Some("ours")));
    let stage = Stage::of(engine, options);
    let all = [("authorization", "Bearer everything")];
    // Returns once the reason is the one that is waited for.
    let started = async |tenant: &str, run: &str, reason: &str| {
        let id = TenantId::new(tenant).expect("a tenant");
        let start = StartRun::new("held", run, &1u32).expect("a start").tenant(id);
        stage.engine.start_with(start).await.expect("started");
        let path = format!("/api/v1/runs/{run}/explain?tenant={tenant}");
        loop {
            let told = stage.send("GET", &path, &all, None).await.json();
            if told["reason"] == reason {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    started("theirs", "hushed", "worker").await;
    let all = started("ours", "r", "limit").await;
    assert_eq!(all["runs"], json!(["theirs/hushed"]), "{all}");
    let path = "/api/v1/runs/r/explain?tenant=ours";
    let ours = stage.send("GET", path, &[("authorization", "Bearer ourselves")], None).await;
    assert_eq!(
        (&ours.json()["reason"], ours.text.contains("hushed")),
        (&json!("limit"), false),
        "{}",
        ours.text
    );
}

#[tokio::test]
async fn values_are_shown_digit_by_digit_and_secrets_to_operators_only() {
    let options = ServerOptions::default().token(token("look", "looking", Role::Viewer, None)).token(token(
        "steer",
        "steering",
        Role::Operator,
        None,
    ));
    let stage = Stage::with(options).await;
    let (viewer, operator) = ([("authorization", "Bearer looking")], [("authorization", "Bearer steering")]);
    let input =
        r#"{"id":123456789012345678901234567890,"password":"swordfish","share":0.10000000000000000055}"#;
    let body = format!(r#"{{"workflow":"wait","run":"w","input":{input}}}"#);
    let started = stage.send("POST", "/api/v1/runs", &operator, Some(&body)).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
    let shown = stage.send("GET", "/api/v1/runs/w/input", &viewer, None).await;
    assert_eq!(shown.text, input.replace("swordfish", "[redacted]"));
    let whole = stage.send("GET", "/api/v1/runs/w/input?secrets=true", &operator, None).await;
    assert_eq!(whole.text, input);
    for path in ["input?secrets=true", "history?raw=true&secrets=true"] {
        let refused = stage.send("GET", &format!("/api/v1/runs/w/{path}"), &viewer, None).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    }
    let raw = stage.send("GET", "/api/v1/runs/w/history?raw=true&limit=1", &viewer, None).await;
    assert!(raw.text.contains("123456789012345678901234567890"), "{}", raw.text);
    assert!(!raw.text.contains("swordfish"), "{}", raw.text);
}

#[tokio::test]
async fn a_server_without_the_workflow_shows_what_its_worker_has_told() {
    let stage = Stage::new().await;
    three(&stage).await;
    let apart = stage.apart().await;
    let is_told = |progress: &Value| progress["is_complete"] == true;
    let progress = apart.until_so("/api/v1/runs/packed/progress", is_told).await;
    assert_eq!(
        (&progress["steps"][0]["step"], &progress["steps"][0]["items_done"]),
        (&json!("pack"), &json!(3))
    );
    let graph = apart.call("GET", "/api/v1/runs/bad/graph", None).await.json();
    assert_eq!((&graph["is_complete"], &graph["nodes"][0]["step"]), (&json!(true), &json!("check")));
    let can = apart.call("GET", "/api/v1/runs/w/can-resume", None).await.json();
    assert_eq!(can["reasons"][0]["reason"], "elsewhere");
    let steps = apart.call("GET", "/api/v1/runs/bad/steps", None).await.json();
    assert_eq!(steps["items"][0]["state"], "failed");
}

#[tokio::test]
async fn lists_of_one_run_come_page_by_page_without_gap_or_repeat() {
    let stage = Stage::new().await;
    stage.run("pack", "packed", &json!((0..23).collect::<Vec<_>>())).await;
    for (list, name) in
        [("steps", "step"), ("history", "seq"), ("history?order=newest", "seq"), ("logs", "text")]
    {
        let joint = if list.contains('?') { '&' } else { '?' };
        let all =
            stage.call("GET", &format!("/api/v1/runs/packed/{list}{joint}limit=200"), None).await.json();
        let all = all["items"].as_array().expect("items").clone();
        let (mut found, mut cursor): (Vec<Value>, _) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/runs/packed/{list}{joint}limit=5{cursor}");
            let page = stage.call("GET", &path, None).await.json();
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= 5, "{path}");
            found.extend(items.clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, all, "{list}");
        assert!(found.len() >= 23, "{list} has {}", found.len());
        assert!(found.iter().all(|item| !item[name].is_null()), "{list}");
    }
    let foreign = stage.call("GET", "/api/v1/runs/packed/history?limit=1", None).await.json();
    stage.run("pack", "other", &json!([1])).await;
    let cursor = foreign["next_cursor"].as_str().expect("a cursor");
    let refused = stage.call("GET", &format!("/api/v1/runs/other/history?cursor={cursor}"), None).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
}
