//! A connection did not come about, broke off or went unanswered, or the other side failed.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::EndpointAnswer;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

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
    let is_eof = last.has_typed_code(&["io.unexpected_eof"]);
    let (signal, by) = match seen.signal {
        Some(found) => found,
        None if last.has_typed_code(REDIS) => (Signal::Status(503), By::Code),
        // A peer that hung up, if it was about a peer; else a file that is too short.
        None if is_eof && seen.endpoint.is_some() && !last.codes().any(|code| code.starts_with("json.")) => {
            (Signal::Reset, By::Code)
        }
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
    let own_limit = last.has_typed_code(&["tokio.elapsed"]);
    let told = by == By::Code && !own_limit && !(is_eof && signal == Signal::Reset);
    let sure = match own_limit && seen.endpoint.is_none() {
        true => Confidence::Low,
        false => seen.sure(by, proven || told),
    };
    let (says, params) = error(last);
    let status = seen.status().map(|(status, _)| ("status", Params::new().with("status", status)));
    let back = answers(EndpointAnswer::Accepts) && matches!(signal, Signal::Refused | Signal::NoRoute | Signal::TimedOut);
    Some(
        Finding::new(code, sure)
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

    fn eof() -> Dossier {
        known(ErrorClass::Transient, "io.unexpected_eof", "failed to fill whole buffer")
    }

    #[test]
    fn an_end_that_comes_too_early_and_a_limit_of_the_steps_own_do_not_prove_much() {
        let hung_up = eof().fact(endpoint("api", 443, EndpointAnswer::Accepts));
        assert_eq!(told(&hung_up), ("SW4002".to_owned(), Confidence::Medium));
        let lock = known(ErrorClass::Timeout, "tokio.elapsed", "deadline has elapsed");
        assert_eq!(told(&lock), ("SW4008".to_owned(), Confidence::Low));
        let silent = lock.fact(endpoint("api", 443, EndpointAnswer::TimesOut));
        assert_eq!(told(&silent), ("SW4008".to_owned(), Confidence::High));
    }

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
            // The name before a number may be anything.
            ("SW9001", eof().fact(endpoint("order", 17, EndpointAnswer::DoesNotResolve))),
            ("SW9001", eof().fact(endpoint("checkout.php", 212, EndpointAnswer::Accepts)).last(|last| {
                last.chain = vec![link(None, Some("json.eof"), &[])];
            })),
            // The other end of a pipe may be a child.
            ("SW9001", known(ErrorClass::Transient, "io.broken_pipe", "Broken pipe")),
            ("SW9001", kind_told("io.timed_out", "nobody approved it in 3 days")),
            ("SW9001", Dossier::failed(ErrorClass::Permanent, Some("tls.expired"), "the lease of the truck")),
            ("SW9001", words("the parcel has status code 503: held at customs")),
        ]
    }
}
