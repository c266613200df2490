//! What is shown, as JSON with a stable form: names and meanings stay, and what is new is added.
//!
//! Times are RFC 3339 in UTC, spans are milliseconds, and values of runs are passed through as they are stored.

pub mod attempt;
pub mod code;
pub mod deed;
pub mod diagnosis;
pub mod entry;
pub mod explanation;
pub mod graph;
pub mod group;
pub mod issue;
pub mod outside;
pub mod overview;
pub mod preview;
pub mod progress;
pub mod queue;
pub mod record;
pub mod run;
pub mod schedule;
pub mod selection;
pub mod stats;
pub mod step;
pub mod store;
pub mod unfinished;
pub mod worker;
pub mod workflow;

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stepwell::contract::Timestamp;
use utoipa::ToSchema;

/// The beginning of the year 0 and the end of the year 9999, between which RFC 3339 has a form for a time.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

/// A point in time, shown with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-01-31T12:00:00.000Z")]
pub struct Time(pub DateTime<Utc>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        DateTime::deserialize(from).map(Self)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins: give it as `cursor`. A page may have fewer items than asked for, even none, and a next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A stored time as it is shown; one that has no form in RFC 3339 is shown as the nearest that has.
#[must_use]
pub fn time(at: Timestamp) -> Time {
    Time(DateTime::from_timestamp_millis(at.0.clamp(FIRST_MS, LAST_MS)).unwrap_or_default())
}

/// A number of things, as it is shown.
pub(crate) fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

/// The word that something serializes as.
pub(crate) fn word<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value).ok()? {
        serde_json::Value::String(word) => Some(word),
        serde_json::Value::Object(tagged) => tagged.into_iter().next().map(|(word, _)| word),
        _ => None,
    }
}
