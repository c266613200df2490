//! The store.

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::store::Store;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(show))
}

/// What the store says of itself.
#[utoipa::path(get, path = "/api/v1/store", tag = "system", operation_id = "getStore",
    params(("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The store.", body = Store)))]
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Store>, Problem> {
    let mut store = Store::of(app.engine().store().await?);
    if who.access.tenant.is_some() {
        // Where it is and how much it holds is everyone's, and so is what goes wrong there.
        store.facts.clear();
        store.health.why = None;
    }
    Ok(Json(store))
}
