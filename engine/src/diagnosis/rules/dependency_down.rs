//! What several steps or runs depend on is down.

use std::collections::BTreeSet;

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::EndpointAnswer;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::error::ErrorClass;

/// Other runs of the same step that must fail too, where no other step does.
const RUNS_MIN: usize = 2;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let (endpoint, answer) = seen.endpoint.as_ref()?;
    let (signal, by) = seen.signal?;
    let of_network = matches!(
        signal,
        Signal::Refused | Signal::Reset | Signal::TimedOut | Signal::NoRoute | Signal::Status(502..=504)
    );
    let others: Vec<_> = seen
        .neighbours
        .iter()
        .filter(|other| other.endpoint.as_ref().is_some_and(|it| it.host == endpoint.host))
        .filter(|other| other.endpoint.as_ref().and_then(|it| it.port) == endpoint.port || endpoint.port.is_none())
        .collect();
    // What others met with at the same host may be of their own making.
    let down = |class: Option<ErrorClass>| {
        matches!(
            class,
            None | Some(ErrorClass::Unavailable | ErrorClass::Timeout | ErrorClass::Transient | ErrorClass::Unclassified)
        )
    };
    let failed = || others.iter().filter(|other| !other.succeeded && down(other.class));
    let latest_failure = failed().map(|other| other.at).max()?;
    // One that got through since says that the dependency is there.
    if !of_network || others.iter().any(|other| other.succeeded && other.at >= latest_failure) {
        return None;
    }
    let own = seen.step.map_or("", |step| &step.step);
    let steps: BTreeSet<_> = failed().map(|other| (&other.workflow, &other.step)).collect();
    let runs: BTreeSet<_> = failed().map(|other| &other.run).filter(|run| **run != seen.run.run).collect();
    let other_steps = steps.iter().any(|(workflow, step)| *step != own || **workflow != seen.run.workflow);
    if !other_steps && runs.len() < RUNS_MIN || *answer == Some(EndpointAnswer::Accepts) {
        return None;
    }
    let sure = match answer {
        Some(_) => seen.sure(by, true),
        None => Confidence::Medium,
    };
    let said = Params::new().with("count", failed().count()).with("endpoint", endpoint).with("steps", steps.len());
    let (says, params) = error(seen.last()?);
    Some(
        Finding::new("SW4005", sure)
            .with("what", endpoint)
            .with("count", failed().count())
            .fact("neighbours_failed", said)
            .endpoint_now(seen)
            .fact(says, params)
            .known_by(by),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Dossier, Endpoint, Neighbour};
    use crate::diagnosis::rules::fixtures::*;

    fn at(port: u16) -> Endpoint {
        Endpoint { host: "db".into(), port: Some(port) }
    }

    fn refused(answer: EndpointAnswer, neighbours: Vec<Neighbour>) -> Dossier {
        let case = known(ErrorClass::Unavailable, "io.connection_refused", "refused");
        Dossier { neighbours, ..case.fact(endpoint("db", 5432, answer)) }
    }

    pub(crate) fn positives() -> Specimens {
        let others = || vec![neighbour("ship", "run-2", false, &at(5432)), neighbour("pack", "run-3", false, &at(5432))];
        vec![
            ("SW4005", refused(EndpointAnswer::Refuses, others())),
            ("SW4005", refused(EndpointAnswer::TimesOut, others())),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let succeeded = Neighbour {
            at: stepwell_contract::Timestamp(20),
            ..neighbour("ship", "run-2", true, &at(5432))
        };
        let mixed = vec![neighbour("pack", "run-3", false, &at(5432)), succeeded];
        let wrong = |run| Neighbour {
            class: Some(ErrorClass::Permanent),
            ..neighbour("ship", run, false, &at(5432))
        };
        let asked_wrongly = vec![wrong("run-2"), wrong("run-3")];
        vec![
            ("SW4001", refused(EndpointAnswer::Refuses, vec![])),
            ("SW4001", refused(EndpointAnswer::Refuses, mixed)),
            // The others failed of what they asked for.
            ("SW4001", refused(EndpointAnswer::Refuses, asked_wrongly)),
            // Another service of the same host.
            ("SW4001", refused(EndpointAnswer::Refuses, vec![neighbour("ship", "run-2", false, &at(80))])),
        ]
    }
}
