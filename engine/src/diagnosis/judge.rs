//! From a case to its diagnosis.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::diagnosis::catalogue::{self, UNKNOWN};
use crate::diagnosis::compare;
use crate::diagnosis::evidence::{AttemptEnd, Case};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::fingerprint::{Marks, fingerprint};
use crate::diagnosis::page;
use crate::diagnosis::rules::RULES;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::{Language, Params, Sentence, fill};
use crate::diagnosis::user::{Rules, Told};
use crate::diagnosis::verdict::{
    ACTIONS_MAX, Action, Confidence, Diagnosis, EVIDENCE_MAX, INFERENCE_MAX, RetrySafety,
};
use crate::run::notes::within;
use crate::workflow::error::ErrorClass;
use crate::workflow::policy::Effect;

/// Why it failed, as far as the evidence tells. Total: where no rule knows, the answer is `SW9001` with the facts there are.
///
/// The rules of the program's own go first; one that panics is passed over, and the diagnosis says so. No diagnosis is
/// [`Confidence::High`] without a fact to rest on.
#[must_use]
pub fn diagnose(case: &Case<'_>, own: &Rules) -> Diagnosis {
    let seen = Seen::new(*case);
    let mut panicked = Vec::new();
    for rule in own.iter() {
        match catch_unwind(AssertUnwindSafe(|| rule.diagnose(case))) {
            Ok(Some(told)) => return of_own(&seen, rule.code(), told, panicked),
            Ok(None) => {}
            Err(payload) => {
                // Its destructor is foreign code and may panic in turn; what is lost is a few bytes.
                std::mem::forget(payload);
                panicked.push(told("rule_panicked", &Params::new().with("code", rule.code())));
            }
        }
    }
    let finding = find(&seen).unwrap_or_else(|| Finding::new(UNKNOWN, Confidence::Unknown));
    of_finding(&seen, finding, panicked)
}

/// The first finding that is at least fairly sure, or else the first there is.
fn find(seen: &Seen<'_>) -> Option<Finding> {
    let mut weak = None;
    for rule in RULES {
        let Some(finding) = (rule.find)(seen) else { continue };
        if finding.confidence >= Confidence::Medium {
            return Some(finding);
        }
        weak = weak.or(Some(finding));
    }
    weak
}

fn told(says: &str, params: &Params) -> Sentence {
    let template = catalogue::sentence(says).map_or("", |said| said.text(Language::English));
    Sentence { says: says.to_owned(), params: params.clone(), text: fill(template, params) }
}

fn of_finding(seen: &Seen<'_>, mut finding: Finding, mut inference: Vec<Sentence>) -> Diagnosis {
    let entry = catalogue::entry(finding.code).or_else(|| catalogue::entry(UNKNOWN));
    let entry = entry.expect("a test shows that every rule answers with codes of the catalogue");
    if finding.confidence == Confidence::High && finding.facts.is_empty() {
        finding.confidence = Confidence::Medium;
    }
    let mut said = BTreeSet::new();
    let mut evidence: Vec<Sentence> = Vec::new();
    for (says, params) in finding.facts.iter().chain(&compare::facts(seen)) {
        if evidence.len() < EVIDENCE_MAX
            && said.insert((*says, params.names().count(), format!("{params:?}")))
        {
            evidence.push(told(says, params));
        }
    }
    for (says, params) in finding.inferences.iter().chain(&compare::inferences(seen, finding.code)) {
        if inference.len() < INFERENCE_MAX && !inference.iter().any(|other| other.says == *says) {
            inference.push(told(says, params));
        }
    }
    let retry = if finding.untouched { RetrySafety::Safe } else { retry_safety(seen) };
    let fingerprint = mark(seen, finding.code);
    let mut params = common(seen, &fingerprint, finding.params);
    for name in entry.params {
        // A text never shows the name of a parameter in place of its value.
        if params.get(name).is_none() {
            params.set(name, "?");
        }
    }
    let in_doubt = (retry == RetrySafety::Unsafe).then_some("check_effect");
    let mut says: Vec<&str> = Vec::new();
    for name in in_doubt.into_iter().chain(finding.actions).chain(entry.actions.iter().copied()) {
        if says.len() < ACTIONS_MAX && !says.contains(&name) {
            says.push(name);
        }
    }
    let mut diagnosis = Diagnosis {
        code: entry.code.to_owned(),
        language: Language::English,
        summary: String::new(),
        cause: String::new(),
        confidence: finding.confidence,
        evidence,
        inference,
        actions: says.into_iter().map(|says| action(says, retry)).collect(),
        retry,
        fingerprint,
        docs: page::path(entry.code),
        params,
    };
    diagnosis.tell(Language::English);
    diagnosis
}

/// An action whose texts are still to be told.
fn action(says: &str, retry: RetrySafety) -> Action {
    let helps = catalogue::deed(says).is_some_and(|deed| deed.retry);
    Action {
        says: says.to_owned(),
        text: String::new(),
        command: None,
        safe_to_retry: helps && retry != RetrySafety::Unsafe,
    }
}

fn of_own(seen: &Seen<'_>, code: &str, own: Told, mut inference: Vec<Sentence>) -> Diagnosis {
    let mut evidence: Vec<_> = own.evidence.into_iter().map(Sentence::told).collect();
    let confidence = match own.confidence {
        Confidence::High if evidence.is_empty() => Confidence::Medium,
        other => other,
    };
    evidence.extend(compare::facts(seen).iter().map(|(says, params)| told(says, params)));
    evidence.truncate(EVIDENCE_MAX);
    inference.extend(own.inference.into_iter().map(Sentence::told));
    inference.truncate(INFERENCE_MAX);
    let fingerprint = mark(seen, code);
    let params = common(seen, &fingerprint, Params::new());
    let bounded = |text: &str| within(fill(text, &params), crate::diagnosis::text::TEXT_BYTES_MAX);
    let actions = own.actions.into_iter().take(ACTIONS_MAX).map(|action| Action {
        says: String::new(),
        text: bounded(&action.text),
        command: action.command.as_deref().map(bounded),
        safe_to_retry: action.safe_to_retry,
    });
    Diagnosis {
        code: code.to_owned(),
        language: Language::English,
        summary: bounded(&own.summary),
        cause: bounded(&own.cause),
        confidence,
        evidence,
        inference,
        actions: actions.collect(),
        retry: own.retry.unwrap_or_else(|| retry_safety(seen)),
        fingerprint,
        docs: within(own.docs, crate::diagnosis::text::PARAM_BYTES_MAX),
        params,
    }
}

/// What every diagnosis says of the case at hand.
fn common(seen: &Seen<'_>, fingerprint: &str, mut params: Params) -> Params {
    let step = match seen.step {
        Some(step) => format!("{}{}", step.step, step.item),
        None => seen.run.workflow.clone(),
    };
    params.set("run", &seen.run.run);
    params.set("workflow", &seen.run.workflow);
    params.set("step", step);
    params.set("fingerprint", fingerprint);
    params
}

fn mark(seen: &Seen<'_>, code: &str) -> String {
    let last = seen.failed();
    fingerprint(Marks {
        code,
        class: last.and_then(|last| last.class),
        workflow: &seen.run.workflow,
        step: seen.step.map_or("", |step| &step.step),
        error_code: last.and_then(|last| last.code.as_deref()).unwrap_or_default(),
        text: last.map_or("", |last| if last.message.is_empty() { last.root_text() } else { &last.message }),
        panic_at: last.and_then(|last| last.panic_at.as_deref()).unwrap_or_default(),
    })
}

/// Whether a repetition can do harm: by the step's own word, and by whether its attempt may have had its effect.
fn retry_safety(seen: &Seen<'_>) -> RetrySafety {
    let limits = seen.step.and_then(|step| step.limits).or_else(|| seen.last().and_then(|last| last.limits));
    let Some(limits) = limits else { return RetrySafety::Unknown };
    match (limits.effect.value, seen.last()) {
        (Effect::Pure | Effect::Idempotent, _) | (_, None) => RetrySafety::Safe,
        (Effect::NotIdempotent, Some(last)) => match (last.ended, last.class) {
            (AttemptEnd::Lost(_), _)
            | (
                _,
                Some(
                    ErrorClass::Timeout
                    | ErrorClass::Bug
                    | ErrorClass::LostWorker
                    | ErrorClass::Transient
                    | ErrorClass::Unclassified,
                )
                | None,
            ) => RetrySafety::Unsafe,
            _ => RetrySafety::Unknown,
        },
    }
}

impl Diagnosis {
    /// The same in another language. What a rule of the program's own told stays as it was told.
    #[must_use]
    pub fn in_language(&self, language: Language) -> Self {
        let mut told = self.clone();
        told.tell(language);
        told
    }

    fn tell(&mut self, language: Language) {
        for sentence in self.evidence.iter_mut().chain(&mut self.inference) {
            if let Some(said) = catalogue::sentence(&sentence.says) {
                sentence.text = fill(said.text(language), &sentence.params);
            }
        }
        for action in &mut self.actions {
            if let Some(deed) = catalogue::deed(&action.says) {
                action.text = fill(deed.text(language), &self.params);
                action.command = deed.command.map(|command| fill(command, &self.params));
            }
        }
        if let Some(entry) = catalogue::entry(&self.code) {
            let texts = entry.texts(language);
            self.summary = fill(texts.summary, &self.params);
            self.cause = fill(texts.cause, &self.params);
        }
        self.language = language;
    }
}
