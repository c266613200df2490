//! Runs: list them, start one, look at one.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ETAG, LOCATION};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::contract::{Head, Name, Order, RunKey};
use stepwell::run::event::RunCreated;
use stepwell::{Error, StartPreview, StartRun};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::repetition::{self, IdempotencyKey};
use crate::app::App;
use crate::filter::Filter;
use crate::listing;
use crate::mount::Mount;
use crate::problem::{Fault, Problem};
use crate::request::{Body, NoParams, Params, RunAt, Who, etag, span};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::run::Run;

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
    let (tenant, cursor) = (who.tenant.as_ref(), params.cursor.as_deref());
    Ok(Json(listing::shown(app.engine(), tenant, &params.q, &filter, order, cursor, limit).await?))
}

/// A run to start.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
    /// Its workflow.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub(crate) workflow: String,
    /// The version of the workflow; the newest when missing.
    pub(crate) version: Option<u32>,
    /// Its id; one is made of the `Idempotency-Key`, or drawn, when missing.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub(crate) run: Option<String>,
    /// The workflow's input; `null` when missing.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) input: Option<Box<RawValue>>,
    /// What people filter by.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// Higher goes first.
    #[serde(default)]
    #[schema(minimum = -32768, maximum = 32767)]
    pub(crate) priority: i16,
    /// The queue; that of the workflow when missing.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub(crate) queue: Option<String>,
    /// How long it waits before it begins, in milliseconds.
    #[schema(maximum = 315360000000_u64)]
    pub(crate) delay_ms: Option<u64>,
}

/// Starts a run. The same request again, with the same id or `Idempotency-Key`, answers with the run that is there.
#[utoipa::path(post, path = "/api/v1/runs", tag = "runs", operation_id = "startRun", request_body = NewRun,
    params(("tenant" = Option<String>, Query, description = "Whose run it is to be; that of the token, or `default`."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition of the request start nothing, and is refused with another request; not together with `run`.")),
    responses((status = 201, description = "The run was started.", body = Run), (status = 200, description = "It was there.", body = Run)))]
async fn start(
    State(app): State<App>,
    who: Who,
    Mount(mount): Mount,
    Params(NoParams {}): Params<NoParams>,
    key: IdempotencyKey,
    Body(new): Body<NewRun>,
) -> Result<Response, Problem> {
    let (is_new, head) = begin(&app, &who, &new, &key).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let RunKey { tenant, run } = &head.key;
    let place = format!("{mount}/api/v1/runs/{run}{}", who.query_of(tenant));
    Ok((status, [(LOCATION, place)], Tagged::run(&head)).into_response())
}

impl Fault {
    /// Why the engine does not start a run.
    fn by_engine(error: Error, key: &IdempotencyKey) -> Self {
        let field = match &error {
            Error::UnknownWorkflow { .. } => Some("workflow"),
            Error::Id(_) | Error::Conflict { .. } => Some("run"),
            Error::Payload(_) => Some("input"),
            _ => None,
        };
        Self { field, problem: key.problem(error) }
    }
}

impl NewRun {
    /// The request to the engine: the same for the same key, where no id is said.
    fn request(&self, who: &Who, key: &IdempotencyKey) -> Result<StartRun, Fault> {
        let id = key.run(self.run.clone())?;
        let run = StartRun::new(&self.workflow, &id, &self.input);
        let run = run.map_err(|error| Fault::by_engine(error, key))?;
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
            let of_delay = |problem| Fault { field: Some("delay"), problem };
            span("delay_ms", delay_ms).map_err(of_delay)?;
            run = run.delay(std::time::Duration::from_millis(delay_ms));
        }
        for (name, value) in &self.tags {
            run = run.tag(name, value).map_err(|error| Fault::at("tags", &error))?;
        }
        Ok(run)
    }

    /// In what it is not what a run was made with, as far as that can be told: what the workflow decides is not asked.
    fn differs(&self, head: &Head, created: &RunCreated) -> Option<&'static str> {
        let tags = || head.tags.iter().filter(|(name, _)| !name.as_str().starts_with("stepwell."));
        let tags = || tags().map(|(name, value)| (name.as_str(), value.as_str()));
        let delay_ms = created.not_before.map_or(0, |at| at.since_ms(head.created_at));
        let rows = [
            ("version", self.version.is_some_and(|version| version != created.workflow_version)),
            ("queue", self.queue.as_ref().is_some_and(|queue| *queue != *head.queue.as_str())),
            ("priority", self.priority != head.priority),
            ("delay", self.delay_ms.unwrap_or_default() != delay_ms),
            (
                "set of tags",
                !tags().eq(self.tags.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            ),
        ];
        rows.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what)
    }
}

/// Starts a run, or finds the one that was started by the same request; tells which, with its head.
pub(crate) async fn begin(
    app: &App,
    who: &Who,
    new: &NewRun,
    key: &IdempotencyKey,
) -> Result<(bool, Head), Fault> {
    let run = new.request(who, key)?;
    let started = app.engine().start_with(run).await;
    let started = started.map_err(|error| Fault::by_engine(error, key))?;
    let head = head(app, started.key()).await?;
    if key.is_given() && !started.is_new() {
        let created = repetition::beginning(app, started.key()).await?;
        if let Some(what) = new.differs(&head, &created) {
            return Err(repetition::reused(started.key(), what).into());
        }
    }
    Ok((started.is_new(), head))
}

/// What [`begin`] would do. Nothing is written.
pub(crate) async fn preview(
    app: &App,
    who: &Who,
    new: &NewRun,
    key: &IdempotencyKey,
) -> Result<StartPreview, Fault> {
    let run = new.request(who, key)?;
    app.engine().dry_run_start(&run).await.map_err(|error| Fault::by_engine(error, key))
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
