//! The workflows that are known here.

use axum::Json;
use axum::extract::State;
use stepwell::Outline;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{NoParams, Params};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::workflow::Workflow;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(list))
}

/// The workflows that are registered in this program or in others on the store, or were posted, each version by itself: their steps
/// and nodes. They are code, which all tenants share.
#[utoipa::path(get, path = "/api/v1/workflows", tag = "workflows", operation_id = "listWorkflows",
    params(("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The workflows, by name and version.", body = Listed<Workflow>)))]
pub(crate) async fn list(
    State(app): State<App>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listed<Workflow>>, Problem> {
    let mut items: Vec<_> = app.engine().definitions().iter().map(Workflow::of).collect();
    let is_here = |outline: &Outline| {
        items
            .iter()
            .any(|it: &Workflow| it.workflow == outline.name.as_str() && it.version == outline.version)
    };
    let outlines = app.engine().outlines().await?;
    let elsewhere = outlines.iter().map(|view| &view.outline).filter(|outline| !is_here(outline));
    let elsewhere: Vec<_> = elsewhere.map(Workflow::outlined).collect();
    items.extend(elsewhere);
    items.sort_by(|a, b| a.workflow.cmp(&b.workflow).then(a.version.cmp(&b.version)));
    Ok(Json(Listed { items, next_cursor: None }))
}
