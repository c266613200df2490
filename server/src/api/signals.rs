//! Signals to runs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Role;
use crate::api::runs::{Tagged, head};
use crate::app::App;
use crate::problem::Problem;
use crate::request::{Body, IfMatch, NoParams, Params, RunAt, Who, etag};
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Operator, routes!(send))
}

/// A signal to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSignal {
    /// Its name.
    name: String,
    /// Its id: the same one again has no effect. One is drawn when missing.
    id: Option<String>,
    /// What it says; `null` when missing.
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Box<RawValue>>,
}

/// A signal that was sent.
#[derive(Debug, Serialize, ToSchema)]
struct SentSignal {
    /// The run.
    run: String,
    /// Its name.
    name: String,
    /// Its id.
    id: String,
}

/// Sends a signal to a run. What waits for it there gets it, now or when it comes to wait.
#[utoipa::path(post, path = "/api/v1/runs/{run}/signals", tag = "runs", operation_id = "sendSignal", request_body = NewSignal,
    params(("run" = String, Path, description = "The run."), ("tenant" = Option<String>, Query, description = "Whose it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the decision rests on.")),
    responses((status = 202, description = "The run has it in its inbox, durably.", body = SentSignal)))]
async fn send(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(NoParams {}): Params<NoParams>,
    if_match: IfMatch,
    Body(signal): Body<NewSignal>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    if_match.check(&head)?;
    let id = signal.id.unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let actor = who.access.actor();
    app.engine().signal_by(actor, &key, &signal.name, &id, &signal.value).await?;
    let sent = SentSignal { run: key.run.to_string(), name: signal.name, id };
    Ok((StatusCode::ACCEPTED, Tagged(etag(&head), sent)).into_response())
}
