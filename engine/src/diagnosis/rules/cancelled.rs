//! Somebody asked the run to stop.

use crate::diagnosis::evidence::AttemptEnd;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::run::event::LostReason;
use crate::workflow::error::ErrorClass;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let cancelled = seen.run.cancelled.as_ref()?;
    // A step that failed before anybody asked failed in its own right.
    let ended_by_it = seen.last().is_none_or(|last| {
        last.ended == AttemptEnd::Lost(LostReason::Stopped)
            || last.class == Some(ErrorClass::Cancelled)
            || last.ended != AttemptEnd::Failed && last.ended_at.is_none_or(|at| at >= cancelled.at)
    });
    let said = Params::new().with("actor", &cancelled.actor).with("reason", &cancelled.message);
    ended_by_it.then(|| {
        Finding::new("SW8001", Confidence::High).with("actor", &cancelled.actor).fact("cancelled", said)
    })
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Cancellation, Dossier};
    use crate::diagnosis::rules::fixtures::*;
    use crate::run::actor::Actor;
    use stepwell_contract::Timestamp;

    fn by_ada(mut case: Dossier) -> Dossier {
        let actor = Actor::Person("ada".into());
        case.run.cancelled = Some(Cancellation { actor, at: Timestamp(9), message: "wrong order".into() });
        case
    }

    pub(crate) fn positives() -> Specimens {
        let stopped = words("").last(|last| last.ended = AttemptEnd::Lost(LostReason::Stopped));
        let said = Dossier::failed(ErrorClass::Cancelled, Some("cancelled"), "told to stop");
        vec![("SW8001", by_ada(stopped)), ("SW8001", by_ada(said))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW4001", by_ada(known(ErrorClass::Unavailable, "io.connection_refused", "refused"))),
            ("SW9001", Dossier::failed(ErrorClass::Cancelled, None, "the user cancelled the payment")),
        ]
    }
}
