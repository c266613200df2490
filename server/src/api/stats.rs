//! Figures over many runs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use stepwell::StatsFilter;
use stepwell::contract::{Name, Tally};
use stepwell::observe::stats::RUNS_DEFAULT;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::reads::{by_status, is_of};
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::run::RunStatus;
use crate::view::stats::{Counts, Stats};
use crate::window;

/// Most runs that one request looks at.
const RUNS_MAX: usize = 10_000;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(stats)).at(Role::Viewer, routes!(tally))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StatsParams {
    /// Runs of this workflow only.
    workflow: Option<String>,
    /// Runs made since: a span like `2h`, or a time.
    since: Option<String>,
    /// Runs made until.
    until: Option<String>,
    /// How many runs are looked at, the newest; 1000 when missing.
    #[param(minimum = 1, maximum = 10_000)]
    runs: Option<usize>,
}

/// How runs did: how many ended and how, how long each step took, which codes were given. Bounded: it looks at the newest runs
/// of the window, and says how many.
#[utoipa::path(get, path = "/api/v1/stats", tag = "system", operation_id = "getStats",
    params(StatsParams, ("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "The figures.", body = Stats)))]
async fn stats(
    State(app): State<App>,
    who: Who,
    Params(params): Params<StatsParams>,
) -> Result<Json<Stats>, Problem> {
    let now = app.engine().now();
    let runs_max = match params.runs {
        None => RUNS_DEFAULT,
        Some(runs) if (1..=RUNS_MAX).contains(&runs) => runs,
        Some(runs) => return Err(Problem::bad(format!("`runs` is {runs}; it is from 1 to {RUNS_MAX}"))),
    };
    let filter = StatsFilter {
        workflow: params.workflow.map(Name::new).transpose().map_err(Problem::bad)?,
        tenant: who.tenant,
        since: window::maybe("since", params.since.as_deref(), now)?,
        until: window::maybe("until", params.until.as_deref(), now)?,
        runs_max,
    };
    Ok(Json(Stats::of(app.engine().stats(&filter).await?)))
}

/// How many runs there are, by status, workflow and queue: of all runs, without looking at them.
#[utoipa::path(get, path = "/api/v1/tally", tag = "system", operation_id = "getTally",
    params(("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "The counts.", body = Counts)))]
async fn tally(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Counts>, Problem> {
    let tally = app.reads().tally(app.engine()).await?;
    let own: Vec<&Tally> = tally.iter().filter(|counted| is_of(who.tenant.as_ref(), counted)).collect();
    let unfinished = own.iter().filter(|counted| !counted.status.is_finished());
    Ok(Json(Counts {
        runs: own.iter().map(|counted| counted.runs).sum(),
        by_status: by_status(&tally, |counted| is_of(who.tenant.as_ref(), counted)),
        by_workflow: by_name(own.iter().copied(), |counted| counted.workflow.as_str()),
        unfinished_by_queue: by_name(unfinished.copied(), |counted| counted.queue.as_str()),
    }))
}

/// How many there are by a name and the status.
fn by_name<'a>(
    tally: impl Iterator<Item = &'a Tally>,
    name: impl Fn(&Tally) -> &str,
) -> BTreeMap<String, BTreeMap<RunStatus, u64>> {
    let mut counts: BTreeMap<String, BTreeMap<RunStatus, u64>> = BTreeMap::new();
    for counted in tally {
        let of_name = counts.entry(name(counted).to_owned()).or_default();
        *of_name.entry(counted.status.into()).or_default() += counted.runs;
    }
    counts
}
