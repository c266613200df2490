//! What tests of the server stand on: an engine over memory with a few workflows, and the router called without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use stepwell::contract::MemoryBackend;
use stepwell::prelude::*;
use stepwell_server::access::Access;
use stepwell_server::{App, ServerOptions};
use tower::ServiceExt as _;

/// Says hello.
struct Greet;

#[async_trait]
impl Step for Greet {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "greet";

    async fn run(&self, _: &StepContext, input: Value) -> StepResult<Value> {
        Ok(input)
    }
}

/// Refuses every input but `"good"`.
struct Check;

#[async_trait]
impl Step for Check {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "check";

    async fn run(&self, _: &StepContext, input: Value) -> StepResult<Value> {
        match input.as_str() {
            Some("good") => Ok(input),
            _ => Err(StepError::validation(format!("the input is {input}, not \"good\""))),
        }
    }
}

/// An engine, and its server.
#[derive(Debug)]
pub struct Stage {
    pub engine: Engine,
    pub app: App,
    router: Router,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Stage {
    /// An engine at work with `greet`, `check` and `wait` (which waits for the signal `go`), without tokens.
    pub async fn new() -> Self {
        Self::with(ServerOptions::default()).await
    }

    /// The same with other settings.
    pub async fn with(options: ServerOptions) -> Self {
        let greet = Workflow::named("greet").step(Greet).build().expect("a workflow");
        let check = Workflow::named("check").step(Check).build().expect("a workflow");
        let wait = Workflow::named("wait").step(Greet).wait_for::<Value>("go").build().expect("a workflow");
        let engine = Engine::builder(Arc::new(MemoryBackend::new()))
            .register(greet)
            .register(check)
            .register(wait)
            .start()
            .await
            .expect("an engine over memory");
        let app = App::new(&engine, options).expect("settings");
        let router = app.router();
        Self { engine, app, router }
    }

    /// The same server, called from this process by someone with these rights.
    pub fn local(&self, access: Access) -> Router {
        self.app.local(access)
    }

    /// A request to localhost with these headers.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Body::from(body.unwrap_or_default().to_owned())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// A request without further headers.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string());
        self.send(method, path, &[], body.as_deref()).await
    }

    /// Starts a run and waits until it is at rest: ended, held or waiting.
    pub async fn run(&self, workflow: &str, run: &str, input: &Value) {
        let run = self.engine.start_run(workflow, run, input).await.expect("started");
        // Whatever the end: the test looks at it.
        let _ = run.result::<Value>().await;
    }
}
