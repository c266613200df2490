//! The step's failed attempts used up its own deadline.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.ran_out("timeout.deadline")?;
    let earlier = seen.failures().filter(|attempt| attempt.attempt < last.attempt && attempt.code != last.code).count();
    let limits = last.limits.or_else(|| seen.step?.limits)?;
    let (value, from) = (limits.deadline_ms.value?, limits.deadline_ms.from);
    if earlier == 0 {
        return None;
    }
    let said = Params::new().with("limit", "deadline").with("value", told_ms(value)).with("origin", from);
    Some(
        Finding::new("SW2006", Confidence::High)
            .with("limit", told_ms(value))
            .with("failures", earlier)
            .fact("limit_ran_out", said),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;
    use crate::workflow::policy::{StepPolicy, effective, secs};

    fn deadline(times: u32) -> Dossier {
        let none = StepPolicy::default();
        let limits = effective(&none.deadline(secs(60)), &none, &none);
        let case = observed(ErrorClass::Timeout, "timeout.deadline", "ran out").times(times, |attempt| {
            if attempt.attempt < times {
                attempt.code = Some("http.503".into());
            }
        });
        case.last(|last| last.limits = Some(limits))
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW2006", deadline(4))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", deadline(1))]
    }
}
