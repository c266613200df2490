//! The process can open no more files.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::EnvironmentFact;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let by = seen.says(Signal::TooManyFiles)?;
    let (says, params) = error(seen.last()?);
    let open = seen.facts().find_map(|fact| match fact {
        EnvironmentFact::OpenFiles { count, limit } => Some((*count, *limit)),
        _ => None,
    });
    // By the time it was counted some may have been closed again: few open files prove nothing.
    let full = open.is_some_and(|(count, limit)| count >= limit / 10 * 9);
    Some(
        Finding::new("SW3007", seen.sure(by, full || by == By::Code))
            .fact_if(open.map(|(count, limit)| {
                ("open_files", Params::new().with("count", count).with("limit", limit))
            }))
            .fact(says, params)
            .known_by(by),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let error = || known(ErrorClass::Unavailable, "io.too_many_open_files", "Too many open files");
        vec![
            ("SW3007", error().fact(EnvironmentFact::OpenFiles { count: 1023, limit: 1024 })),
            ("SW3007", error()),
            ("SW3007", words("accept: Too many open files (os error 24)")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let refused = known(ErrorClass::Unavailable, "io.connection_refused", "refused");
        vec![
            ("SW4001", refused.fact(EnvironmentFact::OpenFiles { count: 1023, limit: 1024 })),
            ("SW9001", words("too many open orders")),
        ]
    }
}
