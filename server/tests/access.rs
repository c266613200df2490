//! Who may do what: every route, for every caller, about every tenant's things. What is asked comes from the table of routes, so
//! that a route nobody thought of here is tried like the others.

mod stage;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::StartRun;
use stepwell::contract::{Name, TenantId};
use stepwell::prelude::hours;
use stepwell_server::access::Role;
use stepwell_server::access::token::TokenRule;
use stepwell_server::{App, Route, ServerOptions};
use tower::ServiceExt as _;

const HOST: &str = "flows.example";
/// What only the other tenant's things say.
const SECRETS: [&str; 4] = ["SECRET", "theirs-run", "theirs-schedule", "theirs-queue"];

/// What is answered to everybody, by whichever name.
const FOR_ALL: [&str; 3] = ["/livez", "/readyz", "/openapi.json"];

/// One who calls.
struct Caller {
    token: Option<String>,
    role: Option<Role>,
    is_of_ours: bool,
}

/// A server with two tenants, `ours` and `theirs`, and callers of each role, for one tenant and for all.
struct Town {
    stage: Stage,
    router: Router,
    callers: Vec<Caller>,
    group: String,
}

/// An answer, with a stream of events cut where it has told what there is.
struct Answer {
    status: StatusCode,
    code: String,
    text: String,
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("an id")
}

impl Town {
    async fn new() -> Self {
        let mut options = ServerOptions::default();
        options.hosts = vec![HOST.to_owned()];
        let mut callers = vec![Caller { token: None, role: None, is_of_ours: false }];
        // Those of one tenant first: what the others change is not there any more to be leaked.
        for is_of_ours in [true, false] {
            for role in Role::ALL {
                let name = format!("{role}-{is_of_ours}");
                let of = is_of_ours.then(|| tenant("ours"));
                let (token, rule) = TokenRule::draw(name, role, of).expect("random numbers");
                options = options.token(rule);
                callers.push(Caller { token: Some(token), role: Some(role), is_of_ours });
            }
        }
        let stage = Stage::with(options).await;
        for (whose, run) in [("ours", "ours-run"), ("theirs", "theirs-run")] {
            let input = if whose == "ours" { "plain" } else { "SECRET" };
            let start = StartRun::new("check", run, input).expect("an input").tenant(tenant(whose));
            let start = start.tag("kind", input).expect("a tag");
            let start = start.queue(Name::new(format!("{whose}-queue")).expect("a name"));
            let run = stage.engine.start_with(start).await.expect("started");
            run.result::<Value>().await.expect_err("it fails");
            let waits = format!("{whose}-run-waits");
            let start = StartRun::new("wait", &waits, input).expect("an input").tenant(tenant(whose));
            let start = start.queue(Name::new(format!("{whose}-queue")).expect("a name"));
            stage.engine.start_with(start).await.expect("started");
            let plan = stepwell::Schedule::every(hours(24 * 365)).starts("greet", input).expect("a schedule");
            let schedules = stage.engine.schedules().of(tenant(whose));
            schedules.create(&format!("{whose}-schedule"), plan).await.expect("made");
        }
        stage
            .engine
            .pause_queue("theirs-queue", stepwell::Actor::Program, "of theirs")
            .await
            .expect("paused");
        let group = async {
            loop {
                let groups = stage.engine.failure_groups(&stepwell::GroupFilter::default(), None, 10).await;
                if let Some(entry) = groups.expect("groups").items.first() {
                    return entry.group.fingerprint.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let group = tokio::time::timeout(Duration::from_secs(60), group).await.expect("a group");
        let router = stage.app.alone();
        Self { stage, router, callers, group }
    }

    /// The path of a route, about things of that tenant, or about things that are not there.
    fn path(&self, route: &Route, whose: &str) -> String {
        let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None => part.to_owned(),
            Some("run") => format!("{whose}-run"),
            Some("name") => format!("{whose}-schedule"),
            Some("queue") => format!("{whose}-queue"),
            Some("group") if whose == "nobodys" => "nobodys-group".to_owned(),
            Some("group") => stage::encoded(&self.group),
            Some("step") => "check".to_owned(),
            Some("verb") => "pause".to_owned(),
            Some("code") => "SW1203".to_owned(),
            Some(other) => panic!("say here what stands for {{{other}}} of {}", route.path),
        };
        route.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    async fn ask(
        &self,
        route: &Route,
        caller: &Caller,
        path: &str,
        whose: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        // Named, so that two answers are the same where they say the same.
        let mut request = Request::builder().method(route.method).uri(path).header("x-request-id", "asked");
        // Refusals of pages are compared by their codes.
        request = request.header("accept", "application/json");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", HOST);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &caller.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if route.method == "GET" {
            Body::empty()
        } else {
            request = request.header("content-type", "application/json");
            Body::from(body_of(&route.path, whose).to_string())
        };
        let response =
            self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("an answer");
        let (parts, mut body) = response.into_parts();
        let is_stream = parts.headers.get("content-type").is_some_and(|media| media == "text/event-stream");
        let mut text = String::new();
        let read = async {
            while let Some(frame) = body.frame().await {
                if let Ok(bytes) = frame.expect("the body goes on").into_data() {
                    text.push_str(&String::from_utf8_lossy(&bytes));
                }
                let has = |event: &str| text.contains(&format!("event: {event}\n"));
                if is_stream && has("tally") && (has("list") || !path.contains("q=")) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("an answer within a minute");
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status, code: problem["code"].as_str().unwrap_or_default().to_owned(), text }
    }
}

/// A body that operations with this path understand, about things of that tenant.
fn body_of(path: &str, whose: &str) -> Value {
    let run = format!("{whose}-run");
    match path {
        "/api/v1/runs" => json!({ "workflow": "greet" }),
        "/api/v1/schedules/{name}" => json!({ "every_ms": 3_600_000, "workflow": "greet" }),
        "/api/v1/schedules/{name}/backfill" => {
            json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z" })
        }
        "/api/v1/integrity/repair" => json!({ "run": run, "issue": "0" }),
        "/api/v1/runs/{run}/signals" => json!({ "name": "go", "value": 1 }),
        "/api/v1/selections" => json!({ "q": "since:1h" }),
        "/api/v1/selections/ask" => {
            json!({ "id": "asked", "verb": "pause", "runs": [{ "tenant": whose, "run": run }] })
        }
        "/api/v1/runs/{run}/steps/{step}/start" => json!({ "name": "ada" }),
        _ => json!({}),
    }
}

/// With `?` or `&`, as it has to be.
fn with(path: &str, query: &str) -> String {
    match query {
        "" => path.to_owned(),
        query if path.contains('?') => format!("{path}&{query}"),
        query => format!("{path}?{query}"),
    }
}

#[tokio::test]
async fn every_route_answers_by_role_and_tells_no_tenant_of_another() {
    let town = Town::new().await;
    let table = App::table();
    let mut combinations = 0;
    for caller in &town.callers {
        for route in &table {
            for query in ["", "tenant=ours", "tenant=theirs"] {
                combinations += 1;
                // What a caller of one tenant makes is its own, whatever it is called.
                let whose = if caller.is_of_ours && route.method == "PUT" { "ours" } else { "theirs" };
                let path = with(&town.path(route, whose), query);
                let found = town.ask(route, caller, &path, whose, &[]).await;
                let what = format!(
                    "{} {path} as {:?} of {}: {} {}",
                    route.method,
                    caller.role,
                    if caller.is_of_ours { "ours" } else { "all" },
                    found.status,
                    found.text
                );
                let Some(least) = route.role else {
                    // Where one logs in, a wrong token is told to be one.
                    let is_login = route.method == "POST" && route.path == "/login";
                    let is_refused = matches!(found.status.as_u16(), 401 | 403);
                    assert!(is_login || !is_refused, "open to everybody: {what}");
                    continue;
                };
                let Some(role) = caller.role else {
                    // A page sends whoever is not known to the page where one logs in.
                    let is_sent = !route.path.starts_with("/api/") && found.status == StatusCode::SEE_OTHER;
                    assert!(found.status == StatusCode::UNAUTHORIZED || is_sent, "needs a token: {what}");
                    continue;
                };
                if role < least {
                    assert_eq!(found.status, StatusCode::FORBIDDEN, "needs {least}: {what}");
                    continue;
                }
                assert_ne!(found.status, StatusCode::UNAUTHORIZED, "{what}");
                assert!(!found.status.is_server_error(), "{what}");
                if caller.is_of_ours {
                    town.looks_missing(route, caller, query, &found, &what).await;
                } else {
                    assert_ne!(found.status, StatusCode::FORBIDDEN, "may do all of its role: {what}");
                }
            }
        }
    }
    println!(
        "HARNESS access routes={} callers={} combinations={combinations}",
        table.len(),
        town.callers.len()
    );
    assert!(table.len() >= 60 && combinations >= 60 * 7 * 3, "TOO LITTLE: {combinations} combinations");
}

impl Town {
    /// What a caller of `ours` is told where things of `theirs` were asked about: the same as of things that are nowhere, and
    /// nothing of what only those say.
    async fn looks_missing(&self, route: &Route, caller: &Caller, query: &str, found: &Answer, what: &str) {
        let is_changed = route.method == "PUT" || (route.method != "GET" && found.status.is_success());
        // What the request itself names may be said again.
        let is_in_body = ["/selections/ask", "/integrity/repair"].iter().any(|end| route.path.ends_with(end));
        let is_named = is_in_body || ["{run}", "{name}"].iter().any(|part| route.path.contains(part));
        if is_named && !is_changed {
            let path = with(&self.path(route, "nobodys"), query);
            let missing = self.ask(route, caller, &path, "nobodys", &[]).await;
            let told = found.text.replace("theirs-", "nobodys-");
            assert_eq!(
                (found.status, told),
                (missing.status, missing.text),
                "not like what is missing: {what}"
            );
        }
        let echoed = if is_in_body || route.path.contains('{') { &SECRETS[..1] } else { &SECRETS[..] };
        for secret in echoed {
            assert!(!found.text.contains(secret), "tells {secret} of another tenant: {what}");
        }
    }
}

#[tokio::test]
async fn a_caller_of_one_tenant_finds_its_own_and_no_query_finds_anothers() {
    let town = Town::new().await;
    let admin = town.callers.iter().find(|c| c.is_of_ours && c.role == Some(Role::Admin)).expect("a caller");
    let group = stage::encoded(&town.group);
    let get = |path: &str| Route { method: "GET", path: path.to_owned(), role: None };
    let rows = [
        ("/api/v1/runs", "ours-run"),
        ("/api/v1/runs?q=kind", "items"),
        ("/api/v1/runs?q=SECRET", "items"),
        ("/api/v1/runs?q=tag:kind=SECRET", "items"),
        ("/api/v1/runs?q=queue:theirs-queue", "items"),
        ("/api/v1/groups", "ours-run"),
        ("/api/v1/groups?in_trouble=true", "\"failed\":1"),
        ("/api/v1/queues", "ours-queue"),
        ("/api/v1/schedules", "ours-schedule"),
        ("/api/v1/audit", "ours-run"),
        ("/api/v1/audit?text=SECRET", "items"),
        ("/api/v1/stats", "\"runs\":3"),
        ("/api/v1/tally", "\"failed\":1"),
        ("/api/v1/overview", "ours-run"),
        ("/api/v1/integrity", "looked_at"),
        ("/api/v1/check", "is_complete"),
        ("/api/v1/events?q=", "ours-run"),
        ("/api/v1/events", "\"failed\":1"),
        ("/events?q=status:failed", "ours-run"),
    ];
    for (path, has) in rows {
        let found = town.ask(&get(path), admin, path, "theirs", &[]).await;
        assert_eq!(found.status, StatusCode::OK, "{path}: {}", found.text);
        assert!(found.text.contains(has), "{path} does not tell {has:?}: {}", found.text);
        for secret in SECRETS {
            assert!(!found.text.contains(secret), "{path} tells {secret}: {}", found.text);
        }
    }
    for path in [format!("/api/v1/groups/{group}"), format!("/api/v1/groups/{group}/members")] {
        let found = town.ask(&get(&path), admin, &path, "theirs", &[]).await;
        assert!(found.text.contains("ours-run") && !found.text.contains("theirs"), "{path}: {}", found.text);
    }
    // Nor is it told that others are there: not by how many there are, and not by a next page.
    for nth in 0..6 {
        let start = StartRun::new("wait", &format!("theirs-run-{nth}"), &nth).expect("an input");
        town.stage.engine.start_with(start.tenant(tenant("theirs"))).await.expect("started");
    }
    // More than an output may have.
    let odd = StartRun::new("chatty", "theirs-run-odd", &400_000).expect("an input");
    let odd = town.stage.engine.start_with(odd.tenant(tenant("theirs"))).await.expect("started");
    odd.result::<Value>().await.expect_err("it fails");
    let all = town.callers.last().expect("a caller");
    let two = async {
        let path = "/api/v1/groups";
        while town.ask(&get(path), all, path, "theirs", &[]).await.text.matches("\"first_seen\"").count() < 2
        {
        }
    };
    tokio::time::timeout(Duration::from_secs(60), two).await.expect("another group");
    for path in ["/api/v1/groups?limit=1&in_trouble=true", "/api/v1/groups?limit=1"] {
        let found: Value = serde_json::from_str(&town.ask(&get(path), admin, path, "theirs", &[]).await.text)
            .expect("a list");
        assert_eq!(found["next_cursor"], Value::Null, "{path}: {found}");
    }
    let checked = town.ask(&get("/api/v1/check?runs=4"), admin, "/api/v1/check?runs=4", "theirs", &[]).await;
    let checked: Value = serde_json::from_str(&checked.text).expect("a check");
    assert_eq!(checked["is_complete"], true, "runs of theirs were counted: {checked}");
    let overview = town.ask(&get("/api/v1/overview"), admin, "/api/v1/overview", "theirs", &[]).await;
    assert!(!overview.text.contains("workers_"), "workers are everyone's: {}", overview.text);
    for path in
        ["/api/v1/events?run=theirs-run", "/api/v1/audit?run=theirs-run", "/api/v1/runs?tenant=theirs"]
    {
        let found = town.ask(&get(path), admin, path, "theirs", &[]).await;
        assert_eq!(found.code, "SW9504", "{path}: {}", found.text);
    }
    // What is everyone's is refused, and not shown in part.
    for path in ["/api/v1/workers", "/metrics", "/api/v1/queues/ours-queue/history"] {
        let found = town.ask(&get(path), admin, path, "theirs", &[]).await;
        assert_eq!(found.code, "SW9503", "{path}: {}", found.text);
    }
    let pause = Route { method: "POST", path: "/api/v1/queues/{queue}/pause".to_owned(), role: None };
    let refused = town.ask(&pause, admin, "/api/v1/queues/ours-queue/pause", "ours", &[]).await;
    assert_eq!(refused.code, "SW9503", "{}", refused.text);
    assert!(
        town.stage
            .engine
            .queues()
            .await
            .expect("queues")
            .iter()
            .all(|queue| { queue.paused.is_none() || queue.name.as_str() == "theirs-queue" })
    );
}

#[tokio::test]
async fn every_route_refuses_another_host_and_pages_of_other_sites() {
    let town = Town::new().await;
    let admin = town.callers.last().expect("a caller");
    let mut combinations = 0;
    for route in App::table() {
        let path = town.path(&route, "nobodys");
        let mut rows = vec![(("host", "evil.example"), "SW9513")];
        if route.method != "GET" {
            rows.push((("origin", "https://evil.example"), "SW9514"));
            rows.push((("origin", "null"), "SW9514"));
            rows.push((("sec-fetch-site", "cross-site"), "SW9514"));
        }
        for (header, code) in rows {
            combinations += 1;
            let found = town.ask(&route, admin, &path, "nobodys", &[header]).await;
            // Those who watch the server call it by its address, and it tells them nothing of runs.
            if FOR_ALL.contains(&path.as_str()) {
                assert!(found.status.is_success(), "{path} with {header:?}: {}", found.text);
                continue;
            }
            assert_eq!(found.code, code, "{} {path} with {header:?}: {}", route.method, found.text);
        }
    }
    println!("HARNESS origins combinations={combinations}");
    assert!(combinations >= 100, "TOO LITTLE: {combinations} combinations");
}
