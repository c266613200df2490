//! A labelled case, and what an engine said of it.

use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::diagnosis::{Confidence, Diagnosis};

use crate::harness::faults::lab::Lab;
use crate::harness::faults::surroundings::Surroundings;

/// What sort of case it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// A fault, brought about for real wherever the machine allows.
    Fault,
    /// The same sorts of faults in other words and with error types that the rules' fixtures do not have.
    Wording,
    /// A failure that only resembles a fault.
    Decoy,
}

impl Sort {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Wording => "wording",
            Self::Decoy => "decoy",
        }
    }
}

/// What runs a case: an engine of its own with steps of its own.
pub type Play = fn(Lab) -> Pin<Box<dyn Future<Output = Result<Outcome, String>>>>;

/// A fault with its label.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What sort it is.
    pub sort: Sort,
    /// The codes that are right, the best first.
    pub codes: &'static [&'static str],
    /// The action, by its name in the catalogue, that has to be among those recommended; empty: any.
    pub action: &'static str,
    /// Where it is run.
    pub surroundings: Surroundings,
    /// Whether it is so quick that it is run a second time, without probes, for its time.
    pub is_quick: bool,
    /// What it does.
    pub play: Play,
}

/// `NAME => SORT [CODES] "action" …, |lab| async body`: a table of cases.
#[macro_export]
macro_rules! cases {
    ($($(#[$quick:ident])? $name:ident: $sort:ident [$($code:literal),+] $action:literal $(in $surroundings:ident)?, $play:expr;)*) => {
        &[$($crate::harness::faults::case::Case {
            name: stringify!($name),
            sort: $crate::harness::faults::case::Sort::$sort,
            codes: &[$($code),+],
            action: $action,
            surroundings: {
                #[allow(unused_mut, unused_assignments)]
                let mut place = $crate::harness::faults::surroundings::Surroundings::Here;
                $(place = $crate::harness::faults::surroundings::Surroundings::$surroundings;)?
                place
            },
            is_quick: [false $(, stringify!($quick).len() == 5)?].len() == 2,
            play: |lab| Box::pin(async move {
                let play = $play;
                play(lab).await
            }),
        }),*]
    };
}

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the engine said; nothing when it said nothing.
    pub diagnosis: Option<Diagnosis>,
    /// From the end of the last attempt until the run was at rest with its diagnosis, where that was measured.
    pub took: Option<Duration>,
    /// How long the engine's judgement of the kept attempts takes, without gathering, writing and waiting.
    pub judging: Option<Duration>,
    /// What stood in for a real fault that this machine does not allow.
    pub stand_in: Option<String>,
}

/// An outcome beside its label: what a child tells its parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    /// The case.
    pub name: String,
    /// The code that was said; `none` without a diagnosis, `broken` when the case could not be run.
    pub code: String,
    /// How sure it was.
    pub confidence: Confidence,
    /// The actions, by name.
    pub actions: Vec<String>,
    /// All of it, for whoever has to find out why it is wrong.
    pub text: String,
    /// How long it took from the end of the attempt, in microseconds.
    pub took_us: Option<u64>,
    /// How long judging alone took, in microseconds.
    pub judging_us: Option<u64>,
    /// What stood in for a real fault.
    pub stand_in: Option<String>,
}

impl Judged {
    /// The outcome of a case in short.
    #[must_use]
    pub fn of(case: &Case, outcome: Result<Outcome, String>) -> Self {
        let name = case.name.to_owned();
        let empty = Self {
            name,
            code: "broken".to_owned(),
            confidence: Confidence::Unknown,
            actions: Vec::new(),
            text: String::new(),
            took_us: None,
            judging_us: None,
            stand_in: None,
        };
        match outcome {
            Err(why) => Self { text: why, ..empty },
            Ok(Outcome { diagnosis: None, stand_in, .. }) => {
                Self { code: "none".to_owned(), stand_in, ..empty }
            }
            Ok(Outcome { diagnosis: Some(diagnosis), took, judging, stand_in }) => Self {
                code: diagnosis.code.clone(),
                confidence: diagnosis.confidence,
                actions: diagnosis.actions.iter().map(|action| action.says.clone()).collect(),
                text: told(&diagnosis),
                took_us: took.map(micros),
                judging_us: judging.map(micros),
                stand_in,
                ..empty
            },
        }
    }

    /// Whether the code and the action are those of the label.
    #[must_use]
    pub fn is_right(&self, case: &Case) -> bool {
        let has_action = case.action.is_empty() || self.actions.iter().any(|action| action == case.action);
        self.has_right_code(case) && has_action
    }

    /// Whether the code is one of the label's.
    #[must_use]
    pub fn has_right_code(&self, case: &Case) -> bool {
        case.codes.contains(&self.code.as_str())
    }

    /// Whether it is wrong and says that it is proven.
    #[must_use]
    pub fn is_wrong_and_sure(&self, case: &Case) -> bool {
        !self.has_right_code(case) && self.confidence == Confidence::High
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn told(diagnosis: &Diagnosis) -> String {
    let said = |what: &str, texts: Vec<&str>| format!("{what}: {}", texts.join(" | "));
    let evidence = diagnosis.evidence.iter().map(|sentence| sentence.text.as_str()).collect();
    let inference = diagnosis.inference.iter().map(|sentence| sentence.text.as_str()).collect();
    format!("{} [{}; {}]", diagnosis.summary, said("facts", evidence), said("inferred", inference))
}
