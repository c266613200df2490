//! What attempts in this process met with lately: the last [`KEPT_MAX`] at the endpoints that their errors named, and the last as
//! many failures that named none.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use stepwell_contract::{RunKey, Timestamp};

use crate::diagnosis::evidence::{Endpoint, EndpointAnswer, EnvironmentFact, Neighbour};
use crate::diagnosis::fingerprint::{Marks, fingerprint};
use crate::lock::lock;
use crate::run::place::Place;
use crate::run::seen::Seen;
use crate::workflow::failure::Failure;

/// How many of each sort are kept.
const KEPT_MAX: usize = 64;
/// Older than this says nothing of now, in milliseconds.
const AGE_MAX_MS: u64 = 15 * 60_000;

/// What attempts met with lately.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    /// What named an endpoint.
    kept: Mutex<VecDeque<Neighbour>>,
    /// Failures that named none, apart: many of one step must not push the others out.
    unplaced: Mutex<VecDeque<Neighbour>>,
    /// Spares whoever succeeds the lock, as long as nothing has failed at an endpoint.
    is_any: AtomicBool,
}

/// Whose attempt it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) key: &'a RunKey,
    pub(crate) workflow: &'a str,
    pub(crate) place: &'a Place,
    pub(crate) worker: &'a str,
    pub(crate) at: Timestamp,
}

impl Lately {
    /// Takes a failure in.
    pub(crate) fn failed(&self, of: Of<'_>, failure: &Failure, seen: &Seen) {
        let endpoint = endpoint(&seen.environment);
        let marks = Marks {
            class: Some(failure.class),
            error_code: failure.code.as_deref().unwrap_or_default(),
            text: &failure.message,
            panic_at: seen.panic_at.as_deref().unwrap_or_default(),
            ..Marks::of_step(of.workflow, of.place.step.as_str())
        };
        let failed = Neighbour {
            class: Some(failure.class),
            code: failure.code.clone(),
            endpoint: endpoint.cloned(),
            fingerprint: Some(fingerprint(marks)),
            code_version: seen.code_version.clone(),
            input_bytes: seen.input_bytes,
            ..neighbour(of, false)
        };
        match endpoint {
            Some(_) => {
                self.is_any.store(true, Ordering::Release);
                keep(&self.kept, failed);
            }
            None => keep(&self.unplaced, failed),
        }
    }

    /// Takes a success in, of a step that failed lately: it has reached the same endpoint.
    pub(crate) fn succeeded(&self, of: Of<'_>) {
        if !self.is_any.load(Ordering::Acquire) {
            return;
        }
        let step = of.place.step.as_str();
        let same = |other: &&Neighbour| other.workflow == of.workflow && other.step == step;
        let endpoint = lock(&self.kept).iter().rev().find(same).and_then(|other| other.endpoint.clone());
        if endpoint.is_some() {
            keep(&self.kept, Neighbour { endpoint, ..neighbour(of, true) });
        }
    }

    /// What others met with at the first endpoint of these facts, and how the step, of a workflow, failed where none was named.
    pub(crate) fn near(
        &self,
        of_step: Option<(&str, &str)>,
        facts: &[EnvironmentFact],
        now: Timestamp,
    ) -> Vec<Neighbour> {
        let is_recent = |other: &&Neighbour| now.since_ms(other.at) <= AGE_MAX_MS;
        let host = endpoint(facts).map(|endpoint| &endpoint.host);
        let met = |other: &&Neighbour| {
            host.is_some_and(|host| other.endpoint.as_ref().is_some_and(|other| other.host == *host))
        };
        let same = |other: &&Neighbour| of_step == Some((&other.workflow, &other.step));
        let mut near: Vec<_> = lock(&self.kept).iter().filter(is_recent).filter(met).cloned().collect();
        near.extend(lock(&self.unplaced).iter().filter(is_recent).filter(same).cloned());
        near
    }
}

fn keep(kept: &Mutex<VecDeque<Neighbour>>, neighbour: Neighbour) {
    let mut kept = lock(kept);
    if kept.len() == KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(neighbour);
}

fn neighbour(of: Of<'_>, succeeded: bool) -> Neighbour {
    Neighbour {
        run: of.key.run.to_string(),
        workflow: of.workflow.to_owned(),
        step: of.place.step.to_string(),
        at: of.at,
        succeeded,
        class: None,
        code: None,
        endpoint: None,
        fingerprint: None,
        worker: Some(of.worker.to_owned()),
        code_version: None,
        input_bytes: None,
    }
}

fn endpoint(facts: &[EnvironmentFact]) -> Option<&Endpoint> {
    facts.iter().find_map(|fact| match fact {
        // `order:17` has the form of an endpoint and is none.
        EnvironmentFact::Endpoint { endpoint, answer: EndpointAnswer::DoesNotResolve, .. }
            if !endpoint.host.contains(['.', ':']) =>
        {
            None
        }
        EnvironmentFact::Endpoint { endpoint, .. } => Some(endpoint),
        _ => None,
    })
}
