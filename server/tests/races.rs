//! A change that rests on what was seen, when somebody else gets in between looking and writing.

mod markup;
mod stage;

use std::fmt;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use stage::{Answer, Stage};
use stepwell::contract::pass_on::PassOn;
use stepwell::contract::{
    Backend, BackendError, Batch, MemoryBackend, Record, RunId, RunKey, Seq, TenantId, Verdict, async_trait,
};
use stepwell::{Actor, Engine, Verb};
use stepwell_server::ServerOptions;

type Deed = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// A store in which something happens just before a run is written, or its journal read.
struct Between {
    inner: Arc<dyn Backend>,
    armed: Mutex<Option<(RunKey, Deed)>>,
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}

impl Between {
    async fn about(&self, mut keys: impl Iterator<Item = &RunKey>) {
        let deed = {
            let mut armed = self.armed.lock().expect("no test panics here");
            let is_it = armed.as_ref().is_some_and(|(key, _)| keys.any(|about| about == key));
            if is_it { armed.take() } else { None }
        };
        if let Some((_, deed)) = deed {
            deed().await;
        }
    }
}

#[async_trait]
impl PassOn for Between {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        self.about(batches.iter().map(|batch| &batch.key)).await;
        self.inner.commit(batches).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        // Of runs that are there it is read before the look at what was seen, too.
        if key.run.as_str() == "copy" {
            self.about(std::iter::once(key)).await;
        }
        self.inner.journal(key, from, limit).await
    }
}

/// A server whose store can be meddled with, and the engine of whoever does.
struct Street {
    stage: Stage,
    store: Arc<Between>,
    other: Engine,
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

impl Street {
    async fn new() -> Self {
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let store = Arc::new(Between { inner: Arc::clone(&inner), armed: Mutex::new(None) });
        let engine = Stage::engine_on(Arc::clone(&store) as Arc<dyn Backend>).await;
        let stage = Stage::of(engine, ServerOptions::default());
        let other = Engine::builder(inner).build().await.expect("an engine without workflows");
        stage.engine.start_run("wait", "waits", &json!(1)).await.expect("started");
        stage.until("waits", "waiting").await;
        stage.run("check", "failed", &json!("bad")).await;
        stage.until("failed", "failed").await;
        Self { stage, store, other }
    }

    /// Sends a change with the present tag of a run, and lets somebody else change the run just before `about` is written or read.
    async fn raced(&self, run: &str, about: &str, path: &str, body: &Value) -> Answer {
        let seen = self.stage.call("GET", &format!("/api/v1/runs/{run}"), None).await;
        let tag = seen.headers["etag"].to_str().expect("text").to_owned();
        let (other, of) = (self.other.clone(), key(run));
        let deed: Deed = Box::new(move || {
            Box::pin(async move {
                let change = json!({ "by": "another" });
                other.merge_context(&of, &change, "first").await.expect("somebody else is first");
            })
        });
        *self.store.armed.lock().expect("no test panics here") = Some((key(about), deed));
        let (method, path) = match path {
            "context" => ("PATCH", format!("/api/v1/runs/{run}/context")),
            path => ("POST", format!("/api/v1/runs/{run}/{path}")),
        };
        let answer = self.stage.send(method, &path, &[("if-match", &tag)], Some(&body.to_string())).await;
        assert!(
            self.store.armed.lock().expect("no test panics here").is_none(),
            "nobody got in between: {path}"
        );
        answer
    }

    async fn history(&self, run: &str) -> String {
        let records = self.other.history(&key(run)).await.expect("a journal");
        records.iter().map(|record| record.kind.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_in_between_makes_every_change_refused() {
    let street = Street::new().await;
    let rows = [
        ("waits", "waits", "cancel", json!({ "reason": "too late" })),
        ("waits", "waits", "pause", json!({})),
        ("waits", "waits", "terminate", json!({})),
        ("waits", "waits", "context", json!({ "mine": 1 })),
        ("waits", "waits", "signals", json!({ "name": "go", "id": "s-1", "value": 1 })),
        ("failed", "failed", "retry", json!({})),
        ("failed", "failed", "edit-input", json!({ "value": "good" })),
        ("failed", "failed", "set-output", json!({ "step": "check", "value": 1 })),
        ("failed", "copy", "fork", json!({ "step": "check", "run": "copy" })),
    ];
    for (run, about, path, body) in &rows {
        let refused = street.raced(run, about, path, body).await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{path}: {}", refused.text);
        assert_eq!(refused.json()["code"], "SW9508", "{path}");
    }
    let view = async |run: &str| street.stage.call("GET", &format!("/api/v1/runs/{run}"), None).await.json();
    assert_eq!(view("waits").await["status"], "waiting");
    assert_eq!(view("failed").await["status"], "failed");
    let context = street.stage.call("GET", "/api/v1/runs/waits/context", None).await.json();
    assert_eq!(context, json!({ "by": "another" }));
    assert!(!street.history("waits").await.contains("signal_received"));
    assert_eq!(street.stage.call("GET", "/api/v1/runs/copy", None).await.status, StatusCode::NOT_FOUND);
    // What was refused was not sent: under the same id it can be.
    let tag = view("waits").await["etag"].as_str().expect("a tag").to_owned();
    let body = rows[4].3.to_string();
    let headers = [("if-match", tag.as_str())];
    let sent = street.stage.send("POST", "/api/v1/runs/waits/signals", &headers, Some(&body)).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.text);
    street.stage.until("waits", "succeeded").await;
}

#[tokio::test]
async fn a_page_asks_again_when_the_run_has_gone_on_since_it_was_shown() {
    let street = Street::new().await;
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let form = serde_urlencoded::to_string(fields).expect("a form");
        street.stage.send("POST", path, &[], Some(&form)).await
    };
    // What only lacks the value that the form asks for is not refused.
    let page = street.stage.call("GET", "/runs/failed/ask/set-output?step=check", None).await;
    assert!(!page.text.contains(" disabled") && page.text.contains("name=\"value\""), "{}", page.text);
    let page = street.stage.call("GET", "/runs/failed/ask/edit-input", None).await;
    assert!(!page.text.contains(" disabled"), "{}", page.text);
    let shown = markup::field(&page.text, "seen");
    street.other.edit_input(&key("failed"), "theirs", "first").await.expect("edited");
    let again = post("/runs/failed/ask/edit-input", &[("seen", &shown), ("value", "\"good\"")]).await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED, "{}", again.text);
    assert!(again.text.contains("has gone on since") && again.text.contains("theirs"), "{}", again.text);
    let shown = markup::field(&again.text, "seen");
    let done = post("/runs/failed/ask/edit-input", &[("seen", &shown), ("value", "\"good\"")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);

    let page = street.stage.call("GET", "/runs/failed/fork?step=check", None).await;
    let shown = markup::field(&page.text, "seen");
    let ask = stepwell::Ask::new(Verb::Retry, Actor::Program, "");
    street.other.send(&key("failed"), ask).await.expect("retried");
    street.stage.until("failed", "succeeded").await;
    let fields = [("seen", shown.as_str()), ("step", "check"), ("id", "copy")];
    let again = post("/runs/failed/fork", &fields).await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED, "{}", again.text);
    let shown = markup::field(&again.text, "seen");
    let done = post("/runs/failed/fork", &[("seen", &shown), ("step", "check"), ("id", "copy")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);

    // Whatever a run that runs records meanwhile: it is to stop.
    street.stage.engine.start_run("hold", "holds", &json!(1)).await.expect("started");
    street.stage.until_so("/api/v1/runs/holds/steps", |steps| steps.to_string().contains("running")).await;
    let page = street.stage.call("GET", "/runs/holds/ask/cancel", None).await;
    let shown = markup::field(&page.text, "seen");
    let change = json!({ "by": "another" });
    street.stage.engine.merge_context(&key("holds"), &change, "first").await.expect("merged");
    let done = post("/runs/holds/ask/cancel", &[("seen", &shown)]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    street.stage.until("holds", "cancelled").await;
}
