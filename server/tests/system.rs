//! What is told of the whole: groups, workers, queues, schedules, figures, the audit log, integrity, health.

mod stage;

use axum::http::StatusCode;
use serde_json::{Value, json};
use stage::Stage;

/// Runs of each kind of end: two that failed for the same reason, one that succeeded, one that waits.
async fn busy() -> Stage {
    let stage = Stage::new().await;
    for run in ["bad-1", "bad-2"] {
        stage.run("check", run, &json!("bad")).await;
    }
    stage.run("greet", "good", &json!("hello")).await;
    stage.engine.start_run("wait", "waits", &json!(1)).await.expect("started");
    stage.until_so("/api/v1/runs/waits", |run| run["status"] == "waiting").await;
    stage
}

#[tokio::test]
async fn counts_figures_and_the_overview_tell_the_same_of_the_same_runs() {
    let stage = busy().await;
    let tally = stage.until_so("/api/v1/tally", |tally| tally["by_status"]["failed"] == 2).await;
    assert_eq!(tally["runs"], 4, "{tally}");
    assert_eq!(tally["by_workflow"]["check"], json!({ "failed": 2 }));
    assert_eq!(tally["unfinished_by_queue"], json!({ "default": { "waiting": 1 } }));
    let stats = stage.call("GET", "/api/v1/stats?workflow=check&since=1h", None).await.json();
    assert_eq!((&stats["runs"], &stats["error_rate"]), (&json!(2), &json!(1.0)), "{stats}");
    assert_eq!(stats["steps"][0]["failed"], 2, "{stats}");
    let overview = stage.call("GET", "/api/v1/overview", None).await.json();
    assert_eq!(overview["counts"], tally["by_status"], "{overview}");
    let sum = |field: &str| {
        overview["series"]
            .as_array()
            .expect("minutes")
            .iter()
            .filter_map(|at| at[field].as_u64())
            .sum::<u64>()
    };
    assert_eq!((sum("ended"), sum("failed")), (3, 2), "{overview}");
    assert_eq!(overview["groups"][0]["failed"], 2, "{overview}");
    assert_eq!(overview["workflows"][0]["workflow"], "greet", "{overview}");
    assert_eq!(overview["store"]["state"], "ok", "{overview}");
}

#[tokio::test]
async fn failures_of_one_cause_are_a_group_with_members_until_it_is_forgotten() {
    let stage = busy().await;
    let groups =
        stage.until_so("/api/v1/groups?in_trouble=true", |page| page["items"][0]["failed"] == 2).await;
    let name = groups["items"][0]["group"].as_str().expect("a name").to_owned();
    let place = format!("/api/v1/groups/{}", stage::encoded(&name));
    let group = stage.call("GET", &place, None).await.json();
    assert_eq!((&group["failed"], &group["workflow"]), (&json!(2), &json!("check")), "{group}");
    let first = stage.call("GET", &format!("{place}/members?limit=1"), None).await.json();
    let next = first["next_cursor"].as_str().expect("a next page").to_owned();
    let second = stage.call("GET", &format!("{place}/members?cursor={next}"), None).await.json();
    let runs = [&first["items"][0]["run"], &second["items"][0]["run"]];
    assert_eq!(runs, [&json!("bad-2"), &json!("bad-1")]);
    let forgotten = stage.call("DELETE", &place, None).await;
    assert_eq!(forgotten.status, StatusCode::NO_CONTENT, "{}", forgotten.text);
    let none = stage.call("GET", "/api/v1/groups/none", None).await;
    assert_eq!(none.json()["code"], "SW9504", "{}", none.text);
}

#[tokio::test]
async fn a_queue_is_paused_drained_and_resumed_with_a_history_of_who_and_why() {
    let stage = busy().await;
    let body = json!({ "reason": "we move" });
    let paused = stage.call("POST", "/api/v1/queues/default/pause", Some(body)).await.json();
    assert_eq!((&paused["paused"]["reason"], &paused["paused"]["by"]), (&json!("we move"), &json!("local")));
    let listed = stage.call("GET", "/api/v1/queues", None).await.json();
    assert_eq!(listed["items"][0]["queue"], "default", "{listed}");
    assert_eq!(listed["items"][0]["unfinished"]["waiting"], 1, "{listed}");
    let drained = stage.call("POST", "/api/v1/queues/default/drain", None).await;
    assert_eq!(drained.status, StatusCode::OK, "{}", drained.text);
    let resumed = stage.call("POST", "/api/v1/queues/default/resume", None).await.json();
    assert_eq!(resumed["paused"], Value::Null);
    let history = stage.call("GET", "/api/v1/queues/default/history", None).await.json();
    let kinds: Vec<&Value> =
        history["items"].as_array().expect("items").iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["queue_paused", "queue_resumed"]);
    let refused = stage.call("POST", "/api/v1/queues/no%20name/pause", None).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
}

#[tokio::test]
async fn a_schedule_is_made_changed_triggered_filled_in_and_deleted() {
    let stage = Stage::new().await;
    let place = "/api/v1/schedules/nightly";
    let plan =
        |cron: &str| json!({ "cron": cron, "workflow": "greet", "input": 18_446_744_073_709_551_615_u64 });
    let made = stage.call("PUT", place, Some(plan("0 3 * * *"))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.headers["location"], place);
    let changed = stage.call("PUT", &format!("{place}?reason=later"), Some(plan("0 4 * * *"))).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let shown = stage.call("GET", place, None).await.json();
    assert_eq!((&shown["plan"]["cron"], &shown["plan"]["input"]), (&json!("0 4 * * *"), &json!(u64::MAX)));
    assert_eq!(shown["next"].as_array().map(Vec::len), Some(5), "{shown}");
    let paused =
        stage.call("POST", &format!("{place}/pause"), Some(json!({ "reason": "hold" }))).await.json();
    assert_eq!(paused["paused"]["reason"], "hold", "{paused}");
    stage.call("POST", &format!("{place}/resume"), None).await;
    let run = stage.call("POST", &format!("{place}/trigger"), Some(json!({ "id": "now" }))).await;
    assert_eq!(run.status, StatusCode::ACCEPTED, "{}", run.text);
    let path = format!("/api/v1/runs/{}", run.json()["run"].as_str().expect("a run"));
    stage.until_so(&path, |run| run["status"] == "succeeded").await;
    let span = json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z" });
    let would = stage.call("POST", &format!("{place}/backfill?dry_run=true"), Some(span)).await.json();
    assert_eq!(
        (would["times"].as_array().map(Vec::len), &would["dry_run"]),
        (Some(2), &json!(true)),
        "{would}"
    );
    let rows = [
        (json!({ "workflow": "greet" }), 422, "either"),
        (json!({ "cron": "x", "workflow": "greet" }), 422, "no cron expression"),
        (json!({ "cron": "0 3 * * *", "workflow": "gret" }), 422, "gret"),
        (json!({ "cron": "0 3 * * *", "workflow": "greet", "overlap": "no" }), 400, "overlap"),
    ];
    for (plan, status, text) in rows {
        let refused = stage.call("PUT", "/api/v1/schedules/other", Some(plan)).await;
        assert_eq!(refused.status.as_u16(), status, "{}", refused.text);
        assert!(refused.text.contains(text), "{}", refused.text);
    }
    let gone = stage.call("DELETE", place, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    assert_eq!(stage.call("GET", place, None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_audit_log_is_searched_by_category_code_actor_and_time_page_by_page() {
    let stage = busy().await;
    stage.call("POST", "/api/v1/runs/waits/cancel", Some(json!({ "reason": "not needed" }))).await;
    let by = stage.call("GET", "/api/v1/audit?category=operator&actor=local", None).await.json();
    assert!(by["items"].as_array().expect("items").iter().any(|entry| entry["run"] == "waits"), "{by}");
    let (mut found, mut cursor) = (0, String::new());
    loop {
        let path = format!("/api/v1/audit?workflow=check&order=oldest&since=1h&limit=3{cursor}");
        let page = stage.call("GET", &path, None).await.json();
        found += page["items"].as_array().expect("items").len();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let all = stage.call("GET", "/api/v1/audit?workflow=check&limit=200", None).await.json();
    assert_eq!(Some(found), all["items"].as_array().map(Vec::len));
    for (query, text) in
        [("level=loud", "loud"), ("category=x", "no category"), ("since=soon", "2h"), ("order=up", "newest")]
    {
        let refused = stage.call("GET", &format!("/api/v1/audit?{query}"), None).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}: {}", refused.text);
        assert!(refused.text.contains(text), "{query}: {}", refused.text);
    }
}

#[tokio::test]
async fn what_is_whole_has_no_issues_and_what_is_registered_goes_on() {
    let stage = busy().await;
    let found = stage.call("GET", "/api/v1/integrity?runs=2", None).await.json();
    assert_eq!((&found["issues"], &found["looked_at"]), (&json!([]), &json!(2)), "{found}");
    assert!(found["next_cursor"].is_string(), "{found}");
    let none = json!({ "run": "good", "issue": "0" });
    let refused = stage.call("POST", "/api/v1/integrity/repair?dry_run=true", Some(none)).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
    let check = stage.call("GET", "/api/v1/check", None).await.json();
    assert_eq!((&check["fine"], &check["is_complete"]), (&json!(1), &json!(true)), "{check}");
    let workflows = stage.call("GET", "/api/v1/workflows", None).await.json();
    let wait = workflows["items"].as_array().expect("items").iter().find(|flow| flow["workflow"] == "wait");
    let wait = wait.expect("a workflow");
    assert_eq!(wait["nodes"][1]["kind"], "wait", "{wait}");
    assert_eq!(wait["nodes"][1]["signals"], json!(["go"]), "{wait}");
}

#[tokio::test]
async fn the_server_says_who_asks_how_it_is_and_what_codes_mean() {
    let stage = busy().await;
    let who = stage.call("GET", "/api/v1/whoami", None).await.json();
    assert_eq!(who, json!({ "name": "local", "role": "admin" }));
    for path in ["/livez", "/readyz"] {
        assert_eq!(stage.call("GET", path, None).await.json(), json!({ "status": "ok" }), "{path}");
    }
    let store = stage.call("GET", "/api/v1/store", None).await.json();
    assert_eq!((&store["backend"], &store["durability"]), (&json!("memory"), &json!("D0")), "{store}");
    let workers = stage.call("GET", "/api/v1/workers", None).await.json();
    assert_eq!(workers["items"][0]["alive"], true, "{workers}");
    let code = stage.call("GET", "/api/v1/codes/sw1203?language=ja", None).await.json();
    assert!(!code["title"].as_str().expect("a title").is_ascii(), "{code}");
    assert_eq!(stage.call("GET", "/api/v1/codes/SW9504", None).await.status, StatusCode::OK);
    assert_eq!(stage.call("GET", "/api/v1/codes/SW0000", None).await.status, StatusCode::NOT_FOUND);
    let document = stage.call("GET", "/openapi.json", None).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/v1/overview"]["get"].is_object());
    stage.app.stop();
    assert_eq!(stage.call("GET", "/readyz", None).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stage.call("GET", "/livez", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn figures_name_routes_and_workflows_and_no_run() {
    let stage = busy().await;
    stage.call("GET", "/api/v1/runs/good", None).await;
    stage.call("GET", "/api/v1/runs/none", None).await;
    stage.call("GET", "/wherever", None).await;
    stage.until_so("/api/v1/tally", |tally| tally["by_status"]["failed"] == 2).await;
    let figures = stage.call("GET", "/metrics", None).await.text;
    for line in [
        "stepwell_runs{workflow=\"check\",status=\"failed\"} 2",
        "stepwell_queue_runs{queue=\"default\",status=\"waiting\"} 1",
        "stepwell_workers_alive 1",
        "stepwell_store_health{state=\"ok\"} 1",
        "stepwell_http_requests_total{method=\"GET\",route=\"/api/v1/runs/{run}\",status=\"404\"} 1",
        "stepwell_http_requests_total{method=\"GET\",route=\"(none)\",status=\"404\"} 1",
        "# TYPE stepwell_http_request_duration_seconds histogram",
    ] {
        assert!(figures.lines().any(|found| found == line), "no line {line} in:\n{figures}");
    }
    assert!(!figures.contains("good") && !figures.contains("wherever"), "{figures}");
}

#[tokio::test]
async fn every_answer_forbids_framing_guessing_and_keeping() {
    let stage = Stage::new().await;
    for path in ["/livez", "/api/v1/runs", "/api/v1/runs/none", "/wherever", "/metrics"] {
        let headers = stage.call("GET", path, None).await.headers;
        assert_eq!(
            headers["content-security-policy"], "default-src 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
    }
    let refused = stage.send("GET", "/wherever", &[("x-request-id", "r-7")], None).await;
    assert_eq!(
        (&refused.headers["x-request-id"], &refused.json()["request_id"]),
        (&"r-7".parse().expect("a value"), &json!("r-7"))
    );
}
