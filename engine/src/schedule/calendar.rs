//! The times of a schedule, one after the other.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use stepwell_contract::Timestamp;

use crate::schedule::error::ScheduleError;
use crate::schedule::times::{Rule, Times, beginning, whole_second, zone};

/// No schedule has times after this: the end of the year 9999.
const LAST: Timestamp = Timestamp(253_402_300_799_000);
/// The longest interval: ten years.
const INTERVAL_MS_MAX: u64 = 10 * 366 * 86_400_000;

/// The times of a schedule, each a whole second.
#[derive(Clone)]
pub struct Calendar {
    rule: Read,
    from: Option<Timestamp>,
    until: Timestamp,
}

#[derive(Clone)]
enum Read {
    Cron { cron: Box<Cron>, zone: Tz },
    Every { interval_ms: i64, from: Timestamp },
}

impl Calendar {
    pub(super) fn of(times: &Times) -> Result<Self, ScheduleError> {
        let until = times.until.map_or(LAST, |until| until.min(LAST));
        if times.from.is_some_and(|from| from > until) {
            return Err(ScheduleError::Bounds);
        }
        let rule = match &times.rule {
            Rule::Cron(expression) => read_cron(expression, times.timezone.as_deref().unwrap_or("UTC"))?,
            Rule::EveryMs(_) if times.timezone.is_some() => return Err(ScheduleError::TimezoneOfInterval),
            Rule::EveryMs(interval_ms) => {
                if *interval_ms == 0 || interval_ms % 1_000 != 0 || *interval_ms > INTERVAL_MS_MAX {
                    return Err(ScheduleError::Interval { interval_ms: *interval_ms });
                }
                let from = whole_second(times.from.unwrap_or_default());
                Read::Every { interval_ms: interval_ms.cast_signed(), from }
            }
        };
        Ok(Self { rule, from: times.from, until })
    }

    /// The first time later than `after`; `None` when none is left.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let not_before = self.from.map_or(after, |from| after.max(Timestamp(from.0.saturating_sub(1))));
        let next = match &self.rule {
            Read::Cron { cron, zone } => next_of_cron(cron, *zone, not_before)?,
            Read::Every { interval_ms, from } => {
                let gone = i128::from(not_before.0) - i128::from(from.0);
                let steps = (gone.div_euclid(i128::from(*interval_ms)) + 1).max(0);
                let next = i128::from(from.0) + steps * i128::from(*interval_ms);
                Timestamp(i64::try_from(next).ok()?)
            }
        };
        (next <= self.until).then_some(next)
    }

    /// The times from `from` to `to`, both included if they are times.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        let first = self.next_after(Timestamp(from.0.saturating_sub(1)));
        std::iter::successors(first, |time| self.next_after(*time)).take_while(move |time| *time <= to)
    }
}

fn read_cron(expression: &str, timezone: &str) -> Result<Read, ScheduleError> {
    let zone = zone(timezone)?;
    // Longer than any sensible one: what is read is bounded.
    if expression.len() > 512 {
        let why = "it is longer than 512 bytes".to_owned();
        return Err(ScheduleError::Cron { expression: beginning(expression), why });
    }
    let cron: Cron = expression.parse().map_err(|error: croner::errors::CronError| ScheduleError::Cron {
        expression: beginning(expression),
        why: error.to_string().trim_end_matches('.').to_owned(),
    })?;
    match next_of_cron(&cron, zone, Timestamp(0)) {
        None => Err(ScheduleError::Never { expression: expression.to_owned() }),
        Some(_) => Ok(Read::Cron { cron: Box::new(cron), zone }),
    }
}

/// The next time of a cron expression.
fn next_of_cron(cron: &Cron, zone: Tz, after: Timestamp) -> Option<Timestamp> {
    let from: DateTime<Utc> = DateTime::from_timestamp_millis(whole_second(after).0)?;
    // It looks no further than the year 5000, and says so as an error: no time is left then.
    let next = cron.find_next_occurrence(&from.with_timezone(&zone), false).ok()?;
    Some(Timestamp(next.timestamp_millis())).filter(|next| *next > after)
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Calendar");
        match &self.rule {
            Read::Cron { cron, zone } => shown.field("cron", &cron.as_str()).field("zone", &zone.name()),
            Read::Every { interval_ms, .. } => shown.field("interval_ms", interval_ms),
        };
        shown.field("from", &self.from).field("until", &self.until).finish()
    }
}
