//! A connection did not come about, broke off or went unanswered, or the other side failed.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::EndpointAnswer;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;

/// Words of a Redis server that is there and cannot serve.
const REDIS: &[&str] = &[
    "redis.busy",
    "redis.clusterdown",
    "redis.ioerr",
    "redis.loading",
    "redis.masterdown",
    "redis.misconf",
    "redis.noreplicas",
    "redis.oom",
    "redis.readonly",
];

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    let (signal, by) = match seen.signal {
        Some(found) => found,
        None if last.has_code(REDIS) => (Signal::Status(503), By::Code),
        // A peer that hung up, if it was about a peer; else a file that is too short.
        None if last.has_code(&["io.unexpected_eof"]) && seen.endpoint.is_some() => (Signal::Reset, By::Code),
        None => return None,
    };
    let answers = |answer| seen.answer() == Some(answer);
    let (code, proven) = match signal {
        Signal::Refused => ("SW4001", answers(EndpointAnswer::Refuses)),
        Signal::Reset => ("SW4002", false),
        Signal::NoName => ("SW4003", answers(EndpointAnswer::DoesNotResolve)),
        Signal::Tls => ("SW4004", answers(EndpointAnswer::Accepts) && by < By::Code),
        Signal::TimedOut | Signal::Status(408 | 504) => ("SW4008", answers(EndpointAnswer::TimesOut)),
        Signal::NoRoute => ("SW4010", answers(EndpointAnswer::Unreachable)),
        Signal::Status(500..=599) => ("SW4009", false),
        _ => return None,
    };
    // A limit of time of the step's own may be about anything, unless the other side is seen not to answer.
    let told = by == By::Code && !last.has_code(&["tokio.elapsed"]);
    let (says, params) = error(last);
    let status = seen.status().map(|(status, _)| ("status", Params::new().with("status", status)));
    let back = answers(EndpointAnswer::Accepts) && matches!(signal, Signal::Refused | Signal::NoRoute | Signal::TimedOut);
    Some(
        Finding::new(code, seen.sure(by, proven || told))
            .with("what", seen.what())
            .fact(says, params)
            .fact_if(status)
            .endpoint_now(seen)
            .infer_if(back, "now_reachable", Params::new())
            .known_by(by),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let transient = |code| known(ErrorClass::Transient, code, "failed");
        let tls = Dossier::failed(ErrorClass::Unclassified, None, "invalid peer")
            .last(|last| last.chain = vec![link(Some("rustls::Error"), None, &[])]);
        vec![
            ("SW4001", transient("io.connection_refused")),
            ("SW4001", words("connect: Connection refused (os error 111)")),
            ("SW4002", transient("io.connection_reset")),
            ("SW4002", transient("io.unexpected_eof").fact(endpoint("api", 443, EndpointAnswer::Accepts))),
            ("SW4003", transient("io.dns")),
            ("SW4004", tls),
            ("SW4008", transient("io.timed_out")),
            ("SW4008", transient("tokio.elapsed")),
            ("SW4008", transient("http.504")),
            ("SW4009", transient("http.500")),
            ("SW4010", transient("io.host_unreachable")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", words("the refund was refused by the connection manager")),
            ("SW9001", known(ErrorClass::Permanent, "http.404", "gone")),
            ("SW1102", known(ErrorClass::Transient, "io.unexpected_eof", "failed to fill whole buffer")),
        ]
    }
}
