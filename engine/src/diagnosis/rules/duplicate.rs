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
    // SQLSTATE class 23: a rule of integrity is broken.
    let by_fields = last.field("sqlstate").is_some_and(|state| state.starts_with("23"))
        || matches!(last.field("detail"), Some("unique_violation" | "integrity_violation"));
    let by_code = last.has_code(&["run.conflict", "redis.busykey", "redis.busygroup", "http.409"]);
    let by = match seen.says(Signal::Exists) {
        Some(by) => by,
        None if by_fields || by_code => By::Code,
        None => return None,
    };
    let (says, params) = error(last);
    let cut_off = seen.attempts.iter().rev().skip(1).any(|earlier| {
        matches!(earlier.ended, AttemptEnd::Lost(_))
            || matches!(earlier.class, Some(ErrorClass::Timeout | ErrorClass::Transient | ErrorClass::LostWorker))
    });
    Some(
        Finding::new("SW1103", seen.sure(by, by == By::Code))
            .fact(says, params)
            .infer_if(cut_off, "effect_may_exist", Params::new())
            .known_by(by),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let sql = Dossier::failed(ErrorClass::Unclassified, None, "error returned from database")
            .last(|last| last.chain = vec![link(None, None, &[("sqlstate", "23505")])]);
        vec![
            ("SW1103", known(ErrorClass::Permanent, "io.already_exists", "File exists")),
            ("SW1103", known(ErrorClass::Permanent, "http.409", "Conflict")),
            ("SW1103", sql),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", words("a customer exists, and so does the order")),
            ("SW1101", Dossier::failed(ErrorClass::Validation, None, "duplicate line items are not allowed")),
        ]
    }
}
