//! Many runs asked at once, of a store that is slow and of owners that hang: whatever happens, it is told what became of each.

mod stage;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use stage::Stage;
use stepwell::contract::fault::{Effect, FaultBackend, FaultPlan, Gate, Method};
use stepwell::contract::{Backend, RunId, RunKey, TenantId};
use stepwell::prelude::*;
use stepwell_server::ServerOptions;

/// More than are asked in the time of one request.
const RUNS: usize = 100;

/// Runs until it is told to stop.
struct Hang;

#[async_trait]
impl Step for Hang {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "hang";

    async fn run(&self, ctx: &StepContext, input: Value) -> StepResult<Value> {
        ctx.cancelled().cancelled().await;
        Ok(input)
    }
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

/// Runs that wait for a signal, and a server whose store takes a tenth of a second for each write.
async fn slow() -> (Stage, Stage) {
    let stage = Stage::new().await;
    for nth in 0..RUNS {
        stage.engine.start_run("wait", &format!("r{nth}"), &json!(1)).await.expect("started");
    }
    for nth in 0..RUNS {
        stage.until_so(&format!("/api/v1/runs/r{nth}"), |run| run["status"] == "waiting").await;
    }
    let plan = FaultPlan::seeded(1).every(Method::Commit, 1, Effect::Delay(Duration::from_millis(100)));
    let store = Arc::new(FaultBackend::new(Arc::clone(stage.engine.backend()), plan));
    let engine = Engine::builder(store).build().await.expect("an engine without workflows");
    let mut options = ServerOptions::default();
    options.request_timeout_ms = 1_000;
    let slow = Stage::of(engine, options);
    (stage, slow)
}

/// Every run was held once.
async fn held_once(stage: &Stage) {
    for nth in 0..RUNS {
        stage.until_so(&format!("/api/v1/runs/r{nth}"), |run| run["status"] == "paused").await;
        let records = stage.engine.history(&key(&format!("r{nth}"))).await.expect("a history");
        let held = records.iter().filter(|record| record.kind.as_str() == "run_paused").count();
        assert_eq!(held, 1, "r{nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_has_no_time_for_is_left_and_nothing_is_lost_or_done_twice() {
    let (stage, slow) = slow().await;
    let mut left: Vec<Value> =
        (0..RUNS).map(|nth| json!({ "tenant": "default", "run": format!("r{nth}") })).collect();
    let (mut told, mut rounds) = (Vec::new(), 0);
    while !left.is_empty() {
        let asked = left.clone();
        let body = json!({ "id": "night", "runs": asked, "verb": "pause", "reason": "maintenance" });
        let answer = slow.call("POST", "/api/v1/selections/ask", Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let answer = answer.json();
        assert_eq!(answer["refused"], 0, "{answer}");
        let now = answer["runs"].as_array().expect("runs").clone();
        left = answer["left"].as_array().cloned().unwrap_or_default();
        assert_eq!(now.len() + left.len(), asked.len(), "each is told of or left: {answer}");
        told.extend(now);
        rounds += 1;
        assert!(rounds < 100, "it does not come to an end");
    }
    assert!(rounds > 1, "the store was not slow enough");
    let mut names: Vec<_> = told.iter().map(|run| run["run"].to_string()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((told.len(), names.len()), (RUNS, RUNS), "each is told of once");
    held_once(&stage).await;
}

/// What stands between two texts of a page, first.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let rest = page.split(before).nth(1).unwrap_or_else(|| panic!("no {before}: {page}"));
    rest.split(after).next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_goes_on_with_the_rest_until_all_were_asked() {
    let (stage, slow) = slow().await;
    let runs: Vec<_> = (0..RUNS).map(|nth| format!("default/r{nth}")).collect();
    let mut fields = vec![
        ("verb".to_owned(), "pause".to_owned()),
        ("id".to_owned(), "night".to_owned()),
        ("reason".to_owned(), "maintenance".to_owned()),
        ("back".to_owned(), "/runs".to_owned()),
        ("runs".to_owned(), runs.join("\n")),
    ];
    let (mut asked, mut pages) = (0, 0);
    let last = loop {
        let body = serde_urlencoded::to_string(&fields).expect("a form");
        let page = slow.send("POST", "/bulk/ask", &[], Some(&body)).await;
        if page.status == StatusCode::SEE_OTHER {
            break page;
        }
        assert!(page.text.contains("data-goes-on") && pages < 100, "{}", page.text);
        let text = page.text.as_str();
        let hidden = |name: &str| between(text, &format!("name=\"{name}\" value=\""), "\"").to_owned();
        let now: usize = ["done", "waits", "refused"]
            .iter()
            .map(|name| hidden(name).parse::<usize>().expect("a count"))
            .sum();
        let left = between(text, "<textarea name=\"runs\" hidden>", "<").to_owned();
        assert!(now > asked, "it goes on: {now} after {asked}");
        assert_eq!(now + left.lines().count(), RUNS, "{text}");
        asked = now;
        pages += 1;
        fields = ["verb", "id", "group", "back", "reason", "done", "waits", "refused"]
            .iter()
            .map(|name| ((*name).to_owned(), hidden(name)))
            .collect();
        fields.push(("runs".to_owned(), left));
    };
    assert!(pages > 0, "the store was not slow enough");
    assert_eq!(last.headers["location"], "/runs");
    held_once(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_an_owner_has_not_taken_is_not_told_as_done() {
    let stage = Stage::new().await;
    // An owner that hangs: it has the run, and never sees its mail.
    let gate = Gate::closed();
    let plan = FaultPlan::seeded(1).from(Method::Inbox, 1, Effect::Hold(gate.clone()));
    let store: Arc<dyn Backend> = Arc::new(FaultBackend::new(Arc::clone(stage.engine.backend()), plan));
    let hangs = Workflow::named("hangs").step(Hang).build().expect("a workflow");
    let owner = Engine::builder(store).register(hangs).start().await.expect("an engine");
    owner.start_run("hangs", "stuck", &json!(1)).await.expect("started");
    stage.until_so("/api/v1/runs/stuck", |run| run["status"] == "running").await;
    let mut options = ServerOptions::default();
    options.request_timeout_ms = 1_000;
    let engine = Engine::builder(Arc::clone(stage.engine.backend())).build().await.expect("an engine");
    let server = Stage::of(engine, options);
    let runs = json!([{ "run": "stuck" }]);
    let body = json!({ "id": "night", "runs": runs, "verb": "pause" });
    let told = server.call("POST", "/api/v1/selections/ask", Some(body)).await.json();
    assert_eq!(
        (&told["done"], &told["waits"], &told["refused"]),
        (&json!(0), &json!(1), &json!(0)),
        "{told}"
    );
    let form = "verb=pause&id=night&reason=&back=%2Fruns&runs=default%2Fstuck";
    let page = server.send("POST", "/bulk/ask", &[], Some(form)).await;
    let notice = page.headers.get_all("set-cookie").iter().find_map(|cookie| {
        let text = percent_encoding::percent_decode(cookie.as_bytes()).decode_utf8().ok()?;
        text.starts_with("stepwell_notice=").then(|| text.into_owned())
    });
    let notice = notice.expect("a notice");
    assert!(notice.contains("0 done") && notice.contains("1 have the request"), "{notice}");
    gate.open();
}
