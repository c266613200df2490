//! Another worker took the run over while this one still worked.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let lease = seen.lease.filter(|lease| lease.fence_now > lease.fence)?;
    let age = lease.refused_at.since_ms(lease.renewed_at);
    let mut finding = Finding::new("SW6001", Confidence::High)
        .with("fence", lease.fence)
        .with("fence_now", lease.fence_now)
        .fact("lease_taken", Params::new().with("age", told_ms(age)).with("lease", told_ms(lease.lease_ms)))
        .untouched();
    if let Some(stalled_ms) = lease.stalled_ms.filter(|stalled_ms| *stalled_ms > 0) {
        finding = finding.fact("stalled", Params::new().with("stalled", told_ms(stalled_ms)));
    }
    Some(finding)
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, LeaseFacts};
    use crate::diagnosis::rules::fixtures::*;
    use stepwell_contract::Timestamp;

    fn lease(fence_now: u64) -> LeaseFacts {
        LeaseFacts {
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
