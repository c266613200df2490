//! Whether what the store holds is whole, and whether the workflows of this program go on with it.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use stepwell::IntegrityFilter;
use stepwell::contract::{Cursor, Query, RunId, RunKey};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::listing::List;
use crate::problem::{Code, Problem};
use crate::request::{Body, DryRun, Params, Who};
use crate::routes::Routes;
use crate::view::count;
use crate::view::group::RunName;
use crate::view::issue::{Check, Findings, Issue, Repair};

/// Most runs of one page.
const RUNS_MAX: usize = 1_000;
/// Runs that are looked at for a page, and for a check, when nobody says how many.
const RUNS_DEFAULT: usize = 100;
const CHECKED_DEFAULT: usize = 1_000;
const CHECKED_MAX: usize = 10_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(validate))
        .at(Role::Admin, routes!(repair))
        .at(Role::Viewer, routes!(check))
}

/// How many, if it is said, within what is allowed.
fn runs(asked: Option<usize>, default: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(default),
        Some(runs) if (1..=most).contains(&runs) => Ok(runs),
        Some(runs) => Err(Problem::bad(format!("`runs` is {runs}; it is from 1 to {most}"))),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ValidateParams {
    /// How many runs one page looks at; 100 when missing.
    #[param(minimum = 1, maximum = 1_000)]
    runs: Option<usize>,
    /// How late something may be before it is an issue, in milliseconds; ten minutes when missing.
    patience_ms: Option<u64>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// Looks at a page of runs, the newest first: whether each is whole, agrees with itself and with those that it has to do with,
/// and goes on. It only reads.
#[utoipa::path(get, path = "/api/v1/integrity", tag = "integrity", operation_id = "validate",
    params(ValidateParams, ("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "What was found.", body = Findings)))]
async fn validate(
    State(app): State<App>,
    who: Who,
    Params(params): Params<ValidateParams>,
) -> Result<Json<Findings>, Problem> {
    let defaults = IntegrityFilter::default();
    let list = List::of("integrity", &who.tenant);
    let filter = IntegrityFilter {
        query: Query { tenant: who.tenant, ..Query::default() },
        runs: runs(params.runs, RUNS_DEFAULT, RUNS_MAX)?,
        patience_ms: params.patience_ms.unwrap_or(defaults.patience_ms),
    };
    let after = list.cursor::<Cursor>(params.cursor.as_deref())?;
    let found = app.engine().validate(&filter, after).await?;
    Ok(Json(Findings {
        issues: found.issues.iter().map(Issue::of).collect(),
        looked_at: count(found.looked_at),
        moving: found.moving.iter().map(RunName::of).collect(),
        next_cursor: found.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}

/// Which issue is to be mended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Mend {
    /// The run that it is about; whose that is, `tenant` in the query says.
    run: String,
    /// The `issue` that was found of it.
    issue: String,
    /// Why, for the records.
    #[serde(default)]
    reason: String,
}

/// Mends an issue that can be mended safely. The run is looked at again: an issue that is not there any more is not mended. It is
/// for whoever sees all tenants.
#[utoipa::path(post, path = "/api/v1/integrity/repair", tag = "integrity", operation_id = "repair", request_body = Mend,
    params(DryRun, ("tenant" = Option<String>, Query, description = "Whose run it is.")),
    responses((status = 200, description = "What was written, or would be.", body = Repair)))]
async fn repair(
    State(app): State<App>,
    who: Who,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(mend): Body<Mend>,
) -> Result<Json<Repair>, Problem> {
    who.needs_all()?;
    let run = RunId::new(&mend.run).map_err(Problem::bad)?;
    let key = RunKey::new(who.tenant.clone().unwrap_or_default(), run);
    let found = app.engine().validate_run(&key).await?;
    let issue = found.issues.iter().find(|issue| issue.fingerprint() == mend.issue);
    let issue = issue.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("run {key} has no issue {:?} now: look at it again", mend.issue))
    })?;
    let report = app.engine().repair(issue, who.access.actor(), &mend.reason, dry_run).await?;
    Ok(Json(Repair::of(report)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CheckParams {
    /// How many runs are looked at, the newest that have not ended; 1000 when missing.
    #[param(minimum = 1, maximum = 10_000)]
    runs: Option<usize>,
}

/// How the workflows registered in this program stand to the runs that have not ended: which it would go on with. It only reads.
#[utoipa::path(get, path = "/api/v1/check", tag = "integrity", operation_id = "check",
    params(CheckParams, ("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "What was found.", body = Check)))]
async fn check(
    State(app): State<App>,
    who: Who,
    Params(params): Params<CheckParams>,
) -> Result<Json<Check>, Problem> {
    let most = runs(params.runs, CHECKED_DEFAULT, CHECKED_MAX)?;
    let mut checks = app.engine().checks();
    if let Some(tenant) = who.tenant {
        checks = checks.of(tenant);
    }
    let mut report = Check::new();
    for _ in 0..most {
        match checks.next().await? {
            Some(check) => report.add(&check),
            None => {
                report.is_complete = true;
                break;
            }
        }
    }
    Ok(Json(report))
}
