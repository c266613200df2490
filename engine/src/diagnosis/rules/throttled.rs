//! The receiver asks for a slower pace.

use crate::diagnosis::compare::error;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::signal::By;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::error::ErrorClass;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    let by = seen.status().filter(|(status, _)| *status == 429).map(|(_, by)| by);
    if by.is_none() && last.class != Some(ErrorClass::Throttled) {
        return None;
    }
    let (says, params) = error(last);
    let delay = last.retry_after_ms.map(|ms| ("retry_after", Params::new().with("delay", told_ms(ms))));
    let sure = match by {
        Some(by) if by < By::Code && last.class != Some(ErrorClass::Throttled) => seen.sure(by, by == By::Number),
        Some(_) => Confidence::High,
        None if delay.is_some() => Confidence::High,
        None => Confidence::Medium,
    };
    Some(Finding::new("SW4006", sure).with("what", seen.what()).fact(says, params).fact_if(delay))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        vec![
            ("SW4006", known(ErrorClass::Throttled, "http.429", "Too Many Requests")),
            ("SW4006", Dossier::failed(ErrorClass::Throttled, None, "slow down")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW4009", known(ErrorClass::Unavailable, "http.503", "429 jobs waiting"))]
    }
}
