//! One attempt as the ledger keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::diagnosis::evidence::environment::EnvironmentFact;
use crate::run::event::{LogLine, LostReason, Progress};
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;
use crate::workflow::policy::Effective;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// With a result.
    Succeeded,
    /// With an error, a panic or a limit that ran out.
    #[default]
    Failed,
    /// Nobody recorded an end.
    Lost(LostReason),
    /// In the middle of its step, which waits for something.
    Suspended,
}

/// One error of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorLink {
    /// The name of its type, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Its stable name: a code such as `io.not_found`, or the name of an error number such as `ENOSPC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its text.
    #[serde(default)]
    pub text: String,
    /// What it says in fields, such as `status`, `path`, `host`, `line`, `column`, `field`, `detail` (what its type says beyond
    /// its kind: `tls`, `certificate`, `unique_violation`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// One attempt. What the platform or the step did not tell is missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How it ended.
    pub ended: AttemptEnd,
    /// The class of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// How the class was found.
    #[serde(default)]
    pub classified_by: ClassifiedBy,
    /// The code of its failure, such as `io.not_found`, `http.429`, `timeout.attempt` or one that the step chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text of the error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The error and its sources, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<ErrorLink>,
    /// What was going on, in the step's words, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// Where the step gave up, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Where it panicked, as `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_at: Option<String>,
    /// The backtrace of the panic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// The least delay before another attempt that the error named, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// When it began, by the wall clock.
    pub started_at: Timestamp,
    /// When it ended, by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How long it took, by a clock that does not jump, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The limits that held for it, each with who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Effective>,
    /// The worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The host it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The process it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The fencing token of the run's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// The version of the code, as the program names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
    /// The SHA-256 of the input, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_hash: Option<String>,
    /// The size of the input in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<u64>,
    /// The size of the output in bytes, also of one that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// The last cursor, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The last progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When the step last gave a sign of life: progress, a checkpoint, a part, a log line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_of_life_at: Option<Timestamp>,
    /// Who outside said that they had begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outsider: Option<String>,
    /// When someone outside last told of it, before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_at: Option<Timestamp>,
    /// The last lines it logged, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<LogLine>,
    /// Processor time it used, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// The longest it kept its thread without giving it back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_ms: Option<u64>,
    /// The most memory its process held meanwhile, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_peak_bytes: Option<u64>,
    /// What was found out about its surroundings when it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvironmentFact>,
}
