//! The state of everything at one look.

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::overview::Overview;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(show))
}

/// Counts, what ended lately, the largest failure groups, runs that are held, workers and store, at most some seconds old.
#[utoipa::path(get, path = "/api/v1/overview", tag = "system", operation_id = "getOverview",
    params(("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "The state of everything.", body = Overview)))]
async fn show(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Overview>, Problem> {
    Ok(Json(app.overview(who.tenant.as_ref()).await?.as_ref().clone()))
}
