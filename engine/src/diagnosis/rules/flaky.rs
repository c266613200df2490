//! The attempts fail in different ways while others succeed.

use crate::diagnosis::compare::different_ends;
use crate::diagnosis::evidence::EndpointAnswer;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{self, By, Signal};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// Attempts from which on a difference between them says something.
const ATTEMPTS_MIN: usize = 3;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    if seen.failures().count() < ATTEMPTS_MIN {
        return None;
    }
    let kinds = different_ends(seen);
    let of_network = seen.failures().all(|attempt| {
        matches!(
            signal::of(attempt),
            Some((
                Signal::Refused
                    | Signal::Reset
                    | Signal::TimedOut
                    | Signal::NoRoute
                    | Signal::NoName
                    | Signal::Status(500..=599),
                by
            )) if by > By::Hint
        )
    });
    // It works for somebody now, or the cause would be that it is down.
    let works = seen.answer() == Some(EndpointAnswer::Accepts) || seen.neighbours_succeeded() > 0;
    if kinds < 2 || !of_network || !works {
        return None;
    }
    let succeeded = seen.neighbours_succeeded();
    let others = (succeeded > 0).then(|| ("neighbours_succeeded", Params::new().with("count", succeeded)));
    Some(
        Finding::new("SW4007", Confidence::Medium)
            .with("what", seen.what())
            .fact("different_ends", Params::new().with("count", kinds))
            .fact_if(others)
            .endpoint_now(seen),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn attempts(codes: &[&str], answer: EndpointAnswer) -> Dossier {
        let count = u32::try_from(codes.len()).expect("few");
        known(ErrorClass::Transient, "x", "failed")
            .times(count, |attempt| attempt.code = Some(codes[attempt.attempt as usize - 1].to_owned()))
            .fact(endpoint("api", 443, answer))
    }

    pub(crate) fn positives() -> Specimens {
        let codes = ["io.connection_reset", "http.502", "io.timed_out"];
        vec![("SW4007", attempts(&codes, EndpointAnswer::Accepts))]
    }

    pub(crate) fn decoys() -> Specimens {
        let codes = ["io.connection_reset", "io.connection_refused", "io.connection_refused"];
        vec![
            ("SW4001", attempts(&codes, EndpointAnswer::Refuses)),
            ("SW4002", attempts(&["io.connection_reset"; 3], EndpointAnswer::Accepts)),
        ]
    }
}
