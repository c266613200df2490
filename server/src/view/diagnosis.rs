//! Why something failed, how sure that is, what it rests on, and what to do.

use serde::{Deserialize, Serialize};
use stepwell::diagnosis::{Action as Told, Diagnosis as Verdict, Sentence};
use utoipa::ToSchema;

use crate::view::word;

/// A diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// Its stable code; `stepwell explain CODE` tells more.
    #[schema(example = "SW1203")]
    pub code: String,
    /// The language of its texts: `en` or `ja`.
    pub language: String,
    /// What happened, in one sentence.
    pub summary: String,
    /// Why, in one sentence.
    pub cause: String,
    /// How sure that is: `unknown`, `low`, `medium` or `high`.
    pub confidence: String,
    /// What the engine saw.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What seems to follow from it.
    #[serde(default)]
    pub inference: Vec<String>,
    /// What to do, the best first.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Whether letting the step run again can do harm: `safe`, `unsafe` or `unknown`.
    pub retry: String,
    /// The failure group.
    pub group: String,
    /// Where the page of its code is, from the root of the documentation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
}

/// Something that a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    /// What.
    pub text: String,
    /// The command that does it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the step may be tried again once it is done, without harm and with hope.
    pub safe_to_retry: bool,
}

impl Diagnosis {
    /// The view of it.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        let texts = |sentences: &[Sentence]| sentences.iter().map(|sentence| sentence.text.clone()).collect();
        Self {
            code: verdict.code.clone(),
            language: verdict.language.to_string(),
            summary: verdict.summary.clone(),
            cause: verdict.cause.clone(),
            confidence: verdict.confidence.to_string(),
            evidence: texts(&verdict.evidence),
            inference: texts(&verdict.inference),
            actions: verdict.actions.iter().map(Action::of).collect(),
            retry: word(&verdict.retry).unwrap_or_default(),
            group: verdict.fingerprint.clone(),
            docs: verdict.docs.clone(),
        }
    }
}

impl Action {
    fn of(told: &Told) -> Self {
        Self { text: told.text.clone(), command: told.command.clone(), safe_to_retry: told.safe_to_retry }
    }
}
