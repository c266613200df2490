//! The attempt timeout leaves no room for what the step usually takes.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// Successes from which on they say what is usual.
const USUAL_MIN: u64 = 3;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.ran_out("timeout.attempt")?;
    let limits = last.limits.or_else(|| seen.step?.limits)?;
    let (limit, from) = (limits.attempt_timeout_ms.value?, limits.attempt_timeout_ms.from);
    let stats = seen.stats.filter(|stats| stats.count >= USUAL_MIN)?;
    // One success in twenty and more is near the limit or beyond: it is the limit that is wrong.
    let near = stats.p95_ms >= limit / 10 * 8;
    let scaled = last
        .input_bytes
        .filter(|bytes| stats.median_input_bytes > 0 && *bytes > stats.median_input_bytes)
        .map(|bytes| u128::from(stats.median_ms) * u128::from(bytes) / u128::from(stats.median_input_bytes))
        .map(|needed| u64::try_from(needed).unwrap_or(u64::MAX))
        .filter(|needed| *needed >= limit);
    if !near && scaled.is_none() {
        return None;
    }
    let needed = scaled.unwrap_or(0).max(stats.p95_ms);
    // That a larger input takes longer in proportion is likely and not seen.
    let sure = if near { Confidence::High } else { Confidence::Medium };
    let said = Params::new().with("limit", "attempt_timeout").with("value", told_ms(limit)).with("origin", from);
    let sizes = last.input_bytes.zip(scaled).map(|(bytes, _)| {
        let params = Params::new()
            .with("bytes", bytes)
            .with("median", stats.median_input_bytes)
            .with("max", stats.max_input_bytes);
        ("input_size", params)
    });
    let pace = last.progress.as_ref().map(|progress| progress.fraction).filter(|done| *done > 0.05 && *done < 1.0);
    let pace = pace.zip(last.elapsed_ms).map(|(done, elapsed)| (elapsed as f64 / done) as u64);
    Some(
        Finding::new("SW2001", sure)
            .with("limit", told_ms(limit))
            .with("needed", told_ms(needed))
            .fact("limit_ran_out", said)
            .fact_if(sizes)
            .infer_if(scaled.is_some(), "scaled", Params::new().with("needed", told_ms(needed)))
            .infer_if(pace.is_some(), "pace", Params::new().with("needed", told_ms(pace.unwrap_or(0)))),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::StepStats;
    use crate::diagnosis::rules::fixtures::*;

    pub(crate) fn positives() -> Specimens {
        let by_size = StepStats { median_input_bytes: 1_000, max_input_bytes: 1_500, ..stats(40, 22_000, 23_000) };
        vec![
            ("SW2001", timed_out(30_000, 3).stats(stats(40, 22_000, 29_000))),
            ("SW2001", timed_out(30_000, 3).stats(by_size).last(|last| last.input_bytes = Some(2_000))),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            // It takes a second: whatever held it up for thirty, it was not the limit.
            ("SW9001", timed_out(30_000, 3).stats(stats(40, 1_000, 2_000))),
            ("SW9001", timed_out(30_000, 3).stats(stats(2, 29_000, 29_000))),
            ("SW9001", timed_out(30_000, 3)),
        ]
    }
}
