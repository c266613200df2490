//! Another worker took the run over while this one still worked.

use crate::diagnosis::evidence::AttemptEnd;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let lease = seen.lease.filter(|lease| lease.fence_now > lease.fence)?;
    let age = lease.refused_at.since_ms(lease.renewed_at);
    let mut finding = Finding::new("SW6001", Confidence::High)
        .with("worker", &lease.worker)
        .with("fence", lease.fence)
        .with("fence_now", lease.fence_now)
        .fact("lease_taken", Params::new().with("age", told_ms(age)).with("lease", told_ms(lease.lease_ms)))
        .fact_if(in_hand(seen))
        .fact_if(lease.holder_now.as_ref().map(|holder| ("lease_now", Params::new().with("worker", holder))));
    if let Some(stalled_ms) = lease.stalled_ms.filter(|stalled_ms| *stalled_ms > 0) {
        finding = finding.fact("stalled", Params::new().with("stalled", told_ms(stalled_ms)));
    }
    Some(finding)
}

/// What the worker had of the attempt that nobody could record any more.
fn in_hand(seen: &Seen<'_>) -> Option<(&'static str, Params)> {
    let last = seen.last()?;
    let says = match last.ended {
        AttemptEnd::Succeeded => "late_result",
        AttemptEnd::Failed => "late_failure",
        AttemptEnd::Lost(_) | AttemptEnd::Suspended => "late_work",
    };
    let took = told_ms(last.elapsed_ms.unwrap_or(0));
    Some((says, Params::new().with("attempt", last.attempt).with("took", took)))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, LeaseFacts};
    use crate::diagnosis::rules::fixtures::*;
    use stepwell_contract::Timestamp;

    fn lease(fence_now: u64) -> LeaseFacts {
        LeaseFacts {
            worker: "w1".into(),
            fence: 4,
            fence_now,
            holder_now: Some("w2".into()),
            renewed_at: Timestamp(0),
            lease_ms: 10_000,
            refused_at: Timestamp(25_000),
            stalled_ms: Some(24_000),
        }
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW6001", Dossier { lease: Some(lease(5)), ..Dossier::of_step("order", "charge") })]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", Dossier { lease: Some(lease(4)), ..words("lost") })]
    }
}
