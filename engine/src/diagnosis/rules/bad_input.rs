//! The input itself is at fault: it fails at once, at the same place, every time.

use crate::diagnosis::compare::{error, same_end, same_input};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;

/// Successes with other inputs from which on the step is known to work.
const OTHERS_MIN: u64 = 3;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    let (says, params) = error(last);
    let since = seen.failures().next()?.started_at;
    let meanwhile = seen
        .stats
        .filter(|stats| stats.count >= OTHERS_MIN)
        .and_then(|stats| Some((stats, stats.last_at.filter(|at| *at >= since)?)));
    let alone = meanwhile.is_some() && same_end(seen) && same_input(seen);
    let refused = seen.status().filter(|(status, _)| matches!(status, 400 | 422)).map(|(_, by)| by);
    // Where the answer names something else, that counts, whatever its status says.
    let broken = seen.says(Signal::Rejected);
    let is_other = last.classified_by != ClassifiedBy::Declared
        && matches!(seen.signal, Some((Signal::Login | Signal::Status(401 | 403 | 429), _)));
    if last.class == Some(ErrorClass::Validation) && !is_other || refused.is_some() {
        let sure = match refused {
            Some(by) if last.class != Some(ErrorClass::Validation) => seen.sure(by, by == By::Code),
            // The other side may refuse the way it was asked, or whoever asks.
            Some(_) if last.classified_by != ClassifiedBy::Declared => Confidence::Medium,
            _ => match last.classified_by {
                // What cannot be read may be a setting or an answer as well.
                ClassifiedBy::Known(_) if alone => Confidence::Medium,
                ClassifiedBy::Known(_) => Confidence::Low,
                _ => Confidence::High,
            },
        };
        let finding = Finding::new("SW1101", sure).fact(says, params);
        return Some(finding);
    }
    // The rule is the receiver's, and what breaks it may be of the step's own making.
    if let Some(by) = broken {
        return Some(Finding::new("SW1101", seen.sure(by, alone)).fact(says, params).known_by(by));
    }
    // Nobody says that it is the input: that it is the same each time, and others pass, says so.
    let unknown = seen.signal.is_none()
        && matches!(last.class, Some(ErrorClass::Permanent | ErrorClass::Unclassified) | None);
    let (stats, meanwhile) = meanwhile.filter(|_| unknown && alone)?;
    let count = seen.failures().count();
    let age = told_ms(seen.at.since_ms(meanwhile));
    Some(
        Finding::new("SW1101", Confidence::Medium)
            .fact("same_end", Params::new().with("count", count))
            .fact("same_input", Params::new())
            .fact("succeeded_before", Params::new().with("count", stats.count).with("age", age))
            .fact(says, params),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, StepStats};
    use crate::diagnosis::rules::fixtures::*;
    use crate::diagnosis::verdict::Confidence;
    use crate::workflow::error::ErrorClass;
    use stepwell_contract::Timestamp;

    fn same(last_at: i64) -> Dossier {
        words("no tariff for zone 9")
            .times(3, |attempt| {
                attempt.input_hash = Some("ab".into());
                attempt.started_at = Timestamp(1_000);
            })
            .stats(StepStats { last_at: Some(Timestamp(last_at)), ..stats(50, 10, 20) })
    }

    #[test]
    fn that_a_text_has_no_such_form_proves_nothing_of_the_input() {
        let setting = || known(ErrorClass::Validation, "parse.int", "invalid digit found in string");
        assert_eq!(told(&setting()), ("SW1101".to_owned(), Confidence::Low));
        let alone = setting()
            .times(3, |attempt| attempt.input_hash = Some("ab".into()))
            .stats(StepStats { last_at: Some(Timestamp(9)), ..stats(50, 10, 20) });
        assert_eq!(told(&alone), ("SW1101".to_owned(), Confidence::Medium));
        let refused = known(ErrorClass::Validation, "http.422", "Unprocessable");
        assert_eq!(told(&refused), ("SW1101".to_owned(), Confidence::Medium));
        let declared = Dossier::failed(ErrorClass::Validation, None, "total is negative");
        assert_eq!(told(&declared), ("SW1101".to_owned(), Confidence::High));
    }

    pub(crate) fn positives() -> Specimens {
        vec![
            ("SW1101", Dossier::failed(ErrorClass::Validation, None, "total is negative")),
            ("SW1101", known(ErrorClass::Validation, "http.422", "Unprocessable")),
            ("SW1101", same(5_000)),
            ("SW1101", words("error returned from database: value too long for type character varying(20)")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        // Nobody succeeded since: it may fail for all.
        let answered = |text| known(ErrorClass::Validation, "http.400", text);
        vec![
            ("SW9001", same(500)),
            ("SW9001", words("invalid state of the moon")),
            ("SW9001", words("the temperature is out of range for type B storage")),
            // Some services answer 400 to everything.
            ("SW4006", answered("ProvisionedThroughputExceededException: rate of table orders exceeded")),
            ("SW5003", answered("ExpiredToken: the security token included in the request is expired")),
        ]
    }
}
