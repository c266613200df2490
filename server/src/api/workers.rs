//! Workers.

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::worker::Worker;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(list))
}

/// The workers of the store, those that are there first: also those that are gone, for a week. Workers are everyone's, so that
/// a caller of one tenant is refused.
#[utoipa::path(get, path = "/api/v1/workers", tag = "system", operation_id = "listWorkers",
    params(("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The workers.", body = Listed<Worker>)))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listed<Worker>>, Problem> {
    who.needs_all()?;
    let workers = app.reads().workers(app.engine()).await?;
    Ok(Json(Listed { items: workers.iter().cloned().map(Worker::of).collect(), next_cursor: None }))
}
