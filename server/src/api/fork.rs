//! A new run that goes on from a step of another one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use stepwell::ForkRun;
use stepwell::contract::{Head, RunKey, Seq};
use stepwell::run::event::RunCreated;
use stepwell::run::place::Place;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::{Access, Role};
use crate::api::repetition::{self, IdempotencyKey};
use crate::api::runs::{Tagged, head};
use crate::app::App;
use crate::mount::Mount;
use crate::problem::Problem;
use crate::request::{Body, DryRun, IfMatch, Params, RunAt, Who, etag, present};
use crate::routes::Routes;
use crate::view::preview::{Preview, RunOrPreview};
use crate::view::run::Run;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Operator, routes!(fork))
}

/// What a run is forked into.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forking {
    /// The step that it begins again at, as in `pack` or `pack[2]`.
    pub(crate) step: String,
    /// The id of the new run; one is made of the `Idempotency-Key`, or drawn, when missing. With the same one again nothing is made
    /// twice.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$")]
    pub(crate) run: Option<String>,
    /// The version of the workflow that it goes on with; the old run's when missing.
    pub(crate) version: Option<u32>,
    /// Another input; only where no result is copied.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) input: Option<Box<RawValue>>,
    /// Why, for the audit log.
    #[serde(default)]
    pub(crate) reason: String,
    /// The last record that the decision rests on: a run that has gone on since is not forked.
    #[serde(skip)]
    pub(crate) seen: Option<Seq>,
}

/// What became of a fork.
#[derive(Debug)]
pub(crate) enum Forked {
    /// Nothing was made; this is what it would do.
    Previewed(stepwell::Preview),
    /// The new run is there.
    Made { head: Box<Head>, is_new: bool },
}

impl Forking {
    fn for_engine(&self, access: &Access, repeated: &IdempotencyKey) -> Result<ForkRun, Problem> {
        let place = self.step.parse::<Place>().map_err(Problem::bad)?;
        let id = repeated.run(self.run.clone())?;
        let into = ForkRun::new(&id, place).actor(access.actor()).message(&self.reason);
        let into = self.version.into_iter().fold(into, ForkRun::version);
        let into = self.seen.into_iter().fold(into, ForkRun::if_unchanged_since);
        match &self.input {
            Some(input) => Ok(into.input(input)?),
            None => Ok(into),
        }
    }

    /// In what it is not what a run was made with, as far as the engine does not look.
    fn differs(&self, created: &RunCreated) -> Option<&'static str> {
        if self.version.is_some_and(|version| version != created.workflow_version) {
            return Some("version");
        }
        self.input.as_ref().is_some_and(|input| !repetition::is_input(created, input)).then_some("input")
    }
}

/// Makes the fork, or says what that would do: the same for every surface.
pub(crate) async fn carry_out(
    app: &App,
    access: &Access,
    key: &RunKey,
    forking: Forking,
    repeated: &IdempotencyKey,
    dry_run: bool,
) -> Result<Forked, Problem> {
    let into = forking.for_engine(access, repeated)?;
    if dry_run {
        return Ok(Forked::Previewed(app.engine().dry_run_fork(key, &into).await?));
    }
    let forked = app.engine().fork(key, into).await.map_err(|error| repeated.problem(error))?;
    let head = Box::new(head(app, forked.key()).await?);
    if repeated.is_given() && !forked.is_new() {
        let created = repetition::beginning(app, forked.key()).await?;
        if let Some(what) = forking.differs(&created) {
            return Err(repetition::reused(forked.key(), what));
        }
    }
    Ok(Forked::Made { head, is_new: forked.is_new() })
}

/// Makes a new run that goes on from a step of this one, wherever this one is. This one stays as it is. What the steps from there on
/// do outside, they do again.
#[utoipa::path(post, path = "/api/v1/runs/{run}/fork", tag = "runs", operation_id = "forkRun", request_body = Forking,
    params(DryRun, ("run" = String, Path, description = "The run to go on from."),
        ("tenant" = Option<String>, Query, description = "Whose it is, and the new one is to be."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the decision rests on."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition of the request make nothing, and is refused with another request; not together with `run`.")),
    responses((status = 201, description = "The new run was made.", body = Run),
        (status = 200, description = "It was there; or, for a dry run, what it would do.", body = RunOrPreview)))]
async fn fork(
    State(app): State<App>,
    who: Who,
    Mount(mount): Mount,
    RunAt(key): RunAt,
    Params(DryRun { dry_run }): Params<DryRun>,
    (if_match, repeated): (IfMatch, IdempotencyKey),
    Body(forking): Body<Forking>,
) -> Result<Response, Problem> {
    let old = head(&app, &key).await?;
    let forking = Forking { seen: if_match.seen(&old)?, ..forking };
    match carry_out(&app, &who.access, &key, forking, &repeated, dry_run).await? {
        Forked::Previewed(preview) => Ok(Tagged(etag(&old), Preview::of(preview)).into_response()),
        Forked::Made { head, is_new } => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            let RunKey { tenant, run } = &head.key;
            let place = format!("{mount}/api/v1/runs/{run}{}", who.query_of(tenant));
            Ok((status, [(LOCATION, place)], Tagged::run(&head)).into_response())
        }
    }
}
