//! Runs over HTTP: started once, listed, looked at, steered.

mod stage;

use axum::http::StatusCode;
use serde_json::json;
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
    ];
    for (method, path, body, status, text) in rows {
        let answer = stage.call(method, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
        assert!(answer.json()["detail"].as_str().expect("detail").contains(text), "{path}: {}", answer.text);
    }
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
    let edit = json!({ "value": "good", "reason": "it was a slip" }).to_string();
    let edited = stage.send("POST", "/api/v1/runs/bad/edit-input", &[("if-match", &tag)], Some(&edit)).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text);
    let stale = stage.send("POST", "/api/v1/runs/bad/retry", &[("if-match", &tag)], None).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{}", stale.text);
}
