//! Times in queries: points in time, or spans that count back from now.

use chrono::DateTime;
use stepwell::contract::Timestamp;

use crate::problem::Problem;

/// The time that a parameter means: `2h` ago, or `2026-01-31T12:00:00Z`.
///
/// # Errors
/// Says what is expected.
pub(crate) fn read(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    time_of(text, now).ok_or_else(|| {
        Problem::bad(format!(
            "`{name}` is {text:?}; a span like `2h` or `7d`, or a time like `2026-01-31T12:00:00Z`, is expected"
        ))
    })
}

/// The same, where it may be missing.
///
/// # Errors
/// As [`read`].
pub(crate) fn maybe(name: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| read(name, text, now)).transpose()
}

/// The time that a text means; `None` when it means none.
pub(crate) fn time_of(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(span) = humantime::parse_duration(text) {
        let ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        return Some(Timestamp(now.0.saturating_sub(ms)));
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| Timestamp(time.timestamp_millis()))
}
