//! Figures for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::metrics::Moment;
use crate::problem::Problem;
use crate::request::{NoParams, Params, Who};
use crate::routes::Routes;

/// With more runs that have not ended there are no figures of parked runs and paused queues.
const UNFINISHED_MAX: u64 = 20_000;

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
    let store = reads.store(engine).await;
    // A store that is not well is a figure too, and then the others are missing.
    let tally = reads.tally(engine).await.unwrap_or_default();
    let workers = reads.workers(engine).await.unwrap_or_default();
    // Queues are known only by a look at every run that has not ended: not where these are many.
    let unfinished: u64 =
        tally.iter().filter(|counted| !counted.status.is_finished()).map(|counted| counted.runs).sum();
    let queues = match unfinished {
        0..=UNFINISHED_MAX => reads.queues(engine).await.unwrap_or_default(),
        _ => Arc::default(),
    };
    let text = app.figures().text(&Moment {
        tally: &tally,
        workers: &workers,
        queues: &queues,
        store: &store,
        running: engine.running(),
        streams: app.streams().taken(),
        topics: app.hub().topics(),
    });
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}
