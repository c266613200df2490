//! Queues: how full they are, and steering them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use stepwell::QueueView;
use stepwell::contract::{Name, Record};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::Role;
use crate::app::App;
use crate::problem::Problem;
use crate::reads::{by_status, is_of};
use crate::request::{At, Body, NoParams, Params, Who};
use crate::routes::Routes;
use crate::view::queue::Queue;
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
pub(crate) struct QueuePart {
    pub(crate) queue: String,
}

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// Why, for the records.
    #[serde(default)]
    pub(crate) reason: String,
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

/// Keeps all workers from taking runs of a queue. What is being advanced is not stopped. Pausing a paused queue changes nothing.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/pause", tag = "queues", operation_id = "pauseQueue", request_body = Reason,
    params(("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The queue, paused.", body = Queue)))]
pub(crate) async fn pause(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(NoParams {}): Params<NoParams>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Queue>, Problem> {
    who.needs_all()?;
    app.engine().pause_queue(&queue, who.access.actor(), &reason).await.map_err(named)?;
    Ok(Json(after(&app, &queue).await?))
}

/// Lets a paused queue go on.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/resume", tag = "queues", operation_id = "resumeQueue", request_body = Reason,
    params(("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The queue, not paused.", body = Queue)))]
pub(crate) async fn resume(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(NoParams {}): Params<NoParams>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<Queue>, Problem> {
    who.needs_all()?;
    app.engine().resume_queue(&queue, who.access.actor(), &reason).await.map_err(named)?;
    Ok(Json(after(&app, &queue).await?))
}

/// Pauses a queue and waits, for half of the time that a request may take, until no worker advances a run of it.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/drain", tag = "queues", operation_id = "drainQueue", request_body = Reason,
    params(("queue" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Has no effect here.")),
    responses((status = 200, description = "The queue: no worker advances a run of it.", body = Queue),
        (status = 202, description = "The queue: it is paused, and some runs go on yet. Ask again.", body = Queue)))]
pub(crate) async fn drain(
    State(app): State<App>,
    who: Who,
    At(QueuePart { queue }): At<QueuePart>,
    Params(NoParams {}): Params<NoParams>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Response, Problem> {
    who.needs_all()?;
    let actor = who.access.actor();
    // Durable before the waiting: whoever is told to ask again finds it paused.
    app.engine().pause_queue(&queue, actor.clone(), &reason).await.map_err(named)?;
    let drained = app.engine().drain_queue(&queue, actor, &reason);
    let status = match tokio::time::timeout(app.options().request_timeout() / 2, drained).await {
        Ok(drained) => {
            drained.map_err(named)?;
            StatusCode::OK
        }
        Err(_) => StatusCode::ACCEPTED,
    };
    Ok((status, Json(after(&app, &queue).await?)).into_response())
}

/// A name that is not one is the caller's mistake in the path.
fn named(error: stepwell::Error) -> Problem {
    match error {
        stepwell::Error::Id(error) => Problem::bad(error),
        error => error.into(),
    }
}

/// The queue, after it was steered.
async fn after(app: &App, queue: &str) -> Result<Queue, Problem> {
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
    };
    let view = queues.iter().find(|view| view.name == name).cloned().unwrap_or_else(empty);
    Ok(Queue::of(&view, unfinished, true))
}
