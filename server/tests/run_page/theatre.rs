//! Runs in every state and with every kind of node, and a browser without scripts that looks at their pages.

use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stepwell::contract::{MemoryBackend, Name, RunId, RunKey, Status, TenantId};
use stepwell::prelude::*;
use stepwell::run::event::LogLevel;
use stepwell::{Actor, StartRun, Verb};
use stepwell_server::access::{Access, Role};
use stepwell_server::{App, ServerOptions};
use tower::ServiceExt as _;

use crate::markup::hostile;

/// The paths of all parts of a run's pages.
pub(crate) const TABS: [&str; 7] = ["", "/graph", "/steps", "/timeline", "/logs", "/data", "/audit"];

/// What a page answered with.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) location: Option<String>,
}

/// An engine, and pages over its store.
#[derive(Debug)]
pub(crate) struct Theatre {
    pub(crate) engine: Engine,
    backend: Arc<MemoryBackend>,
    pages: Router,
}

impl Theatre {
    pub(crate) async fn new() -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let engine = Engine::builder(Arc::clone(&backend) as Arc<dyn stepwell::contract::Backend>)
            .register(plain())
            .register(everything())
            .register(held())
            .register(Workflow::named("child").step_fn("inner", same).build().expect("a workflow"))
            .register(
                Workflow::named("many")
                    .input::<Vec<u32>>()
                    .map_flow(500, |item| item.step_fn("pack", |_: StepContext, n: u32| async move { Ok(n) }))
                    .build()
                    .expect("a workflow"),
            )
            .start()
            .await
            .expect("an engine over memory");
        let pages =
            App::new(&engine, ServerOptions::default()).expect("settings").local(Access::local("ann"));
        Self { engine, backend, pages }
    }

    /// The same store seen by an engine that has no workflow, and by someone with a role.
    pub(crate) async fn elsewhere(&self) -> Router {
        let backend = Arc::clone(&self.backend) as Arc<dyn stepwell::contract::Backend>;
        let engine = Engine::builder(backend).build().await.expect("an engine over memory");
        App::new(&engine, ServerOptions::default()).expect("settings").local(Access::local("ann"))
    }

    /// The pages as someone who only looks sees them.
    pub(crate) fn viewer(&self) -> Router {
        let access = Access { name: "vic".to_owned(), role: Role::Viewer, tenant: None };
        App::new(&self.engine, ServerOptions::default()).expect("settings").local(access)
    }

    pub(crate) async fn get(&self, path: &str) -> Shown {
        send(&self.pages, "GET", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        send(&self.pages, "POST", path, Some(serde_urlencoded::to_string(fields).expect("fields"))).await
    }

    /// Starts a run and waits until it is at rest or waits for something.
    pub(crate) async fn run(&self, workflow: &str, run: &str, input: &Value) -> RunKey {
        let started =
            StartRun::new(workflow, run, input).expect("an id").tag("region", hostile().swap_remove(0));
        self.engine.start_with(started.expect("a tag")).await.expect("started");
        let key = key(run);
        self.until(&key, |status| !matches!(status, Status::Queued | Status::Running)).await;
        key
    }

    /// Waits until the run is where it is to be.
    pub(crate) async fn until(&self, key: &RunKey, is_there: impl Fn(Status) -> bool) {
        for _ in 0..2_000 {
            let head = self.engine.get(key).await.expect("a store").expect("a run");
            if is_there(head.status) {
                return;
            }
            self.engine.backend().changed(std::time::Duration::from_millis(10)).await;
        }
        panic!("{key} is not there: {:?}", self.engine.get(key).await);
    }

    /// Waits until nothing but a signal moves the run.
    pub(crate) async fn until_it_waits_for_a_signal(&self, key: &RunKey) {
        for _ in 0..2_000 {
            let found = self.engine.explain(key).await.expect("an explanation");
            if found.who == stepwell::Who::Signal {
                return;
            }
            self.engine.backend().changed(std::time::Duration::from_millis(10)).await;
        }
        panic!("{key} does not wait for a signal");
    }

    /// A run in each status.
    pub(crate) async fn one_of_each(&self) -> Vec<(Status, RunKey)> {
        self.engine.pause_queue("shut", Actor::Program, "").await.expect("paused");
        let queued = StartRun::new("plain", "queued", &json!({})).expect("an id");
        let queued = queued.queue(Name::new("shut").expect("a name"));
        self.engine.start_with(queued).await.expect("started");
        self.engine.start_run("plain", "running", &json!({ "hang": true })).await.expect("started");
        self.until(&key("running"), |status| status == Status::Running).await;
        let waiting = self.run("held", "waiting", &json!({})).await;
        let paused = self.run("held", "paused", &json!({})).await;
        self.engine.pause(&paused, "").await.expect("paused");
        let cancelling = self.run("held", "cancelling", &json!({})).await;
        self.engine.undo(&cancelling, "").await.expect("asked");
        self.until(&cancelling, |status| status == Status::Cancelling).await;
        let succeeded = self.run("plain", "succeeded", &json!({})).await;
        let failed = self.run("plain", "failed", &json!({ "fail": "no" })).await;
        let cancelled = self.run("held", "cancelled", &json!({})).await;
        self.engine.terminate(&cancelled, "").await.expect("ended");
        vec![
            (Status::Queued, key("queued")),
            (Status::Running, key("running")),
            (Status::Waiting, waiting),
            (Status::Paused, paused),
            (Status::Cancelling, cancelling),
            (Status::Succeeded, succeeded),
            (Status::Failed, failed),
            (Status::Cancelled, cancelled),
        ]
    }
}

pub(crate) async fn send(pages: &Router, method: &str, path: &str, form: Option<String>) -> Shown {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = match &form {
        Some(_) => request.header("content-type", "application/x-www-form-urlencoded"),
        None => request,
    };
    let request = request.header("accept", "text/html").body(Body::from(form.unwrap_or_default()));
    let response = pages.clone().oneshot(request.expect("a request")).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    let location = parts.headers.get("location").map(|place| place.to_str().expect("text").to_owned());
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    Shown { status: parts.status, text, location }
}

pub(crate) fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

async fn same(_: StepContext, input: Value) -> StepResult<Value> {
    Ok(input)
}

/// Fails, hangs or speaks as its input says.
fn plain() -> Workflow<Value, Value> {
    Workflow::named("plain")
        .step_fn("work", |ctx: StepContext, input: Value| async move {
            for text in hostile() {
                ctx.log(LogLevel::Error, &text);
                ctx.progress(0.5, text);
            }
            if input["hang"] == json!(true) {
                pending::<()>().await;
            }
            match input["fail"].as_str() {
                Some("flaky") if ctx.attempt() < 3 => {
                    let what = if ctx.attempt() == 1 { "first" } else { "second" };
                    Err(StepError::transient(format!("{what} {}", hostile()[4])).code(what))
                }
                None | Some("flaky") => Ok(input),
                Some(_) => Err(StepError::permanent(hostile().join(" ")).code("NO_LUCK")),
            }
        })
        .policy(StepPolicy::default().retry(Retry::fixed(millis(1)).max_attempts(4)))
        .build()
        .expect("a workflow")
}

/// Waits for a signal, and takes for ever to be undone.
fn held() -> Workflow<Value, (Value, Value)> {
    Workflow::named("held")
        .step_fn("book", same)
        .compensate_fn(|_: StepContext, _: Value| async move {
            pending::<()>().await;
            Ok(())
        })
        .wait_for::<Value>("go")
        .build()
        .expect("a workflow")
}

/// Every kind of node, up to a signal that it waits for.
fn everything() -> Workflow<Value, (Value, Value)> {
    let child = Workflow::named("child").step_fn("inner", same).build().expect("a workflow");
    Workflow::named("everything")
        .step_fn("first", same)
        .both(|left| left.step_fn("left", same), |right| right.step_fn("right", same).step_fn("right2", same))
        .step_fn("list", |_: StepContext, _: (Value, Value)| async move { Ok(vec![1_u32, 2, 3]) })
        .name_items("called", |n: &u32| format!("item {n} {}", hostile()[0]))
        .map_flow(2, |item| item.step_fn("each", |_: StepContext, n: u32| async move { Ok(n) }))
        .step_fn("sum", |_: StepContext, all: Vec<u32>| async move { Ok(all.len() as u32) })
        .choose(
            "route",
            |n: &u32| if *n > 100 { "sea" } else { "air" },
            |arms| {
                arms.arm("sea", |f| f.step_fn("ship", |_: StepContext, n: u32| async move { Ok(n) }))
                    .arm("air", |f| f.step_fn("fly", |_: StepContext, n: u32| async move { Ok(n) }))
            },
        )
        .repeat_while(
            "unfinished",
            9,
            |n: &u32| *n > 1,
            |round| round.step_fn("round", |_: StepContext, n: u32| async move { Ok(n - 1) }),
        )
        .sleep("nap", millis(1))
        .step_fn("wrap", |_: StepContext, n: u32| async move { Ok(json!({ "n": n })) })
        .child("sub", &child)
        .wait_for::<Value>("go")
        .build()
        .expect("a workflow")
}

/// The verbs that the top of a run's pages offers.
pub(crate) const VERBS: [(&str, Verb); 8] = [
    ("resume", Verb::Resume),
    ("retry", Verb::Retry),
    ("pause", Verb::Pause),
    ("interrupt", Verb::Interrupt),
    ("cancel", Verb::Cancel),
    ("undo", Verb::Undo),
    ("terminate", Verb::Terminate),
    ("edit-input", Verb::EditInput),
];
