//! Why a run is where it is, and what to do, as people read it.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::called::Called;
use crate::output::Words;
use crate::output::words::safe;

/// What is told of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Explanation {
    headline: String,
    since: String,
    until: Option<String>,
    who: String,
    next: String,
    #[serde(default)]
    details: Vec<String>,
    diagnosis: Option<Diagnosis>,
}

/// A diagnosis.
#[derive(Debug, Deserialize)]
pub(crate) struct Diagnosis {
    code: String,
    summary: String,
    cause: String,
    confidence: String,
    #[serde(default)]
    evidence: Vec<String>,
    #[serde(default)]
    inference: Vec<String>,
    #[serde(default)]
    actions: Vec<Action>,
    retry: String,
    #[serde(default)]
    docs: String,
}

#[derive(Debug, Deserialize)]
struct Action {
    text: String,
    command: Option<String>,
}

/// Who can change it, by the word for it.
fn who(word: &str) -> String {
    match word {
        "time" => "time alone changes it".to_owned(),
        "person" => "a person can change it".to_owned(),
        "signal" => "whoever sends the signal changes it".to_owned(),
        "worker" => "a worker changes it".to_owned(),
        "run" => "another run changes it".to_owned(),
        "nobody" => "nothing changes it any more".to_owned(),
        other => format!("{other} can change it"),
    }
}

impl Explanation {
    /// In words, over several lines.
    pub(crate) fn told(&self, words: Words, called: &Called) -> String {
        let mut text = format!("{}\n", self.headline);
        let until =
            self.until.as_ref().map(|until| format!(", until {}", words.time(until))).unwrap_or_default();
        let _ = writeln!(text, "  since {}{until}; {}", words.time(&self.since), who(&self.who));
        let _ = writeln!(text, "  next: {}", self.next);
        for detail in &self.details {
            let _ = writeln!(text, "  - {detail}");
        }
        if let Some(diagnosis) = &self.diagnosis {
            let _ = write!(text, "\n{}", diagnosis.told(called));
        }
        safe(text.trim_end())
    }
}

impl Diagnosis {
    fn told(&self, called: &Called) -> String {
        let mut text = format!("{} {}\n", self.code, self.summary);
        let _ = writeln!(text, "  why: {} ({})", self.cause, self.confidence.replace('_', " "));
        for (label, sentences) in [("seen", &self.evidence), ("suggests", &self.inference)] {
            if !sentences.is_empty() {
                let _ = writeln!(text, "  {label}:");
            }
            for sentence in sentences {
                let _ = writeln!(text, "    - {sentence}");
            }
        }
        if !self.actions.is_empty() {
            text.push_str("  to do:\n");
        }
        for (nth, action) in self.actions.iter().enumerate() {
            let _ = writeln!(text, "    {}. {}", nth + 1, action.text);
            for line in action.command.iter().flat_map(|command| called.paste(command)) {
                let _ = writeln!(text, "         {line}");
            }
        }
        let _ = writeln!(text, "  trying again: {}", self.retry.replace('_', " "));
        if !self.docs.is_empty() {
            let _ = writeln!(text, "  more: {}, or stepwell explain {}", self.docs, self.code);
        }
        text
    }
}
