//! Steps that are done outside: which wait, and reports on them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use stepwell::contract::{Cursor, Name, RunKey};
use stepwell::run::place::Place;
use stepwell::{ErrorClass, OutsideFailure, OutsideFilter, Outsider, Report, Token};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::access::Role;
use crate::api::runs::head;
use crate::api::verbs::{Outcome, in_time};
use crate::app::App;
use crate::listing::{self, List};
use crate::problem::{Code, Problem};
use crate::request::{Body, DryRun, IfMatch, Params, RunAt, StepAt, Who, present, span};
use crate::routes::Routes;
use crate::view::Listed;
use crate::view::outside::Task;
use crate::view::preview::{Preview, RunOrPreview};
use crate::view::run::Run;

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Operator, routes!(list))
        .at(Role::Operator, routes!(start))
        .at(Role::Operator, routes!(progress))
        .at(Role::Operator, routes!(success))
        .at(Role::Operator, routes!(failure))
}

/// Which steps, how many and from where on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OutsideParams {
    /// Of runs of this workflow.
    workflow: Option<String>,
    /// Steps of this name.
    step: Option<String>,
    /// `true`: also those that somebody has begun.
    #[serde(default)]
    with_begun: bool,
    /// How many at most, from 1 to 200; 50 when missing.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// Where the page begins: the `next_cursor` of the one before.
    cursor: Option<String>,
}

/// The steps that wait for someone outside to do them, those of the oldest runs first, with what each is given.
#[utoipa::path(get, path = "/api/v1/outside", tag = "outside", operation_id = "listOutside",
    params(OutsideParams, ("tenant" = Option<String>, Query, description = "Only this tenant's; a token of one tenant sees only its own.")),
    responses((status = 200, description = "A page of steps.", body = Listed<Task>)))]
async fn list(
    State(app): State<App>,
    who: Who,
    Params(params): Params<OutsideParams>,
) -> Result<Json<Listed<Task>>, Problem> {
    let name = |name: Option<&str>| name.map(Name::new).transpose().map_err(Problem::bad);
    let filter = OutsideFilter {
        tenant: who.tenant,
        workflow: name(params.workflow.as_deref())?,
        step: name(params.step.as_deref())?,
        with_begun: params.with_begun,
    };
    let list = List::of("outside", &filter);
    let after = list.cursor::<Cursor>(params.cursor.as_deref())?;
    let page = app.engine().outside_steps(&filter, after, listing::limit(params.limit)?).await?;
    Ok(Json(Listed {
        items: page.items.into_iter().map(Task::of).collect(),
        next_cursor: page.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}

/// That somebody has begun an attempt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartReport {
    /// Which attempt; the present one when missing.
    attempt: Option<u32>,
    /// Who has begun it: a name that nobody else goes by at the same time, such as `HOST-PID`. With the same one again nothing
    /// is recorded; processes that shared one would do the same step twice.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// The host it runs on.
    host: Option<String>,
    /// The version of the code.
    code_version: Option<String>,
}

/// Says that somebody has begun the step. The first who says so has it; others are refused, and told who.
#[utoipa::path(post, path = "/api/v1/runs/{run}/steps/{step}/start", tag = "outside", operation_id = "reportStart", request_body = StartReport,
    params(DryRun, ("run" = String, Path, description = "The run."), ("step" = String, Path, description = "The step, as in `cut` or `cut[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the report rests on.")),
    responses((status = 200, description = "It is recorded; or, for a dry run, what that would do.", body = RunOrPreview),
        (status = 202, description = "The report waits in the run's inbox.", body = Run)))]
async fn start(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(dry): Params<DryRun>,
    if_match: IfMatch,
    Body(said): Body<StartReport>,
) -> Result<Response, Problem> {
    // What the engine would cut off could be all that tells two names apart.
    if said.name.trim().is_empty() || said.name.len() > Outsider::TEXT_BYTES_MAX {
        let detail =
            format!("`name` has {} bytes; it has 1 to {}", said.name.len(), Outsider::TEXT_BYTES_MAX);
        return Err(Problem::new(Code::Unprocessable, detail));
    }
    let by = Outsider { name: said.name, host: said.host, code_version: said.code_version };
    tell(&app, &who, (key, place, said.attempt), (&if_match, dry), Report::started(by)).await
}

/// How far an attempt is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProgressReport {
    /// Which attempt; the present one when missing.
    attempt: Option<u32>,
    /// From 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    fraction: f64,
    /// What it is at.
    #[serde(default)]
    note: String,
}

/// Says how far the step is.
#[utoipa::path(post, path = "/api/v1/runs/{run}/steps/{step}/progress", tag = "outside", operation_id = "reportProgress", request_body = ProgressReport,
    params(DryRun, ("run" = String, Path, description = "The run."), ("step" = String, Path, description = "The step, as in `cut` or `cut[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the report rests on.")),
    responses((status = 200, description = "It is recorded; or, for a dry run, what that would do.", body = RunOrPreview),
        (status = 202, description = "The report waits in the run's inbox.", body = Run)))]
async fn progress(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(dry): Params<DryRun>,
    if_match: IfMatch,
    Body(said): Body<ProgressReport>,
) -> Result<Response, Problem> {
    if !(0.0..=1.0).contains(&said.fraction) {
        let detail = format!("`fraction` is {}; it is from 0 to 1", said.fraction);
        return Err(Problem::new(Code::Unprocessable, detail));
    }
    let report = Report::progress(said.fraction, said.note);
    tell(&app, &who, (key, place, said.attempt), (&if_match, dry), report).await
}

/// The result of an attempt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SuccessReport {
    /// Which attempt; the present one when missing.
    attempt: Option<u32>,
    /// The step's result, kept digit by digit; `null` when missing.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    output: Option<Box<RawValue>>,
}

/// Says that the step has its result.
#[utoipa::path(post, path = "/api/v1/runs/{run}/steps/{step}/success", tag = "outside", operation_id = "reportSuccess", request_body = SuccessReport,
    params(DryRun, ("run" = String, Path, description = "The run."), ("step" = String, Path, description = "The step, as in `cut` or `cut[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the report rests on.")),
    responses((status = 200, description = "It is recorded; or, for a dry run, what that would do.", body = RunOrPreview),
        (status = 202, description = "The report waits in the run's inbox.", body = Run)))]
async fn success(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(dry): Params<DryRun>,
    if_match: IfMatch,
    Body(said): Body<SuccessReport>,
) -> Result<Response, Problem> {
    let report = Report::succeeded(&said.output).map_err(stepwell::Error::from)?;
    tell(&app, &who, (key, place, said.attempt), (&if_match, dry), report).await
}

/// How an attempt failed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FailureReport {
    /// Which attempt; the present one when missing.
    attempt: Option<u32>,
    /// What sort of failure it was, which alone decides whether the step is tried again: `transient`, `throttled`, `timeout`,
    /// `unavailable`, `auth`, `config`, `validation`, `permanent`, `bug` and so on. Tried again when missing.
    #[schema(value_type = Option<String>)]
    class: Option<ErrorClass>,
    /// A stable name, such as `http.503`.
    code: Option<String>,
    /// The text of the error.
    message: String,
    /// What was going on, the innermost first.
    #[serde(default)]
    context: Vec<String>,
    /// What else is known of it. The diagnosis looks at `status`, `host`, `port`, `path` and the like.
    #[serde(default)]
    #[schema(value_type = Object)]
    details: Map<String, Value>,
    /// The next attempt waits at least this long, in milliseconds.
    #[schema(maximum = 315360000000_u64)]
    retry_after_ms: Option<u64>,
}

/// Says that the attempt failed: its class decides whether the step is tried again.
#[utoipa::path(post, path = "/api/v1/runs/{run}/steps/{step}/failure", tag = "outside", operation_id = "reportFailure", request_body = FailureReport,
    params(DryRun, ("run" = String, Path, description = "The run."), ("step" = String, Path, description = "The step, as in `cut` or `cut[2]`."),
        ("tenant" = Option<String>, Query, description = "Whose run it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the report rests on.")),
    responses((status = 200, description = "It is recorded; or, for a dry run, what that would do.", body = RunOrPreview),
        (status = 202, description = "The report waits in the run's inbox.", body = Run)))]
async fn failure(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    StepAt(place): StepAt,
    Params(dry): Params<DryRun>,
    if_match: IfMatch,
    Body(said): Body<FailureReport>,
) -> Result<Response, Problem> {
    let FailureReport { attempt, class, code, message, context, details, retry_after_ms } = said;
    retry_after_ms.map(|ms| span("retry_after_ms", ms)).transpose()?;
    let report = Report::failure(OutsideFailure { class, code, message, context, details, retry_after_ms });
    tell(&app, &who, (key, place, attempt), (&if_match, dry), report).await
}

/// Records what someone outside says of a step.
async fn tell(
    app: &App,
    who: &Who,
    (key, place, attempt): (RunKey, Place, Option<u32>),
    (if_match, DryRun { dry_run }): (&IfMatch, DryRun),
    report: Report,
) -> Result<Response, Problem> {
    let head = head(app, &key).await?;
    let seen = if_match.seen(&head)?;
    let report = seen.into_iter().fold(report, Report::if_unchanged_since);
    let token = match attempt {
        Some(attempt) => Token { run: key, place, attempt },
        None => app.engine().token_of(&key, &place).await?,
    };
    let report = report.by(who.access.actor());
    let outcome = match dry_run {
        true => Outcome::Previewed(Preview::of(app.engine().dry_run_report(&token, report).await?)),
        false => {
            let answer = in_time(app, &token.run, app.engine().report(&token, report)).await;
            Outcome::of(app, &token.run, answer).await?
        }
    };
    Ok(outcome.of_head(&head))
}
