//! Credentials are refused: no more, never yet, or nobody knows.

use crate::diagnosis::compare::{RUNS_MIN, error, only_worker};
use crate::diagnosis::evidence::AttemptRecord;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::error::ErrorClass;

/// A clock that is off by more than this can make a login be refused, in milliseconds.
const SKEW_MS: u64 = 60_000;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    let refused = last.class == Some(ErrorClass::Auth)
        || matches!(seen.signal, Some((Signal::Status(401 | 403 | 407), _)))
        || seen.says(Signal::Login).is_some();
    // Where only one worker is refused, it is that worker's settings and not the credentials' age.
    if !refused || only_worker(seen).is_some_and(|found| found.runs >= RUNS_MIN) {
        return None;
    }
    let (says, params) = error(last);
    let earlier = seen.stats.filter(|stats| stats.count > 0);
    let neighbours = seen.neighbours.iter().filter(|other| other.succeeded).count();
    // What others are let in with meanwhile has not expired: it is this input that they do not open.
    let since = seen.failures().next().map(|first| first.started_at);
    let meanwhile = earlier.and_then(|stats| stats.last_at).zip(since).is_some_and(|(at, since)| at > since);
    let (code, sure, fact) = match (earlier, seen.stats) {
        (Some(stats), _) if !meanwhile => {
            let age = stats.last_at.map_or_else(|| "?".to_owned(), |at| told_ms(seen.at.since_ms(at)));
            let said = Params::new().with("count", stats.count).with("age", age);
            // The successes may be of other inputs, with credentials of their own.
            ("SW5001", Confidence::Medium, Some(("succeeded_before", said)))
        }
        // What has expired was accepted somewhere.
        (None, Some(_)) if neighbours == 0 && !says_expired(last) => {
            ("SW5002", Confidence::Medium, Some(("never_succeeded", Params::new())))
        }
        _ => ("SW5003", Confidence::Medium, None),
    };
    let sure = match seen.signal {
        Some((Signal::Login | Signal::Status(_), by)) if by < By::Code => {
            sure.min(seen.sure(by, by == By::Number))
        }
        _ => sure,
    };
    let offset = seen.clock_offset_ms();
    Some(
        Finding::new(code, sure)
            .with("what", seen.what())
            .fact_if(fact)
            .fact(says, params)
            .infer_if(offset > SKEW_MS, "clock_and_login", Params::new().with("offset", told_ms(offset)))
            .action_if(offset > SKEW_MS, "sync_clock"),
    )
}

/// Whether the error says that the credentials are too old.
fn says_expired(attempt: &AttemptRecord) -> bool {
    let texts = attempt.chain.iter().map(|link| link.text.as_str()).chain([attempt.message.as_str()]);
    texts.map(str::to_ascii_lowercase).any(|text| text.contains("expired"))
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Dossier, StepStats};
    use crate::diagnosis::rules::fixtures::*;
    use stepwell_contract::Timestamp;

    #[test]
    fn what_others_were_let_in_with_before_does_not_prove_that_it_has_expired() {
        let before = StepStats { last_at: Some(Timestamp(1)), ..stats(12, 100, 200) };
        let refused = known(ErrorClass::Auth, "http.401", "Unauthorized");
        let refused = refused.last(|last| last.started_at = Timestamp(9)).stats(before);
        assert_eq!(told(&refused), ("SW5001".to_owned(), Confidence::Medium));
    }

    pub(crate) fn positives() -> Specimens {
        let refused = || {
            known(ErrorClass::Auth, "http.401", "Unauthorized").last(|last| last.started_at = Timestamp(9))
        };
        let meanwhile = StepStats { last_at: Some(Timestamp(20)), ..stats(12, 100, 200) };
        let database = words("FATAL: password authentication failed for user \"app\" (SQLSTATE 28P01)");
        let before = StepStats { last_at: Some(Timestamp(1)), ..stats(12, 100, 200) };
        vec![
            ("SW5001", refused().stats(before)),
            ("SW5002", refused().stats(StepStats::default())),
            ("SW5003", refused()),
            // Others are let in since.
            ("SW5003", refused().stats(meanwhile)),
            ("SW5003", database),
            // What is too old was right once.
            ("SW5003", words("ExpiredToken: the provided token has expired").stats(StepStats::default())),
            ("SW5003", Dossier::failed(ErrorClass::Auth, None, "key expired")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", words("address error 4 (28195) Bremen")),
            ("SW9001", words("the parcel has carrier status code 403")),
            ("SW9001", words("401 orders were not authorised by the warehouse")),
            ("SW3003", known(ErrorClass::Config, "io.permission_denied", "Permission denied")),
        ]
    }
}
