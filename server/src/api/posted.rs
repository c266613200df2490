//! Workflows that are posted as data: their steps are done outside.

use axum::Json;
use axum::extract::State;
use stepwell::PostedWorkflow;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{Body, NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::outside::Posted;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Admin, routes!(post))
}

/// Posts a workflow whose steps are done outside: `name`, `version`, `queue`, `run_deadline_ms` and `steps`, each with its `name` and
/// `timeout_ms` and, if wanted, `estimate_ms`, `max_attempts`, `retry_delay_ms`, `deadline_ms`, `effect` and `on_exhausted`; or
/// several under `parallel`. The same one again has no effect; another one needs another version. It holds for all tenants, so
/// that a caller of one tenant is refused.
#[utoipa::path(post, path = "/api/v1/workflows", tag = "outside", operation_id = "postWorkflow", request_body = serde_json::Value,
    responses((status = 200, description = "It is there.", body = Posted)))]
async fn post(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
    Body(workflow): Body<PostedWorkflow>,
) -> Result<Json<Posted>, Problem> {
    who.needs_all()?;
    let posted = app.engine().post_workflow(workflow, who.access.actor()).await?;
    Ok(Json(Posted::of(&posted)))
}
