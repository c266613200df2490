//! What changes a run, or many: forks, signals, shared documents, bulk requests, and reports of steps that are done outside.

mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::contract::TenantId;
use stepwell_server::access::Role;
use stepwell_server::access::token::{SecretHash, TokenRule};
use stepwell_server::{App, ServerOptions};

#[tokio::test]
async fn a_fork_is_previewed_made_once_and_leaves_the_run_as_it_is() {
    let stage = Stage::new().await;
    stage.run("check", "bad", &json!("bad")).await;
    let before = stage.call("GET", "/api/v1/runs/bad", None).await.json();
    let body = json!({ "step": "check", "run": "good", "input": "good", "reason": "it was a slip" });
    let preview = stage.call("POST", "/api/v1/runs/bad/fork?dry_run=true", Some(body.clone())).await;
    assert_eq!(preview.json()["runs_again"][0]["step"], "check", "{}", preview.text);
    assert_eq!(stage.call("GET", "/api/v1/runs/good", None).await.status, StatusCode::NOT_FOUND);
    let made = stage.call("POST", "/api/v1/runs/bad/fork", Some(body.clone())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.headers["location"], "/api/v1/runs/good");
    let again = stage.call("POST", "/api/v1/runs/bad/fork", Some(body)).await;
    assert_eq!((again.status, &again.json()["run"]), (StatusCode::OK, &json!("good")), "{}", again.text);
    assert_eq!(stage.call("GET", "/api/v1/runs/bad", None).await.json(), before);
    stage.until("good", "succeeded").await;
    let key = [("idempotency-key", "slip 7")];
    let by_key = async |body: &str| stage.send("POST", "/api/v1/runs/bad/fork", &key, Some(body)).await;
    let first = by_key(r#"{"step":"check","input":"good"}"#).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let second = by_key(r#"{"step":"check","input":"good"}"#).await;
    assert_eq!((second.status, second.json()["run"].clone()), (StatusCode::OK, first.json()["run"].clone()));
    for (body, code) in [
        (r#"{"step":"check","input":"better"}"#, "SW9512"),
        (r#"{"step":"check","input":"good","run":"named"}"#, "SW9511"),
    ] {
        let refused = by_key(body).await;
        assert_eq!(refused.json()["code"], code, "{body}: {}", refused.text);
    }
    let ghost = stage.call("POST", "/api/v1/runs/bad/fork", Some(json!({ "step": "ghost" }))).await;
    assert_eq!(ghost.status, StatusCode::CONFLICT, "{}", ghost.text);
}

#[tokio::test]
async fn a_signal_is_taken_once_in_the_name_of_who_sent_it_and_refused_after_the_end() {
    let stage = Stage::new().await;
    stage.engine.start_run("wait", "w", &json!(1)).await.expect("started");
    let tag = stage.until("w", "waiting").await["etag"].as_str().expect("a tag").to_owned();
    let stale = stage
        .send("POST", "/api/v1/runs/w/signals", &[("if-match", "\"0\"")], Some(r#"{"name":"go"}"#))
        .await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{}", stale.text);
    let body = r#"{"name":"go","id":"s-1","value":{"yes":true}}"#;
    let sent = stage.send("POST", "/api/v1/runs/w/signals", &[("if-match", &tag)], Some(body)).await;
    assert_eq!((sent.status, &sent.json()["id"]), (StatusCode::ACCEPTED, &json!("s-1")), "{}", sent.text);
    stage.until("w", "succeeded").await;
    let output = stage.call("GET", "/api/v1/runs/w/output", None).await.json();
    assert_eq!(output, json!([1, { "yes": true }]));
    let history = stage.call("GET", "/api/v1/runs/w/history?category=operator", None).await.json();
    assert!(history.to_string().contains("local"), "{history}");
    let late = stage.call("POST", "/api/v1/runs/w/signals", Some(json!({ "name": "go" }))).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text);
}

#[tokio::test]
async fn a_shared_document_is_merged_only_into_the_run_that_was_seen() {
    let stage = Stage::new().await;
    stage.engine.start_run("wait", "w", &json!(1)).await.expect("started");
    let tag = stage.until("w", "waiting").await["etag"].as_str().expect("a tag").to_owned();
    let patch = |body: &'static str| {
        let stage = &stage;
        let tag = tag.clone();
        async move {
            stage
                .send("PATCH", "/api/v1/runs/w/context?reason=noted", &[("if-match", &tag)], Some(body))
                .await
        }
    };
    let merged = patch(r#"{"region":"eu","retries":{"max":3}}"#).await;
    assert_eq!(merged.status, StatusCode::OK, "{}", merged.text);
    let stale = patch(r#"{"region":null}"#).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{}", stale.text);
    let next = stage.call("PATCH", "/api/v1/runs/w/context", Some(json!({ "region": null }))).await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.text);
    assert_eq!(
        stage.call("GET", "/api/v1/runs/w/context", None).await.json(),
        json!({ "retries": { "max": 3 } })
    );
    let list = stage.call("PATCH", "/api/v1/runs/w/context", Some(json!([1]))).await;
    assert_eq!(list.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", list.text);
    let unfinished = stage.call("GET", "/api/v1/unfinished?context=true", None).await.json();
    assert_eq!(unfinished["items"][0]["context"]["fields"], json!(["retries"]), "{unfinished}");
}

/// Every change of a run, with a body that it takes.
const CHANGES: [(&str, &str, &str); 8] = [
    ("POST", "/api/v1/runs/bad/fork", r#"{"step":"check"}"#),
    ("POST", "/api/v1/runs/bad/signals", r#"{"name":"go"}"#),
    ("PATCH", "/api/v1/runs/bad/context", "{}"),
    ("POST", "/api/v1/runs/bad/retry", "{}"),
    ("POST", "/api/v1/runs/bad/steps/check/start", r#"{"name":"ada"}"#),
    ("POST", "/api/v1/runs/bad/steps/check/progress", r#"{"fraction":0.5}"#),
    ("POST", "/api/v1/runs/bad/steps/check/success", "{}"),
    ("POST", "/api/v1/runs/bad/steps/check/failure", r#"{"message":"no"}"#),
];

#[tokio::test]
async fn a_change_that_rests_on_what_was_is_refused_and_every_one_says_that_it_takes_a_tag() {
    let stage = Stage::new().await;
    stage.run("check", "bad", &json!("bad")).await;
    let before = stage.call("GET", "/api/v1/runs/bad", None).await.text;
    for (method, path, body) in CHANGES {
        let stale = stage.send(method, path, &[("if-match", "\"stale\"")], Some(body)).await;
        assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{path}: {}", stale.text);
        assert_eq!(stale.json()["code"], "SW9508", "{path}");
    }
    assert_eq!(stage.call("GET", "/api/v1/runs/bad", None).await.text, before);
    let document = serde_json::to_value(App::openapi()).expect("a document");
    let mut changes = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let named = |name: &str| {
                let all = operation["parameters"].as_array();
                all.is_some_and(|all| all.iter().any(|one| one["name"] == name))
            };
            if path.contains("{run}") && method != "get" {
                changes += 1;
                assert!(named("run") && named("tenant") && named("If-Match"), "{method} {path}");
            }
        }
    }
    assert_eq!(changes, CHANGES.len(), "each has a row above");
}

fn token(name: &str, tenant: Option<&str>) -> TokenRule {
    TokenRule {
        name: name.to_owned(),
        hash: SecretHash::of(name),
        role: Role::Admin,
        tenant: tenant.map(|tenant| TenantId::new(tenant).expect("a tenant")),
    }
}

#[tokio::test]
async fn a_selection_is_frozen_previewed_and_asked_once_each() {
    let stage = Stage::new().await;
    for nth in 0..3 {
        stage.run("check", &format!("bad-{nth}"), &json!("bad")).await;
    }
    let chosen = stage.call("POST", "/api/v1/selections", Some(json!({ "q": "status:failed" }))).await.json();
    assert_eq!((chosen["runs"].as_array().map(Vec::len), &chosen["is_complete"]), (Some(3), &json!(true)));
    stage.run("check", "bad-3", &json!("bad")).await;
    let mut runs = chosen["runs"].as_array().expect("runs").clone();
    runs.push(json!({ "run": "ghost" }));
    // Listed twice, asked once.
    runs.push(runs[0].clone());
    let ask = json!({ "id": chosen["id"], "runs": runs, "verb": "edit-input", "value": "good", "reason": "a slip" });
    let preview = stage.call("POST", "/api/v1/selections/ask?dry_run=true", Some(ask.clone())).await;
    assert_eq!(preview.json()["sample"].as_array().map(Vec::len), Some(3), "{}", preview.text);
    for _ in 0..2 {
        let answer = stage.call("POST", "/api/v1/selections/ask", Some(ask.clone())).await;
        let answer = answer.json();
        assert_eq!((&answer["done"], &answer["refused"]), (&json!(3), &json!(1)), "{answer}");
        assert_eq!(answer["runs"][3]["problem"]["code"], "SW9504", "{answer}");
        assert_eq!(answer["runs"].as_array().map(Vec::len), Some(4), "{answer}");
    }
    let history = stage.call("GET", "/api/v1/runs/bad-0/history?kind=input_edited", None).await.json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(1), "asked twice, done once: {history}");
    let later = stage.call("GET", "/api/v1/runs/bad-3/history?kind=input_edited", None).await.json();
    assert_eq!(later["items"], json!([]), "it was not among them");
    let group = stage.call("GET", "/api/v1/runs/bad-3/diagnosis", None).await.json()["group"].clone();
    let of_group = stage.call("POST", "/api/v1/selections", Some(json!({ "group": group }))).await.json();
    assert_eq!(of_group["runs"].as_array().map(Vec::len), Some(4), "{of_group}");
    for body in [
        json!({}),
        json!({ "q": "", "group": "x" }),
        json!({ "q": "stat:x" }),
        json!({ "q": "", "limit": 0 }),
    ] {
        let refused = stage.call("POST", "/api/v1/selections", Some(body.clone())).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {}", refused.text);
    }
}

#[tokio::test]
async fn nothing_of_another_tenant_is_changed_or_told() {
    let stage = Stage::with(
        ServerOptions::default().token(token("all", None)).token(token("theirs", Some("strange"))),
    )
    .await;
    let (all, theirs) = ([("authorization", "Bearer all")], [("authorization", "Bearer theirs")]);
    stage.run("check", "bad", &json!("bad")).await;
    let before = stage.send("GET", "/api/v1/runs/bad", &all, None).await.text;
    for (method, path, body) in CHANGES {
        let foreign = stage.send(method, path, &theirs, Some(body)).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{path}: {}", foreign.text);
    }
    let ask = r#"{"id":"x","runs":[{"tenant":"default","run":"bad"}],"verb":"retry"}"#;
    for path in ["/api/v1/selections/ask", "/api/v1/selections/ask?dry_run=true"] {
        let foreign = stage.send("POST", path, &theirs, Some(ask)).await;
        assert!(!foreign.text.contains("\"status\":\"failed\""), "{}", foreign.text);
        assert!(!foreign.text.contains("\"done\":1"), "{}", foreign.text);
    }
    for (method, path, body) in [
        ("POST", "/api/v1/selections", Some(r#"{"q":"since:1h"}"#)),
        ("GET", "/api/v1/unfinished", None),
        ("GET", "/api/v1/outside", None),
    ] {
        let listed = stage.send(method, path, &theirs, body).await;
        assert_eq!(listed.status, StatusCode::OK, "{path}: {}", listed.text);
        assert!(!listed.text.contains("bad"), "{path}: {}", listed.text);
    }
    let post = stage.send("POST", "/api/v1/workflows", &theirs, Some(r#"{"name":"film","steps":[]}"#)).await;
    assert_eq!(post.status, StatusCode::FORBIDDEN, "{}", post.text);
    assert_eq!(stage.send("GET", "/api/v1/runs/bad", &all, None).await.text, before);
}

/// Waits until a step is left outside, and returns it.
async fn left(stage: &Stage, step: &str) -> Value {
    loop {
        let page = stage.call("GET", &format!("/api/v1/outside?step={step}"), None).await.json();
        if let Some(task) = page["items"].get(0) {
            return task.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_posted_workflow_is_done_by_reports_digit_by_digit() {
    let stage = Stage::new().await;
    let film = json!({ "name": "film", "steps": [
        { "name": "cut", "timeout_ms": 60_000, "max_attempts": 2, "retry_delay_ms": 1 }, { "name": "dub", "timeout_ms": 60_000 }
    ] });
    for _ in 0..2 {
        let posted = stage.call("POST", "/api/v1/workflows", Some(film.clone())).await;
        assert_eq!(
            (posted.status, &posted.json()["in_use"]),
            (StatusCode::OK, &json!(true)),
            "{}",
            posted.text
        );
    }
    let other = json!({ "name": "film", "steps": [{ "name": "cut", "timeout_ms": 1 }] });
    let refused = stage.call("POST", "/api/v1/workflows", Some(other)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    let large = r#"{"id":123456789012345678901234567890,"none":null}"#;
    let body = format!(r#"{{"workflow":"film","run":"r","input":{large}}}"#);
    stage.send("POST", "/api/v1/runs", &[], Some(&body)).await;

    let task = left(&stage, "cut").await;
    assert_eq!((&task["attempt"], &task["idempotency_key"]), (&json!(1), &json!("default/r/cut")), "{task}");
    let listed = stage.call("GET", "/api/v1/outside", None).await.text;
    assert!(listed.contains(large), "{listed}");
    let say = async |step: &str, what: &str, body: Value| {
        stage.call("POST", &format!("/api/v1/runs/r/steps/{step}/{what}"), Some(body)).await
    };
    // Processes that share a token have names of their own, or they would all be given the step.
    for (body, status) in
        [(json!({}), 400), (json!({ "name": " " }), 422), (json!({ "name": "x".repeat(129) }), 422)]
    {
        let nameless = say("cut", "start", body).await;
        assert_eq!(nameless.status.as_u16(), status, "{}", nameless.text);
    }
    for _ in 0..2 {
        let begun = say("cut", "start", json!({ "name": "ada", "host": "h-1" })).await;
        assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
    }
    let attempts = stage.call("GET", "/api/v1/runs/r/steps/cut/attempts", None).await.json();
    let now = &attempts["items"][0];
    assert_eq!(
        (&now["attempt"], &now["ended"], &now["outsider"]),
        (&json!(1), &json!("running"), &json!("ada"))
    );
    assert!(now["ended_at"].is_null() && now["elapsed_ms"].is_null(), "it goes on: {attempts}");
    assert_eq!(attempts["items"].as_array().map(Vec::len), Some(1), "{attempts}");
    let late = say("cut", "start", json!({ "name": "bob" })).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text);
    assert!(late.text.contains("begun by ada"), "{}", late.text);
    let half = say("cut", "progress", json!({ "fraction": 0.5, "note": "halfway" })).await;
    assert_eq!(half.status, StatusCode::OK, "{}", half.text);
    let step = stage.call("GET", "/api/v1/runs/r/steps/cut", None).await.json();
    assert_eq!((&step["state"], &step["fraction"]), (&json!("runs_outside"), &json!(0.5)), "{step}");
    let wrong = say("cut", "progress", json!({ "fraction": 1.5 })).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text);
    let slipped =
        say("cut", "failure", json!({ "class": "unavailable", "message": "the archive is down" })).await;
    assert_eq!(slipped.status, StatusCode::OK, "{}", slipped.text);

    let again = left(&stage, "cut").await;
    assert_eq!(again["attempt"], 2, "{again}");
    let stale = say("cut", "success", json!({ "attempt": 1, "output": 1 })).await;
    assert_eq!(stale.status, StatusCode::CONFLICT, "{}", stale.text);
    let body = format!(r#"{{"attempt":2,"output":{large}}}"#);
    let done = stage.send("POST", "/api/v1/runs/r/steps/cut/success", &[], Some(&body)).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    left(&stage, "dub").await;
    let done = say("dub", "success", json!({ "output": null })).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    stage.until("r", "succeeded").await;
    assert_eq!(stage.call("GET", "/api/v1/runs/r/steps/cut/output", None).await.text, large);
    assert_eq!(stage.call("GET", "/api/v1/runs/r/output", None).await.text, "null");
}

#[tokio::test]
async fn an_interrupt_tells_its_reason_and_code_wherever_the_run_is_told_of() {
    let stage = Stage::new().await;
    stage.engine.start_run("hold", "h", &json!(1)).await.expect("started");
    stage.until_so("/api/v1/runs/h", |run| run["status"] == "running").await;
    for (verb, code) in [("interrupt", "SW1203"), ("interrupt", "7"), ("cancel", "OK-1")] {
        let path = format!("/api/v1/runs/h/{verb}");
        let refused = stage.call("POST", &path, Some(json!({ "code": code }))).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{verb} {code}: {}", refused.text);
    }
    let body = json!({ "reason": "the press is cleaned", "code": "MAINTENANCE-7" });
    let asked = stage.call("POST", "/api/v1/runs/h/interrupt", Some(body)).await;
    assert!(asked.status.is_success(), "{}", asked.text);
    let run = stage.until("h", "paused").await;
    assert_eq!(
        (&run["trouble"]["code"], &run["trouble"]["reason"]),
        (&json!("MAINTENANCE-7"), &json!("interrupted"))
    );
    let explained = stage.call("GET", "/api/v1/runs/h/explain", None).await.json();
    let headline = explained["headline"].as_str().unwrap_or_default();
    assert!(headline.contains("local interrupted it: the press is cleaned (MAINTENANCE-7)"), "{explained}");
    let found = stage.call("GET", "/api/v1/audit?code=MAINTENANCE-7&actor=local", None).await.json();
    let kinds: Vec<_> =
        found["items"].as_array().expect("a list").iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, ["run_paused", "pause_requested"], "{found}");
    let report = stage.call("GET", "/api/v1/runs/h/report?format=markdown", None).await.text;
    assert!(report.contains("MAINTENANCE-7") && report.contains("the press is cleaned"), "{report}");
}
