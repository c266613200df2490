//! What a diagnosis says.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnosis::text::{Language, Params, Sentence};

/// Most facts of one diagnosis.
pub const EVIDENCE_MAX: usize = 16;
/// Most inferences of one diagnosis.
pub const INFERENCE_MAX: usize = 8;
/// Most actions of one diagnosis.
pub const ACTIONS_MAX: usize = 8;

/// How sure a diagnosis is of its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Nothing was seen that tells.
    #[default]
    Unknown,
    /// What was seen points there; other causes would look the same.
    Low,
    /// What was seen fits this cause better than any other known.
    Medium,
    /// A fact in the evidence proves it.
    High,
}

impl Confidence {
    /// The word used in journals and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether letting the step run again can do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetrySafety {
    /// It cannot: the step did not begin, or a repetition is harmless by its definition.
    Safe,
    /// It can: the step must not be repeated blindly, and its effect may have happened.
    Unsafe,
    /// Nobody can tell.
    #[default]
    Unknown,
}

/// Something that a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Which action of the catalogue it is; empty when a rule of the user's told it in its own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub says: String,
    /// What.
    pub text: String,
    /// The command that does it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the step may be tried again once it is done, without harm and with hope.
    pub safe_to_retry: bool,
}

/// Why something failed, how sure that is, what it rests on, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Its stable code, such as `SW1203`; with another prefix when a rule of the user's gave it.
    pub code: String,
    /// The language of its texts.
    #[serde(default)]
    pub language: Language,
    /// What happened, in one sentence.
    pub summary: String,
    /// Why, in one sentence.
    pub cause: String,
    /// How sure that is.
    pub confidence: Confidence,
    /// What the engine saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Sentence>,
    /// What seems to follow from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inference: Vec<Sentence>,
    /// What to do, the best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// Whether letting the step run again can do harm.
    pub retry: RetrySafety,
    /// The same for failures of one cause, whatever numbers, ids, paths and hosts they name; never for different codes.
    pub fingerprint: String,
    /// Where the page of its code is, from the root of the documentation; empty when a rule of the user's gave none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
    /// What its texts say of the case at hand.
    #[serde(default, skip_serializing_if = "Params::is_empty")]
    pub params: Params,
}
