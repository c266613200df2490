//! The runs that have not ended: what a recovery looks at.

use axum::Json;
use axum::extract::State;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use stepwell::contract::{Cursor, Head, Order};
use stepwell::run::state::State as RunState;
use stepwell::{Engine, Error};
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::filter::Filter;
use crate::listing::{self, List};
use crate::problem::Problem;
use crate::request::{Params, Who};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::unfinished::UnfinishedRun;

/// Journals read at once.
const AT_ONCE: usize = 4;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(list))
}

/// How many, from where on, and with what.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UnfinishedParams {
    /// `true`: with what the steps of each share, in short. Reads the journal of each.
    #[serde(default)]
    context: bool,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// The runs that have not ended, the newest first, with what is wrong with them.
#[utoipa::path(get, path = "/api/v1/unfinished", tag = "runs", operation_id = "listUnfinished",
    params(UnfinishedParams, ("tenant" = Option<String>, Query, description = "Only this tenant's; a token of one tenant sees only its own.")),
    responses((status = 200, description = "A page of runs.", body = Listed<UnfinishedRun>)))]
async fn list(
    State(app): State<App>,
    who: Who,
    Params(params): Params<UnfinishedParams>,
) -> Result<Json<Listed<UnfinishedRun>>, Problem> {
    let filter = Filter::parse("is:unfinished", app.engine().now()).map_err(Problem::bad)?;
    let list = List::of("unfinished", &who.tenant);
    let after = list.cursor::<Cursor>(params.cursor.as_deref())?;
    let limit = listing::limit(params.limit)?;
    let engine = app.engine();
    let page = listing::page(engine, who.tenant.as_ref(), &filter, Order::Newest, after, limit).await?;
    let next_cursor = page.next.as_ref().map(|next| list.cursor_text(next));
    let views = page.items.into_iter().map(|head| async move {
        let state = if params.context { state(engine, &head).await? } else { None };
        Ok(UnfinishedRun::of(&head, state.as_ref()))
    });
    let views: Vec<Result<UnfinishedRun, Error>> = stream::iter(views).buffered(AT_ONCE).collect().await;
    let items = views.into_iter().collect::<Result<_, _>>()?;
    Ok(Json(Listed { items, next_cursor }))
}

/// The state of a run; nothing when it cannot be read or was removed since it was listed.
async fn state(engine: &Engine, head: &Head) -> Result<Option<RunState>, Error> {
    match engine.state(&head.key).await {
        Ok(state) => Ok(Some(state)),
        Err(Error::Journal { .. } | Error::NoSuchRun(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
