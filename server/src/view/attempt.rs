//! One attempt of a step, with what was seen of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stepwell::diagnosis::evidence::{AttemptEnd, AttemptRecord, ErrorLink};
use stepwell::run::event::LogLine;
use stepwell::run::state::StepState;
use utoipa::ToSchema;

use crate::view::{Time, time, word};

/// One attempt of a step. What nobody told is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Which, from 1.
    pub attempt: u32,
    /// How it ended: `succeeded`, `failed`, `lost`, `suspended` (in the middle of its step, which waits for something); `running` as
    /// long as it has not.
    pub ended: String,
    /// Why nobody recorded an end, when it was lost: `crash`, `shutdown` or `stopped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// The class of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How the class was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classified_by: Option<String>,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text of the error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The error and its sources, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<AttemptError>,
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
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// How long it took, by a clock that does not jump, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// The limits that held for it, by name, each with its `value` and who set it (`from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub limits: Option<Value>,
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
    /// How far it said last that it was, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// What it said it was at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When it last gave a sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_of_life_at: Option<Time>,
    /// Who outside said that they had begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outsider: Option<String>,
    /// When someone outside last told of it, before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_at: Option<Time>,
    /// The last lines it logged, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<AttemptLine>,
    /// Processor time it used, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// The longest it kept its thread without giving it back, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_ms: Option<u64>,
    /// The most memory its process held meanwhile, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_peak_bytes: Option<u64>,
    /// What was found out about its surroundings when it failed: each fact under the word for its kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub environment: Vec<Value>,
}

/// One error of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptError {
    /// The name of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Its stable name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its text.
    pub text: String,
    /// What it says in fields, such as `status`, `path`, `host`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// A line that an attempt logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptLine {
    /// When.
    pub at: Time,
    /// How much it matters: `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What it says.
    pub text: String,
}

impl Attempt {
    /// The view of an attempt that has ended.
    #[must_use]
    pub fn of(record: AttemptRecord) -> Self {
        let (ended, lost) = match record.ended {
            AttemptEnd::Succeeded => ("succeeded", None),
            AttemptEnd::Failed => ("failed", None),
            AttemptEnd::Lost(why) => ("lost", word(&why)),
            AttemptEnd::Suspended => ("suspended", None),
        };
        let is_failure = record.class.is_some();
        let (fraction, note) = match record.progress {
            Some(progress) => (Some(progress.fraction), progress.note),
            None => (None, String::new()),
        };
        Self {
            attempt: record.attempt,
            ended: ended.to_owned(),
            lost,
            class: record.class.as_ref().and_then(word),
            classified_by: is_failure.then(|| word(&record.classified_by)).flatten(),
            code: record.code,
            message: record.message,
            chain: record.chain.into_iter().map(AttemptError::of).collect(),
            context: record.context,
            location: record.location,
            panic_at: record.panic_at,
            backtrace: record.backtrace,
            retry_after_ms: record.retry_after_ms,
            started_at: time(record.started_at),
            ended_at: record.ended_at.map(time),
            elapsed_ms: record.elapsed_ms,
            limits: record.limits.and_then(|limits| serde_json::to_value(limits).ok()),
            worker: record.worker,
            host: record.host,
            pid: record.pid,
            fence: record.fence,
            code_version: record.code_version,
            input_hash: record.input_hash,
            input_bytes: record.input_bytes,
            output_bytes: record.output_bytes,
            cursor: record.cursor,
            fraction,
            note,
            sign_of_life_at: record.sign_of_life_at.map(time),
            outsider: record.outsider,
            word_at: record.word_at.map(time),
            log_tail: record.log_tail.into_iter().map(AttemptLine::of).collect(),
            cpu_ms: record.cpu_ms,
            blocked_ms: record.blocked_ms,
            rss_peak_bytes: record.rss_peak_bytes,
            environment: record
                .environment
                .iter()
                .filter_map(|fact| serde_json::to_value(fact).ok())
                .collect(),
        }
    }

    /// The view of an attempt that has not ended, of which this is known already.
    #[must_use]
    pub fn running(step: &StepState, known: Option<AttemptRecord>) -> Self {
        let record = AttemptRecord {
            attempt: step.attempt,
            started_at: step.started_at,
            ended_at: None,
            elapsed_ms: None,
            progress: step.progress.clone(),
            outsider: step.outsider.as_ref().map(|begun| begun.by.name.clone()),
            ..known.unwrap_or_default()
        };
        Self { ended: "running".to_owned(), ..Self::of(record) }
    }
}

impl AttemptError {
    fn of(link: ErrorLink) -> Self {
        Self { type_name: link.type_name, code: link.code, text: link.text, fields: link.fields }
    }
}

impl AttemptLine {
    fn of(line: LogLine) -> Self {
        Self { at: time(line.at), level: word(&line.level).unwrap_or_default(), text: line.text }
    }
}
