//! What the step wants to make is already there.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::AttemptEnd;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;
use crate::workflow::error::ErrorClass;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    // Of the rules of integrity this is the one that keeps things unique.
    let by_fields = last.field("sqlstate") == Some("23505") || last.field("detail") == Some("unique_violation");
    let by_code = last.has_known_code(&["run.conflict"]) || last.has_typed_code(&["redis.busykey", "redis.busygroup"]);
    let (says, params) = error(last);
    let cut_off = seen.attempts.iter().rev().skip(1).any(|earlier| {
        matches!(earlier.ended, AttemptEnd::Lost(_))
            || matches!(earlier.class, Some(ErrorClass::Timeout | ErrorClass::Transient | ErrorClass::LostWorker))
    });
    let (by, proven) = match seen.says(Signal::Exists) {
        Some(by) => (by, by == By::Code),
        None if by_fields || by_code => (By::Code, true),
        // A conflict may be of versions as well, unless the step has asked for it before.
        None if cut_off && last.has_code(&["http.409"]) => (By::Code, false),
        None => return None,
    };
    Some(
        Finding::new("SW1103", seen.sure(by, proven))
            .fact(says, params)
            .infer_if(cut_off, "effect_may_exist", Params::new())
            .known_by(by),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::verdict::Confidence;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn asked_before() -> Dossier {
        let mut case = known(ErrorClass::Permanent, "http.409", "Conflict").times(2, |_| {});
        case.attempts[0].class = Some(ErrorClass::Timeout);
        case.attempts[0].code = None;
        case
    }

    #[test]
    fn a_conflict_alone_does_not_prove_that_it_is_the_steps_own_effect() {
        assert_eq!(told(&asked_before()), ("SW1103".to_owned(), Confidence::Medium));
    }

    pub(crate) fn positives() -> Specimens {
        let sql = Dossier::failed(ErrorClass::Unclassified, None, "error returned from database")
            .last(|last| last.chain = vec![link(None, None, &[("sqlstate", "23505")])]);
        vec![
            ("SW1103", known(ErrorClass::Permanent, "io.already_exists", "File exists")),
            ("SW1103", asked_before()),
            ("SW1103", sql),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", words("a customer exists, and so does the order")),
            ("SW9001", known(ErrorClass::Permanent, "http.409", "version 3 is not the latest")),
            ("SW9001", Dossier::failed(ErrorClass::Permanent, Some("run.conflict"), "two runs of the same tram")),
            ("SW9001", known(ErrorClass::Permanent, "io.directory_not_empty", "Directory not empty")),
            ("SW9001", kind_told("io.already_exists", "this voucher was redeemed")),
            ("SW9001", words("part E11000 is no longer made")),
            ("SW1101", words("ERROR: null value in column \"total\" (SQLSTATE 23502)")),
            ("SW1101", Dossier::failed(ErrorClass::Validation, None, "duplicate line items are not allowed")),
        ]
    }
}
