//! Workflows that are posted as data: their steps are done outside.

use axum::Json;
use axum::extract::State;
use stepwell::PostedWorkflow;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{Body, DryRun, Params, Who};
use crate::routes::Routes;
use crate::view::outside::{NewWorkflow, PostPreview, Posted, PostedOrPreview};

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Admin, routes!(post))
}

/// Posts a workflow whose steps are done outside. The same one again has no effect; another one needs another version. It holds for
/// all tenants, so that a caller of one tenant is refused.
#[utoipa::path(post, path = "/api/v1/workflows", tag = "outside", operation_id = "postWorkflow", request_body = NewWorkflow,
    params(DryRun),
    responses((status = 200, description = "It is there; or, for a dry run, whether it would be new.", body = PostedOrPreview)))]
async fn post(
    State(app): State<App>,
    who: Who,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(workflow): Body<PostedWorkflow>,
) -> Result<Json<PostedOrPreview>, Problem> {
    who.needs_all()?;
    if dry_run {
        let present = app.engine().dry_run_post_workflow(&workflow).await?;
        return Ok(Json(PostedOrPreview::Preview(PostPreview { is_new: present.is_none() })));
    }
    let posted = app.engine().post_workflow(workflow, who.access.actor()).await?;
    Ok(Json(PostedOrPreview::Posted(Posted::of(&posted))))
}
