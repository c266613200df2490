//! Schedules: runs by the clock.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::Error;
use stepwell::Schedule as Spec;
use stepwell::contract::{Cursor, Name, Payload, Timestamp};
use stepwell::schedule::{Overlap, ScheduleError, Schedules};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Role;
use crate::api::values::SecretsParams;
use crate::api::verbs::unhidden;
use crate::app::App;
use crate::listing::{List, Paging};
use crate::mount::Mount;
use crate::problem::{Code, Fault, Problem};
use crate::request::{At, Body, DryRun, Params, Who, Why};
use crate::routes::Routes;
use crate::view::group::RunName;
use crate::view::schedule::{
    Backfilled, HoldPreview, Plan, PlanPreview, Schedule, ScheduleOrPreview, TriggerPreview,
};
use crate::view::{Listed, Time};

pub(super) fn routes() -> Routes {
    Routes::new()
        .at(Role::Viewer, routes!(list))
        .at(Role::Viewer, routes!(show))
        .at(Role::Operator, routes!(put))
        .at(Role::Operator, routes!(delete))
        .at(Role::Operator, routes!(pause))
        .at(Role::Operator, routes!(resume))
        .at(Role::Operator, routes!(trigger))
        .at(Role::Operator, routes!(backfill))
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        let detail = error.to_string();
        match error {
            ScheduleError::Engine(error) => error.into(),
            ScheduleError::NoSuchSchedule { .. } => Self::new(Code::NotFound, detail),
            ScheduleError::Conflict { .. } => Self::new(Code::Conflict, detail),
            _ => Self::new(Code::Unprocessable, detail),
        }
    }
}

impl From<ScheduleError> for Fault {
    fn from(error: ScheduleError) -> Self {
        let field = match &error {
            ScheduleError::Cron { .. } | ScheduleError::Never { .. } => Some("cron"),
            ScheduleError::Timezone { .. } | ScheduleError::TimezoneOfInterval => Some("timezone"),
            ScheduleError::Interval { .. } => Some("every"),
            ScheduleError::Bounds => Some("until"),
            ScheduleError::Name { .. } | ScheduleError::Conflict { .. } => Some("name"),
            ScheduleError::Engine(Error::UnknownWorkflow { .. }) => Some("workflow"),
            ScheduleError::Payload(_) => Some("input"),
            ScheduleError::BackfillTooLong { .. } => Some("to"),
            _ => None,
        };
        Self { field, problem: error.into() }
    }
}

/// The schedules that a request is about: of one tenant, the default one where none is named.
fn schedules(app: &App, who: &Who) -> Schedules {
    app.engine().schedules().of(who.tenant.clone().unwrap_or_default()).by(who.access.actor())
}

#[derive(Debug, Deserialize)]
pub(crate) struct SchedulePart {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhyParams {
    /// Why, for the records.
    #[serde(default)]
    pub(crate) reason: String,
    /// `true`: says what it would do, and does nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// The schedules of a tenant.
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules", operation_id = "listSchedules",
    params(Paging, ("tenant" = Option<String>, Query, description = "Whose; that of the token, or `default`.")),
    responses((status = 200, description = "A page of schedules.", body = Listed<Schedule>)))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Params(paging): Params<Paging>,
) -> Result<Json<Listed<Schedule>>, Problem> {
    let list = List::of("schedules", &who.tenant);
    let (after, limit) = paging.read::<Cursor>(list)?;
    let page = schedules(&app, &who).list(after, limit).await?;
    Ok(Json(Listed {
        items: page.items.into_iter().map(|view| Schedule::of(view, false)).collect(),
        next_cursor: page.next.as_ref().map(|next| list.cursor_text(next)),
    }))
}

/// One schedule.
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "schedules", operation_id = "getSchedule",
    params(SecretsParams, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The schedule.", body = Schedule)))]
pub(crate) async fn show(
    State(app): State<App>,
    who: Who,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(params): Params<SecretsParams>,
) -> Result<Json<Schedule>, Problem> {
    let with_secrets = params.check(&who)?;
    Ok(Json(Schedule::of(schedules(&app, &who).get(&name).await?, with_secrets)))
}

impl Plan {
    fn spec(self) -> Result<Spec, Fault> {
        let times = match (self.cron, self.every_ms) {
            (Some(cron), _) => Spec::cron(cron),
            (None, every_ms) => Spec::every(Duration::from_millis(every_ms.unwrap_or_default())),
        };
        let stored = |at: Time| Timestamp(at.0.timestamp_millis());
        let times = self.timezone.into_iter().fold(times, |times, zone| times.timezone(zone));
        let times = self.from.into_iter().fold(times, |times, at| times.from(stored(at)));
        let times = self.until.into_iter().fold(times, |times, at| times.until(stored(at)));
        let starts = times.starts(&self.workflow, &self.input).map_err(|error| match error {
            ScheduleError::Id(error) => Fault::at("workflow", &error),
            error => error.into(),
        })?;
        let mut spec = starts.priority(self.priority).jitter(Duration::from_millis(self.jitter_ms));
        if let Some(version) = self.version {
            spec = spec.version(version);
        }
        for (name, value) in self.tags {
            spec = spec.tag(&name, value).map_err(|error| Fault::at("tags", &error))?;
        }
        if let Some(queue) = self.queue {
            spec = spec.queue(Name::new(queue).map_err(|error| Fault::at("queue", &error))?);
        }
        if let Some(window_ms) = self.catch_up_ms {
            spec = spec.catch_up(Duration::from_millis(window_ms));
        }
        Ok(spec)
    }

    /// What the engine keeps, once it is found to be in order.
    fn checked(self) -> Result<Spec, Fault> {
        if self.cron.is_some() == self.every_ms.is_some() {
            return Err(Fault::at("every", &"a schedule has either `cron` or `every_ms`"));
        }
        let overlap = self.overlap()?;
        let spec = self.spec()?;
        Ok(overlap.into_iter().fold(spec, Spec::overlap))
    }

    /// The next times that it would have, without what jitter adds; nothing is kept.
    pub(crate) fn upcoming(self, now: Timestamp, most: usize) -> Result<Vec<Time>, Fault> {
        let spec = self.checked()?;
        spec.check()?;
        let calendar = spec.calendar()?;
        let times = std::iter::successors(calendar.next_after(now), |time| calendar.next_after(*time));
        Ok(times.take(most).map(crate::view::time).collect())
    }

    fn overlap(&self) -> Result<Option<Overlap>, Problem> {
        let Some(word) = &self.overlap else { return Ok(None) };
        let read = serde_json::from_value(serde_json::Value::from(word.as_str()));
        read.map(Some).map_err(|error| Problem::bad(format!("`overlap`: {error}")))
    }
}

/// Makes a schedule, or makes the one of that name another from now on.
#[utoipa::path(put, path = "/api/v1/schedules/{name}", tag = "schedules", operation_id = "putSchedule", request_body = Plan,
    params(WhyParams, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose; that of the token, or `default`.")),
    responses((status = 201, description = "It was made.", body = Schedule),
        (status = 200, description = "It was there, and is like this now; or, for a dry run, what it would be.", body = ScheduleOrPreview)))]
async fn put(
    State(app): State<App>,
    who: Who,
    Mount(mount): Mount,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(WhyParams { reason, dry_run }): Params<WhyParams>,
    Body(plan): Body<Plan>,
) -> Result<Response, Problem> {
    if dry_run {
        let spec = plan.checked()?;
        let preview = schedules(&app, &who).dry_run_plan(&name, &spec).await?;
        return Ok(Json(PlanPreview::of(preview)).into_response());
    }
    let (is_new, schedule) = save(&app, &who, &name, plan, &reason).await?;
    if !is_new {
        return Ok(Json(schedule).into_response());
    }
    let query = who.tenant.as_ref().map(|tenant| who.query_of(tenant)).unwrap_or_default();
    let place = format!("{mount}/api/v1/schedules/{name}{query}");
    Ok((StatusCode::CREATED, [(LOCATION, place)], Json(schedule)).into_response())
}

/// What a schedule is made of, with the secrets of its input: to be kept again as it is, and not to be shown.
pub(crate) async fn plan(app: &App, who: &Who, name: &str) -> Result<Plan, Problem> {
    Ok(Plan::of(&schedules(app, who).get(name).await?.schedule, true))
}

/// Makes a schedule, or makes the one of that name another from now on; tells which, with what it is then.
pub(crate) async fn save(
    app: &App,
    who: &Who,
    name: &str,
    plan: Plan,
    reason: &str,
) -> Result<(bool, Schedule), Fault> {
    let schedules = schedules(app, who);
    let (is_new, stored) = match schedules.get(name).await {
        Ok(view) => (false, Plan::of(&view.schedule, true).input),
        Err(ScheduleError::NoSuchSchedule { .. }) => (true, None),
        Err(error) => return Err(error.into()),
    };
    // It may have been read, changed and sent back: it was shown without secrets.
    let stored = stored.map(|input| Payload::from_raw(&input));
    let meant = |input: &RawValue| {
        unhidden(input, stored.as_ref()).map_err(|problem| Fault { field: Some("input"), problem })
    };
    let input = plan.input.as_deref().map(meant).transpose()?;
    let spec = Plan { input, ..plan }.checked()?;
    if is_new {
        match schedules.create(name, spec.clone()).await {
            Ok(view) => return Ok((true, Schedule::of(view, false))),
            // Somebody else has made it meanwhile.
            Err(ScheduleError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((false, Schedule::of(schedules.update(name, spec, reason).await?, false)))
}

/// Ends a schedule. Runs that were started go on.
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "schedules", operation_id = "deleteSchedule",
    params(WhyParams, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 204, description = "It is gone."), (status = 200, description = "For a dry run, the schedule that would be ended.", body = Schedule)))]
pub(crate) async fn delete(
    State(app): State<App>,
    who: Who,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(WhyParams { reason, dry_run }): Params<WhyParams>,
) -> Result<Response, Problem> {
    let schedules = schedules(&app, &who);
    let present = schedules.get(&name).await?;
    if dry_run {
        return Ok(Json(Schedule::of(present, false)).into_response());
    }
    schedules.delete(&name, &reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Pauses or resumes a schedule, or says what that would do: the same for every surface.
pub(crate) async fn hold(
    app: &App,
    who: &Who,
    name: &str,
    pause: bool,
    reason: &str,
    dry_run: bool,
) -> Result<ScheduleOrPreview, Problem> {
    let schedules = schedules(app, who);
    if dry_run {
        let present = schedules.get(name).await?;
        let changes = present.paused.is_some() != pause;
        let schedule = Box::new(Schedule::of(present, false));
        return Ok(ScheduleOrPreview::Hold(HoldPreview { changes, schedule }));
    }
    let view = match pause {
        true => schedules.pause(name, reason).await?,
        false => schedules.resume(name, reason).await?,
    };
    Ok(ScheduleOrPreview::Schedule(Box::new(Schedule::of(view, false))))
}

/// Starts nothing by the clock until it is resumed. Runs that were started go on.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/pause", tag = "schedules", operation_id = "pauseSchedule", request_body = Why,
    params(DryRun, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The schedule, paused; or, for a dry run, what it would do.", body = ScheduleOrPreview)))]
async fn pause(
    State(app): State<App>,
    who: Who,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(Why { reason }): Body<Why>,
) -> Result<Json<ScheduleOrPreview>, Problem> {
    Ok(Json(hold(&app, &who, &name, true, &reason, dry_run).await?))
}

/// Starts runs by the clock again, from the next time on.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/resume", tag = "schedules", operation_id = "resumeSchedule", request_body = Why,
    params(DryRun, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The schedule, not paused; or, for a dry run, what it would do.", body = ScheduleOrPreview)))]
async fn resume(
    State(app): State<App>,
    who: Who,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(Why { reason }): Body<Why>,
) -> Result<Json<ScheduleOrPreview>, Problem> {
    Ok(Json(hold(&app, &who, &name, false, &reason, dry_run).await?))
}

/// A run to be started now.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trigger {
    /// Names the request: the same one again has no effect. Drawn when missing.
    pub(crate) id: Option<String>,
    /// Why, for the records.
    #[serde(default)]
    pub(crate) reason: String,
}

/// Starts a run now, whatever else runs and even when the schedule is paused, and answers with its name.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/trigger", tag = "schedules", operation_id = "triggerSchedule", request_body = Trigger,
    params(DryRun, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 202, description = "The run that is started in a moment.", body = RunName),
        (status = 200, description = "For a dry run, the run that would be started.", body = TriggerPreview)))]
async fn trigger(
    State(app): State<App>,
    who: Who,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(asked): Body<Trigger>,
) -> Result<Response, Problem> {
    Ok(match start_now(&app, &who, &name, asked, dry_run).await? {
        Triggered::Previewed(preview) => Json(preview).into_response(),
        Triggered::Started(run) => (StatusCode::ACCEPTED, Json(run)).into_response(),
    })
}

/// What became of a trigger.
#[derive(Debug)]
pub(crate) enum Triggered {
    /// Nothing was started; this is what it would start.
    Previewed(TriggerPreview),
    /// The run is started in a moment.
    Started(RunName),
}

/// Starts a run now, or says which that would be: the same for every surface.
pub(crate) async fn start_now(
    app: &App,
    who: &Who,
    name: &str,
    Trigger { id, reason }: Trigger,
    dry_run: bool,
) -> Result<Triggered, Problem> {
    let id = id.unwrap_or_else(|| Uuid::now_v7().simple().to_string());
    let schedules = schedules(app, who);
    if dry_run {
        let (key, status) = schedules.dry_run_trigger(name, &id).await?;
        let preview = TriggerPreview { run: RunName::of(&key), status: status.map(Into::into) };
        return Ok(Triggered::Previewed(preview));
    }
    Ok(Triggered::Started(RunName::of(&schedules.trigger(name, &id, &reason).await?)))
}

/// Times gone by whose runs are to be started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backfill {
    /// The first of them, or a time before it.
    pub(crate) from: Time,
    /// The last of them, or a time behind it.
    pub(crate) to: Time,
    /// Why, for the records.
    #[serde(default)]
    pub(crate) reason: String,
}

/// The times of a backfill.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct BackfillTimes {
    /// Each with its run.
    pub(crate) times: Vec<Backfilled>,
    /// Whether this is only what it would do.
    dry_run: bool,
}

/// Starts the runs of all times in a span that have gone by, but those that were started.
#[utoipa::path(post, path = "/api/v1/schedules/{name}/backfill", tag = "schedules", operation_id = "backfillSchedule", request_body = Backfill,
    params(DryRun, ("name" = String, Path, description = "Its name."), ("tenant" = Option<String>, Query, description = "Whose it is.")),
    responses((status = 200, description = "The times.", body = BackfillTimes)))]
pub(crate) async fn backfill(
    State(app): State<App>,
    who: Who,
    At(SchedulePart { name }): At<SchedulePart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    Body(Backfill { from, to, reason }): Body<Backfill>,
) -> Result<Json<BackfillTimes>, Problem> {
    let schedules = schedules(&app, &who);
    let stored = |at: Time| Timestamp(at.0.timestamp_millis());
    let times = match dry_run {
        true => schedules.dry_run_backfill(&name, stored(from), stored(to)).await?,
        false => schedules.backfill(&name, stored(from), stored(to), &reason).await?,
    };
    Ok(Json(BackfillTimes { times: times.iter().map(Backfilled::of).collect(), dry_run }))
}
