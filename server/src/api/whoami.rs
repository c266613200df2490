//! Who the caller is.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::Role;
use crate::problem::Problem;
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(whoami))
}

/// Who the caller is, as the server knows them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Caller {
    /// The name under which what they do is recorded.
    name: String,
    /// What they may do: `viewer`, `operator` or `admin`.
    role: String,
    /// Whose runs they see; missing for everyone's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
}

/// Who the caller is.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "server", operation_id = "whoAmI",
    params(("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The caller.", body = Caller)))]
async fn whoami(who: Who, Params(NoParams {}): Params<NoParams>) -> Result<Json<Caller>, Problem> {
    let access = who.access;
    let tenant = access.tenant.map(|tenant| tenant.to_string());
    Ok(Json(Caller { name: access.name, role: access.role.to_string(), tenant }))
}
