//! The trail of callers: who has changed what, through which route.

mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::GroupFilter;
use stepwell::prelude::hours;
use stepwell_server::access::Role;
use stepwell_server::access::token::TokenRule;
use stepwell_server::{App, ServerOptions};

/// How each route that changes something is asked so that it does: the path, and what is sent. Without a row here a route fails the
/// test below: add one.
fn rows(group: &str) -> Vec<(&'static str, String, Option<String>)> {
    let json = |value: Value| Some(value.to_string());
    let row = |what: &'static str, path: &str, body: Option<String>| (what, path.to_owned(), body);
    vec![
        row(
            "POST /api/v1/workflows",
            "/api/v1/workflows",
            json(json!({ "name": "film", "steps": [
            { "name": "cut", "timeout_ms": 60_000, "max_attempts": 2, "retry_delay_ms": 1 }, { "name": "dub", "timeout_ms": 60_000 }
        ] })),
        ),
        row("POST /api/v1/runs", "/api/v1/runs", json(json!({ "workflow": "film", "run": "film-1" }))),
        row(
            "POST /api/v1/runs/{run}/steps/{step}/start",
            "/api/v1/runs/film-1/steps/cut/start",
            json(json!({ "name": "cutter-1" })),
        ),
        row(
            "POST /api/v1/runs/{run}/steps/{step}/progress",
            "/api/v1/runs/film-1/steps/cut/progress",
            json(json!({ "fraction": 0.5 })),
        ),
        row(
            "POST /api/v1/runs/{run}/steps/{step}/failure",
            "/api/v1/runs/film-1/steps/cut/failure",
            json(json!({ "message": "no" })),
        ),
        row(
            "POST /api/v1/runs/{run}/steps/{step}/success",
            "/api/v1/runs/film-1/steps/cut/success",
            json(json!({})),
        ),
        row("POST /api/v1/runs/{run}/{verb}", "/api/v1/runs/waits/pause", json(json!({}))),
        row("PATCH /api/v1/runs/{run}/context", "/api/v1/runs/waits/context", json(json!({ "a": 1 }))),
        row("POST /api/v1/runs/{run}/fork", "/api/v1/runs/failed/fork", json(json!({ "step": "check" }))),
        row(
            "POST /api/v1/runs/{run}/signals",
            "/api/v1/runs/waits/signals",
            json(json!({ "name": "other" })),
        ),
        row(
            "POST /api/v1/selections/ask",
            "/api/v1/selections/ask",
            json(json!({ "id": "s", "verb": "retry", "runs": [{ "run": "failed" }] })),
        ),
        row("POST /api/v1/queues/{queue}/pause", "/api/v1/queues/side/pause", json(json!({}))),
        row("POST /api/v1/queues/{queue}/drain", "/api/v1/queues/side/drain", json(json!({}))),
        row("POST /api/v1/queues/{queue}/resume", "/api/v1/queues/side/resume", json(json!({}))),
        row(
            "PUT /api/v1/schedules/{name}",
            "/api/v1/schedules/hourly",
            json(json!({ "every_ms": 3_600_000, "workflow": "greet" })),
        ),
        row("POST /api/v1/schedules/{name}/pause", "/api/v1/schedules/yearly/pause", json(json!({}))),
        row("POST /api/v1/schedules/{name}/resume", "/api/v1/schedules/yearly/resume", json(json!({}))),
        row("POST /api/v1/schedules/{name}/trigger", "/api/v1/schedules/yearly/trigger", json(json!({}))),
        row(
            "POST /api/v1/schedules/{name}/backfill",
            "/api/v1/schedules/yearly/backfill",
            json(json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" })),
        ),
        row("DELETE /api/v1/schedules/{name}", "/api/v1/schedules/hourly", None),
        row("DELETE /api/v1/groups/{group}", &format!("/api/v1/groups/{}", stage::encoded(group)), None),
        row("POST /runs/{run}/ask/{verb}", "/runs/waits/ask/resume", Some("reason=go".to_owned())),
        row("POST /runs/{run}/fork", "/runs/failed/fork", Some("step=check&id=copy".to_owned())),
        row("POST /runs/{run}/signal", "/runs/waits/signal", Some("name=more&value=1".to_owned())),
        row("POST /bulk/ask", "/bulk/ask", Some("verb=resume&id=b&runs=default/waits".to_owned())),
        row("POST /queues/{queue}/{verb}", "/queues/side/pause", Some(String::new())),
        row("POST /schedules/{name}/{verb}", "/schedules/yearly/pause", Some(String::new())),
        row("POST /start", "/start", Some("key=once&workflow=greet&input=%22ann%22".to_owned())),
        row(
            "POST /schedules/new",
            "/schedules/new",
            Some("name=weekly&workflow=greet&input=1&every=2h".to_owned()),
        ),
        row(
            "POST /schedules/{name}/edit",
            "/schedules/weekly/edit",
            Some("workflow=greet&input=1&every=3h".to_owned()),
        ),
        row(
            "POST /schedules/{name}/backfill",
            "/schedules/weekly/backfill",
            Some("from=2026-01-01T00%3A00%3A00Z&to=2026-01-01T04%3A00%3A00Z&confirmed=true".to_owned()),
        ),
        row("POST /schedules/{name}/delete", "/schedules/weekly/delete", Some(String::new())),
        row("POST /login", "/login", Some("token=right".to_owned())),
        row("POST /logout", "/logout", Some(String::new())),
    ]
}

/// What is sent like a change and changes nothing, and what needs something broken that it could mend.
const OTHERS: [&str; 3] = ["POST /api/v1/selections", "POST /bulk", "POST /api/v1/integrity/repair"];

fn rule(name: &str, token: &str) -> TokenRule {
    let hash = stepwell_server::access::token::SecretHash::of(token);
    TokenRule { name: name.to_owned(), role: Role::Admin, tenant: None, hash }
}

async fn changes(stage: &Stage, headers: &[(&str, &str)]) -> Vec<Value> {
    let page = stage.send("GET", "/api/v1/changes?limit=200", headers, None).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    page.json()["items"].as_array().cloned().expect("a list")
}

#[tokio::test]
async fn every_route_that_changes_something_leaves_who_asked_and_what_for() {
    let stage = Stage::with(ServerOptions::default().token(rule("ada", "right"))).await;
    let headers = [("authorization", "Bearer right")];
    stage.engine.start_run("wait", "waits", &json!(1)).await.expect("started");
    stage.run("check", "failed", &json!("bad")).await;
    let plan = stepwell::Schedule::every(hours(24 * 365)).starts("greet", &json!(1)).expect("a schedule");
    stage.engine.schedules().create("yearly", plan).await.expect("made");
    let group = loop {
        let groups = stage.engine.failure_groups(&GroupFilter::default(), None, 10).await.expect("groups");
        if let Some(entry) = groups.items.first() {
            break entry.group.fingerprint.clone();
        }
        tokio::task::yield_now().await;
    };
    let rows = rows(&group);
    let table = App::table();
    let of_table = table.iter().filter(|route| route.method != "GET");
    let of_table: Vec<_> = of_table.map(|route| format!("{} {}", route.method, route.path)).collect();
    for what in &of_table {
        let is_known = rows.iter().any(|(row, ..)| row == what) || OTHERS.contains(&what.as_str());
        assert!(is_known, "say in `rows` how {what} is asked so that it changes something");
    }
    let mut seen = changes(&stage, &headers).await.len();
    for (what, path, body) in &rows {
        assert!(of_table.iter().any(|route| route == what), "there is no route {what}");
        let (method, _) = what.split_once(' ').expect("a method");
        if method == "POST" && path.contains("/cut/") {
            // Each attempt is left outside anew.
            let waits = "/api/v1/outside?step=cut&with_begun=true";
            while stage.send("GET", waits, &headers, None).await.json()["items"][0].is_null() {
                tokio::task::yield_now().await;
            }
        }
        if path.starts_with("/api/") {
            let dry = stage.send(method, &format!("{path}?dry_run=true"), &headers, body.as_deref()).await;
            // Starting a run is the one change that has none: a run that is not wanted is not started.
            let is_dry = *what == "POST /api/v1/runs" || dry.status == StatusCode::OK;
            assert!(is_dry, "{what} has no dry run: {} {}", dry.status, dry.text);
        }
        let answer = stage.send(method, path, &headers, body.as_deref()).await;
        let is_done = answer.status.is_success() || answer.status.is_redirection();
        assert!(is_done, "{what}: {} {}", answer.status, answer.text);
        let now = changes(&stage, &headers).await;
        assert_eq!(now.len(), seen + 1, "{what} leaves one entry, and its dry run none: {now:?}");
        seen = now.len();
        let entry = &now[0];
        assert_eq!((&entry["what"], &entry["actor"]), (&json!(what), &json!("ada")), "{entry}");
        assert_eq!(entry["about"], json!(path), "{entry}");
        assert_eq!(
            entry["request_id"],
            json!(answer.headers["x-request-id"].to_str().expect("text")),
            "{entry}"
        );
    }
    let first = stage.send("GET", "/api/v1/changes?limit=3", &headers, None).await.json();
    let next = first["next_cursor"].as_str().expect("more of them").to_owned();
    let second =
        stage.send("GET", &format!("/api/v1/changes?limit=3&cursor={next}"), &headers, None).await.json();
    let all = changes(&stage, &headers).await;
    assert_eq!(first["items"], json!(all[..3]));
    assert_eq!(second["items"], json!(all[3..6]));
}

#[tokio::test]
async fn logins_that_fail_are_kept_without_what_was_sent_and_do_not_fill_the_store() {
    let stage = Stage::with(ServerOptions::default().token(rule("ada", "right"))).await;
    for nth in 0..50 {
        let form = format!("token=guessed-{nth}");
        let refused = stage.send("POST", "/login", &[], Some(&form)).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text);
    }
    let kept = changes(&stage, &[("authorization", "Bearer right")]).await;
    assert_eq!(kept.len(), 20, "{kept:?}");
    for entry in &kept {
        assert_eq!((&entry["what"], &entry["outcome"]), (&json!("POST /login"), &json!("401")), "{entry}");
        assert!(entry.get("actor").is_none() && !entry.to_string().contains("guessed"), "{entry}");
    }
}
