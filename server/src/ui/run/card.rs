//! Why a run failed, is held or does not move: the diagnosis with what it rests on and what to do, or the one reason.

use stepwell::Verb;
use stepwell::diagnosis::{Confidence, Diagnosis, RetrySafety};
use stepwell::observe::explain::{Explanation, Who};

use crate::ui::page::Page;
use crate::ui::run::header::{Button, button};
use crate::ui::run::sight::Sight;
use crate::ui::run::words::RunWords;
use crate::view::Time;

/// A diagnosis as its page shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Card {
    pub(crate) code: String,
    /// The page of the code; none for codes of the user's own.
    pub(crate) code_href: Option<String>,
    pub(crate) summary: String,
    pub(crate) cause: String,
    pub(crate) confidence: &'static str,
    pub(crate) confidence_name: &'static str,
    pub(crate) evidence: Vec<String>,
    pub(crate) inference: Vec<String>,
    pub(crate) deeds: Vec<DeedShown>,
    pub(crate) retry: &'static str,
    pub(crate) retry_name: &'static str,
    /// The step it is about, with its attempt, and where both are shown.
    pub(crate) step: Option<(String, String)>,
    /// The other runs that failed alike.
    pub(crate) group_href: String,
    pub(crate) at: Option<Time>,
}

/// Something to do about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeedShown {
    pub(crate) text: String,
    pub(crate) command: Option<String>,
    pub(crate) button: Option<Button>,
}

impl Card {
    pub(crate) fn of(p: &Page, w: &'static RunWords, sight: &Sight, said: &Diagnosis) -> Self {
        let diagnosis = said.in_language(p.language);
        let told = sight.last("diagnosed");
        let (place, attempt) = match &told {
            Some((_, stepwell::run::event::Event::Diagnosed(found))) => (found.place.clone(), found.attempt),
            _ => (None, None),
        };
        let step = place.map(|place| place.to_string()).or_else(|| sight.trouble_at());
        let steps = p.run_href(&sight.run.tenant, &sight.run.run, "/steps");
        let number = attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
        let href = |step: &str| {
            crate::ui::run::header::with_query(steps.clone(), &[("step", step), ("attempt", &number)])
        };
        let deeds = diagnosis.actions.iter().map(|action| DeedShown {
            text: action.text.clone(),
            command: action.command.clone(),
            button: verb_of(&action.says).map(|verb| {
                button(
                    p,
                    w,
                    sight,
                    verb,
                    if verb.is_about_a_step() { step.as_deref().unwrap_or_default() } else { "" },
                )
            }),
        });
        Self {
            code_href: diagnosis.code.starts_with("SW").then(|| p.code_href(&diagnosis.code)),
            confidence: confidence_word(diagnosis.confidence, w),
            confidence_name: diagnosis.confidence.as_str(),
            evidence: diagnosis.evidence.iter().map(|fact| fact.text.clone()).collect(),
            inference: diagnosis.inference.iter().map(|said| said.text.clone()).collect(),
            deeds: deeds.collect(),
            retry: match diagnosis.retry {
                RetrySafety::Safe => w.retry_safe,
                RetrySafety::Unsafe => w.retry_unsafe,
                RetrySafety::Unknown => w.retry_unknown,
            },
            retry_name: match diagnosis.retry {
                RetrySafety::Safe => "safe",
                RetrySafety::Unsafe => "unsafe",
                RetrySafety::Unknown => "unknown",
            },
            step: step.as_deref().map(|step| (step.to_owned(), href(step))),
            group_href: p.group_href(&diagnosis.fingerprint),
            at: told.map(|(record, _)| p.at(&record.at)),
            code: diagnosis.code,
            summary: diagnosis.summary,
            cause: diagnosis.cause,
        }
    }
}

/// The verb that does what an action of the catalogue says.
fn verb_of(says: &str) -> Option<Verb> {
    match says {
        "retry" | "wait_and_retry" => Some(Verb::Retry),
        "resume" => Some(Verb::Resume),
        "edit_input" => Some(Verb::EditInput),
        "check_effect" => Some(Verb::SetOutput),
        _ => None,
    }
}

fn confidence_word(confidence: Confidence, w: &RunWords) -> &'static str {
    match confidence {
        Confidence::High => w.confidence_high,
        Confidence::Medium => w.confidence_medium,
        Confidence::Low => w.confidence_low,
        Confidence::Unknown => w.confidence_unknown,
    }
}

/// Why a run is where it is, as its page shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reason {
    pub(crate) headline: String,
    pub(crate) since: Time,
    pub(crate) until: Option<Time>,
    pub(crate) who: &'static str,
    pub(crate) next: String,
    pub(crate) details: Vec<String>,
}

impl Reason {
    pub(crate) fn of(p: &Page, w: &RunWords, found: &Explanation) -> Self {
        let found = found.in_language(p.language);
        Self {
            headline: found.headline.clone(),
            since: p.at(&found.since),
            until: found.until.map(|at| p.at(&at)),
            who: match found.who {
                Who::Time => w.who_time,
                Who::Person => w.who_person,
                Who::Signal => w.who_signal,
                Who::Worker => w.who_worker,
                Who::Run => w.who_run,
                Who::Nobody => w.who_nobody,
            },
            next: found.next.clone(),
            details: found.details.clone(),
        }
    }
}
