//! What fixtures of rules are made of.

use std::collections::BTreeMap;

use crate::diagnosis::evidence::{
    AttemptEnd, Dossier, Endpoint, EndpointAnswer, EnvironmentFact, ErrorLink, FileKind, LostWorker,
    Neighbour, PathState, StepStats, Successes,
};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::judge::diagnose;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::user::Rules;
use crate::diagnosis::verdict::Confidence;
use crate::run::event::LostReason;
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;
use crate::workflow::links::KIND_TOLD;
use crate::workflow::policy::{Effective, StepPolicy, effective, millis};
use stepwell_contract::Timestamp;

/// The code that a fixture must get, and the fixture.
pub(crate) type Specimens = Vec<(&'static str, Dossier)>;

/// The fixtures of one rule.
#[derive(Debug)]
pub(crate) struct Fixtures {
    pub(crate) rule: &'static str,
    pub(crate) codes: &'static [&'static str],
    /// What it recognises, and as what.
    pub(crate) positives: fn() -> Specimens,
    /// What only looks like it, and what that is in truth.
    pub(crate) decoys: fn() -> Specimens,
    pub(crate) find: fn(&Seen<'_>) -> Option<Finding>,
}

/// What is diagnosed, and how sure that is.
pub(crate) fn told(case: &Dossier) -> (String, Confidence) {
    let diagnosis = diagnose(&case.case(), &Rules::none());
    (diagnosis.code, diagnosis.confidence)
}

/// A failure whose class was found by its type.
pub(crate) fn known(class: ErrorClass, code: &str, message: &str) -> Dossier {
    Dossier::failed(class, Some(code), message)
        .last(|last| last.classified_by = ClassifiedBy::Known("type".to_owned()))
}

/// An error of the standard library whose kind a program chose, with a text of its own.
pub(crate) fn kind_told(code: &str, text: &str) -> Dossier {
    known(ErrorClass::Permanent, code, text).last(|last| {
        let told = link(Some("std::io::Error"), Some(code), &[KIND_TOLD]);
        last.chain = vec![ErrorLink { text: text.to_owned(), ..told }];
    })
}

/// A failure that the engine itself saw.
pub(crate) fn observed(class: ErrorClass, code: &str, message: &str) -> Dossier {
    Dossier::failed(class, Some(code), message).last(|last| last.classified_by = ClassifiedBy::Observed)
}

/// A failure of which there are only words.
pub(crate) fn words(message: &str) -> Dossier {
    Dossier::failed(ErrorClass::Unclassified, None, message)
        .last(|last| last.classified_by = ClassifiedBy::Unclassified)
}

pub(crate) fn limits(attempt_timeout_ms: u64) -> Effective {
    let none = StepPolicy::default();
    effective(&none.attempt_timeout(millis(attempt_timeout_ms)), &none, &none)
}

/// So many attempts that the engine ended at their limit.
pub(crate) fn timed_out(limit_ms: u64, times: u32) -> Dossier {
    observed(ErrorClass::Timeout, "timeout.attempt", "attempt_timeout ran out").times(times, |attempt| {
        attempt.elapsed_ms = Some(limit_ms + 2);
        attempt.started_at = Timestamp(i64::from(attempt.attempt) * 1_000_000);
        attempt.ended_at = Some(attempt.started_at.plus_ms(limit_ms + 2));
        attempt.limits = Some(limits(limit_ms));
    })
}

pub(crate) fn stats(count: u64, median_ms: u64, p95_ms: u64) -> StepStats {
    StepStats { count, median_ms, p95_ms, max_ms: p95_ms, ..StepStats::default() }
}

pub(crate) fn successes(by: &[(&str, u64, i64)]) -> BTreeMap<String, Successes> {
    let each = |(name, count, at): &(&str, u64, i64)| {
        ((*name).to_owned(), Successes { count: *count, last_at: Timestamp(*at) })
    };
    by.iter().map(each).collect()
}

pub(crate) fn folder(path: &str) -> PathState {
    PathState {
        path: path.to_owned(),
        kind: FileKind::Folder,
        mode: Some(0o755),
        owner: Some(0),
        group: Some(0),
        readable: Some(true),
        writable: Some(true),
        executable: Some(true),
    }
}

pub(crate) fn path(path: &str, found: Option<PathState>, parent: &str, similar: &[&str]) -> EnvironmentFact {
    EnvironmentFact::Path {
        path: path.to_owned(),
        found,
        parent: Some(folder(parent)),
        uid: Some(1000),
        similar: similar.iter().map(|name| (*name).to_owned()).collect(),
    }
}

pub(crate) fn endpoint(host: &str, port: u16, answer: EndpointAnswer) -> EnvironmentFact {
    let endpoint = Endpoint { host: host.to_owned(), port: Some(port) };
    EnvironmentFact::Endpoint { endpoint, answer, after_ms: 1 }
}

pub(crate) fn link(type_name: Option<&str>, code: Option<&str>, fields: &[(&str, &str)]) -> ErrorLink {
    ErrorLink {
        type_name: type_name.map(str::to_owned),
        code: code.map(str::to_owned),
        text: "inner".to_owned(),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

/// A step whose workers went away, each in an attempt of its own.
pub(crate) fn lost(worker: LostWorker, times: u32) -> Dossier {
    let mut case = words("").times(times, |attempt| {
        attempt.ended = AttemptEnd::Lost(LostReason::Crash);
        attempt.class = Some(ErrorClass::LostWorker);
        attempt.worker = Some(format!("w{}", attempt.attempt));
    });
    if let Some(step) = &mut case.step {
        step.crashes = times;
    }
    Dossier { lost_worker: Some(worker), ..case }
}

/// Another attempt that named the same endpoint.
pub(crate) fn neighbour(step: &str, run: &str, succeeded: bool, at: &Endpoint) -> Neighbour {
    Neighbour {
        run: run.to_owned(),
        workflow: "order".to_owned(),
        step: step.to_owned(),
        at: Timestamp(10),
        succeeded,
        class: None,
        code: None,
        endpoint: Some(at.clone()),
        fingerprint: None,
        worker: None,
        code_version: None,
        input_bytes: None,
    }
}
