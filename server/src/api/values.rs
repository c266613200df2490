//! The values of a run as they are stored: its input, its result and the document that its steps share.

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stepwell::contract::{Head, Payload, Status};
use stepwell::observe::values::without_secrets;
use stepwell::run::state::State as RunState;
use stepwell::{RunError, Verb};
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::runs::head;
use crate::api::verbs::{Asking, carry_out};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::{IfMatch, Params, Patch, RunAt, Who, etag};
use crate::routes::Routes;
use crate::view::preview::RunOrPreview;
use crate::view::run::Run;

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(input))
        .at(Role::Viewer, routes!(output))
        .at(Role::Viewer, routes!(context))
        .at(Role::Operator, routes!(merge))
}

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SecretsParams {
    /// `true`: with what has the form of a secret, which needs the role `operator`. Otherwise `[redacted]` stands in its place.
    #[serde(default)]
    pub(crate) secrets: bool,
}

impl SecretsParams {
    /// Whether secrets are shown.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for whoever may only look.
    pub(super) fn check(self, who: &Who) -> Result<bool, Problem> {
        if self.secrets && who.access.role < Role::Operator {
            let detail = format!("`secrets` needs the role {}; {} has less", Role::Operator, who.access.name);
            return Err(Problem::new(Code::Forbidden, detail));
        }
        Ok(self.secrets)
    }
}

/// A value with what has the form of a secret in it, or without.
pub(crate) fn as_shown(value: &Payload, with_secrets: bool) -> Payload {
    if with_secrets { value.clone() } else { without_secrets(value) }
}

/// The document that the steps of a run share.
///
/// # Errors
/// [`Code::Unreadable`] when it has no stored form.
pub(crate) fn document(state: &RunState) -> Result<Payload, Problem> {
    let document = Payload::from_text(&state.context.to_string());
    document.map_err(|error| Problem::new(Code::Unreadable, error.to_string()))
}

/// An answer that is a value of a run, digit by digit.
pub(super) fn value_of(
    who: &Who,
    params: SecretsParams,
    head: &Head,
    value: &Payload,
) -> Result<Response, Problem> {
    let value = as_shown(value, params.check(who)?);
    let headers = [(ETAG, etag(head)), (CONTENT_TYPE, "application/json".to_owned())];
    Ok((headers, value.text().to_owned()).into_response())
}

/// The input of a run, as JSON: without what has the form of a secret, and otherwise digit by digit.
#[utoipa::path(get, path = "/api/v1/runs/{run}/input", tag = "runs", operation_id = "getInput",
    params(SecretsParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "Its input.", body = serde_json::Value)))]
async fn input(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(params): Params<SecretsParams>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    value_of(&who, params, &head, &journal.state(&key)?.created.input)
}

/// The result of a run, as JSON: without what has the form of a secret, and otherwise digit by digit.
#[utoipa::path(get, path = "/api/v1/runs/{run}/output", tag = "runs", operation_id = "getOutput",
    params(SecretsParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "Its result.", body = serde_json::Value),
        (status = 404, description = "There is no such run, or it has no result.", body = Problem, content_type = "application/problem+json")))]
async fn output(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(params): Params<SecretsParams>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    if head.status != Status::Succeeded {
        let detail = format!("run {key} has no result: its status is {}", head.status);
        return Err(Problem::new(Code::NotFound, detail));
    }
    // It is at rest: this does not wait.
    let output = app.engine().find(&key).await?.output().await.map_err(|error| match error {
        RunError::Engine(error) => error.into(),
        other => Problem::new(Code::NotFound, other.to_string()),
    })?;
    value_of(&who, params, &head, &output)
}

/// The document that the steps of a run share, as JSON without what has the form of a secret.
#[utoipa::path(get, path = "/api/v1/runs/{run}/context", tag = "runs", operation_id = "getContext",
    params(SecretsParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The document; `null` when nothing was put into it.", body = serde_json::Value)))]
async fn context(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(params): Params<SecretsParams>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let journal = app.journals().of(app.engine(), &head).await?;
    value_of(&who, params, &head, &document(journal.state(&key)?)?)
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MergeParams {
    /// Why, for the audit log.
    #[serde(default)]
    reason: String,
    /// `true`: says what it would do, and does nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Changes the document that the steps of a run share, by a JSON merge patch: objects are merged deeply, and `null` takes a field
/// away. Steps that run now see it with their next attempt. `202` when the run's worker has not answered yet.
#[utoipa::path(patch, path = "/api/v1/runs/{run}/context", tag = "runs", operation_id = "mergeContext",
    request_body(content((serde_json::Value = "application/merge-patch+json"), (serde_json::Value = "application/json"))),
    params(MergeParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the decision rests on.")),
    responses((status = 200, description = "The run, after it was done; or, for a dry run, what it would do.", body = RunOrPreview),
        (status = 202, description = "The request waits in the run's inbox.", body = Run)))]
async fn merge(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(MergeParams { reason, dry_run }): Params<MergeParams>,
    if_match: IfMatch,
    Patch(patch): Patch,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let seen = if_match.seen(&head)?;
    if !patch.get().starts_with('{') {
        return Err(Problem::new(Code::Unprocessable, "a change of the document is a JSON object"));
    }
    let asking = Asking { reason, value: Some(patch), seen, ..Asking::default() };
    Ok(carry_out(&app, &who.access, &key, Verb::MergeContext, asking, dry_run).await?.of_head(&head))
}
