//! A schedule: when which workflow is started, with what, and what happens when runs overlap or times were missed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_contract::{IdError, Name, Payload, PayloadError};

use crate::schedule::calendar::Calendar;
use crate::schedule::error::ScheduleError;
use crate::schedule::times::{Rule, Times};
use crate::workflow::finite;
use crate::workflow::policy::ms;
use crate::workflow::step::VALUE_BYTES_MAX;

/// Times that were missed by less than this are no missed times, whatever the catch-up window: it is what polling, load and a
/// restart take.
pub const LATE_MS: u64 = 10_000;
/// The catch-up window if none is set: a day.
const CATCH_UP_MS: u64 = 86_400_000;
/// The longest catch-up window and jitter: ten years and a day.
const CATCH_UP_MS_MAX: u64 = 10 * 366 * 86_400_000;
const JITTER_MS_MAX: u64 = 86_400_000;
/// The longest input: the state of a schedule has to carry it.
pub const INPUT_BYTES_MAX: usize = VALUE_BYTES_MAX / 8;

/// What happens when a time comes while a run of the same schedule has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing is started for that time.
    #[default]
    Skip,
    /// One waits and is started once all others have ended; while one waits, further times are skipped.
    Queue,
    /// The others are asked to cancel, and the newest time is started once they have ended.
    CancelOld,
    /// It is started beside the others.
    Allow,
}

/// When which workflow is started, with what, and what happens when runs overlap or times were missed.
///
/// ```
/// use stepwell::prelude::*;
/// use stepwell::schedule::{Overlap, Schedule};
///
/// # fn main() -> Result<(), stepwell::schedule::ScheduleError> {
/// let report = Schedule::cron("0 9 * * MON-FRI")
///     .timezone("Asia/Tokyo")
///     .starts("report", &"sales")?
///     .overlap(Overlap::Queue)
///     .catch_up(hours(6))
///     .jitter(mins(5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Schedule {
    pub(super) times: Times,
    pub(super) workflow: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    pub(super) input: Payload,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<Name, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) queue: Option<Name>,
    #[serde(default)]
    pub(super) priority: i16,
    #[serde(default)]
    pub(super) overlap: Overlap,
    pub(super) catch_up_ms: u64,
    #[serde(default)]
    pub(super) jitter_ms: u64,
}

impl Schedule {
    /// The times of a cron expression; see [`Times`] for its form.
    pub fn cron(expression: impl Into<String>) -> Times {
        Times::of(Rule::Cron(expression.into()))
    }

    /// Times that are so far apart: whole seconds.
    pub fn every(interval: Duration) -> Times {
        Times::of(Rule::EveryMs(ms(interval)))
    }

    pub(super) fn of<I: Serialize + ?Sized>(
        times: Times,
        workflow: &str,
        input: &I,
    ) -> Result<Self, ScheduleError> {
        let schedule = Self {
            times,
            workflow: Name::new(workflow)?,
            version: None,
            input: finite::encode(input)?,
            tags: BTreeMap::new(),
            queue: None,
            priority: 0,
            overlap: Overlap::default(),
            catch_up_ms: CATCH_UP_MS,
            jitter_ms: 0,
        };
        schedule.check()?;
        Ok(schedule)
    }

    /// Picks a version of the workflow. If not set, each run is of the newest version that the worker which starts it has.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Adds a tag to the runs. They also have the tags `schedule`, its name, and `scheduled_for`, the time in the form
    /// `2030-01-31T09:00:00Z`.
    ///
    /// # Errors
    /// [`IdError`] when the tag's name is not one.
    pub fn tag(mut self, name: &str, value: impl Into<String>) -> Result<Self, IdError> {
        self.tags.insert(Name::new(name)?, value.into());
        Ok(self)
    }

    /// Puts the runs into another queue than their workflow's.
    pub fn queue(mut self, queue: Name) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Puts the runs before those of a lower priority that wait with them. 0 if not set.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Says what happens when a time comes while a run has not ended. [`Overlap::Skip`] if not set.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets how late a run may be started. After an outage, what was missed by less is started, and what was missed by more is
    /// counted as missed. A day if not set; 10 s if less, which a restart may take.
    pub fn catch_up(mut self, window: Duration) -> Self {
        self.catch_up_ms = ms(window);
        self
    }

    /// Lets each run start up to so much later than its time, and always before the next time. How much is made of the name of
    /// the schedule and the time: a crash does not change it.
    pub fn jitter(mut self, at_most: Duration) -> Self {
        self.jitter_ms = ms(at_most);
        self
    }

    /// The times of this schedule.
    ///
    /// # Errors
    /// [`ScheduleError`] when it was read from elsewhere and is not sound.
    pub fn calendar(&self) -> Result<Calendar, ScheduleError> {
        self.times.calendar()
    }

    /// The name of the workflow.
    #[must_use]
    pub fn workflow(&self) -> &Name {
        &self.workflow
    }

    /// Whether the schedule can be kept.
    ///
    /// # Errors
    /// [`ScheduleError`] says what is wrong with it.
    pub fn check(&self) -> Result<(), ScheduleError> {
        self.calendar()?;
        let too_long = [
            ("a catch-up window", self.catch_up_ms, CATCH_UP_MS_MAX),
            ("a jitter", self.jitter_ms, JITTER_MS_MAX),
        ];
        if let Some((what, ms, limit_ms)) = too_long.into_iter().find(|(_, ms, limit_ms)| ms > limit_ms) {
            return Err(ScheduleError::TooLong { what, ms, limit_ms });
        }
        match self.input.text().len() {
            bytes if bytes > INPUT_BYTES_MAX => {
                Err(PayloadError::TooLarge { bytes, limit: INPUT_BYTES_MAX }.into())
            }
            _ => Ok(()),
        }
    }

    /// What of two schedules is not the same, by the names of the settings.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("times", self.times == other.times),
            ("workflow", self.workflow == other.workflow),
            ("version", self.version == other.version),
            ("input", self.input.decode::<serde_json::Value>().ok() == other.input.decode().ok()),
            ("tags", self.tags == other.tags),
            ("queue", self.queue == other.queue),
            ("priority", self.priority == other.priority),
            ("overlap", self.overlap == other.overlap),
            ("catch_up", self.catch_up_ms == other.catch_up_ms),
            ("jitter", self.jitter_ms == other.jitter_ms),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}
