//! The ids of the runs that a schedule starts: made of its name and the time, so that a time is started once.

use chrono::{DateTime, NaiveDateTime};
use stepwell_contract::limits::ID_BYTES_MAX;
use stepwell_contract::{IdError, Name, RunId, Timestamp};

use crate::schedule::error::ScheduleError;

/// How a time is written in the id of a run, in UTC.
const FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// `-` and a time in that form.
const TIME_BYTES: usize = 17;
/// The longest id of a trigger.
const TRIGGER_BYTES_MAX: usize = 48;
/// What stands before the id of a trigger.
const BY: &str = "-by-";

/// The longest name of a schedule, in bytes.
pub const NAME_BYTES_MAX: usize = ID_BYTES_MAX - TRIGGER_BYTES_MAX - BY.len();

/// The name of a schedule.
pub(super) fn schedule_name(name: &str) -> Result<Name, ScheduleError> {
    if name.len() > NAME_BYTES_MAX {
        let name = name.chars().take(120).collect();
        return Err(ScheduleError::Name { name, limit: NAME_BYTES_MAX });
    }
    Ok(Name::new(name)?)
}

/// The run that a schedule starts for a time: `NAME-20300131T090000Z`.
#[must_use]
pub fn run_of(schedule: &Name, time: Timestamp) -> RunId {
    let written = DateTime::from_timestamp_millis(time.0).unwrap_or_default().format(FORMAT);
    RunId::new(format!("{schedule}-{written}"))
        .expect("a schedule's name leaves room for a time, and both are made of what ids are made of")
}

/// The run that a schedule starts because someone asked for one: `NAME-by-ID`.
///
/// # Errors
/// [`IdError`] when the id is not one or too long.
pub fn run_by(schedule: &Name, id: &str) -> Result<RunId, IdError> {
    RunId::new(format!("{schedule}{BY}{id}"))
}

/// The time that a schedule started this run for; `None` when it was started otherwise. A step asks with
/// [`ctx.run_id()`](crate::StepContext::run_id): the run may begin later than that.
///
/// ```
/// use stepwell::contract::{RunId, Timestamp};
/// use stepwell::schedule::time_of;
///
/// let run = RunId::new("nightly-20300101T120000Z").unwrap();
/// assert_eq!(time_of(&run), Some(Timestamp(1_893_499_200_000)));
/// ```
#[must_use]
pub fn time_of(run: &RunId) -> Option<Timestamp> {
    let id = run.as_str();
    let (name, written) = id.split_at_checked(id.len().checked_sub(TIME_BYTES - 1)?)?;
    name.strip_suffix('-').filter(|name| !name.is_empty())?;
    let time = NaiveDateTime::parse_from_str(written, FORMAT).ok()?;
    Some(Timestamp(time.and_utc().timestamp_millis()))
}
