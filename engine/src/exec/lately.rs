//! What attempts in this process met with lately at the endpoints that their errors named: the last [`KEPT_MAX`] of them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use stepwell_contract::{RunKey, Timestamp};

use crate::diagnosis::evidence::{Endpoint, EndpointAnswer, EnvironmentFact, Neighbour};
use crate::lock::lock;
use crate::run::place::Place;
use crate::run::seen::Seen;
use crate::workflow::failure::Failure;

/// How many are kept.
const KEPT_MAX: usize = 64;
/// Older than this says nothing of now, in milliseconds.
const AGE_MAX_MS: u64 = 15 * 60_000;

/// What attempts met with lately.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    kept: Mutex<VecDeque<Neighbour>>,
    /// Spares whoever succeeds the lock, as long as nothing has failed.
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
    /// Takes a failure in, if it named an endpoint.
    pub(crate) fn failed(&self, of: Of<'_>, failure: &Failure, seen: &Seen) {
        let Some(endpoint) = endpoint(&seen.environment) else { return };
        let failed = Neighbour {
            class: Some(failure.class),
            code: failure.code.clone(),
            endpoint: Some(endpoint.clone()),
            code_version: seen.code_version.clone(),
            input_bytes: seen.input_bytes,
            ..neighbour(of, false)
        };
        self.is_any.store(true, Ordering::Release);
        self.keep(failed);
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
            self.keep(Neighbour { endpoint, ..neighbour(of, true) });
        }
    }

    /// What others met with at one of these endpoints.
    pub(crate) fn at(&self, facts: &[EnvironmentFact], now: Timestamp) -> Vec<Neighbour> {
        let Some(endpoint) = endpoint(facts) else { return Vec::new() };
        let met = |other: &&Neighbour| {
            now.since_ms(other.at) <= AGE_MAX_MS
                && other.endpoint.as_ref().is_some_and(|other| other.host == endpoint.host)
        };
        lock(&self.kept).iter().filter(met).cloned().collect()
    }

    fn keep(&self, neighbour: Neighbour) {
        let mut kept = lock(&self.kept);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(neighbour);
    }
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
