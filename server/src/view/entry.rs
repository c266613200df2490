//! What happened to runs, entry by entry, as it is shown.

use serde::{Deserialize, Serialize};
use stepwell::FoundEvent;
use stepwell::observe::audit::AuditEntry;
use utoipa::ToSchema;

use crate::view::{Time, time, word};

/// One thing that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// The place of its record in the journal.
    pub seq: u64,
    /// Which entry of that record, from 0: a record of log lines has one for each line.
    pub nth: u32,
    /// When it happened.
    pub at: Time,
    /// What it is, such as `attempt_failed`; `logged` for a log line.
    pub kind: String,
    /// What it is about: `state`, `step`, `operator`, `store`, `validation`, `performance`, `error` or `consistency`.
    pub category: String,
    /// How much it matters: `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The step, as in `pack` or `pack[2]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who did it; the engine, where nobody asked.
    pub actor: String,
    /// The code of the diagnosis, or else of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, in a sentence, or what the line says: without secrets.
    pub text: String,
}

/// An entry with the run that it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundEntry {
    /// The run.
    pub run: String,
    /// Whose it is.
    pub tenant: String,
    /// Its workflow.
    pub workflow: String,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}

impl Entry {
    /// The view of an entry.
    #[must_use]
    pub fn of(entry: AuditEntry) -> Self {
        Self {
            seq: entry.seq.0,
            nth: entry.nth,
            at: time(entry.at),
            kind: entry.kind,
            category: entry.category.to_string(),
            level: word(&entry.level).unwrap_or_default(),
            step: entry.place.as_ref().map(ToString::to_string),
            attempt: entry.attempt,
            actor: entry.actor.to_string(),
            code: entry.code,
            text: entry.text,
        }
    }
}

impl FoundEntry {
    /// The view of an entry that was found.
    #[must_use]
    pub fn of(found: FoundEvent) -> Self {
        Self {
            run: found.run.run.to_string(),
            tenant: found.run.tenant.to_string(),
            workflow: found.workflow.to_string(),
            entry: Entry::of(found.entry),
        }
    }
}
