//! What happened to a run, entry by entry, and what its steps logged.

use std::collections::BTreeSet;

use axum::extract::State;
use serde::Deserialize;
use stepwell::contract::{Kind, Record, RunKey, Seq};
use stepwell::observe::audit::Order;
use stepwell::run::event::{Event, LogLevel};
use stepwell::{Category, EventCursor, EventFilter, EventPage};
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::runs::{Tagged, head};
use crate::api::values::SecretsParams;
use crate::app::App;
use crate::listing::{self, List};
use crate::problem::Problem;
use crate::request::{Params, RunAt, Who, etag};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::entry::Entry;
use crate::view::record::{HistoryEntry, RawRecord};

/// The kind of the records of log lines.
pub(crate) const LOGGED: Kind = Kind::of("logged");
/// Records read at once.
const RECORDS_AT_ONCE: usize = 25;
/// Most bytes of records on a page: the entries behind them come without theirs.
const RAW_BYTES_MAX: usize = 8 << 20;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(history)).at(Role::Viewer, routes!(logs))
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryOrder {
    Newest,
    #[default]
    Oldest,
}

impl From<EntryOrder> for Order {
    fn from(order: EntryOrder) -> Self {
        match order {
            EntryOrder::Newest => Self::Newest,
            EntryOrder::Oldest => Self::Oldest,
        }
    }
}

/// Which entries, in which order, how many and from where on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryParams {
    /// Of one of these categories, with commas between them: `state`, `step`, `operator`, `store`, `validation`, `performance`,
    /// `error`, `consistency`.
    category: Option<String>,
    /// Of this level or a higher one.
    #[param(value_type = Option<String>, pattern = "^(debug|info|warn|error)$")]
    level: Option<LogLevel>,
    /// Of records of this kind, such as `attempt_failed`.
    #[param(value_type = Option<String>)]
    kind: Option<Kind>,
    /// About this step, with all its items and rounds; as in `pack[2]`, about that one.
    step: Option<String>,
    /// Of this attempt of its step.
    attempt: Option<u32>,
    /// With this in the text, kind, code or step.
    text: Option<String>,
    /// `oldest` or `newest` first; `oldest` when missing.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(newest|oldest)$")]
    order: EntryOrder,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
    /// `true`: each entry with its record, as it is stored.
    #[serde(default)]
    raw: bool,
    /// `true`: records with what has the form of a secret, which needs the role `operator`.
    #[serde(default)]
    secrets: bool,
}

/// What happened to a run: every event, and every line that a step logged.
#[utoipa::path(get, path = "/api/v1/runs/{run}/history", tag = "runs", operation_id = "listHistory",
    params(HistoryParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "A page of entries.", body = Listed<HistoryEntry>)))]
async fn history(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(params): Params<HistoryParams>,
) -> Result<Tagged<Listed<HistoryEntry>>, Problem> {
    let with_secrets = SecretsParams { secrets: params.secrets }.check(&who)?;
    if let Some(kind) = params.kind.as_ref().filter(|kind| !Event::KINDS.contains(&kind.as_str())) {
        return Err(Problem::bad(format!(
            "`kind` is {:?}; it is one of {}",
            kind.as_str(),
            Event::KINDS.join(", ")
        )));
    }
    let categories = params.category.as_deref().map(categories).transpose()?.unwrap_or_default();
    let filter = EventFilter {
        kind: params.kind,
        place: place(params.step.as_deref())?,
        attempt: params.attempt,
        categories,
        level: params.level,
        text: params.text,
        order: params.order.into(),
        ..EventFilter::default()
    };
    let (tag, page, next_cursor) =
        page(&app, key.clone(), filter, params.limit, params.cursor.as_deref()).await?;
    let seqs: BTreeSet<Seq> = page.items.iter().map(|found| found.entry.seq).collect();
    let mut records = if params.raw { records(&app, &key, &seqs).await? } else { Vec::new() };
    let items = page.items.into_iter().map(|found| {
        let at = records.binary_search_by_key(&found.entry.seq, |record| record.seq);
        let record = at.ok().map(|at| records.remove(at));
        let record = record.map(|record| RawRecord::of(&record, with_secrets));
        HistoryEntry { entry: Entry::of(found.entry), record }
    });
    let items = items.collect();
    Ok(Tagged(tag, Listed { items, next_cursor }))
}

/// Which lines, in which order, how many and from where on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogsParams {
    /// Of this level or a higher one.
    #[param(value_type = Option<String>, pattern = "^(debug|info|warn|error)$")]
    level: Option<LogLevel>,
    /// Of this step, with all its items and rounds; as in `pack[2]`, of that one.
    step: Option<String>,
    /// Of this attempt of its step.
    attempt: Option<u32>,
    /// With this in the text or step.
    text: Option<String>,
    /// `oldest` or `newest` first; `oldest` when missing.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(newest|oldest)$")]
    order: EntryOrder,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// What the steps of a run logged, without what has the form of a secret.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs", tag = "runs", operation_id = "listLogs",
    params(LogsParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "A page of lines.", body = Listed<Entry>)))]
async fn logs(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(params): Params<LogsParams>,
) -> Result<Tagged<Listed<Entry>>, Problem> {
    let filter = EventFilter {
        kind: Some(LOGGED),
        place: place(params.step.as_deref())?,
        attempt: params.attempt,
        level: params.level,
        text: params.text,
        order: params.order.into(),
        ..EventFilter::default()
    };
    let (tag, page, next_cursor) = page(&app, key, filter, params.limit, params.cursor.as_deref()).await?;
    let items = page.items.into_iter().map(|found| Entry::of(found.entry)).collect();
    Ok(Tagged(tag, Listed { items, next_cursor }))
}

/// A page of the entries of one run, with the run's tag and the place of the next page.
async fn page(
    app: &App,
    key: RunKey,
    filter: EventFilter,
    limit: Option<usize>,
    cursor: Option<&str>,
) -> Result<(String, EventPage, Option<String>), Problem> {
    let limit = listing::limit(limit)?;
    let list = List::of("history", &(&key, &filter));
    let after = list.cursor::<EventCursor>(cursor)?;
    let tag = etag(&head(app, &key).await?);
    let filter = EventFilter { run: Some(key), ..filter };
    let page = app.engine().search(&filter, after, limit).await?;
    let next_cursor = page.next.as_ref().map(|next| list.cursor_text(next));
    Ok((tag, page, next_cursor))
}

/// The records of these numbers, in order, as many as a page has room for: what is between them is not kept.
async fn records(app: &App, key: &RunKey, seqs: &BTreeSet<Seq>) -> Result<Vec<Record>, Problem> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut wanted = seqs.iter().copied().peekable();
    while let Some(from) = wanted.peek().copied() {
        let read = app.engine().backend().journal(key, from, RECORDS_AT_ONCE).await;
        let page = read.map_err(stepwell::Error::from)?;
        let Some(end) = page.last().map(|record| record.seq) else { break };
        for record in page.into_iter().filter(|record| seqs.contains(&record.seq)) {
            bytes += record.payload.text().len();
            if bytes > RAW_BYTES_MAX {
                return Ok(found);
            }
            found.push(record);
        }
        while wanted.next_if(|seq| *seq <= end).is_some() {}
    }
    Ok(found)
}

fn place(step: Option<&str>) -> Result<Option<stepwell::Place>, Problem> {
    step.map(|step| step.parse().map_err(Problem::bad)).transpose()
}

fn categories(words: &str) -> Result<Vec<Category>, Problem> {
    words.split(',').map(|word| word.trim().parse().map_err(Problem::bad)).collect()
}
