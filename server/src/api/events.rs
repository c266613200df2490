//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use stepwell::contract::{RunId, RunKey, Seq, Version};
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::access::identify::Holder;
use crate::access::session::Session;
use crate::api::runs::head;
use crate::app::App;
use crate::filter::Filter;
use crate::hub::{Counts, CountsAsked, Hub, List, ListAsked, RunSeen, SeenRecord, Watcher, frame};
use crate::limits::shares::{Full, Share};
use crate::problem::{Code, Problem};
use crate::request::{Params, Who};
use crate::routes::Routes;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A line is sent after so long without an event, so that whoever is between does not take the stream for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After so long a browser that lost the stream asks again.
const RETRY: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(events)).page(Some(Role::Viewer), "GET", "/events", get(events))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventParams {
    /// The run to be watched.
    run: Option<String>,
    /// With `run`: the first record to be told, if there is no `Last-Event-ID`; all of them when missing.
    #[param(minimum = 1)]
    from: Option<u64>,
    /// The list to be watched, in the query language of lists; empty for all runs.
    q: Option<String>,
}

/// What happens, as it happens.
///
/// With `run`, `record` tells what was added to its history, with the place in the journal as id, and `run` what it is now, each
/// time that has changed; `end` comes last, once it has ended. With `q`, `run` tells of each run on the first page of that list
/// that has changed, `list` which runs that page has, the newest first, each time that has changed, and `tally` how many runs are
/// in each status. With neither, `tally` alone. Events have JSON as data. The stream ends when the server stops: ask again with
/// `Last-Event-ID`. A record with several entries has its id at the last of them.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "watch",
    params(EventParams, ("tenant" = Option<String>, Query, description = "Whose runs; a token of one tenant sees only its own."),
        ("Last-Event-ID" = Option<u64>, Header, description = "With `run`: the last record that was told.")),
    responses((status = 200, description = "A stream of events.", body = String, content_type = "text/event-stream")))]
async fn events(
    State(app): State<App>,
    who: Who,
    Params(params): Params<EventParams>,
    holder: Option<Extension<Holder>>,
    session: Option<Extension<Session>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let open = open(&app, holder.as_deref())?;
    let session = session.map(|Extension(session)| session);
    match (params.run, params.q) {
        (Some(_), Some(_)) => Err(Problem::bad("`run` and `q` are for two streams")),
        (Some(run), None) => {
            let run = RunId::new(run).map_err(Problem::bad)?;
            let key = RunKey::new(who.tenant.unwrap_or_default(), run);
            head(&app, &key).await?;
            let from = match headers.get(LAST_EVENT_ID) {
                Some(last) => last_seq(last.to_str().unwrap_or_default())?.saturating_add(1),
                None => params.from.unwrap_or(Seq::FIRST.0),
            };
            let watcher = Hub::watch(&app, &key)?;
            Ok(answer(
                session,
                RunStream { app, key, watcher, from, told: None, has_ended: false, _open: open },
            ))
        }
        (None, _) if params.from.is_some() => Err(Problem::bad("`from` is for the records of a `run`")),
        (None, query) => {
            let list = match query {
                None => None,
                Some(query) => {
                    Filter::parse(&query, app.engine().now()).map_err(Problem::bad)?;
                    Some(Hub::watch(&app, &ListAsked { tenant: who.tenant.clone(), query })?)
                }
            };
            let counts = Hub::watch(&app, &CountsAsked(who.tenant))?;
            Ok(answer(session, ListStream { app, list, counts, told: None, _open: open }))
        }
    }
}

/// Counts one more stream, unless there are too many.
fn open(app: &App, holder: Option<&Holder>) -> Result<Share, Problem> {
    app.streams().take(holder).map_err(|full| {
        let detail = match full {
            Full::All(most) => format!("{most} streams of events are open, which is as many as there may be"),
            Full::Own(most) => {
                format!("{most} streams of events of this caller are open; the rest is for others")
            }
        };
        Problem::new(Code::TooMany, detail)
    })
}

fn last_seq(text: &str) -> Result<u64, Problem> {
    text.trim().parse().map_err(|_| Problem::bad(format!("`Last-Event-ID` is {text:?}; it is a number")))
}

/// What is told one batch after the other.
trait Told: Send + 'static {
    /// The next events, as soon as there are some; `None` when the stream is over. Giving up the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// A stream of what is told. It lasts no longer than the session that it was asked for in.
fn answer<T: Told>(session: Option<Session>, told: T) -> Response {
    let first = stream::iter([frame::beginning(RETRY)]);
    let rest = stream::unfold(told, async |mut told| {
        let batch = match tokio::time::timeout(HEARTBEAT, told.next()).await {
            Ok(batch) => batch?,
            Err(_) => frame::HEARTBEAT,
        };
        Some((batch, told))
    });
    let over = async move {
        match session {
            Some(session) => session.over().await,
            None => std::future::pending().await,
        }
    };
    let rest = rest.take_until(Box::pin(over));
    let body = Body::from_stream(first.chain(rest).map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")], body).into_response()
}

/// A run that is watched.
struct RunStream {
    app: App,
    key: RunKey,
    watcher: Watcher<RunSeen>,
    /// The first record that was not told.
    from: u64,
    /// The head that was told last.
    told: Option<Version>,
    has_ended: bool,
    _open: Share,
}

impl RunStream {
    /// What is to be told of what was seen; `None` when that is nothing.
    async fn of(&mut self, seen: &RunSeen) -> Option<Bytes> {
        if self.from < seen.tail_from() {
            // Older than what is kept for all: read for this one, and then the rest at the next call.
            return match SeenRecord::read(&self.app, &self.key, self.from).await {
                Ok(records) => {
                    self.from = records.last().map_or(seen.tail_from(), |last| last.seq + 1);
                    frame::joined(told(records.iter()))
                }
                Err(error) => {
                    // The stream ends where it is, and goes on from there when it is asked for again.
                    tracing::debug!(%error, "a stream of events ends: the store does not answer");
                    self.has_ended = true;
                    None
                }
            };
        }
        let from = self.from;
        self.from = from.max(seen.next_seq);
        let run = (self.told != Some(seen.version)).then_some(&seen.run);
        self.told = Some(seen.version);
        self.has_ended = seen.is_finished;
        let end = seen.is_finished.then(|| frame::event("end", &json!({})));
        let records = told(seen.tail.iter().filter(|record| record.seq >= from));
        frame::joined(records.chain(run).chain(&end))
    }
}

/// The events of records that have any.
fn told<'a>(
    records: impl Iterator<Item = &'a Arc<SeenRecord>> + Clone,
) -> impl Iterator<Item = &'a Bytes> + Clone {
    records.map(|record| &record.told).filter(|told| !told.is_empty())
}

impl Told for RunStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.has_ended {
                return None;
            }
            let seen = self.watcher.borrow_and_update().clone();
            if let Some(seen) = seen {
                loop {
                    let is_behind = self.from < seen.tail_from();
                    if let Some(batch) = self.of(&seen).await {
                        return Some(batch);
                    }
                    if !is_behind || self.has_ended {
                        break;
                    }
                }
            }
            if !self.has_ended && !self.more().await {
                return None;
            }
        }
    }
}

impl RunStream {
    async fn more(&mut self) -> bool {
        tokio::select! {
            () = self.app.stopping().cancelled() => false,
            changed = self.watcher.changed() => changed.is_ok(),
        }
    }
}

/// A list that is watched, or the counts alone.
struct ListStream {
    app: App,
    list: Option<Watcher<List>>,
    counts: Watcher<Counts>,
    /// The page that was told last.
    told: Option<Arc<List>>,
    _open: Share,
}

impl ListStream {
    /// What there is to tell now, of what was not looked at yet; `None` when that is nothing.
    fn news(&mut self) -> Option<Bytes> {
        let changed = |watcher: &Watcher<List>| watcher.has_changed().unwrap_or(false);
        let list = self.list.as_mut().filter(|list| changed(list));
        let list = list.and_then(|list| list.borrow_and_update().clone()).map(|seen| {
            let news = seen.news_since(self.told.as_deref());
            self.told = Some(seen);
            news
        });
        let mut counts = None;
        if self.counts.has_changed().unwrap_or(false) {
            counts.clone_from(&*self.counts.borrow_and_update());
        }
        let batch = list.iter().filter(|news| !news.is_empty()).chain(counts.iter().map(|counts| &counts.0));
        frame::joined(batch)
    }

    async fn more(&mut self) -> bool {
        let list = async {
            match &mut self.list {
                Some(list) => list.changed().await.map(|()| list.mark_changed()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.app.stopping().cancelled() => false,
            changed = list => changed.is_ok(),
            changed = self.counts.changed() => {
                self.counts.mark_changed();
                changed.is_ok()
            }
        }
    }
}

impl Told for ListStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(batch) = self.news() {
                return Some(batch);
            }
            if !self.more().await {
                return None;
            }
        }
    }
}
