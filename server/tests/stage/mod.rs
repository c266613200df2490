//! What tests of the server stand on: an engine over memory with a few workflows, and the router called without a socket.
// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use stepwell::contract::{Backend, MemoryBackend};
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

/// Runs until it is told to stop.
struct Hold;

#[async_trait]
impl Step for Hold {
    type Input = Value;
    type Output = Value;
    const NAME: &'static str = "hold";

    async fn run(&self, ctx: &StepContext, input: Value) -> StepResult<Value> {
        ctx.cancelled().cancelled().await;
        Ok(input)
    }
}

/// Has as many items as its input says, each of which is a step.
struct Count;

#[async_trait]
impl Step for Count {
    type Input = u32;
    type Output = Vec<u32>;
    const NAME: &'static str = "count";

    async fn run(&self, _: &StepContext, input: u32) -> StepResult<Vec<u32>> {
        Ok((0..input).collect())
    }
}

/// Passes an item on.
struct Pass;

#[async_trait]
impl Step for Pass {
    type Input = u32;
    type Output = u32;
    const NAME: &'static str = "pass";

    async fn run(&self, _: &StepContext, input: u32) -> StepResult<u32> {
        Ok(input)
    }
}

/// Logs its item, and shares how many there were.
struct Pack;

#[async_trait]
impl Step for Pack {
    type Input = u32;
    type Output = u32;
    const NAME: &'static str = "pack";

    async fn run(&self, ctx: &StepContext, item: u32) -> StepResult<u32> {
        ctx.info(format!("item {item} with password=hunter2"));
        ctx.warn("heavy");
        Ok(item)
    }
}

/// An engine, and its server.
#[derive(Debug)]
pub struct Stage {
    pub engine: Engine,
    pub app: App,
    pub router: Router,
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
    /// An engine at work with `greet`, `check`, `pack` (a map), `wait` (which waits for the signal `go`), `chatty` (which has a
    /// step for each item) and `hold` (which runs until it is told to stop), without tokens.
    pub async fn new() -> Self {
        Self::with(ServerOptions::default()).await
    }

    /// An engine on the same store that has no workflow, as in a server of its own.
    pub async fn apart(&self) -> Self {
        let store = Arc::clone(self.engine.backend());
        let engine = Engine::builder(store).build().await.expect("an engine without workflows");
        Self::of(engine, ServerOptions::default())
    }

    /// The server of an engine.
    pub fn of(engine: Engine, options: ServerOptions) -> Self {
        let app = App::new(&engine, options).expect("settings");
        let router = app.alone().layer(axum::Extension(on_this_host()));
        Self { engine, app, router }
    }

    /// The same with other settings.
    pub async fn with(options: ServerOptions) -> Self {
        Self::of(Self::engine_on(Arc::new(MemoryBackend::new())).await, options)
    }

    /// An engine at work with these workflows on a store.
    pub async fn engine_on(store: Arc<dyn Backend>) -> Engine {
        let greet = Workflow::named("greet").step(Greet).build().expect("a workflow");
        let check = Workflow::named("check").step(Check).build().expect("a workflow");
        let wait = Workflow::named("wait").step(Greet).wait_for::<Value>("go").build().expect("a workflow");
        let chatty = Workflow::named("chatty").step(Count).map(Pass, 8).build().expect("a workflow");
        let hold = Workflow::named("hold").step(Hold).build().expect("a workflow");
        let pack = Workflow::named("pack").map(Pack, 2).build().expect("a workflow");
        Engine::builder(store)
            .register(greet)
            .register(pack)
            .register(check)
            .register(wait)
            .register(chatty)
            .register(hold)
            .start()
            .await
            .expect("an engine over memory")
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

    /// Asks again and again until the answer is so, and returns it.
    pub async fn until_so(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let asked = async {
            loop {
                let answer = self.call("GET", path, None).await.json();
                if is_so(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), asked).await {
            Ok(answer) => answer,
            Err(_) => panic!("not so within a minute: {}", self.call("GET", path, None).await.text),
        }
    }

    /// Waits until a run is where it is to be, and nobody has it.
    pub async fn until(&self, run: &str, status: &str) -> Value {
        loop {
            let view = self.call("GET", &format!("/api/v1/runs/{run}"), None).await.json();
            if view["status"] == status && self.engine.running() == 0 {
                return view;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Starts a run and waits until it is at rest: ended or held.
    pub async fn run(&self, workflow: &str, run: &str, input: &Value) {
        let run = self.engine.start_run(workflow, run, input).await.expect("started");
        // Whatever the end: the test looks at it.
        let _ = run.result::<Value>().await;
    }
}

/// What a router answers to whoever looks at a path.
pub async fn ask(router: &Router, path: &str) -> Answer {
    let request = Request::get(path)
        .header("host", "localhost")
        .extension(on_this_host())
        .body(Body::empty())
        .expect("a request");
    let (parts, body) = router.clone().oneshot(request).await.expect("an answer").into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// What a listener tells of a request that comes from this host.
pub fn on_this_host() -> ConnectInfo<SocketAddr> {
    ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000)))
}

/// A text as a part of a path.
pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
