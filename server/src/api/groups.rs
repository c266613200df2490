//! Failure groups: failures of one cause, across runs.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stepwell::GroupFilter;
use stepwell::contract::{Cursor, Name};
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::listing::{self, List, Paging};
use crate::problem::{Code, Problem};
use crate::request::{At, DryRun, NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::group::{Group, GroupDetail, Member};

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(list))
        .at(Role::Viewer, routes!(show))
        .at(Role::Viewer, routes!(members))
        .at(Role::Admin, routes!(forget))
}

#[derive(Debug, Deserialize)]
pub(crate) struct GroupPart {
    pub(crate) group: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GroupParams {
    /// Those of this code.
    pub(crate) code: Option<String>,
    /// Those of this workflow.
    pub(crate) workflow: Option<String>,
    /// `true`: those that have runs which are failed or held now.
    #[serde(default)]
    pub(crate) in_trouble: bool,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    pub(crate) cursor: Option<String>,
}

/// Failure groups, the one that came up last first.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", operation_id = "listGroups",
    params(GroupParams, ("tenant" = Option<String>, Query, description = "Only groups with runs of this tenant, told of those alone; a token of one tenant sees only its own.")),
    responses((status = 200, description = "A page of groups.", body = Listed<Group>)))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Params(params): Params<GroupParams>,
) -> Result<Json<Listed<Group>>, Problem> {
    let filter = GroupFilter {
        tenant: who.tenant,
        workflow: params.workflow.map(Name::new).transpose().map_err(Problem::bad)?,
        code: params.code,
        in_trouble: params.in_trouble,
    };
    let list = List::of("groups", &filter);
    let after = list.cursor::<Cursor>(params.cursor.as_deref())?;
    let limit = listing::limit(params.limit)?;
    let page = app.engine().failure_groups(&filter, after, limit).await?;
    Ok(Json(Listed {
        items: page.items.into_iter().map(Group::of).collect(),
        next_cursor: page.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}

/// A failure group, with what became of its runs.
#[utoipa::path(get, path = "/api/v1/groups/{group}", tag = "groups", operation_id = "getGroup",
    params(("group" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Told of this tenant's runs alone.")),
    responses((status = 200, description = "The group.", body = GroupDetail)))]
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    At(GroupPart { group }): At<GroupPart>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<GroupDetail>, Problem> {
    let view = app.engine().failure_group(&group, who.tenant.as_ref()).await?;
    view.map(|view| Json(GroupDetail::of(view))).ok_or_else(|| no_such(&group))
}

/// The runs of a failure group, the newest first. Runs stay in the group of their latest failure when they go on.
#[utoipa::path(get, path = "/api/v1/groups/{group}/members", tag = "groups", operation_id = "listGroupMembers",
    params(Paging, ("group" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Only this tenant's runs.")),
    responses((status = 200, description = "A page of its runs.", body = Listed<Member>)))]
pub(crate) async fn members(
    State(app): State<App>,
    who: Who,
    At(GroupPart { group }): At<GroupPart>,
    Params(paging): Params<Paging>,
) -> Result<Json<Listed<Member>>, Problem> {
    let list = List::of("members", &(&who.tenant, &group));
    let (after, limit) = paging.read::<Cursor>(list)?;
    let page = app.engine().group_members(&group, who.tenant.as_ref(), after, limit).await?;
    Ok(Json(Listed {
        items: page.items.into_iter().map(Member::of).collect(),
        next_cursor: page.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}

/// Forgets how a failure group was first seen; its runs are not touched, and while some are failed or held it comes back as if
/// it were new. It is everyone's, so that a caller of one tenant is refused.
#[utoipa::path(delete, path = "/api/v1/groups/{group}", tag = "groups", operation_id = "forgetGroup",
    params(DryRun, ("group" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 204, description = "It is forgotten."), (status = 200, description = "For a dry run, the group that would be forgotten.", body = GroupDetail)))]
async fn forget(
    State(app): State<App>,
    who: Who,
    At(GroupPart { group }): At<GroupPart>,
    Params(DryRun { dry_run }): Params<DryRun>,
) -> Result<Response, Problem> {
    who.needs_all()?;
    if dry_run {
        let view = app.engine().failure_group(&group, None).await?.ok_or_else(|| no_such(&group))?;
        return Ok(Json(GroupDetail::of(view)).into_response());
    }
    match app.engine().forget_failure_group(&group).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(no_such(&group)),
    }
}

fn no_such(group: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no failure group {group:?}"))
}
