//! The application: the engine, the settings, and the router over both.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request};
use axum::middleware::{from_fn, from_fn_with_state, map_request, map_response};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::any;
use stepwell::contract::TenantId;
use stepwell::{Engine, Error};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use utoipa::openapi::OpenApi;

use crate::access::session::Sessions;
use crate::access::{Access, identify};
use crate::estimates::Estimates;
use crate::hub::Hub;
use crate::journals::Journals;
use crate::limits::shares::Shares;
use crate::lookout::Lookout;
use crate::metrics::{self, Figures};
use crate::options::{OptionsError, ServerOptions};
use crate::problem::{self, Code, Problem, REQUEST_ID};
use crate::reads::Reads;
use crate::routes::{Route, Routes};
use crate::trail::{self, Trail};
use crate::ui::refusal;
use crate::view::overview::Overview;
use crate::{api, headers, limits, ui};

/// The application. Clones are the same one.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    options: ServerOptions,
    sessions: Sessions,
    estimates: Estimates,
    journals: Journals,
    stopping: CancellationToken,
    turns: Shares,
    strangers: Shares,
    streams: Shares,
    reads: Reads,
    hub: Hub,
    lookout: Lookout,
    trail: Trail,
    figures: Figures,
}

/// The router of an engine, to be merged into another one or nested in it. It serves until [`App::stop`]; a program that has its
/// own graceful shutdown makes an [`App`] and calls that first, so that streams of events end.
///
/// Without [tokens](ServerOptions::token) it answers to this host alone: where the program does not tell whose a request is, by
/// `into_make_service_with_connect_info::<SocketAddr>()`, it answers to nobody, unless it is to
/// [trust everyone](ServerOptions::trust_everyone).
///
/// # Errors
/// [`OptionsError`]: correct the settings.
pub fn router(engine: &Engine, options: ServerOptions) -> Result<Router, OptionsError> {
    Ok(App::new(engine, options)?.router())
}

impl App {
    /// The application of an engine.
    ///
    /// # Errors
    /// [`OptionsError`]: correct the settings.
    pub fn new(engine: &Engine, options: ServerOptions) -> Result<Self, OptionsError> {
        options.check()?;
        let are_several = options.tokens.len() > 1;
        let inner = Inner {
            engine: engine.clone(),
            turns: Shares::new(options.requests_max, are_several),
            strangers: Shares::new(limits::STRANGERS_MAX, true),
            streams: Shares::new(options.streams_max, are_several),
            options,
            sessions: Sessions::default(),
            estimates: Estimates::default(),
            journals: Journals::default(),
            stopping: CancellationToken::new(),
            reads: Reads::new(),
            hub: Hub::default(),
            lookout: Lookout::default(),
            trail: Trail::default(),
            figures: Figures::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Its router, under its prefix, to be merged into another one or nested in it: links follow wherever it is. Without a
    /// prefix, and not nested, it takes paths such as `/` and `/runs`, which the other one must not have, and leaves to that
    /// one what is at none of its own. Without tokens it answers to this host alone, as [`router`] says.
    pub fn router(&self) -> Router {
        self.mounted(false)
    }

    /// The same as all that is served: it answers too where there is nothing.
    pub fn alone(&self) -> Router {
        self.mounted(true)
    }

    fn mounted(&self, is_alone: bool) -> Router {
        let routes = routes();
        let prefix = self.0.options.prefix.as_str();
        let (router, _) = routes.router.split_for_parts();
        let inside = ServiceBuilder::new()
            .layer(map_request(plain_id))
            .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
            .layer(map_response(problem::name_request))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(map_response(headers::secure))
            .layer(from_fn(headers::unchanged))
            .layer(from_fn_with_state(self.clone(), metrics::note))
            .layer(from_fn_with_state(self.clone(), refusal::in_words))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(DefaultBodyLimit::max(self.0.options.body_bytes_max))
            .layer(from_fn_with_state(self.clone(), identify::identify))
            .layer(from_fn_with_state(self.clone(), limits::limit))
            .layer(from_fn_with_state(self.clone(), trail::note));
        let router = router.method_not_allowed_fallback(no_method);
        // Of two routers that are merged one may answer where there is nothing: that is the other one's to say.
        let router = if is_alone || !prefix.is_empty() { router.fallback(no_path) } else { router };
        let router = router.layer(inside).with_state(self.clone());
        match prefix {
            "" => router,
            prefix => Router::new().nest(prefix, router).route(&format!("{prefix}/"), any(home)),
        }
    }

    /// The router for calls from this process, which need no token: they are made as `access`. What it answers is what the
    /// same request would get over a socket from a caller with those rights.
    pub fn local(&self, access: Access) -> Router {
        self.alone().layer(axum::Extension(identify::Caller::Known(access)))
    }

    /// Every operation and page, with the role it needs.
    #[must_use]
    pub fn table() -> Vec<Route> {
        routes().table
    }

    /// What the REST API is, as OpenAPI 3.1.
    #[must_use]
    pub fn openapi() -> OpenApi {
        let (_, mut document) = routes().router.split_for_parts();
        api::describe(&mut document);
        document
    }

    /// Ends all streams of events, so that a graceful shutdown of the listener can end, and what [`serve`](Self::serve) serves.
    pub fn stop(&self) {
        self.0.stopping.cancel();
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    pub(crate) fn estimates(&self) -> &Estimates {
        &self.0.estimates
    }

    pub(crate) fn journals(&self) -> &Journals {
        &self.0.journals
    }

    /// What the overview shows: at most some seconds old, and made of bounded reading.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn overview(&self, tenant: Option<&TenantId>) -> Result<Arc<Overview>, Error> {
        self.0.lookout.overview(self, tenant).await
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.0.reads
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.0.figures
    }

    pub(crate) fn trail(&self) -> &Trail {
        &self.0.trail
    }

    pub(crate) fn lookout(&self) -> &Lookout {
        &self.0.lookout
    }

    /// One for each request that may be answered at once.
    pub(crate) fn turns(&self) -> &Shares {
        &self.0.turns
    }

    /// The same for callers who are not known.
    pub(crate) fn strangers(&self) -> &Shares {
        &self.0.strangers
    }

    /// One for each stream of events that may be open at once.
    pub(crate) fn streams(&self) -> &Shares {
        &self.0.streams
    }

    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }
}

fn routes() -> Routes {
    api::routes().and(ui::routes())
}

/// An id that a caller gives is kept where it is one: it stands in the log.
async fn plain_id(mut request: Request) -> Request {
    let is_plain =
        |id: &[u8]| id.len() <= 64 && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
    if request.headers().get(&REQUEST_ID).is_some_and(|id| !is_plain(id.as_bytes())) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "an operation panicked");
    Problem::new(Code::Internal, "the operation ended in a panic, which the server's log tells")
        .into_response()
}

/// To the first page, by the address that has no slash at its end.
async fn home(OriginalUri(uri): OriginalUri) -> Redirect {
    Redirect::permanent(uri.path().trim_end_matches('/'))
}

async fn no_method() -> Problem {
    Problem::new(Code::NoMethod, "this path does not answer to this method")
}

async fn no_path() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path; /openapi.json lists what there is")
}
