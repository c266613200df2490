//! The run's deadline passed, and the time went elsewhere than to the step at which it did.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let ran_out = seen.last().is_none_or(|last| last.observed() == Some("timeout.run_deadline"));
    let deadline = seen.run.deadline_at.filter(|at| ran_out && seen.at >= *at)?;
    let limit = deadline.since_ms(seen.run.created_at);
    let own = seen.step.map(|step| step.step.as_str());
    let other = seen.run.spent.iter().filter(|spent| Some(spent.step.as_str()) != own).max_by_key(|s| s.elapsed_ms);
    // What took most of the time is the cause; two that share it are none.
    if seen.run.held_ms > limit / 2 {
        let held = told_ms(seen.run.held_ms);
        return Some(
            Finding::new("SW2008", Confidence::High)
                .with("held", &held)
                .with("limit", told_ms(limit))
                .fact("held", Params::new().with("held", &held)),
        );
    }
    let other = other.filter(|other| other.elapsed_ms > limit / 2)?;
    let spent = told_ms(other.elapsed_ms);
    let said = Params::new().with("other", &other.step).with("spent", &spent);
    let unusual = other.usual_ms.filter(|usual| other.elapsed_ms >= usual.saturating_mul(2));
    let fact = match other.usual_ms {
        Some(usual) => ("spent_usual", said.with("usual", told_ms(usual))),
        None => ("spent", said),
    };
    let sure = if unusual.is_some() { Confidence::High } else { Confidence::Medium };
    Some(
        Finding::new("SW2005", sure)
            .with("other", &other.step)
            .with("spent", spent)
            .with("limit", told_ms(limit))
            .fact(fact.0, fact.1),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, StepSpent};
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;
    use stepwell_contract::Timestamp;

    fn spent(other_ms: u64, own_ms: u64, held_ms: u64) -> Dossier {
        let mut case = observed(ErrorClass::Timeout, "timeout.run_deadline", "ran out");
        case.at = Timestamp(600_000);
        case.run.deadline_at = Some(Timestamp(600_000));
        case.run.held_ms = held_ms;
        case.run.spent = [("import", other_ms), ("charge", own_ms)]
            .map(|(step, elapsed_ms)| StepSpent {
                step: step.into(),
                elapsed_ms,
                attempts: 1,
                usual_ms: Some(20_000),
            })
            .into();
        case
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW2005", spent(590_000, 10_000, 0)), ("SW2008", spent(20_000, 10_000, 570_000))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", spent(20_000, 580_000, 0)),
            ("SW9001", Dossier { at: Timestamp(1), ..spent(590_000, 10_000, 0) }),
        ]
    }
}
