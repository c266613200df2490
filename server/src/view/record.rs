//! The history of a run: what happened, and the records that say so.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::contract::Record;
use stepwell::observe::values::without_secrets;
use utoipa::ToSchema;

use crate::view::entry::Entry;
use crate::view::{Time, time};

/// One thing that happened to a run, with its record where that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its record; of several entries of one record, the first on the page has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RawRecord>,
}

/// A record as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RawRecord {
    /// Its place in the journal.
    pub seq: u64,
    /// What sort of event it is.
    pub kind: String,
    /// When it happened.
    pub at: Time,
    /// The version of the payload's form.
    pub format: u16,
    /// The event.
    #[schema(value_type = serde_json::Value)]
    pub payload: Box<RawValue>,
}

impl RawRecord {
    /// The view of a record, with secrets or without.
    #[must_use]
    pub fn of(record: &Record, with_secrets: bool) -> Self {
        let payload = match with_secrets {
            true => record.payload.clone(),
            false => without_secrets(&record.payload),
        };
        Self {
            seq: record.seq.0,
            kind: record.kind.as_str().to_owned(),
            at: time(record.at),
            format: record.format,
            payload: payload.raw().to_owned(),
        }
    }
}
