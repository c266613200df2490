//! What is wrong with a schedule.

use stepwell_contract::{IdError, Name, PayloadError, TenantId};

use crate::error::Error;

/// What is wrong with a schedule. Nothing was changed; mend the schedule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The cron expression cannot be read.
    #[error(
        "{expression:?} is no cron expression: {why}. One that is: {EXAMPLE:?} (minute, hour, day of month, month, day of \
         week: at nine on working days)"
    )]
    Cron {
        /// The expression, or its beginning.
        expression: String,
        /// Where it goes wrong.
        why: String,
    },
    /// No day fits the cron expression.
    #[error("{expression:?} never comes: no day is like that. One that comes: {EXAMPLE:?}")]
    Never {
        /// The expression.
        expression: String,
    },
    /// The time zone is not known.
    #[error("{timezone:?} is no time zone{hint}. Use a name of the IANA database, such as {ZONE:?}")]
    Timezone {
        /// The name, or its beginning.
        timezone: String,
        /// A name that is near, as the end of a sentence.
        hint: String,
    },
    /// An interval has no time zone: it is as long everywhere.
    #[error("an interval has no time zone; `from` sets the time that it is counted from")]
    TimezoneOfInterval,
    /// The interval is not a whole number of seconds of at least one.
    #[error(
        "an interval of {interval_ms} ms is refused: it must be whole seconds, at least one and at most 10 years"
    )]
    Interval {
        /// The interval, in milliseconds.
        interval_ms: u64,
    },
    /// It ends before it begins.
    #[error("it ends before it begins: nothing would ever be started")]
    Bounds,
    /// The jitter or the catch-up window is too long.
    #[error("{what} of {ms} ms is refused: at most {limit_ms} ms")]
    TooLong {
        /// Which of the two.
        what: &'static str,
        /// As given, in milliseconds.
        ms: u64,
        /// The longest, in milliseconds.
        limit_ms: u64,
    },
    /// The name leaves no room for the time in the ids of runs.
    #[error(
        "schedule name {name:?} is refused: it must be at most {limit} bytes, so that run ids can be made of it"
    )]
    Name {
        /// The name.
        name: String,
        /// The longest name, in bytes.
        limit: usize,
    },
    /// A backfill of too many times.
    #[error("the backfill has more than {limit} times; ask for a shorter one")]
    BackfillTooLong {
        /// The most times of one backfill.
        limit: usize,
    },
    /// There is no schedule of that name.
    #[error("there is no schedule {name} of tenant {tenant}")]
    NoSuchSchedule {
        /// The name.
        name: Name,
        /// Whose it would be.
        tenant: TenantId,
    },
    /// There is another schedule of that name. `update` changes it.
    #[error("there is a schedule {name} already, and its {} differ: `update` it, or use another name", .what.join(", "))]
    Conflict {
        /// The name.
        name: Name,
        /// The settings that are not the same.
        what: Vec<&'static str>,
    },
    /// The engine could not do it.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The workflow, tag or queue has no valid name.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The input has no JSON form or is over the limit.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// A cron expression as it should be.
const EXAMPLE: &str = "0 9 * * MON-FRI";
/// A time zone as it should be.
const ZONE: &str = "Europe/Berlin";
