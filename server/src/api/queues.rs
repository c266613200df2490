//! Queues: how full they are, and steering them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use stepwell::QueueView;
use stepwell::contract::{Name, Record};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::reads::{by_status, is_of};
use crate::request::{At, Body, DryRun, NoParams, Params, Who, Why};
use crate::routes::Routes;
use crate::view::queue::{Queue, QueueOrPreview, QueuePreview};
use crate::view::{Listed, Time, time};

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(list))
        .at(Role::Viewer, routes!(history))
        .at(Role::Admin, routes!(pause))
        .at(Role::Admin, routes!(resume))
        .at(Role::Admin, routes!(drain))
}

#[derive(Debug, Deserialize)]
struct QueuePart {
    queue: String,
}

/// The queues that have runs that have not ended, limits, or a pause; of one tenant, those in which it has runs that have not ended.
#[utoipa::path(get, path = "/api/v1/queues", tag = "queues", operation_id = "listQueues",
    params(("tenant" = Option<String>, Query, description = "Only this tenant's runs; a token of one tenant sees only its own.")),
    responses((status = 200, description = "The queues, by name.", body = Listed<Queue>)))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listed<Queue>>, Problem> {
    let queues = app.reads().queues(app.engine()).await?;
    let tally = app.reads().tally(app.engine()).await?;
    let tenant = who.tenant.as_ref();
    let views = queues.iter().filter_map(|queue| {
        let mut unfinished =
            by_status(&tally, |counted| is_of(tenant, counted) && counted.queue == queue.name);
        unfinished.retain(|status, _| !stepwell::contract::Status::from(*status).is_finished());
        let is_shown = tenant.is_none() || unfinished.values().any(|runs| *runs > 0);
        is_shown.then(|| Queue::of(queue, unfinished, tenant.is_none()))
    });
    Ok(Json(Listed { items: views.collect(), next_cursor: None }))
}

/// Something that was done to a queue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct QueueEvent {
    /// Its place.
    seq: u64,
    /// When.
    at: Time,
    /// What: `queue_limits_set`, `queue_paused`, `queue_resumed`.
    kind: String,
    /// What was said with it: who, why, the limits.
    said: serde_json::Value,
}

/// What was done to a queue, oldest first: its limits, pauses and resumptions, with who, why and when. Queues are everyone's, so
/// that a caller of one tenant is refused.
#[utoipa::path(get, path = "/api/v1/queues/{queue}/history", tag = "queues", operation_id = "getQueueHistory",
    params(("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "What was done; nothing for a queue that nobody steered.", body = Listed<QueueEvent>)))]
async fn history(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listed<QueueEvent>>, Problem> {
    who.needs_all()?;
    let records = app.engine().queue_history(&queue).await.map_err(named)?;
    let of = |record: &Record| QueueEvent {
        seq: record.seq.0,
        at: time(record.at),
        kind: record.kind.as_str().to_owned(),
        said: record.payload.decode().unwrap_or_default(),
    };
    Ok(Json(Listed { items: records.iter().map(of).collect(), next_cursor: None }))
}

/// What is done to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueVerb {
    Pause,
    Resume,
    Drain,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Steered {
    /// Nothing was done; this is what it would do.
    Previewed(QueuePreview),
    /// The queue, after it.
    Done(Queue),
    /// The queue is paused, and some of its runs go on yet.
    Drains(Queue),
}

impl IntoResponse for Steered {
    fn into_response(self) -> Response {
        match self {
            Self::Previewed(preview) => Json(preview).into_response(),
            Self::Done(queue) => Json(queue).into_response(),
            Self::Drains(queue) => (StatusCode::ACCEPTED, Json(queue)).into_response(),
        }
    }
}

/// Does it to the queue, or says what that would do: the same for every surface.
pub(crate) async fn steer(
    app: &App,
    who: &Who,
    queue: &str,
    verb: QueueVerb,
    reason: &str,
    dry_run: bool,
) -> Result<Steered, Problem> {
    who.needs_all()?;
    let (engine, actor) = (app.engine(), who.access.actor());
    if dry_run {
        let queue = present(app, queue).await?;
        let is_paused = queue.paused.is_some();
        let changes = match verb {
            QueueVerb::Pause | QueueVerb::Drain => !is_paused,
            QueueVerb::Resume => is_paused,
        };
        return Ok(Steered::Previewed(QueuePreview { changes, queue }));
    }
    match verb {
        QueueVerb::Resume => {
            engine.resume_queue(queue, actor, reason).await.map_err(named)?;
        }
        // Durable before any waiting: whoever is told to ask again finds it paused.
        QueueVerb::Pause | QueueVerb::Drain => {
            engine.pause_queue(queue, actor.clone(), reason).await.map_err(named)?;
        }
    }
    let drained = match verb {
        QueueVerb::Drain => {
            let drained = engine.drain_queue(queue, who.access.actor(), reason);
            match tokio::time::timeout(app.options().answers_within(), drained).await {
                Ok(drained) => drained.map(|()| true).map_err(named)?,
                Err(_) => false,
            }
        }
        QueueVerb::Pause | QueueVerb::Resume => true,
    };
    let queue = present(app, queue).await?;
    Ok(if drained { Steered::Done(queue) } else { Steered::Drains(queue) })
}

/// Keeps all workers from taking runs of a queue. What is being advanced is not stopped. Pausing a paused queue changes nothing.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/pause", tag = "queues", operation_id = "pauseQueue", request_body = Why,
    params(DryRun, ("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The queue, paused; or, for a dry run, what it would do.", body = QueueOrPreview)))]
async fn pause(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(Why { reason }): Body<Why>,
) -> Result<Steered, Problem> {
    steer(&app, &who, &queue, QueueVerb::Pause, &reason, dry_run).await
}

/// Lets a paused queue go on.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/resume", tag = "queues", operation_id = "resumeQueue", request_body = Why,
    params(DryRun, ("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The queue, not paused; or, for a dry run, what it would do.", body = QueueOrPreview)))]
async fn resume(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(Why { reason }): Body<Why>,
) -> Result<Steered, Problem> {
    steer(&app, &who, &queue, QueueVerb::Resume, &reason, dry_run).await
}

/// Pauses a queue and waits, for half of the time that a request may take, until no worker advances a run of it.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/drain", tag = "queues", operation_id = "drainQueue", request_body = Why,
    params(DryRun, ("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The queue: no worker advances a run of it; or, for a dry run, what it would do.", body = QueueOrPreview),
        (status = 202, description = "The queue: it is paused, and some runs go on yet. Ask again.", body = Queue)))]
async fn drain(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(Why { reason }): Body<Why>,
) -> Result<Steered, Problem> {
    steer(&app, &who, &queue, QueueVerb::Drain, &reason, dry_run).await
}

/// A name that is not one is the caller's mistake in the path.
fn named(error: stepwell::Error) -> Problem {
    match error {
        stepwell::Error::Id(error) => Problem::bad(error),
        error => error.into(),
    }
}

/// The queue as it is at this moment.
async fn present(app: &App, queue: &str) -> Result<Queue, Problem> {
    let name = Name::new(queue).map_err(Problem::bad)?;
    app.reads().forget_queues();
    let queues = app.reads().queues(app.engine()).await?;
    let tally = app.reads().tally(app.engine()).await?;
    let mut unfinished = by_status(&tally, |counted| counted.queue == name);
    unfinished.retain(|status, _| !stepwell::contract::Status::from(*status).is_finished());
    let empty = || QueueView {
        name: name.clone(),
        limits: stepwell::QueueLimits::default(),
        paused: None,
        running: 0,
        parked: 0,
        queued: 0,
        counted: std::collections::BTreeMap::new(),
        is_complete: true,
    };
    let view = queues.iter().find(|view| view.name == name).cloned().unwrap_or_else(empty);
    Ok(Queue::of(&view, unfinished, true))
}
