//! The pages of the dashboard: each answers, in both languages, and shows what others wrote as text.

mod markup;
mod stage;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use markup::field;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::contract::TenantId;
use stepwell::{Actor, Schedule, StartRun};
use stepwell_server::ServerOptions;
use stepwell_server::access::token::TokenRule;
use stepwell_server::access::{Access, Role};
use tower::ServiceExt as _;

const PAGES: [&str; 15] = [
    "/",
    "/runs",
    "/runs?q=status:failed+since:2h",
    "/runs?q=is:stuck&order=oldest",
    "/groups",
    "/groups?in_trouble=false",
    "/workers",
    "/queues",
    "/schedules",
    "/audit",
    "/audit?level=warn&category=error",
    "/settings",
    "/codes",
    "/codes/SW1203",
    "/codes/SW9504",
];

fn access(role: Role, name: &str) -> Access {
    Access { name: name.to_owned(), role, tenant: None }
}

async fn look(router: &Router, path: &str, language: &str) -> (StatusCode, String) {
    let request =
        Request::builder().uri(path).header("host", "localhost").header("accept-language", language);
    let request = request.body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

/// A form as browsers send it.
fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// Runs that have failed, are held and wait, a paused queue and a paused schedule, with these words wherever people write.
async fn fill(stage: &Stage, words: &[String]) {
    for (nth, word) in words.iter().enumerate() {
        let failed = StartRun::new("check", &format!("failed-{nth}"), word).expect("a run");
        let failed = failed.tag("region", word.chars().take(60).collect::<String>()).expect("a tag");
        let run = stage.engine.start_with(failed).await.expect("started");
        assert!(run.result::<Value>().await.is_err());
    }
    let first = words.first().map_or("a reason", String::as_str);
    let held = stage.engine.start_run("wait", "held-1", &json!(first)).await.expect("started");
    stage
        .engine
        .ask(held.key(), stepwell::Verb::Pause, Actor::Person(first.to_owned()), first)
        .await
        .expect("held");
    let person = Actor::Person(first.to_owned());
    stage.engine.pause_queue("slow", person.clone(), first).await.expect("a paused queue");
    let often = Schedule::every(Duration::from_secs(60)).starts("greet", &first).expect("a schedule");
    let schedules = stage.engine.schedules().by(person);
    schedules.create("often", often).await.expect("a schedule");
    schedules.pause("often", first).await.expect("a paused schedule");
}

#[tokio::test]
async fn every_page_answers_in_both_languages_with_and_without_runs_to_each_role() {
    let stage = Stage::new().await;
    for is_filled in [false, true] {
        if is_filled {
            fill(&stage, &["plain words".to_owned()]).await;
        }
        for role in Role::ALL {
            let router = stage.local(access(role, "ann"));
            for path in PAGES {
                for (language, word) in [("en", "Overview"), ("ja,en;q=0.5", "概要")] {
                    let (status, page) = look(&router, path, language).await;
                    assert_eq!(status, StatusCode::OK, "{path} as {role}: {page}");
                    assert!(
                        page.contains(word) && page.contains(&format!("<html lang=\"{}\"", &language[..2])),
                        "{path}"
                    );
                    markup::check(&page, "", path);
                }
            }
        }
    }
}

#[tokio::test]
async fn what_others_wrote_comes_out_as_text() {
    let stage = Stage::new().await;
    let words = markup::hostile();
    assert!(words.len() >= 60, "{}", words.len());
    fill(&stage, &words).await;
    let groups = stage.call("GET", "/api/v1/groups", None).await.json();
    let group = groups["items"][0]["group"].as_str().expect("a group").to_owned();
    let router = stage.local(access(Role::Admin, &words[0]));
    let mut paths: Vec<String> = PAGES.map(str::to_owned).to_vec();
    paths.extend([
        "/runs?order=oldest".to_owned(),
        format!("/groups/{group}"),
        "/runs/held-1/ask/resume".to_owned(),
    ]);
    let mut seen = String::new();
    for path in &paths {
        let (status, page) = look(&router, path, "en").await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        markup::check(&page, "", path);
        seen.push_str(&page);
    }
    for word in &words {
        let escaped: String = word.chars().take(20).collect();
        let escaped = escaped.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;");
        let shown = escaped.replace('"', "&#34;").replace('\'', "&#39;");
        assert!(
            seen.contains(&shown) || word.contains(['\r', '\t', '\\', '"']),
            "{word:?} is not shown as {shown}"
        );
        let query = percent_encoding::utf8_percent_encode(word, percent_encoding::NON_ALPHANUMERIC);
        for path in
            ["/runs?q=", "/audit?text=", "/audit?run=", "/login?to=", "/codes/", "/runs?tenant=", "/no/such/"]
        {
            let path = format!("{path}{query}");
            let (_, page) = look(&router, &path, "en").await;
            markup::check(&page, "", &path);
        }
    }
}

#[tokio::test]
async fn links_stay_under_the_prefix_and_keep_the_tenant() {
    let stage = Stage::with(ServerOptions::default().prefix("/flows/one")).await;
    fill(&stage, &["plain words".to_owned()]).await;
    let router = stage.local(access(Role::Admin, "ann"));
    for path in PAGES {
        let path = if path == "/" { "" } else { path };
        let (status, page) = look(&router, &format!("/flows/one{path}"), "en").await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        markup::check(&page, "/flows/one", path);
    }
    let (status, _) = look(&router, "/flows/one/", "en").await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    let (_, page) = look(&router, "/flows/one/runs?tenant=acme", "en").await;
    assert!(page.contains("href=\"/flows/one/groups?tenant=acme\""), "{page}");
}

#[tokio::test]
async fn whoever_is_not_known_is_sent_to_the_login_and_back() {
    let (token, rule) = TokenRule::draw("ann", Role::Viewer, None).expect("random numbers");
    let stage = Stage::with(ServerOptions::default().token(rule)).await;
    let sent = stage.call("GET", "/runs?q=status:failed", None).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    assert_eq!(sent.headers["location"], "/login?to=%2Fruns%3Fq%3Dstatus%253Afailed");
    let asked = stage.call("GET", "/login?to=%2Fruns", None).await;
    assert!(asked.status == StatusCode::OK && asked.text.contains("value=\"/runs\""), "{}", asked.text);
    let wrong = stage.send("POST", "/login", &[], Some(&form(&[("token", "swt_no"), ("to", "/runs")]))).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let right = form(&[("token", &token), ("to", "/runs?q=status%3Afailed")]);
    let right = stage.send("POST", "/login", &[], Some(&right)).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER, "{}", right.text);
    assert_eq!(right.headers["location"], "/runs?q=status%3Afailed");
    let cookie = right.headers["set-cookie"].to_str().expect("text");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let session = cookie.split(';').next().expect("a pair");
    let known = stage.send("GET", "/runs", &[("cookie", session)], None).await;
    assert!(known.status == StatusCode::OK && known.text.contains("ann"), "{}", known.text);
    let elsewhere = form(&[("token", &token), ("to", "//harm.example")]);
    let elsewhere = stage.send("POST", "/login", &[], Some(&elsewhere)).await;
    assert_eq!(elsewhere.headers["location"], "/");
    let out = stage.send("POST", "/logout", &[("cookie", session)], None).await;
    assert_eq!(out.headers["location"], "/login");
    let after = stage.send("GET", "/runs", &[("cookie", session)], None).await;
    assert_eq!(after.status, StatusCode::SEE_OTHER);
    let program = stage.call("GET", "/api/v1/runs", None).await;
    assert_eq!((program.status, program.json()["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("SW9502")));
}

#[tokio::test]
async fn refusals_of_pages_are_pages_and_those_of_the_api_are_problems() {
    let stage = Stage::new().await;
    let browser = [("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")];
    let missing = stage.send("GET", "/no/such/page", &browser, None).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(
        missing.text.starts_with("<!doctype html>") && missing.text.contains("SW9504"),
        "{}",
        missing.text
    );
    let program = stage.call("GET", "/api/v1/nothing", None).await;
    assert_eq!(program.json()["code"], "SW9504");
    let router = stage.local(access(Role::Viewer, "eve"));
    let request = Request::builder().method("POST").uri("/bulk").header("host", "localhost");
    let answer = router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&bytes).contains("You may not do this"));
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_told_beside_the_box_and_lists_nothing() {
    let stage = Stage::new().await;
    fill(&stage, &["plain words".to_owned()]).await;
    let page = stage.call("GET", "/runs?q=stauts:failed", None).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("did you mean `status`?") && page.text.contains("value=\"stauts:failed\""),
        "{}",
        page.text
    );
    assert!(!page.text.contains("data-row id="), "{}", page.text);
}

#[tokio::test]
async fn a_verb_says_what_it_would_do_and_is_done_with_its_reason() {
    let stage = Stage::new().await;
    fill(&stage, &["plain words".to_owned()]).await;
    let preview = stage.call("GET", "/runs/held-1/ask/resume", None).await;
    assert!(preview.status == StatusCode::OK && preview.text.contains("The run becomes"), "{}", preview.text);
    let refused = stage.call("GET", "/runs/failed-0/ask/pause", None).await;
    assert!(refused.text.contains("it has failed") && refused.text.contains("disabled"), "{}", refused.text);
    let said = form(&[("reason", "it is <b>safe</b> now"), ("back", "/runs/held-1")]);
    let done = stage.send("POST", "/runs/held-1/ask/resume", &[], Some(&said)).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(done.headers["location"], "/runs/held-1");
    let audit = stage.call("GET", "/audit?text=safe", None).await;
    assert!(audit.text.contains("it is &#60;b&#62;safe&#60;/b&#62; now"), "{}", audit.text);
    let elsewhere = form(&[("reason", ""), ("back", "https://harm.example/")]);
    let done = stage.send("POST", "/runs/held-1/ask/pause", &[], Some(&elsewhere)).await;
    assert_eq!(done.headers["location"], "/");
}

#[tokio::test]
async fn many_runs_are_asked_as_they_were_listed_and_no_others() {
    let stage = Stage::new().await;
    for nth in 0..3 {
        stage.engine.start_run("wait", &format!("wait-{nth}"), &json!(1)).await.expect("started");
    }
    let other = StartRun::new("wait", "other-1", &json!(1)).expect("a run");
    let acme = TenantId::new("acme").expect("a tenant");
    stage.engine.start_with(other.tenant(acme)).await.expect("started");
    let all =
        form(&[("verb", "pause"), ("scope", "all"), ("q", "workflow:wait id:wait-"), ("back", "/runs")]);
    let preview = stage.send("POST", "/bulk", &[], Some(&all)).await;
    assert!(preview.text.contains("3 runs: Pause"), "{}", preview.text);
    stage.engine.start_run("wait", "wait-9", &json!(1)).await.expect("started");
    let listed = preview.text.split("<textarea name=\"runs\" hidden>").nth(1).expect("the list");
    let listed = listed.split('<').next().expect("the list").to_owned();
    let asked = form(&[
        ("verb", "pause"),
        ("id", &markup::field(&preview.text, "id")),
        ("runs", &listed),
        ("reason", "maintenance"),
        ("back", "/runs"),
    ]);
    let done = stage.send("POST", "/bulk/ask", &[], Some(&asked)).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    for (run, held) in [("wait-0", true), ("wait-1", true), ("wait-2", true), ("wait-9", false)] {
        let run = stage.call("GET", &format!("/api/v1/runs/{run}"), None).await.json();
        assert_eq!(run["status"] == "paused", held, "{run}");
    }
    let none = form(&[("verb", "pause"), ("scope", "selected"), ("back", "/runs")]);
    let none = stage.send("POST", "/bulk", &[], Some(&none)).await;
    assert_eq!(none.status, StatusCode::SEE_OTHER);
    assert_eq!(none.headers["location"], "/runs");
}

#[tokio::test]
async fn a_run_is_looked_at_before_it_is_started_and_a_form_sent_twice_starts_one() {
    let stage = Stage::new().await;
    let page = stage.call("GET", "/start?workflow=greet", None).await;
    markup::check(&page.text, "", "/start");
    let key = field(&page.text, "key");
    let fields = [("key", key.as_str()), ("workflow", "greet"), ("input", "\"ann\""), ("tags", "region=eu")];
    let looked = form(&[fields.as_slice(), &[("check", "true")]].concat());
    let looked = stage.send("POST", "/start", &[], Some(&looked)).await;
    assert!(
        looked.status == StatusCode::OK && looked.text.contains("a run of greet version"),
        "{}",
        looked.text
    );
    let runs = stage.call("GET", "/api/v1/runs", None).await.json();
    assert_eq!(runs["items"], json!([]), "a look starts nothing");
    let mut places = Vec::new();
    for _ in 0..2 {
        let started = stage.send("POST", "/start", &[], Some(&form(&fields))).await;
        assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.text);
        places.push(started.headers["location"].clone());
    }
    assert_eq!(places[0], places[1]);
    let runs = stage.call("GET", "/api/v1/runs", None).await.json();
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "{runs}");
    assert_eq!(runs["items"][0]["tags"], json!({ "region": "eu" }));
    let again = stage.call("GET", "/start?workflow=greet", None).await;
    assert!(again.text.contains("&#34;ann&#34;"), "the latest input is the example: {}", again.text);
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_told_beside_its_field_and_changes_nothing() {
    let stage = Stage::new().await;
    let cases = [
        ("/start", [("workflow", "greet"), ("input", "{")], "input-error"),
        ("/start", [("workflow", "no-such"), ("input", "1")], "workflow-error"),
        ("/start", [("workflow", ""), ("input", "1")], "workflow-error"),
        ("/start", [("workflow", "greet"), ("tags", "eu")], "tags-error"),
        ("/start", [("workflow", "greet"), ("queue", "no queue")], "queue-error"),
        ("/start", [("workflow", "greet"), ("delay", "soon")], "delay-error"),
    ];
    for (path, fields, place) in cases {
        let answer = stage.send("POST", path, &[], Some(&form(&fields))).await;
        assert!(answer.status.is_client_error(), "{fields:?}: {}", answer.text);
        assert!(answer.text.contains(&format!("id=\"{place}\"")), "{fields:?}: {}", answer.text);
        markup::check(&answer.text, "", path);
    }
    let nightly = [("name", "nightly"), ("workflow", "greet")];
    for (more, place) in [
        ([("cron", "0 99 * * *"), ("every", "")], "cron-error"),
        ([("cron", "0 2 * * *"), ("every", "1h")], "every-error"),
        ([("cron", ""), ("every", "")], "every-error"),
        ([("cron", "0 2 * * *"), ("timezone", "Asia/Tokio")], "timezone-error"),
    ] {
        let fields = form(&[nightly.as_slice(), &more].concat());
        let answer = stage.send("POST", "/schedules/new", &[], Some(&fields)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{more:?}: {}", answer.text);
        assert!(answer.text.contains(&format!("id=\"{place}\"")), "{more:?}: {}", answer.text);
    }
    let made = stage.call("GET", "/api/v1/schedules", None).await.json();
    let runs = stage.call("GET", "/api/v1/runs", None).await.json();
    assert_eq!((&made["items"], &runs["items"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_schedule_is_made_changed_backfilled_and_ended_from_its_pages() {
    let stage = Stage::new().await;
    let fields = [("name", "nightly"), ("workflow", "greet"), ("input", "{\"password\": \"hunter2\"}")];
    let times = [("cron", "0 2 * * *"), ("timezone", "Asia/Tokyo")];
    let sent = [fields.as_slice(), &times].concat();
    let looked = form(&[sent.as_slice(), &[("check", "true")]].concat());
    let looked = stage.send("POST", "/schedules/new", &[], Some(&looked)).await;
    assert!(looked.status == StatusCode::OK && looked.text.contains("T17:00:00"), "{}", looked.text);
    assert_eq!(stage.call("GET", "/api/v1/schedules", None).await.json()["items"], json!([]));
    let made = stage.send("POST", "/schedules/new", &[], Some(&form(&sent))).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    let again = stage.send("POST", "/schedules/new", &[], Some(&form(&sent))).await;
    assert!(again.text.contains("id=\"name-error\""), "{}", again.text);

    let page = stage.call("GET", "/schedules/nightly/edit", None).await;
    markup::check(&page.text, "", "/schedules/nightly/edit");
    assert_eq!(field(&page.text, "timezone"), "Asia/Tokyo");
    assert!(!page.text.contains("hunter2"), "secrets are hidden: {}", page.text);
    let other = form(&[("workflow", "greet"), ("input", ""), ("every", "2h"), ("overlap", "queue")]);
    let changed = stage.send("POST", "/schedules/nightly/edit", &[], Some(&other)).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
    let kept = stage.call("GET", "/api/v1/schedules/nightly?secrets=true", None).await.json();
    let plan = &kept["plan"];
    assert_eq!((&plan["every_ms"], &plan["overlap"]), (&json!(7_200_000), &json!("queue")), "{kept}");
    assert_eq!(plan["input"]["password"], "hunter2", "an empty field keeps the input");

    let span = [("from", "2026-01-01T00:00:00Z"), ("to", "2026-01-01T05:00:00Z")];
    let looked = stage.send("POST", "/schedules/nightly/backfill", &[], Some(&form(&span))).await;
    assert!(looked.text.contains("2026-01-01T04:00:00"), "{}", looked.text);
    markup::check(&looked.text, "", "/schedules/nightly/backfill");
    let done = form(&[span.as_slice(), &[("confirmed", "true"), ("reason", "a day was lost")]].concat());
    let done = stage.send("POST", "/schedules/nightly/backfill", &[], Some(&done)).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);

    let asked = stage.call("GET", "/schedules/nightly/delete", None).await;
    assert!(asked.text.contains("Nothing is started by it any more"), "{}", asked.text);
    let gone = stage.send("POST", "/schedules/nightly/delete", &[], Some(&form(&[("reason", "")]))).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER, "{}", gone.text);
    assert_eq!(stage.call("GET", "/api/v1/schedules/nightly", None).await.status, StatusCode::NOT_FOUND);
}
