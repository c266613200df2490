//! What is wrong with what the store holds, as it is shown, and how it is mended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell::{Fitness, PlannedWrite, RepairReport, RunCheck};
use utoipa::ToSchema;

use crate::view::group::RunName;
use crate::view::run::RunStatus;
use crate::view::{Time, count, time, word};

/// Something that is wrong with a run, or with what the engine keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Issue {
    /// Names it: the same at each look.
    pub issue: String,
    /// What sort of issue it is.
    #[schema(example = "head_differs")]
    pub kind: String,
    /// How bad it is: `warning`, `error` or `critical`.
    pub severity: String,
    /// Which run it is about.
    pub run: String,
    /// Whose that is.
    pub tenant: String,
    /// What of the run it is about: a field, a record, a step, another run.
    pub about: String,
    /// In one sentence.
    pub summary: String,
    /// What was seen, by name.
    pub facts: BTreeMap<String, String>,
    /// What to do about it.
    pub recommendation: String,
    /// How a repair mends it; missing when that is for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// What a page of runs came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Findings {
    /// What is wrong.
    pub issues: Vec<Issue>,
    /// How many runs were looked at.
    pub looked_at: u64,
    /// Runs that were written to all the time: nothing is known of them. Look again.
    pub moving: Vec<RunName>,
    /// Where the next page begins: give it as `cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What a repair came to, or would come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Repair {
    /// The issue as it was seen again.
    pub issue: Issue,
    /// Whether it was written.
    pub applied: bool,
    /// What was written, or would be, in this order.
    pub writes: Vec<Write>,
}

/// One write of a repair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Write {
    /// The run that is written to.
    pub run: String,
    /// Whose that is.
    pub tenant: String,
    /// The fields of its head that change.
    pub head: BTreeMap<String, Change>,
    /// What is added to its journal.
    pub records: Vec<WrittenRecord>,
    /// How many messages are put into its inbox.
    pub messages: u64,
}

/// A field that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// What it is.
    pub before: serde_json::Value,
    /// What it becomes.
    pub after: serde_json::Value,
}

/// A record that is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrittenRecord {
    /// Its place.
    pub seq: u64,
    /// What it is.
    pub kind: String,
    /// When.
    pub at: Time,
}

/// How the workflows registered here stand to the runs that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// How many runs would go on.
    pub fine: u64,
    /// How many need a migration.
    pub needs_migration: u64,
    /// How many could not go on.
    pub blocked: u64,
    /// Whether all runs that have not ended were looked at.
    pub is_complete: bool,
    /// The runs that are not fine, the newest first.
    pub runs: Vec<CheckedRun>,
}

/// A run that would not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckedRun {
    /// The run.
    pub run: String,
    /// Whose it is.
    pub tenant: String,
    /// Its workflow.
    pub workflow: String,
    /// The version of that workflow.
    pub version: u32,
    /// Where it is.
    pub status: RunStatus,
    /// `needs_migration` or `blocked`.
    pub is: String,
    /// Why, in a sentence.
    pub why: String,
}

impl Issue {
    /// The view of an issue.
    #[must_use]
    pub fn of(issue: &stepwell::Issue) -> Self {
        Self {
            issue: issue.fingerprint(),
            kind: issue.kind.to_string(),
            severity: issue.severity.to_string(),
            run: issue.run.run.to_string(),
            tenant: issue.run.tenant.to_string(),
            about: issue.about.clone(),
            summary: issue.summary.clone(),
            facts: issue.facts.clone(),
            recommendation: issue.recommendation.clone(),
            mend: issue.mend.as_ref().and_then(word),
        }
    }
}

impl Repair {
    /// The view of a report.
    #[must_use]
    pub fn of(report: RepairReport) -> Self {
        Self {
            issue: Issue::of(&report.issue),
            applied: report.applied,
            writes: report.writes.into_iter().map(Write::of).collect(),
        }
    }
}

impl Write {
    fn of(write: PlannedWrite) -> Self {
        let changes = write.head.into_iter();
        Self {
            run: write.run.run.to_string(),
            tenant: write.run.tenant.to_string(),
            head: changes.map(|(name, (before, after))| (name, Change { before, after })).collect(),
            records: write
                .records
                .iter()
                .map(|record| WrittenRecord {
                    seq: record.seq.0,
                    kind: record.kind.as_str().to_owned(),
                    at: time(record.at),
                })
                .collect(),
            messages: count(write.messages.len()),
        }
    }
}

impl Check {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new() -> Self {
        Self { fine: 0, needs_migration: 0, blocked: 0, is_complete: false, runs: Vec::new() }
    }

    /// Takes in what was found about a run.
    pub fn add(&mut self, check: &RunCheck) {
        let is = match check.fitness {
            Fitness::Fine { .. } => {
                self.fine += 1;
                return;
            }
            Fitness::NeedsMigration { .. } => {
                self.needs_migration += 1;
                "needs_migration"
            }
            Fitness::Blocked { .. } => {
                self.blocked += 1;
                "blocked"
            }
        };
        self.runs.push(CheckedRun {
            run: check.key.run.to_string(),
            tenant: check.key.tenant.to_string(),
            workflow: check.workflow.name.to_string(),
            version: check.workflow.version,
            status: check.status.into(),
            is: is.to_owned(),
            why: check.fitness.to_string(),
        });
    }
}

impl Default for Check {
    fn default() -> Self {
        Self::new()
    }
}
