//! One request to many runs: the runs are listed first and the list is frozen, then each is asked.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use stepwell::contract::{MessageId, Order, RunKey};
use stepwell::{AskedInTime, Selection as Frozen};
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Role;
use crate::api::verbs::{Asking, VerbName, unhidden};
use crate::app::App;
use crate::filter::Filter;
use crate::listing::{self, PAGE_MAX};
use crate::problem::{Code, Problem};
use crate::request::{Body, DryRun, NoParams, Params, Who, present};
use crate::routes::Routes;
use crate::view::selection::{
    RunOutcome, RunRef, Selection, SelectionAnswer, SelectionOutcome, SelectionPreview,
};

/// Most runs of a selection.
const SELECTED_MAX: usize = 10_000;
/// Runs of a selection when nobody says how many.
const SELECTED_DEFAULT: usize = 1_000;
/// Most runs asked by one request, so that its answer comes in time.
const ASKED_MAX: usize = 500;
/// Runs that a preview looks at.
const SAMPLE: usize = 20;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Operator, routes!(select)).at(Role::Operator, routes!(ask))
}

/// Which runs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Selecting {
    /// Those that fit a query of the language of lists.
    q: Option<String>,
    /// Those of a failure group that are failed or held for it now.
    group: Option<String>,
    /// How many at most, the newest; 1000 when missing, and 10000 at most.
    #[schema(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// Lists runs, to ask them all the same: what is listed later is not among them. Nothing is stored; the answer is the list.
#[utoipa::path(post, path = "/api/v1/selections", tag = "runs", operation_id = "selectRuns", request_body = Selecting,
    params(("tenant" = Option<String>, Query, description = "Only this tenant's; a token of one tenant sees only its own.")),
    responses((status = 200, description = "The list.", body = Selection)))]
async fn select(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
    Body(selecting): Body<Selecting>,
) -> Result<Json<Selection>, Problem> {
    let limit = selecting.limit.unwrap_or(SELECTED_DEFAULT);
    if !(1..=SELECTED_MAX).contains(&limit) {
        return Err(Problem::bad(format!("`limit` is {limit}; it is from 1 to {SELECTED_MAX}")));
    }
    let frozen = match (&selecting.q, &selecting.group) {
        (Some(q), None) if q.trim().is_empty() => {
            let detail = "`q` is empty, which would select every run: say which, as in `is:unfinished`";
            return Err(Problem::bad(detail));
        }
        (Some(q), None) => of_query(&app, &who, q, limit).await?,
        (None, Some(group)) => app.engine().select_group(group, who.tenant.as_ref(), limit).await?,
        _ => return Err(Problem::bad("a selection has either `q` or `group`")),
    };
    Ok(Json(Selection::of(&frozen.id, &frozen.runs, frozen.is_complete, selecting.group)))
}

/// Pages of a list that are read for a selection, at most: a query that fits little ends there, and says so.
const PAGES_MAX: usize = 400;

/// The runs that fit a query, listed once.
pub(crate) async fn of_query(app: &App, who: &Who, q: &str, limit: usize) -> Result<Frozen, Problem> {
    let filter = Filter::parse(q, app.engine().now()).map_err(Problem::bad)?;
    let id = MessageId::new(Uuid::now_v7().simple().to_string()).map_err(Problem::bad)?;
    let mut frozen = Frozen { id, runs: Vec::new(), is_complete: false };
    let (mut listed, mut after) = (std::collections::HashSet::new(), None);
    for _ in 0..PAGES_MAX {
        if frozen.runs.len() >= limit {
            break;
        }
        let at_once = PAGE_MAX.min(limit - frozen.runs.len());
        let tenant = who.tenant.as_ref();
        let page = listing::page(app.engine(), tenant, &filter, Order::Newest, after.take(), at_once).await?;
        // A run that changes while the pages are read may be on two of them.
        let new = page.items.into_iter().map(|head| head.key).filter(|key| listed.insert(key.clone()));
        frozen.runs.extend(new);
        after = page.next;
        if after.is_none() {
            frozen.is_complete = true;
            break;
        }
    }
    Ok(frozen)
}

/// What is asked of the runs of a selection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AskingAll {
    /// The id of the selection: a run that has had a request under it is not given it twice.
    id: String,
    /// The runs, at most 500: send the rest of a longer list in further requests with the same id.
    #[schema(max_items = 500)]
    runs: Vec<RunRef>,
    /// What is asked.
    verb: VerbName,
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
    /// The step, for verbs that are about one.
    step: Option<String>,
    /// What you call it, for `pause` and `interrupt`.
    #[serde(default)]
    code: Option<String>,
    /// The value that goes with the verb.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Box<RawValue>>,
    /// The failure group that they were listed for: a run that has gone on or met with something else refuses.
    group: Option<String>,
}

/// Asks each of the runs, and answers with what became of each. When that takes longer than half of the time that a request may
/// take, the answer tells of those that were asked so far, and which are left: send these again, with the same id.
#[utoipa::path(post, path = "/api/v1/selections/ask", tag = "runs", operation_id = "askSelection", request_body = AskingAll,
    params(DryRun, ("tenant" = Option<String>, Query, description = "Whose runs they are, where the list does not say.")),
    responses((status = 200, description = "What became of each; or, for a dry run, what it would do to some.", body = SelectionOutcome)))]
async fn ask(
    State(app): State<App>,
    who: Who,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(asking): Body<AskingAll>,
) -> Result<Json<SelectionOutcome>, Problem> {
    if asking.runs.len() > ASKED_MAX {
        let detail = format!("`runs` has {} entries; {ASKED_MAX} is the most", asking.runs.len());
        return Err(Problem::new(Code::Unprocessable, detail));
    }
    if let (VerbName::EditInput, Some(value)) = (asking.verb, &asking.value) {
        // There is no one input that was shown.
        unhidden(value, None)?;
    }
    let wanted = Asking {
        reason: asking.reason,
        step: asking.step,
        value: asking.value,
        code: asking.code,
        seen: None,
    };
    let ask = wanted.ask_of(asking.group, asking.verb.into(), &who.access)?;
    let mut keys = asking.runs.iter().map(|run| key(run, &who)).collect::<Result<Vec<_>, _>>()?;
    // One that is listed twice is asked and told of once.
    let mut listed = std::collections::HashSet::new();
    keys.retain(|key| listed.insert(key.clone()));
    let theirs = keys.iter().filter(|key| who.access.sees(key)).cloned().collect();
    let id = MessageId::new(&asking.id).map_err(Problem::bad)?;
    let frozen = Frozen { id, runs: theirs, is_complete: true };
    if dry_run {
        let preview = app.engine().dry_run_all(&frozen, &ask, SAMPLE).await?;
        return Ok(Json(SelectionOutcome::Preview(SelectionPreview::of(preview))));
    }
    let AskedInTime { asked, left } =
        app.engine().ask_within(&frozen, &ask, app.options().answers_within()).await;
    let mut answers: HashMap<RunKey, RunOutcome> =
        asked.into_iter().map(|asked| (asked.run.clone(), RunOutcome::of(asked))).collect();
    let are_left: HashSet<&RunKey> = left.iter().collect();
    let told = keys.iter().filter(|key| !are_left.contains(key));
    let outcomes = told.map(|key| answers.remove(key).unwrap_or_else(|| RunOutcome::missing(key)));
    Ok(Json(SelectionOutcome::Answer(SelectionAnswer::of(outcomes.collect(), &left))))
}

/// The run that an entry of the list names, of the tenant that it or the request names.
fn key(run: &RunRef, who: &Who) -> Result<RunKey, Problem> {
    match (&run.tenant, &who.tenant) {
        (None, Some(tenant)) => RunRef { tenant: Some(tenant.to_string()), run: run.run.clone() }.key(),
        _ => run.key(),
    }
}
