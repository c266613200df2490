//! How runs did: counts, rates and durations over many runs. A fold of their heads and journals.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate};
use serde::{Deserialize, Serialize};
use stepwell_contract::{Head, Name, Record, Status, TenantId, Timestamp};

use crate::observe::audit::{Category, category_of};
use crate::run::event::Event;
use crate::run::place::Place;
use crate::run::waiting::Said;

/// Most runs that are looked at, whatever is asked for.
pub const RUNS_MAX: usize = 10_000;
/// How many runs are looked at unless something else is asked for.
pub const RUNS_DEFAULT: usize = 1_000;
/// Most records that are read of all runs together.
pub const RECORDS_MAX: usize = 500_000;
/// Most durations of one step that its percentiles are made of: those that were read first, so the newest runs'.
pub const SAMPLES_MAX: usize = 10_000;
/// Most codes that are told, the most frequent ones.
pub const CODES_MAX: usize = 20;

/// Which runs are counted: the newest of those that were made in the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsFilter {
    /// Runs of this workflow only.
    pub workflow: Option<Name>,
    /// Runs of this tenant only.
    pub tenant: Option<TenantId>,
    /// Runs that were made at this time or later.
    pub since: Option<Timestamp>,
    /// Runs that were made before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest; never more than [`RUNS_MAX`].
    pub runs_max: usize,
}

impl Default for StatsFilter {
    fn default() -> Self {
        Self { workflow: None, tenant: None, since: None, until: None, runs_max: RUNS_DEFAULT }
    }
}

/// How the runs did that were looked at: all figures are about these, and about all that happened to them until now.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// How many runs were looked at.
    pub runs: u64,
    /// Whether these were all that were made in the window, each with its whole journal.
    pub is_complete: bool,
    /// The beginning of the time that was looked at: that of the window, or when the oldest of these runs was made where the
    /// window has none or not all of its runs were looked at.
    pub from: Timestamp,
    /// Its end: that of the window, but not later than now.
    pub to: Timestamp,
    /// How many are in each status; statuses without a run are left out.
    pub by_status: BTreeMap<Status, u64>,
    /// How many have ended with a result or an error, by the hour of the time that was looked at; 0 when it has no length.
    pub ended_per_hour: f64,
    /// Of those that have ended with a result or an error, the share with an error; `None` when there are none.
    pub error_rate: Option<f64>,
    /// The steps, by workflow and name.
    pub steps: Vec<StepFigures>,
    /// The most frequent codes of diagnoses with how often each was given, the most frequent first.
    pub codes: Vec<(String, u64)>,
    /// Entries of the category [`Consistency`](Category::Consistency), by the day (UTC) on which each happened; days without
    /// one are left out.
    pub inconsistencies_by_day: BTreeMap<NaiveDate, u64>,
    /// Records that this version cannot read. They are counted as inconsistencies too.
    pub unread_records: u64,
}

/// How a step did in all of the runs, items of maps and rounds of loops together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepFigures {
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
    /// How long attempts took that ended with a result.
    pub durations: Durations,
}

/// Durations in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Durations {
    /// How many.
    pub count: u64,
    /// Their mean; 0 when there are none, as all below.
    pub mean_ms: f64,
    /// The one that half of them do not exceed.
    pub p50_ms: u64,
    /// The one that 95 of 100 do not exceed.
    pub p95_ms: u64,
    /// The one that 99 of 100 do not exceed.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// Figures in the making.
#[derive(Debug, Default)]
pub struct Tally {
    runs: u64,
    oldest: Option<Timestamp>,
    by_status: BTreeMap<Status, u64>,
    steps: BTreeMap<(Name, Name), StepTally>,
    codes: HashMap<String, u64>,
    inconsistencies_by_day: BTreeMap<NaiveDate, u64>,
    unread_records: u64,
    /// The run that is being read: its workflow, and the places whose last attempt failed or was lost.
    workflow: Option<Name>,
    broken: HashSet<Place>,
}

#[derive(Debug, Default)]
struct StepTally {
    figures: StepFigures,
    samples: Vec<u64>,
    sum_ms: u128,
    max_ms: u64,
}

impl Tally {
    /// Begins a run.
    pub fn begin(&mut self, head: &Head) {
        self.runs += 1;
        self.oldest = Some(self.oldest.map_or(head.created_at, |oldest| oldest.min(head.created_at)));
        *self.by_status.entry(head.status).or_default() += 1;
        self.workflow = Some(head.workflow.clone());
        self.broken.clear();
    }

    /// Takes in the next records of the run.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            self.note(record);
        }
    }

    fn note(&mut self, record: &Record) {
        let read = Event::read(record);
        if category_of(&read) == Category::Consistency {
            let day = DateTime::from_timestamp_millis(record.at.0).map(|at| at.date_naive());
            *self.inconsistencies_by_day.entry(day.unwrap_or_default()).or_default() += 1;
        }
        match read {
            Ok(event) => self.count(event),
            Err(_) => self.unread_records += 1,
        }
    }

    fn count(&mut self, event: Event) {
        match event {
            Event::StepStarted(started) => {
                let is_retry = self.broken.remove(&started.place);
                let figures = &mut self.step(&started.place.step).figures;
                figures.attempts += 1;
                figures.retries += u64::from(is_retry);
            }
            Event::StepSucceeded(done) => self.step(&done.place.step).succeed(done.elapsed_ms),
            Event::AttemptFailed(failed) => {
                self.step(&failed.place.step).figures.failed += 1;
                self.broken.insert(failed.place);
            }
            Event::AttemptLost(lost) => {
                self.step(&lost.place.step).figures.lost += 1;
                self.broken.insert(lost.place);
            }
            Event::StepReported(reported) => match reported.said {
                // How long it took somebody outside is no duration of the step.
                Said::Succeeded { .. } => self.step(&reported.place.step).figures.succeeded += 1,
                Said::Failed(_) => {
                    self.step(&reported.place.step).figures.failed += 1;
                    self.broken.insert(reported.place);
                }
                Said::Progress(_) | Said::Started(_) => {}
            },
            // A new beginning is no retry.
            Event::StepsReset(_) => self.broken.clear(),
            Event::Diagnosed(told) => *self.codes.entry(told.diagnosis.code).or_default() += 1,
            _ => {}
        }
    }

    fn step(&mut self, step: &Name) -> &mut StepTally {
        let workflow = self.workflow.clone().unwrap_or_else(|| step.clone());
        self.steps.entry((workflow, step.clone())).or_default()
    }

    /// The figures. `is_all` tells whether every run of the window was looked at to its end.
    #[must_use]
    pub fn stats(self, filter: &StatsFilter, is_all: bool, now: Timestamp) -> Stats {
        let to = filter.until.map_or(now, |until| until.min(now));
        let oldest = self.oldest.unwrap_or(to);
        let from = filter.since.filter(|_| is_all).unwrap_or(oldest);
        let count = |status| self.by_status.get(&status).copied().unwrap_or(0);
        let (succeeded, failed) = (count(Status::Succeeded), count(Status::Failed));
        let ended = succeeded + failed;
        let hours = to.since_ms(from) as f64 / 3_600_000.0;
        let mut codes: Vec<_> = self.codes.into_iter().collect();
        codes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        codes.truncate(CODES_MAX);
        Stats {
            runs: self.runs,
            is_complete: is_all,
            from,
            to,
            ended_per_hour: if hours > 0.0 { ended as f64 / hours } else { 0.0 },
            error_rate: (ended > 0).then(|| failed as f64 / ended as f64),
            by_status: self.by_status,
            steps: self.steps.into_iter().map(|(names, step)| step.figures(names)).collect(),
            codes,
            inconsistencies_by_day: self.inconsistencies_by_day,
            unread_records: self.unread_records,
        }
    }
}

impl StepTally {
    fn succeed(&mut self, elapsed_ms: u64) {
        self.figures.succeeded += 1;
        self.figures.durations.count += 1;
        self.sum_ms += u128::from(elapsed_ms);
        self.max_ms = self.max_ms.max(elapsed_ms);
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(elapsed_ms);
        }
    }

    fn figures(mut self, (workflow, step): (Name, Name)) -> StepFigures {
        self.samples.sort_unstable();
        let count = self.figures.durations.count;
        let durations = Durations {
            count,
            mean_ms: if count == 0 { 0.0 } else { self.sum_ms as f64 / count as f64 },
            p50_ms: share(&self.samples, 50),
            p95_ms: share(&self.samples, 95),
            p99_ms: share(&self.samples, 99),
            max_ms: self.max_ms,
        };
        StepFigures { workflow: workflow.to_string(), step: step.to_string(), durations, ..self.figures }
    }
}

/// The value that so many in a hundred do not exceed (nearest rank); 0 when there is none.
fn share(sorted: &[u64], percent: usize) -> u64 {
    let nth = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(nth).copied().unwrap_or(0)
}
