//! Runs: list them, start one, look at one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::contract::{Head, Name, Order, RunKey};
use stepwell::{Error, StartPreview, StartRun};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Role;
use crate::access::token::SecretHash;
use crate::app::App;
use crate::filter::Filter;
use crate::listing;
use crate::mount::Mount;
use crate::problem::{Code, Fault, Problem};
use crate::request::{Body, NoParams, Params, RunAt, Who, etag};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::run::Run;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(list))
        .at(Role::Operator, routes!(start))
        .at(Role::Viewer, routes!(show))
}

/// An answer with the entity tag of the run it is about.
pub(super) struct Tagged<T>(pub(super) String, pub(super) T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(ETAG, self.0)], Json(self.1)).into_response()
    }
}

impl Tagged<Run> {
    /// The view of a head, with its tag.
    pub(super) fn run(head: &Head) -> Self {
        Self(etag(head), Run::of(head))
    }
}

/// The head of a run.
pub(crate) async fn head(app: &App, key: &RunKey) -> Result<Head, Problem> {
    app.engine().get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()).into())
}

/// In which order, how many and from where on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Which runs: the query language of lists, as in `status:failed step:charge tag:eu since:2h`.
    #[serde(default)]
    q: String,
    /// `newest` or `oldest` first, by the time of creation.
    #[param(value_type = Option<String>, pattern = "^(newest|oldest)$")]
    order: Option<ListOrder>,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ListOrder {
    Newest,
    Oldest,
}

/// Lists runs.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", operation_id = "listRuns",
    params(ListParams, ("tenant" = Option<String>, Query, description = "Only this tenant's; a token of one tenant sees only its own.")),
    responses((status = 200, description = "A page of runs.", body = Listed<Run>)))]
async fn list(
    State(app): State<App>,
    who: Who,
    Params(params): Params<ListParams>,
) -> Result<Json<Listed<Run>>, Problem> {
    let filter = Filter::parse(&params.q, app.engine().now()).map_err(Problem::bad)?;
    let order = match params.order {
        Some(ListOrder::Oldest) => Order::Oldest,
        _ => Order::Newest,
    };
    let limit = listing::limit(params.limit)?;
    let cursor = params.cursor.as_deref();
    Ok(Json(listing::shown(app.engine(), who.tenant.as_ref(), &filter, order, cursor, limit).await?))
}

/// A run to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
    /// Its workflow.
    pub(crate) workflow: String,
    /// The version of the workflow; the newest when missing.
    pub(crate) version: Option<u32>,
    /// Its id; one is made of the `Idempotency-Key`, or drawn, when missing.
    pub(crate) run: Option<String>,
    /// The workflow's input; `null` when missing.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) input: Option<Box<RawValue>>,
    /// What people filter by.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// Higher goes first.
    #[serde(default)]
    pub(crate) priority: i16,
    /// The queue; that of the workflow when missing.
    pub(crate) queue: Option<String>,
    /// How long it waits before it begins, in milliseconds.
    pub(crate) delay_ms: Option<u64>,
}

/// Starts a run. The same request again, with the same id or `Idempotency-Key`, answers with the run that is there.
#[utoipa::path(post, path = "/api/v1/runs", tag = "runs", operation_id = "startRun", request_body = NewRun,
    params(("tenant" = Option<String>, Query, description = "Whose run it is to be; that of the token, or `default`."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition of the request start nothing.")),
    responses((status = 201, description = "The run was started.", body = Run), (status = 200, description = "It was there.", body = Run)))]
async fn start(
    State(app): State<App>,
    who: Who,
    Mount(mount): Mount,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    Body(new): Body<NewRun>,
) -> Result<Response, Problem> {
    let key = headers
        .get(IDEMPOTENCY_KEY)
        .map(|key| key.to_str().map_err(|_| Problem::bad("`Idempotency-Key` is not text")));
    let (is_new, head) = begin(&app, &who, &new, key.transpose()?).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let place = format!("{mount}/api/v1/runs/{}", head.key.run);
    Ok((status, [(LOCATION, place)], Tagged::run(&head)).into_response())
}

impl Fault {
    /// Why the engine does not start a run.
    fn by_engine(error: Error, new: &NewRun) -> Self {
        let field = match &error {
            Error::UnknownWorkflow { .. } => Some("workflow"),
            Error::Id(_) | Error::Conflict { .. } => Some("run"),
            Error::Payload(_) => Some("input"),
            _ => None,
        };
        let problem = match error {
            Error::Conflict { .. } if new.run.is_none() => Problem::new(Code::KeyReused, error.to_string()),
            error => error.into(),
        };
        Self { field, problem }
    }
}

impl NewRun {
    /// The request to the engine: the same for the same key, where no id is said.
    fn request(&self, who: &Who, key: Option<&str>) -> Result<StartRun, Fault> {
        let id = match (&self.run, key) {
            (Some(run), _) => run.clone(),
            (None, Some(key)) => format!("key-{:.32}", SecretHash::of(key).to_string()),
            (None, None) => Uuid::now_v7().to_string(),
        };
        let run = StartRun::new(&self.workflow, &id, &self.input);
        let run = run.map_err(|error| Fault::by_engine(error, self))?;
        let mut run = run
            .tenant(who.tenant.clone().unwrap_or_default())
            .priority(self.priority)
            .actor(who.access.actor());
        if let Some(version) = self.version {
            run = run.version(version);
        }
        if let Some(queue) = &self.queue {
            run = run.queue(Name::new(queue).map_err(|error| Fault::at("queue", &error))?);
        }
        if let Some(delay_ms) = self.delay_ms {
            run = run.delay(std::time::Duration::from_millis(delay_ms));
        }
        for (name, value) in &self.tags {
            run = run.tag(name, value).map_err(|error| Fault::at("tags", &error))?;
        }
        Ok(run)
    }
}

/// Starts a run, or finds the one that was started by the same request; tells which, with its head.
pub(crate) async fn begin(
    app: &App,
    who: &Who,
    new: &NewRun,
    key: Option<&str>,
) -> Result<(bool, Head), Fault> {
    let run = new.request(who, key)?;
    let started = app.engine().start_with(run).await;
    let started = started.map_err(|error| Fault::by_engine(error, new))?;
    let head = head(app, started.key()).await;
    let head = head.map_err(Fault::from)?;
    Ok((started.is_new(), head))
}

/// What [`begin`] would do. Nothing is written.
pub(crate) async fn preview(
    app: &App,
    who: &Who,
    new: &NewRun,
    key: Option<&str>,
) -> Result<StartPreview, Fault> {
    let run = new.request(who, key)?;
    app.engine().dry_run_start(&run).await.map_err(|error| Fault::by_engine(error, new))
}

/// One run.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", operation_id = "getRun",
    params(("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The run.", body = Run)))]
async fn show(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<Run>, Problem> {
    Ok(Tagged::run(&head(&app, &key).await?))
}
