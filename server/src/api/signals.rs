//! Signals to runs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::contract::{RunKey, Seq};
use stepwell::{Error, SignalRun};
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::{Access, Role};
use crate::api::runs::{Tagged, head};
use crate::api::verbs::in_time;
use crate::app::App;
use crate::problem::Problem;
use crate::request::{Body, DryRun, IfMatch, Params, RunAt, Who, etag};
use crate::routes::Routes;
use crate::view::preview::SignalPreview;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Operator, routes!(send))
}

/// A signal to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSignal {
    /// Its name.
    pub(crate) name: String,
    /// Its id: the same one again has no effect. One is drawn when missing.
    pub(crate) id: Option<String>,
    /// What it says; `null` when missing.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) value: Option<Box<RawValue>>,
    /// The last record that the decision rests on: a run that has gone on since does not get it.
    #[serde(skip)]
    pub(crate) seen: Option<Seq>,
}

/// A signal that was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SentSignal {
    /// The run.
    run: String,
    /// Its name.
    name: String,
    /// Its id.
    id: String,
}

/// What became of a signal.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Nothing was sent; this is what it would do.
    Previewed(SignalPreview),
    /// The run has it.
    Sent(SentSignal),
}

/// Sends the signal, or says what that would do: the same for every surface.
pub(crate) async fn carry_out(
    app: &App,
    access: &Access,
    key: &RunKey,
    new: NewSignal,
    dry_run: bool,
) -> Result<Sent, Problem> {
    let NewSignal { name, id, value, seen } = new;
    let id = id.unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let signal = SignalRun::new(&name, &id, &value)?.by(access.actor());
    let signal = seen.into_iter().fold(signal, SignalRun::if_unchanged_since);
    if dry_run {
        return Ok(Sent::Previewed(SignalPreview::of(app.engine().dry_run_signal(key, signal).await?)));
    }
    match in_time(app, key, app.engine().send_signal(key, signal)).await {
        // It is in the run's inbox.
        Ok(()) | Err(Error::NoAnswerYet { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Sent::Sent(SentSignal { run: key.run.to_string(), name, id }))
}

/// Sends a signal to a run. What waits for it there gets it, now or when it comes to wait. With `If-Match` it is only for a run
/// that has not gone on: the answer comes once the run has taken it, or when it has not in time.
#[utoipa::path(post, path = "/api/v1/runs/{run}/signals", tag = "runs", operation_id = "sendSignal", request_body = NewSignal,
    params(DryRun, ("run" = String, Path, description = "The run."), ("tenant" = Option<String>, Query, description = "Whose it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the decision rests on.")),
    responses((status = 202, description = "The run has it, durably.", body = SentSignal),
        (status = 200, description = "For a dry run, what it would do.", body = SignalPreview)))]
async fn send(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(DryRun { dry_run }): Params<DryRun>,
    if_match: IfMatch,
    Body(signal): Body<NewSignal>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let signal = NewSignal { seen: if_match.seen(&head)?, ..signal };
    match carry_out(&app, &who.access, &key, signal, dry_run).await? {
        Sent::Previewed(preview) => Ok(Tagged(etag(&head), preview).into_response()),
        Sent::Sent(sent) => Ok((StatusCode::ACCEPTED, Tagged(etag(&head), sent)).into_response()),
    }
}
