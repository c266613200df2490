//! Which times a schedule has, as data.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::schedule::calendar::Calendar;
use crate::schedule::error::ScheduleError;
use crate::schedule::spec::Schedule;

/// A similarity above which another time zone is suggested.
const NEAR: f64 = 0.8;

/// Which times a schedule has: those of a cron expression in a time zone, or every so many seconds; from and until when.
/// Made with [`Schedule::cron`](crate::Schedule::cron) and [`Schedule::every`](crate::Schedule::every).
///
/// A cron expression has five fields (minute, hour, day of month, month, day of week), six with seconds before them, or
/// seven with years behind them. `MON-FRI`, `*/15`, `L` (last), `5L` (last Friday), `5#2` (second Friday) and `15W` (the
/// working day nearest to the 15th) work, and so do `@daily` and the like. When both a day of month and a day of week are
/// given, either will do.
///
/// When clocks go forward, a time of day that does not exist comes at the first moment behind the gap, if the expression
/// names minute and hour; one with `*` or `*/` in those fields has no times in the gap. When clocks go back, the first kind
/// comes once, at the first of the two, and the second kind comes in both hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Times {
    #[serde(flatten)]
    pub(super) rule: Rule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    Cron(String),
    EveryMs(u64),
}

impl Times {
    pub(super) fn of(rule: Rule) -> Self {
        Self { rule, timezone: None, from: None, until: None }
    }

    /// Reads a cron expression by the clocks of this time zone, by its name in the IANA database, such as `Asia/Tokyo`. UTC if
    /// not set. The rules of the zones are those that this program was built with.
    pub fn timezone(mut self, name: impl Into<String>) -> Self {
        self.timezone = Some(name.into());
        self
    }

    /// Sets the time before which there are none. An interval is counted from it, and it is the first time then; if not
    /// set, from the beginning of 1970, so that every six hours means midnight, six, noon and eighteen hours UTC. What is less
    /// than a second is cut off.
    pub fn from(mut self, first: Timestamp) -> Self {
        self.from = Some(whole_second(first));
        self
    }

    /// Sets the time after which there are none.
    pub fn until(mut self, last: Timestamp) -> Self {
        self.until = Some(last);
        self
    }

    /// The times of this, one after the other.
    ///
    /// # Errors
    /// [`ScheduleError`] says what is wrong with it.
    pub fn calendar(&self) -> Result<Calendar, ScheduleError> {
        Calendar::of(self)
    }

    /// Makes a schedule that starts runs of this workflow with this input.
    ///
    /// # Errors
    /// [`ScheduleError`] says what is wrong with the times, the name or the input.
    pub fn starts<I: Serialize + ?Sized>(self, workflow: &str, input: &I) -> Result<Schedule, ScheduleError> {
        Schedule::of(self, workflow, input)
    }
}

/// The second that a time is in.
pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp(time.0 - time.0.rem_euclid(1_000))
}

/// The time zone of that name.
pub(super) fn zone(name: &str) -> Result<Tz, ScheduleError> {
    name.parse().map_err(|_| {
        let near = |tz: &&Tz| strsim::jaro_winkler(&tz.name().to_lowercase(), &name.to_lowercase());
        let nearest = chrono_tz::TZ_VARIANTS.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        let hint = match nearest.filter(|tz| near(tz) > NEAR) {
            Some(tz) => format!(": did you mean {:?}?", tz.name()),
            None => String::new(),
        };
        ScheduleError::Timezone { timezone: beginning(name), hint }
    })
}

/// As much of a text from outside as is shown.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(120).collect()
}
