//! Why a run is where it is, why it failed, whether it can go on, and all of it in one document.

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use stepwell::diagnosis::Language;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::runs::{Tagged, head};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::{NoParams, Params, RunAt, Who, etag};
use crate::routes::Routes;
use crate::view::diagnosis::Diagnosis;
use crate::view::explanation::{CanResume, Explanation};

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(explain))
        .at(Role::Viewer, routes!(diagnosis))
        .at(Role::Viewer, routes!(report))
        .at(Role::Viewer, routes!(can_resume))
}

/// Why a run is where it is: one reason for every run in every state, and who can change it.
#[utoipa::path(get, path = "/api/v1/runs/{run}/explain", tag = "runs", operation_id = "explainRun",
    params(("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The reason.", body = Explanation)))]
async fn explain(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<Explanation>, Problem> {
    let tag = etag(&head(&app, &key).await?);
    let told = app.engine().explain_to(&key, who.access.tenant.as_ref()).await?;
    Ok(Tagged(tag, Explanation::of(&told)))
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LanguageParams {
    /// The language of the texts, `en` or `ja`; the one that they were made in when missing.
    #[param(pattern = "^(en|ja)$")]
    language: Option<String>,
}

/// What was said last of why a run failed or is held, also after it went on since.
#[utoipa::path(get, path = "/api/v1/runs/{run}/diagnosis", tag = "runs", operation_id = "getDiagnosis",
    params(LanguageParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The diagnosis.", body = Diagnosis),
        (status = 404, description = "There is no such run, or nothing was said of it.", body = Problem, content_type = "application/problem+json")))]
async fn diagnosis(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(params): Params<LanguageParams>,
) -> Result<Tagged<Diagnosis>, Problem> {
    let language =
        params.language.as_deref().map(str::parse::<Language>).transpose().map_err(Problem::bad)?;
    let tag = etag(&head(&app, &key).await?);
    let told = app.engine().diagnosis(&key).await?;
    let nothing = || Problem::new(Code::NotFound, format!("nothing of run {key} has failed"));
    let told = told.ok_or_else(nothing)?;
    let told = language.map(|language| told.in_language(language)).unwrap_or(told);
    Ok(Tagged(tag, Diagnosis::of(&told)))
}

#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReportParams {
    /// `json` or `markdown`; `json` when missing.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(json|markdown)$")]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReportFormat {
    #[default]
    Json,
    Markdown,
}

/// What is known of a run in one document, to be attached to a ticket: without secrets that can be told by their form, and without
/// the values that it takes and gives.
#[utoipa::path(get, path = "/api/v1/runs/{run}/report", tag = "runs", operation_id = "getReport",
    params(ReportParams, ("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The document. Its own `format` says the version of its form; its times are milliseconds since 1970.",
        content((serde_json::Value = "application/json"), (String = "text/markdown")))))]
async fn report(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(ReportParams { format }): Params<ReportParams>,
) -> Result<Response, Problem> {
    let tag = etag(&head(&app, &key).await?);
    let file = app.engine().case_file(&key).await?;
    let (media, text) = match format {
        ReportFormat::Json => ("application/json", file.json()),
        ReportFormat::Markdown => ("text/markdown; charset=utf-8", file.markdown()),
    };
    Ok(([(ETAG, tag), (CONTENT_TYPE, media.to_owned())], text).into_response())
}

/// Whether a run can go on with the workflows that the server has, and what speaks against it.
#[utoipa::path(get, path = "/api/v1/runs/{run}/can-resume", tag = "runs", operation_id = "canResume",
    params(("run" = String, Path, description = "Its id."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "Whether it can.", body = CanResume)))]
async fn can_resume(
    State(app): State<App>,
    RunAt(key): RunAt,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<CanResume>, Problem> {
    let tag = etag(&head(&app, &key).await?);
    Ok(Tagged(tag, CanResume::of(&app.engine().can_resume(&key).await?)))
}
