//! The step keeps its thread, so that no limit can act on it.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::error::ErrorClass;

/// A thread kept for less than this is no trouble, in milliseconds.
const BLOCKED_MIN_MS: u64 = 1_000;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.last()?;
    let timed = last.class == Some(ErrorClass::Timeout) && seen.failed().is_some();
    let (blocked, elapsed) = (last.blocked_ms?, last.elapsed_ms?);
    // Most of its time in one piece: what it did otherwise does not matter.
    if !timed || blocked < BLOCKED_MIN_MS || blocked < elapsed / 2 {
        return None;
    }
    let said = Params::new().with("blocked", told_ms(blocked)).with("elapsed", told_ms(elapsed));
    let busy = last.cpu_ms.is_some_and(|cpu| cpu >= blocked / 10 * 8);
    Some(
        Finding::new("SW2004", Confidence::High)
            .with("blocked", told_ms(blocked))
            .fact("blocked", said)
            .infer_if(busy, "spinning", Params::new()),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        vec![("SW2004", timed_out(5_000, 2).last(|last| last.blocked_ms = Some(4_990)))]
    }

    pub(crate) fn decoys() -> Specimens {
        let brief = timed_out(5_000, 2).last(|last| last.blocked_ms = Some(20));
        let other = known(ErrorClass::Unavailable, "io.connection_refused", "refused").last(|last| {
            last.blocked_ms = Some(4_000);
            last.elapsed_ms = Some(4_100);
        });
        vec![("SW9001", brief), ("SW4001", other)]
    }
}
