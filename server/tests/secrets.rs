//! What stands under the name of a secret: nobody who only looks is told it, and whoever edits around it does not lose it.

mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use stage::Stage;
use stepwell_server::access::{Access, Role};
use stepwell_server::{App, ServerOptions};

/// What all secrets here begin with.
const MARK: &str = "pa55-";

fn input(to: &str) -> Value {
    json!({ "to": to, "password": format!("{MARK}one"), "api_key": [format!("{MARK}two")], "nested": { "secret": format!("{MARK}three") } })
}

/// A run that failed for its input, one that waits, a document that they share, and a schedule, all with secrets.
async fn town() -> Stage {
    let stage = Stage::with(ServerOptions::default()).await;
    stage.run("check", "bad", &input("ada")).await;
    stage.engine.start_run("wait", "waits", &input("ada")).await.expect("started");
    stage.until_so("/api/v1/runs/waits", |run| run["status"] == "waiting").await;
    let document = json!({ "token": format!("{MARK}four"), "note": "plain" });
    let merged = stage.call("PATCH", "/api/v1/runs/waits/context", Some(document)).await;
    assert_eq!(merged.status, StatusCode::OK, "{}", merged.text);
    let other = json!({ "reason": "it moved", "value": input("bob") });
    let edited = stage.call("POST", "/api/v1/runs/bad/edit-input", Some(other)).await;
    assert_eq!(edited.status, StatusCode::OK, "{}", edited.text);
    let plan = json!({ "every_ms": 3_600_000, "workflow": "greet", "input": input("ada") });
    let made = stage.call("PUT", "/api/v1/schedules/nightly", Some(plan)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    stage
        .until_so("/api/v1/groups", |groups| groups["items"].as_array().is_some_and(|all| !all.is_empty()))
        .await;
    stage
}

#[tokio::test]
async fn no_page_and_no_operation_tells_a_viewer_a_secret() {
    let town = town().await;
    let groups = town.call("GET", "/api/v1/groups", None).await.json();
    let group = stage::encoded(groups["items"][0]["group"].as_str().expect("a name"));
    let viewer = town.local(Access { name: "viv".to_owned(), role: Role::Viewer, tenant: None });
    let operator = town.local(Access { name: "ope".to_owned(), role: Role::Operator, tenant: None });
    let mut looked_at = 0;
    for route in App::table().into_iter().filter(|route| route.method == "GET") {
        for (run, step) in [("bad", "check"), ("waits", "greet")] {
            let path = route.path.replace("{run}", run).replace("{step}", step).replace("{group}", &group);
            let path =
                path.replace("{name}", "nightly").replace("{queue}", "default").replace("{code}", "SW1101");
            let path = path.replace("{verb}", "edit-input");
            // A stream of a run that goes on does not end.
            let path = if path.ends_with("/events") { format!("{path}?run=bad") } else { path };
            let is_for_operators = route.role == Some(Role::Operator);
            // Those who do steps outside are given what the steps take.
            if path.ends_with("/outside") || (path == route.path && run == "waits") {
                continue;
            }
            let router = if is_for_operators { &operator } else { &viewer };
            let answer = stage::ask(router, &path).await;
            assert!(!answer.status.is_server_error(), "{path}: {}", answer.text);
            assert!(!answer.text.contains(MARK), "{path} tells a secret: {}", answer.text);
            looked_at += usize::from(answer.status.is_success());
        }
    }
    println!("HARNESS secrets looked_at={looked_at}");
    assert!(looked_at > 60, "TOO LITTLE: {looked_at}");
}

#[tokio::test]
async fn whoever_edits_an_input_around_its_secrets_leaves_them_as_they_are() {
    let town = town().await;
    let page = town.call("GET", "/runs/bad/ask/edit-input", None).await.text;
    let shown = page
        .split("<textarea id=\"value\"")
        .nth(1)
        .and_then(|rest| rest.split_once('>'))
        .expect("an editor")
        .1;
    let shown =
        shown.split("</textarea>").next().expect("its end").replace("&#34;", "\"").replace("&quot;", "\"");
    assert!(shown.contains("[redacted]") && page.contains("stands for a secret"), "{page}");
    assert!(!page.contains("type=\"submit\" disabled"), "it can be sent: {page}");
    let form =
        serde_urlencoded::to_string([("value", shown.replace("bob", "ada")), ("reason", "moved".to_owned())]);
    let done = town.send("POST", "/runs/bad/ask/edit-input", &[], Some(&form.expect("a form"))).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let stored = town.call("GET", "/api/v1/runs/bad/input?secrets=true", None).await.json();
    assert_eq!(stored, input("ada"));

    // The same in the API, for inputs, shared documents and schedules.
    let mut shown = town.call("GET", "/api/v1/runs/bad/input", None).await.json();
    shown["to"] = json!("cyd");
    let done = town.call("POST", "/api/v1/runs/bad/edit-input", Some(json!({ "value": shown }))).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let stored = town.call("GET", "/api/v1/runs/bad/input?secrets=true", None).await.json();
    assert_eq!(stored, input("cyd"));
    let shown = town.call("GET", "/api/v1/runs/waits/context", None).await.json();
    assert_eq!(shown["token"], "[redacted]", "{shown}");
    let done = town.call("PATCH", "/api/v1/runs/waits/context", Some(shown)).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let stored = town.call("GET", "/api/v1/runs/waits/context?secrets=true", None).await.json();
    assert_eq!(stored["token"], format!("{MARK}four"));
    let mut plan = town.call("GET", "/api/v1/schedules/nightly", None).await.json()["plan"].clone();
    plan["input"]["to"] = json!("bob");
    let done = town.call("PUT", "/api/v1/schedules/nightly", Some(plan)).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let stored = town.call("GET", "/api/v1/schedules/nightly?secrets=true", None).await.json();
    assert_eq!(stored["plan"]["input"], input("bob"));

    // What cannot be known is refused by its place, and nothing changes.
    let moved = json!({ "value": { "pass": "[redacted]" } });
    let refused = town.call("POST", "/api/v1/runs/bad/edit-input", Some(moved.clone())).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    assert!(refused.text.contains("$.pass"), "{}", refused.text);
    let runs = json!([{ "run": "bad" }]);
    let many = json!({ "id": "x", "runs": runs, "verb": "edit-input", "value": moved["value"] });
    let refused = town.call("POST", "/api/v1/selections/ask", Some(many)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    let stored = town.call("GET", "/api/v1/runs/bad/input?secrets=true", None).await.json();
    assert_eq!(stored, input("cyd"));
}
