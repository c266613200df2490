//! What normally happens: the successes of a step, and what others met with lately.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

use crate::diagnosis::evidence::environment::Endpoint;
use crate::workflow::error::ErrorClass;

/// Successes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Successes {
    /// How many.
    pub count: u64,
    /// The latest.
    pub last_at: Timestamp,
}

/// What a step is like when it succeeds, over the successes that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepStats {
    /// How many successes.
    pub count: u64,
    /// The middle duration, in milliseconds.
    pub median_ms: u64,
    /// The duration that one in twenty exceeds, in milliseconds.
    pub p95_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u64,
    /// The middle size of the input, in bytes.
    pub median_input_bytes: u64,
    /// The largest input, in bytes.
    pub max_input_bytes: u64,
    /// The middle size of the output, in bytes.
    pub median_output_bytes: u64,
    /// The largest output, in bytes.
    pub max_output_bytes: u64,
    /// By worker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_worker: BTreeMap<String, Successes>,
    /// By version of the code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_code_version: BTreeMap<String, Successes>,
    /// The latest success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// Successes that needed more than one attempt.
    #[serde(default)]
    pub after_retry: u64,
}

/// What another attempt did lately: one that named the same host, or failed with the same fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its run.
    pub run: String,
    /// Its workflow.
    pub workflow: String,
    /// Its step.
    pub step: String,
    /// When it ended.
    pub at: Timestamp,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The class of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The endpoint it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The fingerprint of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Its worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The version of its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
    /// The size of its input in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<u64>,
}
