//! What callers have changed: by whom, through which route, and when.

use axum::Json;
use axum::extract::State;
use stepwell::DeedCursor;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::listing::{List, Paging};
use crate::problem::Problem;
use crate::request::{Params, Who};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::deed::Deed;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Admin, routes!(list))
}

/// Every change that callers have made, the newest first, with logins and those that failed: what happens to runs, queues and
/// schedules has its own log as well. Kept for 90 days. It is everyone's, so that a caller of one tenant is refused.
#[utoipa::path(get, path = "/api/v1/changes", tag = "audit", operation_id = "listChanges",
    params(Paging, ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "A page of changes.", body = Listed<Deed>)))]
async fn list(
    State(app): State<App>,
    who: Who,
    Params(paging): Params<Paging>,
) -> Result<Json<Listed<Deed>>, Problem> {
    who.needs_all()?;
    let list = List::of("changes", &());
    let (after, limit) = paging.read::<DeedCursor>(list)?;
    let page = app.engine().deeds(after, limit).await?;
    Ok(Json(Listed {
        items: page.items.into_iter().map(Deed::of).collect(),
        next_cursor: page.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}
