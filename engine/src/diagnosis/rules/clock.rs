//! A clock is off or has jumped, and something was judged by it.

use crate::diagnosis::evidence::{AttemptRecord, EnvironmentFact};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// Less than this between two clocks is ordinary, in milliseconds.
const ORDINARY_MS: u64 = 5_000;
/// An offset that can make a certificate look expired or not yet valid, in milliseconds.
const CERTIFICATE_MS: u64 = 3_600_000;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    deadline(seen).or_else(|| certificate(seen))
}

/// A deadline of the run passed although, by a clock that does not jump, its time was not over.
fn deadline(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    if !matches!(last.observed(), Some("timeout.run_deadline" | "timeout.deadline")) {
        return None;
    }
    let spent = seen.run.held_ms + seen.run.spent.iter().map(|step| step.elapsed_ms).sum::<u64>();
    let of_attempt = seen.attempts.iter().filter_map(jump).max();
    // Where only the process saw it, what was spent was told by the clock that jumped.
    let of_process = || {
        let jumped = forward(seen)?;
        Some((jumped, spent, spent.checked_sub(jumped)?))
    };
    let seen_in_attempt = of_attempt.is_some();
    let (jumped, wall, steady) = of_attempt.or_else(of_process)?;
    let spent = if seen_in_attempt { spent } else { steady };
    let said = Params::new().with("wall", told_ms(wall)).with("steady", told_ms(steady));
    let finding =
        Finding::new("SW2007", Confidence::Medium).with("jump", told_ms(jumped)).fact("clock_jump", said);
    let limit = seen.run.deadline_at.map(|deadline| deadline.since_ms(seen.run.created_at));
    match limit.filter(|limit| !seen.run.spent.is_empty() && spent < *limit && spent + jumped >= *limit) {
        Some(limit) => {
            let said = Params::new().with("limit", told_ms(limit)).with("spent", told_ms(spent));
            let mut finding = finding.fact("deadline_early", said);
            finding.confidence = Confidence::High;
            Some(finding)
        }
        None => Some(finding).filter(|_| seen.run.spent.is_empty()),
    }
}

/// How far the process saw the time of day jump forward.
fn forward(seen: &Seen<'_>) -> Option<u64> {
    let jumps = seen.facts().filter_map(|fact| match fact {
        EnvironmentFact::ClockJump { by_ms } => u64::try_from(*by_ms).ok(),
        _ => None,
    });
    jumps.max().filter(|jumped| *jumped > ORDINARY_MS)
}

/// How far the time of day moved away from the time that passed, with both, if that is more than ordinary.
fn jump(attempt: &AttemptRecord) -> Option<(u64, u64, u64)> {
    let wall = attempt.ended_at?.0.saturating_sub(attempt.started_at.0).unsigned_abs();
    let back = attempt.ended_at? < attempt.started_at;
    let steady = attempt.elapsed_ms?;
    let jumped = if back { wall + steady } else { wall.abs_diff(steady) };
    (jumped > ORDINARY_MS.max(steady / 20)).then_some((jumped, wall, steady))
}

fn certificate(seen: &Seen<'_>) -> Option<Finding> {
    seen.says(Signal::Tls)?;
    let offset = seen.clock_offset_ms();
    (offset >= CERTIFICATE_MS).then(|| {
        Finding::new("SW2007", Confidence::Medium)
            .with("jump", told_ms(offset))
            .fact("clock_offset", Params::new().with("offset", told_ms(offset)))
    })
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, EnvironmentFact, StepSpent};
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;
    use stepwell_contract::Timestamp;

    fn deadline(wall_ms: u64, steady_ms: u64) -> Dossier {
        let mut case = observed(ErrorClass::Timeout, "timeout.run_deadline", "ran out").last(|last| {
            last.elapsed_ms = Some(steady_ms);
            last.ended_at = Some(Timestamp(0).plus_ms(wall_ms));
        });
        case.run.deadline_at = Some(Timestamp(600_000));
        let step = "charge".to_owned();
        case.run.spent = vec![StepSpent { step, elapsed_ms: steady_ms, attempts: 1, usual_ms: None }];
        case
    }

    pub(crate) fn positives() -> Specimens {
        let tls = known(ErrorClass::Unavailable, "tls.certificate", "certificate expired");
        vec![
            ("SW2007", deadline(3_600_000, 2_000)),
            // Only the process saw it: what the step took was told by the clock that jumped.
            ("SW2007", deadline(3_602_000, 3_602_000).fact(EnvironmentFact::ClockJump { by_ms: 3_600_000 })),
            ("SW2007", tls.fact(EnvironmentFact::ClockOffset { offset_ms: -90_000_000 })),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let tls = known(ErrorClass::Unavailable, "tls.certificate", "certificate expired");
        // The clock jumped a little, and the time was used up all the same.
        vec![
            ("SW4004", tls.fact(EnvironmentFact::ClockOffset { offset_ms: 40 })),
            ("SW9001", deadline(600_000, 599_500)),
            ("SW9001", deadline(700_000, 650_000)),
            ("SW9001", deadline(700_000, 700_000).fact(EnvironmentFact::ClockJump { by_ms: 20_000 })),
        ]
    }
}
