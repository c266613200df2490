//! Runs over HTTP: started once, listed, looked at, steered.

mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use stage::Stage;

#[tokio::test]
async fn a_run_is_started_once_for_a_key_and_found_again() {
    let stage = Stage::new().await;
    let body = json!({ "workflow": "greet", "input": { "big": 12_345_678_901_234_567_890_u64 } }).to_string();
    let key = [("idempotency-key", "order 7")];
    let first = stage.send("POST", "/api/v1/runs", &key, Some(&body)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let again = stage.send("POST", "/api/v1/runs", &key, Some(&body)).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(first.json()["run"], again.json()["run"]);
    let other = json!({ "workflow": "greet", "input": 1 }).to_string();
    let refused = stage.send("POST", "/api/v1/runs", &key, Some(&other)).await;
    assert_eq!(refused.json()["code"], "SW9512", "{}", refused.text);
    for (field, value) in [
        ("tags", json!({ "region": "eu" })),
        ("priority", json!(1)),
        ("queue", json!("side")),
        ("delay_ms", json!(1_000)),
        ("version", json!(2)),
    ] {
        let mut other: Value = serde_json::from_str(&body).expect("JSON");
        other[field] = value;
        let refused = stage.send("POST", "/api/v1/runs", &key, Some(&other.to_string())).await;
        assert!(
            ["SW9512", "SW9511"].contains(&refused.json()["code"].as_str().expect("a code")),
            "{field}: {}",
            refused.text
        );
        assert_eq!(refused.json()["code"] == "SW9511", field == "version", "there is no such version");
    }
    for (key, body, code) in [
        ("order 7", json!({ "workflow": "greet", "run": "seven" }), "SW9511"),
        (" ", json!({ "workflow": "greet" }), "SW9501"),
    ] {
        let refused =
            stage.send("POST", "/api/v1/runs", &[("idempotency-key", key)], Some(&body.to_string())).await;
        assert_eq!(refused.json()["code"], code, "{body}: {}", refused.text);
    }
    let place = first.headers["location"].to_str().expect("text").to_owned();
    let found = stage.call("GET", &place, None).await;
    assert_eq!(found.headers["etag"], found.json()["etag"].as_str().expect("a tag"));
}

#[tokio::test]
async fn a_list_shows_what_the_query_asks_for_page_by_page() {
    let stage = Stage::new().await;
    for nth in 0..5 {
        stage.run("check", &format!("bad-{nth}"), &json!("bad")).await;
        stage.run("check", &format!("good-{nth}"), &json!("good")).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/runs?q=status:failed+step:check&limit=2{cursor}");
        let page = stage.call("GET", &path, None).await.json();
        found.extend(page["items"].as_array().expect("items").iter().map(|run| run["run"].to_string()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, (0..5).rev().map(|nth| format!("\"bad-{nth}\"")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_is_not_understood_is_refused_by_name() {
    let stage = Stage::new().await;
    stage.run("greet", "there", &json!(1)).await;
    let deep = (0..200).fold(json!(1), |value, _| json!([value]));
    let rows = [
        ("GET", "/api/v1/runs?q=stauts:failed", None, 400, "did you mean `status`"),
        ("GET", "/api/v1/runs?quary=x", None, 400, "quary"),
        ("GET", "/api/v1/runs?limit=201", None, 400, "from 1 to 200"),
        ("GET", "/api/v1/runs?cursor=x", None, 400, "next_cursor"),
        ("GET", "/api/v1/runs/none", None, 404, "there is no run default/none"),
        ("GET", "/api/v1/runs/a%2Fb", None, 400, "only ASCII letters"),
        ("PUT", "/api/v1/runs", None, 405, "method"),
        ("GET", "/nowhere", None, 404, "openapi.json"),
        ("POST", "/api/v1/runs", Some(json!({ "workflow": "gret" })), 422, "greet"),
        ("POST", "/api/v1/runs", Some(json!({ "workflw": "greet" })), 400, "workflw"),
        ("POST", "/api/v1/runs/none/fly", Some(json!({})), 400, "fly"),
        ("POST", "/api/v1/runs", Some(json!(["greet"])), 400, "not a JSON object"),
        ("POST", "/api/v1/runs", Some(json!({ "workflow": "greet", "input": deep })), 400, "127 times"),
        (
            "POST",
            "/api/v1/runs",
            Some(json!({ "workflow": "greet", "delay_ms": u64::MAX })),
            422,
            "ten years",
        ),
        ("GET", "/api/v1/runs/there/steps?state=foo", None, 400, "waits_for_a_signal"),
        ("GET", "/api/v1/runs/there/steps?step=ghost", None, 404, "no step ghost"),
        ("GET", "/api/v1/runs/there/steps/ghost/attempts", None, 404, "no step ghost"),
        ("GET", "/api/v1/runs/there/history?kind=foo", None, 400, "run_created"),
    ];
    for (method, path, body, status, text) in rows {
        let answer = stage.call(method, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
        assert!(answer.json()["detail"].as_str().expect("detail").contains(text), "{path}: {}", answer.text);
    }
    let half = r#"{"workflow":"greet","input":"\ud83d"}"#;
    let refused = stage.send("POST", "/api/v1/runs", &[], Some(half)).await;
    assert!(refused.status == 400 && refused.text.contains("half of a character"), "{}", refused.text);
}

#[tokio::test]
async fn what_was_made_is_found_where_the_answer_says_by_who_sees_all_tenants() {
    let stage = Stage::new().await;
    let run = stage.call(
        "POST",
        "/api/v1/runs?tenant=eu",
        Some(json!({ "workflow": "check", "run": "r", "input": "bad" })),
    );
    let run = run.await;
    stage.until_so("/api/v1/runs/r?tenant=eu", |run| run["status"] == "failed").await;
    let fork = stage.call("POST", "/api/v1/runs/r/fork?tenant=eu", Some(json!({ "step": "check" }))).await;
    let plan = json!({ "every_ms": 3_600_000, "workflow": "greet" });
    let schedule = stage.call("PUT", "/api/v1/schedules/hourly?tenant=eu", Some(plan)).await;
    for made in [run, fork, schedule] {
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let place = made.headers["location"].to_str().expect("text").to_owned();
        let found = stage.call("GET", &place, None).await;
        assert_eq!(found.status, StatusCode::OK, "{place}: {}", found.text);
    }
}

#[tokio::test]
async fn a_page_goes_on_in_its_own_list_only() {
    let stage = Stage::new().await;
    for nth in 0..3 {
        stage.run("check", &format!("bad-{nth}"), &json!("bad")).await;
    }
    let page = stage.call("GET", "/api/v1/runs?q=status:failed&limit=1", None).await.json();
    let cursor = page["next_cursor"].as_str().expect("a next page");
    for (query, status) in [
        ("q=status:failed&limit=2", 200),
        ("q=status:paused", 400),
        ("q=status:failed&order=oldest", 400),
        ("q=status:failed&tenant=eu", 400),
    ] {
        let next = stage.call("GET", &format!("/api/v1/runs?{query}&cursor={cursor}"), None).await;
        assert_eq!(next.status.as_u16(), status, "{query}: {}", next.text);
    }
    for path in
        ["/api/v1/unfinished", "/api/v1/schedules", "/api/v1/groups", "/api/v1/audit", "/api/v1/integrity"]
    {
        let next = stage.call("GET", &format!("{path}?cursor={cursor}"), None).await;
        assert_eq!(next.status, StatusCode::BAD_REQUEST, "{path}: {}", next.text);
    }
}

#[tokio::test]
async fn what_the_caller_has_by_its_tag_is_not_sent_again() {
    let stage = Stage::new().await;
    stage.run("greet", "r", &json!(1)).await;
    let tag =
        stage.call("GET", "/api/v1/runs/r", None).await.json()["etag"].as_str().expect("a tag").to_owned();
    let known = format!("\"other\", W/{tag}");
    for path in ["", "/history", "/input", "/output", "/steps/greet/attempts"] {
        let path = format!("/api/v1/runs/r{path}");
        let again = stage.send("GET", &path, &[("if-none-match", &known)], None).await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        assert_eq!(again.headers["etag"], tag.as_str());
        let other = stage.send("GET", &path, &[("if-none-match", "\"other\"")], None).await;
        assert_eq!(other.status, StatusCode::OK, "{path}: {}", other.text);
    }
    // How far it is depends on the time, too.
    let moving = stage.send("GET", "/api/v1/runs/r/progress", &[("if-none-match", &known)], None).await;
    assert_eq!(moving.status, StatusCode::OK, "{}", moving.text);
    // And a change may rest on any of several tags.
    let lines = [("if-match", "\"other\""), ("if-match", &format!("\"more\", {tag}"))];
    let refused = stage.send("POST", "/api/v1/runs/r/retry", &lines, None).await;
    assert_eq!(refused.json()["code"], "SW9506", "by its state and not by its tag: {}", refused.text);
}

#[tokio::test]
async fn a_verb_is_tried_dry_done_and_refused_by_state_and_tag() {
    let stage = Stage::new().await;
    stage.run("check", "bad", &json!("bad")).await;
    let tag =
        stage.call("GET", "/api/v1/runs/bad", None).await.json()["etag"].as_str().expect("a tag").to_owned();
    let preview = stage.call("POST", "/api/v1/runs/bad/retry?dry_run=true", None).await;
    assert_eq!(preview.json()["runs_again"][0]["step"], "check", "{}", preview.text);
    let refused = stage.call("POST", "/api/v1/runs/bad/pause", Some(json!({ "reason": "wait" }))).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    assert!(
        refused.json()["allowed"].as_array().expect("verbs").contains(&json!("retry")),
        "{}",
        refused.text
    );
    let words: Vec<_> = refused.json()["allowed"].as_array().expect("verbs").clone();
    for word in &words {
        // Each is one that the path takes.
        let path = format!("/api/v1/runs/bad/{}?dry_run=true", word.as_str().expect("a word"));
        let tried = stage.call("POST", &path, Some(json!({ "step": "check", "value": 1 }))).await;
        assert!(tried.status.is_success(), "{path}: {}", tried.text);
        assert_eq!(tried.json()["verb"], *word, "{}", tried.text);
    }
    assert!(words.contains(&json!("edit-input")), "{words:?}");
    let edit = json!({ "value": "good", "reason": "it was a slip" }).to_string();
    let edited = stage.send("POST", "/api/v1/runs/bad/edit-input", &[("if-match", &tag)], Some(&edit)).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text);
    let stale = stage.send("POST", "/api/v1/runs/bad/retry", &[("if-match", &tag)], None).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{}", stale.text);
}
