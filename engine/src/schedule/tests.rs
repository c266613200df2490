//! The pure part of schedules.

mod keeper;
mod policies;
mod times;

use chrono::DateTime;
use stepwell_contract::{Name, Timestamp};

use crate::schedule::Schedule;
use crate::schedule::calendar::Calendar;
use crate::schedule::times::Times;

/// A time as people write it.
fn at(text: &str) -> Timestamp {
    Timestamp(DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis())
}

/// Times as people write them, in UTC.
fn said(times: impl IntoIterator<Item = Timestamp>) -> Vec<String> {
    let shown = times.into_iter().map(|time| DateTime::from_timestamp_millis(time.0).expect("a time"));
    shown.map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string()).collect()
}

fn cron(expression: &str, zone: &str) -> Calendar {
    Schedule::cron(expression).timezone(zone).calendar().expect("sound times")
}

fn schedule(times: Times) -> Schedule {
    times.starts("report", &()).expect("a sound schedule")
}

fn name() -> Name {
    Name::new("nightly").expect("a name")
}
