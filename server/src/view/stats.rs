//! Figures over many runs, as they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell::observe::stats::{Durations, StepFigures};
use utoipa::ToSchema;

use crate::view::run::RunStatus;
use crate::view::{Time, time};

/// How runs did that were looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// How many runs were looked at, the newest.
    pub runs: u64,
    /// Whether these were all that were made in the window.
    pub is_complete: bool,
    /// The beginning of the time that was looked at.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// How many are in each status; statuses without a run are left out.
    pub by_status: BTreeMap<RunStatus, u64>,
    /// How many have ended with a result or an error, by the hour.
    pub ended_per_hour: f64,
    /// Of those that have ended with a result or an error, the share with an error; missing when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// The steps, by workflow and name.
    pub steps: Vec<StepStats>,
    /// The most frequent codes of diagnoses, the most frequent first.
    pub codes: Vec<CodeCount>,
    /// Entries of the category `consistency`, by the day (UTC).
    pub inconsistencies_by_day: BTreeMap<String, u64>,
    /// Records that this version cannot read.
    pub unread_records: u64,
}

/// How a step did in all of the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepStats {
    /// Its workflow.
    pub workflow: String,
    /// Its name.
    pub step: String,
    /// Attempts that were begun.
    pub attempts: u64,
    /// Of these, those that were begun because the one before had failed or was lost.
    pub retries: u64,
    /// Attempts that ended with a result.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts whose end nobody recorded.
    pub lost: u64,
    /// How long attempts took that ended with a result: their mean, in milliseconds.
    pub mean_ms: f64,
    /// What half of them do not exceed.
    pub p50_ms: u64,
    /// What 95 of 100 do not exceed.
    pub p95_ms: u64,
    /// What 99 of 100 do not exceed.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// How often a code was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeCount {
    /// The code.
    #[schema(example = "SW1203")]
    pub code: String,
    /// How often.
    pub count: u64,
}

/// How many runs there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// All of them.
    pub runs: u64,
    /// By status; each status is there.
    pub by_status: BTreeMap<RunStatus, u64>,
    /// By workflow and status; statuses without a run are left out.
    pub by_workflow: BTreeMap<String, BTreeMap<RunStatus, u64>>,
    /// By queue and status, of those that have not ended.
    pub unfinished_by_queue: BTreeMap<String, BTreeMap<RunStatus, u64>>,
}

impl Stats {
    /// The view of figures.
    #[must_use]
    pub fn of(stats: stepwell::Stats) -> Self {
        Self {
            runs: stats.runs,
            is_complete: stats.is_complete,
            from: time(stats.from),
            to: time(stats.to),
            by_status: stats.by_status.into_iter().map(|(status, runs)| (status.into(), runs)).collect(),
            ended_per_hour: stats.ended_per_hour,
            error_rate: stats.error_rate,
            steps: stats.steps.into_iter().map(StepStats::of).collect(),
            codes: stats.codes.into_iter().map(|(code, count)| CodeCount { code, count }).collect(),
            inconsistencies_by_day: stats
                .inconsistencies_by_day
                .into_iter()
                .map(|(day, entries)| (day.to_string(), entries))
                .collect(),
            unread_records: stats.unread_records,
        }
    }
}

impl StepStats {
    fn of(figures: StepFigures) -> Self {
        let Durations { mean_ms, p50_ms, p95_ms, p99_ms, max_ms, .. } = figures.durations;
        Self {
            workflow: figures.workflow,
            step: figures.step,
            attempts: figures.attempts,
            retries: figures.retries,
            succeeded: figures.succeeded,
            failed: figures.failed,
            lost: figures.lost,
            mean_ms,
            p50_ms,
            p95_ms,
            p99_ms,
            max_ms,
        }
    }
}
