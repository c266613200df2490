//! A new run that goes on from a step of another one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use stepwell::ForkRun;
use stepwell::run::place::Place;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Role;
use crate::api::runs::{Tagged, head};
use crate::app::App;
use crate::problem::Problem;
use crate::request::{Body, IfMatch, Params, RunAt, Who, present};
use crate::routes::Routes;
use crate::view::preview::{Preview, RunOrPreview};
use crate::view::run::Run;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Operator, routes!(fork))
}

/// What a run is forked into.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Forking {
    /// The step that it begins again at, as in `pack` or `pack[2]`.
    step: String,
    /// The id of the new run; one is drawn when missing. With the same one again nothing is made twice.
    run: Option<String>,
    /// The version of the workflow that it goes on with; the old run's when missing.
    version: Option<u32>,
    /// Another input; only where no result is copied.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<Box<RawValue>>,
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ForkParams {
    /// `true`: says what it would do, and does nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Makes a new run that goes on from a step of this one, wherever this one is. This one stays as it is. What the steps from there on
/// do outside, they do again.
#[utoipa::path(post, path = "/api/v1/runs/{run}/fork", tag = "runs", operation_id = "forkRun", request_body = Forking,
    params(ForkParams, ("run" = String, Path, description = "The run to go on from."),
        ("tenant" = Option<String>, Query, description = "Whose it is, and the new one is to be."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the decision rests on.")),
    responses((status = 201, description = "The new run was made.", body = Run),
        (status = 200, description = "It was there; or, for a dry run, what it would do.", body = RunOrPreview)))]
async fn fork(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(ForkParams { dry_run }): Params<ForkParams>,
    if_match: IfMatch,
    Body(forking): Body<Forking>,
) -> Result<Response, Problem> {
    if_match.check(&head(&app, &key).await?)?;
    let place = forking.step.parse::<Place>().map_err(Problem::bad)?;
    let id = forking.run.unwrap_or_else(|| Uuid::now_v7().to_string());
    let mut into = ForkRun::new(&id, place).actor(who.access.actor()).message(&forking.reason);
    if let Some(version) = forking.version {
        into = into.version(version);
    }
    if let Some(input) = &forking.input {
        into = into.input(input)?;
    }
    if dry_run {
        let preview = app.engine().dry_run_fork(&key, &into).await?;
        return Ok(Json(Preview::of(preview)).into_response());
    }
    let forked = app.engine().fork(&key, into).await?;
    let made = head(&app, forked.key()).await?;
    let status = if forked.is_new() { StatusCode::CREATED } else { StatusCode::OK };
    let place = format!("{}/api/v1/runs/{}", app.options().prefix, forked.key().run);
    Ok((status, [(LOCATION, place)], Tagged::run(&made)).into_response())
}
