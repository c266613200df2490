//! The operations, asked of a server over HTTP or of the same router in this process.

mod events;
mod nearby;
mod patience;
mod remote;

use std::fmt;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use stepwell::contract::FaultKind;
use stepwell::{Engine, EngineOptions};
use stepwell_backends::settings::Origin;
use stepwell_backends::{OpenError, StoreUrl};
use stepwell_server::access::Access;
use stepwell_server::problem::Problem;
use stepwell_server::{App, ServerOptions, quoted};
use tower::ServiceExt as _;

use crate::args::part::Part;
use crate::failure::{Failure, chain};
use crate::target::{Target, variable};

pub(crate) use events::{Event, Events};
pub(crate) use patience::Patience;
use remote::Remote;

/// Where the API is, from the root of the server.
const API: &str = "/api/v1";
/// The parameter that names whose runs.
pub(crate) const TENANT: &str = "tenant";
/// How long an operation of this process may take, in milliseconds: whoever waits at the terminal can interrupt it.
const PATIENCE_MS: u64 = 3_600_000;
/// Most items of a page.
const PAGE_MAX: usize = 200;

/// Whoever answers.
pub(crate) struct Client {
    way: Way,
    tenant: Option<String>,
}

enum Way {
    Remote(Remote),
    Local { router: Router, engine: Engine },
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    /// The path behind that of the API.
    parts: Vec<String>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    body: Option<String>,
}

impl Call {
    fn new(method: Method, parts: &[&str]) -> Self {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        Self { method, parts, query: Vec::new(), headers: Vec::new(), body: None }
    }

    /// Reads what is at a path.
    pub(crate) fn get(parts: &[&str]) -> Self {
        Self::new(Method::GET, parts)
    }

    /// Asks for something to be done.
    pub(crate) fn post(parts: &[&str]) -> Self {
        Self::new(Method::POST, parts)
    }

    /// Makes what is at a path, or makes it another.
    pub(crate) fn put(parts: &[&str]) -> Self {
        Self::new(Method::PUT, parts)
    }

    /// Changes what is at a path.
    pub(crate) fn patch(parts: &[&str]) -> Self {
        Self::new(Method::PATCH, parts)
    }

    /// Takes away what is at a path.
    pub(crate) fn delete(parts: &[&str]) -> Self {
        Self::new(Method::DELETE, parts)
    }

    /// Adds to the query.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds to the query what is given.
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a header when there is a value.
    pub(crate) fn header(mut self, name: HeaderName, value: Option<&str>) -> Self {
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }

    /// Sends a body.
    pub(crate) fn body(mut self, body: &impl serde::Serialize) -> Result<Self, Failure> {
        self.body = Some(serde_json::to_string(body).map_err(Failure::other)?);
        Ok(self)
    }

    fn target(&self) -> String {
        let pairs = self.query.iter().map(|(name, value)| format!("{name}={}", urlencoding::encode(value)));
        let query: Vec<_> = pairs.collect();
        let path = self
            .parts
            .iter()
            .fold(API.to_owned(), |path, part| format!("{path}/{}", urlencoding::encode(part)));
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

/// An answer that is no refusal.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body, as it was sent.
    pub(crate) text: String,
}

impl Answer {
    /// The body, read.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let read = serde_json::from_str(&self.text);
        read.map_err(|error| Failure::Foreign(format!("the answer is not understood: {error}")))
    }
}

/// What comes back, before its body was read.
struct Reply {
    status: StatusCode,
    /// After how long whoever answers wants to be asked again.
    retry_after: Option<Duration>,
    stream: BoxStream<'static, Result<Bytes, Failure>>,
}

impl Reply {
    fn new(parts: (StatusCode, &HeaderMap), stream: BoxStream<'static, Result<Bytes, Failure>>) -> Self {
        let (status, headers) = parts;
        let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = seconds.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        Self { status, retry_after, stream }
    }

    async fn text(mut self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.stream.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        String::from_utf8(bytes).map_err(|_| Failure::Foreign("the answer is not text".to_owned()))
    }

    /// The refusal that it is.
    async fn refusal(self) -> Failure {
        let (status, retry_after) = (self.status, self.retry_after);
        let text = match self.text().await {
            Ok(text) => text,
            Err(failure) => return failure,
        };
        let problem = serde_json::from_str::<Problem>(&text);
        if !matches!(status.as_u16(), 429 | 502..=504) {
            let foreign = |_| Failure::Foreign(format!("whoever answers is no stepwell server: {status}"));
            return problem.map_or_else(foreign, Failure::from);
        }
        // A proxy says so in its own words while the server behind it starts again.
        let (what, fix) = match problem {
            Ok(problem) => (problem.to_string(), problem.fix),
            Err(_) => (format!("whoever answers says {status}"), "ask again later".to_owned()),
        };
        Failure::Passing { what, fix, retry_after }
    }
}

/// Items of a list, each as it was sent.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Items {
    pub(crate) items: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

impl Client {
    /// Opens the store, or prepares to call the server. Where there is no store, one is made only if `makes` says so.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] when there is no store or it does not open; says so when another process has it.
    pub(crate) async fn open(target: &Target, tenant: Option<String>, makes: bool) -> Result<Self, Failure> {
        let way = match target {
            Target::Server { url, token, .. } => Way::Remote(Remote::new(url.clone(), token.clone())?),
            Target::Store { url, origin } => {
                if !makes && url.folder().is_some() && !stepwell_backends::is_there(url) {
                    return Err(no_store(url, origin));
                }
                let engine = engine(url).await?;
                let mut options = ServerOptions::default();
                options.request_timeout_ms = PATIENCE_MS;
                let app = App::new(&engine, options).map_err(Failure::other)?;
                Way::Local { router: app.local(Access::local(user())), engine }
            }
        };
        Ok(Self { way, tenant })
    }

    /// The engine, when the store is open in this process.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.way {
            Way::Local { engine, .. } => Some(engine),
            Way::Remote(_) => None,
        }
    }

    /// Asks, and returns what is answered.
    ///
    /// # Errors
    /// [`Failure::Problem`] for a refusal, [`Failure::Passing`] for one of the moment, [`Failure::Unreachable`] when nobody answers.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let reply = self.send(call.clone()).await?;
        let status = reply.status;
        if status.is_success() {
            return Ok(Answer { status, text: reply.text().await? });
        }
        match reply.refusal().await {
            Failure::Problem(problem) => Err(self.hinted(&call, problem).await),
            failure => Err(failure),
        }
    }

    /// A part of a list, page by page: each is handed on as it comes. Returns where the list goes on.
    pub(crate) async fn each_page(
        &self,
        call: Call,
        part: Part,
        mut page: impl FnMut(Vec<Box<RawValue>>) -> Result<(), Failure>,
    ) -> Result<Option<String>, Failure> {
        let (mut count, mut cursor) = (0, part.cursor);
        loop {
            let left = part.limit.map_or(PAGE_MAX, |limit| limit.saturating_sub(count)).min(PAGE_MAX);
            let asked = call.clone().with("limit", left).maybe("cursor", cursor.take());
            let found: Items = self.call(asked).await?.json()?;
            count += found.items.len();
            page(found.items)?;
            cursor = found.next_cursor;
            if cursor.is_none() || part.limit.is_some_and(|limit| count >= limit) {
                return Ok(cursor);
            }
        }
    }

    /// A part of a list.
    pub(crate) async fn list(&self, call: Call, part: Part) -> Result<Items, Failure> {
        let mut items = Vec::new();
        let next_cursor = self.each_page(call, part, |page| {
            items.extend(page);
            Ok(())
        });
        let next_cursor = next_cursor.await?;
        Ok(Items { items, next_cursor })
    }

    /// All items of a list that has no pages.
    pub(crate) async fn items(&self, call: Call) -> Result<Items, Failure> {
        let answer = self.call(call).await?;
        if answer.text.trim_start().starts_with('[') {
            return Ok(Items { items: answer.json()?, next_cursor: None });
        }
        answer.json()
    }

    /// Follows what happens.
    pub(crate) async fn events(&self, call: Call, last: Option<&str>) -> Result<Events, Failure> {
        let call = call
            .header(header::ACCEPT, Some("text/event-stream"))
            .header(HeaderName::from_static("last-event-id"), last);
        let reply = self.send(call).await?;
        if reply.status.is_success() { Ok(Events::of(reply.stream)) } else { Err(reply.refusal().await) }
    }

    async fn send(&self, mut call: Call) -> Result<Reply, Failure> {
        // A call about someone's run names whose it is.
        if let (Some(tenant), false) = (&self.tenant, call.query.iter().any(|(name, _)| *name == TENANT)) {
            call = call.with(TENANT, tenant);
        }
        match &self.way {
            Way::Remote(remote) => remote.send(&call).await,
            Way::Local { router, .. } => {
                let response = router.clone().oneshot(request(&call)?).await;
                let response = response.unwrap_or_else(|never| match never {});
                let (parts, body) = response.into_parts();
                let stream = body.into_data_stream();
                let stream = stream.map(|chunk| chunk.map_err(Failure::other)).boxed();
                Ok(Reply::new((parts.status, &parts.headers), stream))
            }
        }
    }

    /// Lets the store go.
    pub(crate) async fn close(self) {
        if let Way::Local { engine, .. } = self.way {
            engine.shutdown().await;
        }
    }
}

fn request(call: &Call) -> Result<Request<Body>, Failure> {
    let mut request = Request::builder().method(call.method.clone()).uri(call.target());
    for (name, value) in &call.headers {
        request = request.header(name, HeaderValue::from_str(value).map_err(Failure::usage)?);
    }
    if call.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Body::from(call.body.clone().unwrap_or_default())).map_err(Failure::usage)
}

/// An engine on the store that takes no runs: it shows and steers them.
async fn engine(url: &StoreUrl) -> Result<Engine, Failure> {
    let backend = stepwell_backends::open_url(url).await.map_err(|error| not_open(url, &error))?;
    let options = EngineOptions { heartbeat_ms: 0, ..EngineOptions::default() };
    let engine = Engine::builder(backend).options(options).build().await;
    engine.map_err(|error| Failure::Unreachable {
        what: format!("the store {url} does not answer: {}", chain(&error)),
        fix: format!("`stepwell doctor --store {url}` says more"),
    })
}

/// A store that was never made: a name that was mistyped, more likely than not.
fn no_store(url: &StoreUrl, origin: &Origin) -> Failure {
    Failure::Unreachable {
        what: format!("there is no store at {url} ({origin})"),
        fix: format!(
            "correct the URL; the program with the workflows makes its store when it starts, and so does `stepwell serve --store {}`",
            quoted(&url.to_string())
        ),
    }
}

/// A store that did not open, and what to do.
pub(crate) fn not_open(url: &StoreUrl, error: &OpenError) -> Failure {
    let fix = match error {
        OpenError::Url(_) | OpenError::NotBuilt { .. } => return Failure::usage(error),
        OpenError::Store { source, .. } if source.kind() == FaultKind::Locked => {
            "one process at a time owns such a store: ask that one, with --server and the address that it serves at; \
             or end it"
                .to_owned()
        }
        OpenError::Store { .. } => format!("`stepwell doctor --store {url}` says more"),
    };
    Failure::Unreachable { what: chain(error), fix }
}

/// As whom is recorded what is done to a store directly.
pub(crate) fn user() -> String {
    variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "local".to_owned())
}
