//! Case files: what is known of a run in one document, fit to be attached to a ticket. One model, in two forms: JSON and
//! Markdown.
//!
//! A case file has no secrets that can be told by their form, and none of the values that the workflow and its steps take and
//! give, only their sizes. It is bounded: what is too long is cut in the middle, and it says so.

mod bounds;
mod gather;
mod joint;
mod markdown;
mod outline;
mod secrets;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell_contract::{Status, Timestamp};

use crate::diagnosis::Diagnosis;
use crate::diagnosis::evidence::AttemptRecord;
use crate::observe::audit::Category;
use crate::run::event::LogLevel;

pub use bounds::BYTES_MAX;
pub use gather::{Around, Gathering};
pub use joint::{Joining, JointCaseFile, MEMBERS_MAX, Member, SAMPLES_MAX, TAIL_RECORDS_MAX};

/// The version of the form of case files.
pub const FORMAT: u32 = 1;

/// What is known of a run, in one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseFile {
    /// The version of its form.
    pub format: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// The run.
    pub run: RunShown,
    /// How the run stands, in a few sentences.
    pub what_happened: String,
    /// What it waits for; `None` when it has ended, or when that cannot be told.
    pub waits_for: Option<String>,
    /// Why something failed, the latest first.
    pub diagnoses: Vec<DiagnosisShown>,
    /// The attempts of the steps that failed or are under way.
    pub attempts: Vec<StepAttempts>,
    /// Where the steps are that have begun, those of most interest first: under way, failed, done.
    pub steps: Vec<StepShown>,
    /// What happened, oldest first.
    pub timeline: Timeline,
    /// Where it ran, and where the file was made.
    pub environment: Surroundings,
    /// The limits that somebody set when the run was made, by step, as JSON; all others were the defaults.
    pub limits: Vec<(String, String)>,
    /// The definition as it is registered where the file was made, or else as an engine that has it told of it; `None` when neither is.
    pub definition: Option<DefinitionShown>,
    /// What is not in this file.
    pub left_out: LeftOut,
}

/// A run, as a case file shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunShown {
    /// Its tenant and id.
    pub key: String,
    /// Its workflow.
    pub workflow: String,
    /// The version of that.
    pub workflow_version: u32,
    /// Where it is.
    pub status: Status,
    /// Its queue.
    pub queue: String,
    /// Its priority.
    pub priority: i16,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its head was last written.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it has to have ended.
    pub deadline_at: Option<Timestamp>,
    /// How large its input is.
    pub input_bytes: Option<u64>,
    /// The run that started it.
    pub parent: Option<String>,
    /// How many records its journal has.
    pub records: u64,
}

/// A diagnosis, as a case file shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisShown {
    /// When it was made.
    pub at: Timestamp,
    /// The step; `None` when it is about the run.
    pub place: Option<String>,
    /// The attempt.
    pub attempt: Option<u32>,
    /// The worker that told it when another one had the run already: it says nothing of where the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_by: Option<String>,
    /// What it says.
    pub diagnosis: Diagnosis,
}

/// The attempts of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepAttempts {
    /// The step.
    pub place: String,
    /// Those that have ended, oldest first, shortened.
    pub attempts: Vec<AttemptRecord>,
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepShown {
    /// The step.
    pub place: String,
    /// Where it is.
    pub status: String,
    /// How many attempts were begun.
    pub attempts: u32,
    /// When the latest began.
    pub started_at: Timestamp,
    /// How large its result is.
    pub output_bytes: Option<u64>,
}

/// What happened, oldest first: the beginning and the end of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// The beginning.
    pub first: Vec<TimelineEntry>,
    /// How many entries are left out behind it.
    pub left_out: u64,
    /// The end.
    pub last: Vec<TimelineEntry>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// The place of its record in the journal.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub category: Category,
    /// How much it matters.
    pub level: LogLevel,
    /// Who did it.
    pub actor: String,
    /// What happened.
    pub text: String,
}

/// Where a run ran, and where its file was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Surroundings {
    /// The version of Stepwell that made the file.
    pub engine: String,
    /// The system that it was made on.
    pub system: String,
    /// The host that it was made on.
    pub host: Option<String>,
    /// The worker that made it.
    pub worker: String,
    /// The settings of that engine that bear on how runs go on.
    pub settings: BTreeMap<String, u64>,
    /// The kind of the store.
    pub store: String,
    /// Its identity.
    pub store_id: String,
    /// What an acknowledged write survives.
    pub durability: String,
    /// How the store is; why it could not be asked when it could not.
    pub health: String,
    /// What it says of itself.
    pub facts: BTreeMap<String, String>,
    /// The workers that had the run, the latest first.
    pub workers: Vec<WorkerSeen>,
}

/// A worker that had the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerSeen {
    /// Its name.
    pub worker: String,
    /// When it took the run last.
    pub at: Timestamp,
    /// The fencing token it was given then.
    pub fence: u64,
    /// The version of its code, as its program names it.
    pub code_version: Option<String>,
}

/// A definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionShown {
    /// The workflow's name.
    pub workflow: String,
    /// Its version.
    pub version: u32,
    /// A name for its shape.
    pub fingerprint: String,
    /// That of the definition which the run goes by, where it is another one.
    pub run_fingerprint: Option<String>,
    /// What it consists of, a line for each part, indented.
    pub outline: Vec<String>,
}

/// How much is not in a case file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// Older diagnoses.
    pub diagnoses: u64,
    /// Attempts, and steps with attempts of their own.
    pub attempts: u64,
    /// Steps, items and rounds that have begun.
    pub steps: u64,
    /// Lines of the definition.
    pub outline: u64,
    /// Limits of steps.
    pub limits: u64,
    /// Whether texts, log lines or facts of attempts were cut further than usual.
    pub is_cut: bool,
    /// Why the state of the run is not known, if it is not.
    pub unreadable: Option<String>,
}

impl CaseFile {
    /// The file as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names, numbers and texts have a JSON form")
    }

    /// The file as Markdown (CommonMark). What the run says is escaped: it is shown as text, whatever it holds.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::file(self)
    }
}
