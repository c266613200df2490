//! Figures for Prometheus.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use stepwell::contract::{Order, Status, Tally};
use stepwell::{Engine, Error};
use tokio::time::Instant;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::filter::Filter;
use crate::listing;
use crate::metrics::Moment;
use crate::problem::Problem;
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;

/// With more runs that have not ended there are no figures of parked runs and paused queues.
const UNFINISHED_MAX: u64 = 20_000;

/// How long the store may take for all of it. What did not come by then is left out: it is not known, which is not the same as none.
const READ_IN: Duration = Duration::from_secs(5);
/// Queued runs that are looked at for the one that has been due for longest.
const QUEUED_LOOKED_AT: usize = 200;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Viewer, routes!(metrics))
}

/// Figures in the text format of Prometheus. They are everyone's, so that a caller of one tenant is refused.
#[utoipa::path(get, path = "/metrics", tag = "server", operation_id = "getMetrics",
    params(("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The figures.", body = String, content_type = "text/plain")))]
async fn metrics(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
) -> Result<impl IntoResponse, Problem> {
    who.needs_all()?;
    let (engine, reads) = (app.engine(), app.reads());
    let until = Instant::now() + READ_IN;
    let counted = async {
        let tally = in_time(until, reads.tally(engine)).await;
        let is_unfinished = |counted: &&Tally| !counted.status.is_finished();
        let unfinished =
            tally.as_ref().map(|tally| tally.iter().filter(is_unfinished).map(|counted| counted.runs).sum());
        // Queues are known only by a look at every run that has not ended: not where these are many.
        let queues = match unfinished {
            Some(0..=UNFINISHED_MAX) => in_time(until, reads.queues(engine)).await,
            _ => None,
        };
        (tally, queues)
    };
    let ((tally, queues), workers, overdue, store) = tokio::join!(
        counted,
        in_time(until, reads.workers(engine)),
        in_time(until, overdue_ms(engine)),
        reads.store(engine),
    );
    let text = app.figures().text(&Moment {
        tally: tally.as_ref().map(|tally| tally.as_slice()),
        workers: workers.as_ref().map(|workers| workers.as_slice()),
        queues: queues.as_ref().map(|queues| queues.as_slice()),
        overdue_ms: overdue.flatten(),
        store: &store,
        running: engine.running(),
        streams: app.streams().taken(),
        topics: app.hub().topics(),
    });
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// What was read, if it could be read in time.
async fn in_time<T>(until: Instant, read: impl Future<Output = Result<T, Error>>) -> Option<T> {
    match tokio::time::timeout_at(until, read).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::debug!(%error, "figures are left out");
            None
        }
        Err(_) => None,
    }
}

/// For how long the run has been due, in milliseconds, that has been so for longest: 0 when none is. `None` when that cannot be told
/// by the queued runs that were made first, because all of those are to begin later and there are more.
async fn overdue_ms(engine: &Engine) -> Result<Option<u64>, Error> {
    let now = engine.now();
    let mut queued = Filter::default();
    queued.statuses = vec![Status::Queued];
    let page = listing::page(engine, None, &queued, Order::Oldest, None, QUEUED_LOOKED_AT).await?;
    let due = page.items.iter().filter_map(|head| head.wake_at).filter(|at| *at <= now);
    let longest = due.map(|at| now.since_ms(at)).max();
    Ok(longest.or_else(|| page.next.is_none().then_some(0)))
}
