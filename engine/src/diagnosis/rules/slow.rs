//! The step was alive and getting on when its time was up.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.ran_out("timeout.attempt")?;
    let limits = last.limits.or_else(|| seen.step?.limits)?;
    let limit = limits.attempt_timeout_ms.value?;
    let (end, sign) = (last.ended_at?, last.sign_of_life_at?);
    let ago = end.since_ms(sign);
    // A sign in the last fifth of its time: it had not stopped. Signs from before it began are of another attempt.
    if ago > limit / 5 || sign <= last.started_at {
        return None;
    }
    let origin = limits.attempt_timeout_ms.from;
    let said = Params::new().with("limit", "attempt_timeout").with("value", told_ms(limit)).with("origin", origin);
    // A step that only says that it waits is alive too.
    let gets_on = last.progress.is_some() || last.cursor.is_some();
    let sure = if gets_on { Confidence::High } else { Confidence::Medium };
    let pace = last.progress.as_ref().map(|progress| progress.fraction).filter(|done| *done > 0.05 && *done < 1.0);
    let pace = pace.zip(last.elapsed_ms).map(|(done, elapsed)| (elapsed as f64 / done) as u64);
    Some(
        Finding::new("SW2003", sure)
            .with("limit", told_ms(limit))
            .fact("limit_ran_out", said)
            .fact("last_sign", Params::new().with("ago", told_ms(ago)))
            .infer_if(pace.is_some(), "pace", Params::new().with("needed", told_ms(pace.unwrap_or(0)))),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;

    fn sign(after_ms: u64) -> Dossier {
        timed_out(30_000, 2).last(|last| last.sign_of_life_at = Some(last.started_at.plus_ms(after_ms)))
    }

    #[test]
    fn a_step_that_only_logs_is_not_known_to_get_on() {
        assert_eq!(told(&sign(29_000)), ("SW2003".to_owned(), Confidence::Medium));
        let saved = sign(29_000).last(|last| last.cursor = Some("page 7".into()));
        assert_eq!(told(&saved), ("SW2003".to_owned(), Confidence::High));
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW2003", sign(29_000).stats(stats(40, 5_000, 7_000)))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", sign(2_000)), ("SW2001", sign(2_000).stats(stats(40, 28_000, 29_000)))]
    }
}
