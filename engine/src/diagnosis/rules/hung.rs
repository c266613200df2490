//! The step waits for something that does not come.

use crate::diagnosis::evidence::EndpointAnswer;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// Processor time up to which, in parts of a hundred, a step is idle.
const IDLE_PERCENT: u64 = 5;
/// Processor time that is none in a process that does anything at all, in milliseconds.
const IDLE_MS: u64 = 40;
/// Successes from which on they say what is usual.
const USUAL_MIN: u64 = 3;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let by_heartbeat = seen.ran_out("timeout.heartbeat");
    let last = by_heartbeat.or_else(|| seen.ran_out("timeout.attempt"))?;
    let elapsed = last.elapsed_ms?;
    let cpu = last.cpu_ms?;
    // What the engine itself does counts too, and for short attempts that is much.
    let idle = cpu <= (elapsed * IDLE_PERCENT / 100).max(IDLE_MS.min(elapsed / 5));
    let sign = last.sign_of_life_at.filter(|sign| *sign > last.started_at);
    let silent = match (sign, last.ended_at) {
        (Some(sign), Some(end)) => end.since_ms(sign),
        _ => elapsed,
    };
    let usual = seen.stats.filter(|stats| stats.count >= USUAL_MIN);
    let quick = usual.is_some_and(|stats| stats.p95_ms <= elapsed / 2);
    // Without a heartbeat that is due, only the successes say that it should have been done.
    let sure = match (by_heartbeat, usual) {
        (Some(_), _) => Confidence::High,
        (None, Some(_)) if quick => Confidence::Medium,
        (None, None) => Confidence::Low,
        (None, Some(_)) => return None,
    };
    if !idle || silent < elapsed / 2 && by_heartbeat.is_none() {
        return None;
    }
    let said = Params::new().with("cpu", told_ms(cpu)).with("elapsed", told_ms(elapsed));
    let sign = match sign {
        Some(_) => ("last_sign", Params::new().with("ago", told_ms(silent))),
        None => ("no_sign", Params::new()),
    };
    let waits_on = seen.endpoint.as_ref().filter(|(_, answer)| answer.is_some_and(|it| it != EndpointAnswer::Accepts));
    let mut finding = Finding::new("SW2002", sure)
    .with("silent", told_ms(silent))
    .fact("cpu", said)
    .fact(sign.0, sign.1)
    .endpoint_now(seen);
    if let Some((endpoint, _)) = waits_on {
        finding = finding.infer("waits_on_endpoint", Params::new().with("endpoint", endpoint));
    }
    Some(finding)
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::Dossier;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn idle(cpu_ms: u64) -> Dossier {
        timed_out(30_000, 2).last(|last| last.cpu_ms = Some(cpu_ms))
    }

    pub(crate) fn positives() -> Specimens {
        let heartbeat = observed(ErrorClass::Timeout, "timeout.heartbeat", "ran out").last(|last| {
            last.elapsed_ms = Some(10_000);
            last.cpu_ms = Some(3);
        });
        // With nothing to compare it with, that it stood still is all that is known.
        vec![("SW2002", idle(12).stats(stats(40, 900, 1_500))), ("SW2002", heartbeat), ("SW2002", idle(12))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", idle(29_000).stats(stats(40, 900, 1_500))),
            // It mostly takes nearly as long.
            ("SW9001", idle(12).stats(stats(40, 17_000, 20_000))),
        ]
    }
}
