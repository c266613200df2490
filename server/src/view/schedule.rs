//! Schedules, as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::contract::{Payload, Timestamp};
use stepwell::observe::values::without_secrets;
use stepwell::schedule::{BackfillTime, Cause, PassedOver, ScheduleView, Started};
use utoipa::ToSchema;

use crate::view::group::RunName;
use crate::view::run::RunStatus;
use crate::view::{Time, count, time, word};

/// What a schedule starts, and when.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// A cron expression; either this or `every_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 9 * * MON-FRI")]
    pub cron: Option<String>,
    /// The time zone of the cron expression; UTC when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Asia/Tokyo")]
    pub timezone: Option<String>,
    /// The time between two runs, in milliseconds: whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// Before this time there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// After this time there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The workflow of which runs are started.
    pub workflow: String,
    /// The version of that workflow; the newest that there is when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The input of the runs; `null` when missing. It is shown without what has the form of a secret, unless that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Box<RawValue>>,
    /// What people filter the runs by.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The queue of the runs; that of the workflow when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i16,
    /// What happens when a time comes while a run has not ended: `skip`, `queue`, `cancel_old` or `allow`; `skip` when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(skip|queue|cancel_old|allow)$")]
    pub overlap: Option<String>,
    /// How late a run may be started, in milliseconds; a day when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_ms: Option<u64>,
    /// So much later than its time a run may be started, in milliseconds.
    #[serde(default)]
    pub jitter_ms: u64,
}

/// A schedule as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    pub schedule: String,
    /// Whose it is.
    pub tenant: String,
    /// The run that keeps it: its history tells all that was said and decided.
    pub keeper: String,
    /// Where that run is: `waiting` almost always.
    pub status: RunStatus,
    /// What it starts, and when.
    pub plan: Plan,
    /// The next times, at most five; none while it is paused.
    pub next: Vec<Upcoming>,
    /// Who paused it and why, while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<SchedulePause>,
    /// The runs that it has started and that have not ended.
    pub running: Vec<String>,
    /// A time whose run waits until the others have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Time>,
    /// The latest runs that were started, the newest last.
    pub recent: Vec<StartedRun>,
    /// The latest times for which no run was started, the newest last.
    pub passed_over: Vec<Passed>,
    /// How many backfills are under way.
    pub backfills: u64,
    /// Runs started since it was made.
    pub started: u64,
    /// Times skipped because of other runs, or while it was paused.
    pub skipped: u64,
    /// Times missed by more than the catch-up window.
    pub missed: u64,
}

/// What making a schedule, or making it another one, would come to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanPreview {
    /// Whether there is none of that name.
    pub is_new: bool,
    /// What would not be as it is.
    pub differences: Vec<String>,
    /// Its next times, at most five; none while it is paused.
    pub next: Vec<Upcoming>,
}

impl PlanPreview {
    pub(crate) fn of(preview: stepwell::schedule::PlanPreview) -> Self {
        Self {
            is_new: preview.is_new,
            differences: preview.differences.into_iter().map(str::to_owned).collect(),
            next: preview.next.iter().map(Upcoming::of).collect(),
        }
    }
}

/// What pausing or resuming a schedule would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HoldPreview {
    /// Whether it would pause or resume it: one that is so already stays as it is.
    pub changes: bool,
    /// The schedule as it is now.
    pub schedule: Box<Schedule>,
}

/// What a trigger would start.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TriggerPreview {
    /// The run.
    #[serde(flatten)]
    pub run: RunName,
    /// Where it is, if it was started under the same id before: then nothing would happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
}

/// What a request is answered with that can be tried dry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ScheduleOrPreview {
    /// The schedule, after it was done.
    Schedule(Box<Schedule>),
    /// What pausing or resuming it would do.
    Hold(HoldPreview),
    /// What it would be.
    Plan(PlanPreview),
}

/// A time to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upcoming {
    /// The time.
    pub time: Time,
    /// When its run is started: jitter later.
    pub start_at: Time,
}

impl Upcoming {
    fn of(next: &stepwell::schedule::Upcoming) -> Self {
        Self { time: time(next.time), start_at: time(next.start_at) }
    }
}

/// Who paused a schedule, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePause {
    /// Who.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// Since when.
    pub since: Time,
}

/// A run that a schedule has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartedRun {
    /// The run.
    pub run: String,
    /// The time that it is for; missing when someone asked for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// When that was decided.
    pub at: Time,
    /// Why: `time`, `trigger` or `backfill`.
    pub cause: String,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Times for which no run was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Passed {
    /// The first of them.
    pub first: Time,
    /// The end of the span.
    pub until: Time,
    /// How many.
    pub count: u64,
    /// Why: `still_running`, `one_waits`, `superseded`, `paused`, or `missed`.
    pub why: String,
}

/// A time of a backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backfilled {
    /// The time.
    pub time: Time,
    /// The run that is started for it.
    pub run: String,
    /// Where that run is, if it was started before: it is not started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
}

impl Schedule {
    /// The view of a schedule, with the secrets of its input or without.
    #[must_use]
    pub fn of(view: ScheduleView, with_secrets: bool) -> Self {
        Self {
            schedule: view.name.to_string(),
            tenant: view.keeper.tenant.to_string(),
            keeper: view.keeper.run.to_string(),
            status: view.status.into(),
            plan: Plan::of(&view.schedule, with_secrets),
            next: view.next.iter().map(Upcoming::of).collect(),
            paused: view.paused.map(|paused| SchedulePause {
                by: paused.by.to_string(),
                reason: paused.reason,
                since: time(paused.at),
            }),
            running: view.running.iter().map(ToString::to_string).collect(),
            waiting: view.waiting.map(time),
            recent: view.recent.into_iter().map(StartedRun::of).collect(),
            passed_over: view.passed_over.iter().map(Passed::of).collect(),
            backfills: count(view.backfills.len()),
            started: view.counts.started,
            skipped: view.counts.skipped,
            missed: view.counts.missed,
        }
    }
}

/// A schedule in its stored form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stored {
    times: StoredTimes,
    workflow: String,
    version: Option<u32>,
    input: Option<Box<RawValue>>,
    tags: BTreeMap<String, String>,
    queue: Option<String>,
    priority: i16,
    overlap: Option<String>,
    catch_up_ms: Option<u64>,
    jitter_ms: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredTimes {
    cron: Option<String>,
    every_ms: Option<u64>,
    timezone: Option<String>,
    from: Option<i64>,
    until: Option<i64>,
}

impl Plan {
    /// The view of what a schedule is made of: its stored form, with times as people write them.
    #[must_use]
    pub fn of(schedule: &stepwell::Schedule, with_secrets: bool) -> Self {
        // By its text: numbers of the input stay as they were written.
        let stored = serde_json::to_string(schedule).and_then(|text| serde_json::from_str::<Stored>(&text));
        let stored = stored.unwrap_or_default();
        let times = stored.times;
        Self {
            cron: times.cron,
            timezone: times.timezone,
            every_ms: times.every_ms,
            from: times.from.map(|at| time(Timestamp(at))),
            until: times.until.map(|at| time(Timestamp(at))),
            workflow: stored.workflow,
            version: stored.version,
            input: match with_secrets {
                true => stored.input,
                false => {
                    stored.input.map(|input| without_secrets(&Payload::from_raw(&input)).raw().to_owned())
                }
            },
            tags: stored.tags,
            queue: stored.queue,
            priority: stored.priority,
            overlap: stored.overlap,
            catch_up_ms: stored.catch_up_ms,
            jitter_ms: stored.jitter_ms,
        }
    }
}

impl StartedRun {
    fn of(started: Started) -> Self {
        let (cause, by) = match &started.cause {
            Cause::Time => ("time", None),
            Cause::Trigger(actor) => ("trigger", Some(actor.to_string())),
            Cause::Backfill(actor) => ("backfill", Some(actor.to_string())),
        };
        Self {
            run: started.run.to_string(),
            time: started.time.map(time),
            at: time(started.at),
            cause: cause.to_owned(),
            by,
            refused: started.refused,
        }
    }
}

impl Passed {
    fn of(passed: &PassedOver) -> Self {
        Self {
            first: time(passed.span.first),
            until: time(passed.span.until),
            count: passed.span.count,
            why: passed.skipped.as_ref().and_then(word).unwrap_or_else(|| "missed".to_owned()),
        }
    }
}

impl Backfilled {
    /// The view of a time of a backfill.
    #[must_use]
    pub fn of(time_of: &BackfillTime) -> Self {
        Self {
            time: time(time_of.time),
            run: time_of.run.to_string(),
            status: time_of.status.map(Into::into),
        }
    }
}
