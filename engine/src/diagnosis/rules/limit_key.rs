//! The run waits for a limit key that its holders do not give back.

use crate::diagnosis::evidence::{LimitHolder, LimitKey};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{Seen, told_ms};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

/// How many times as long as usual a holder must be at it, and quiet, to count as stuck.
const STUCK_TIMES: u64 = 3;
/// No holder is stuck sooner, in milliseconds.
const STUCK_MIN_MS: u64 = 60_000;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let queue = seen.queue?;
    let holders = || queue.limits.iter().flat_map(|limit| limit.holders.iter().map(move |holder| (limit, holder)));
    let dead = holders().find(|(_, holder)| is_dead(holder)).map(|(limit, holder)| {
        of("SW6011", Confidence::High, seen, limit, holder).fact_if(
            (holder.worker_alive == Some(false))
                .then(|| ("holder_worker_dead", Params::new().with("holder", &holder.run))),
        )
    });
    dead.or_else(|| {
        holders().find_map(|(limit, holder)| {
            let (quiet_ms, usual_ms) = stuck(seen, holder)?;
            let params = Params::new()
                .with("holder", &holder.run)
                .with("quiet", told_ms(quiet_ms))
                .with("usual", told_ms(usual_ms));
            Some(
                of("SW6012", Confidence::Medium, seen, limit, holder)
                    .with("since", told_ms(seen.at.since_ms(holder.since)))
                    .fact("holder_quiet", params),
            )
        })
    })
}

fn is_dead(holder: &LimitHolder) -> bool {
    holder.worker_alive == Some(false) && holder.status == "running"
        || matches!(holder.status.as_str(), "succeeded" | "failed" | "cancelled" | "missing")
}

/// For how long a live holder has recorded nothing and how long it mostly holds the key, where the first is far too long.
fn stuck(seen: &Seen<'_>, holder: &LimitHolder) -> Option<(u64, u64)> {
    let usual_ms = holder.usual_ms?;
    let quiet_ms = seen.at.since_ms(holder.last_record_at.unwrap_or(holder.since));
    let least_ms = usual_ms.saturating_mul(STUCK_TIMES).max(STUCK_MIN_MS);
    (quiet_ms >= least_ms && seen.at.since_ms(holder.since) >= least_ms).then_some((quiet_ms, usual_ms))
}

fn of(code: &'static str, sure: Confidence, seen: &Seen<'_>, limit: &LimitKey, holder: &LimitHolder) -> Finding {
    let params = Params::new()
        .with("holder", &holder.run)
        .with("key", &limit.key)
        .with("age", told_ms(seen.at.since_ms(holder.since)))
        .with("status", &holder.status);
    Finding::new(code, sure)
        .with("key", &limit.key)
        .with("holder", &holder.run)
        .fact("holder", params)
        .untouched()
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Dossier, QueueFacts};
    use crate::diagnosis::rules::fixtures::*;
    use stepwell_contract::Timestamp;

    fn held(holder: LimitHolder) -> Dossier {
        let limits = vec![LimitKey { key: "card-7".into(), max: 1, holders: vec![holder] }];
        let queue = QueueFacts { queue: "default".into(), limits, ..QueueFacts::default() };
        Dossier { at: Timestamp(600_000), queue: Some(queue), ..Dossier::of_step("order", "charge") }
    }

    fn holder(status: &str, worker_alive: bool, last_record_at: i64) -> LimitHolder {
        LimitHolder {
            run: "run-7".into(),
            since: Timestamp(0),
            status: status.into(),
            worker_alive: Some(worker_alive),
            last_record_at: Some(Timestamp(last_record_at)),
            usual_ms: Some(5_000),
        }
    }

    pub(crate) fn positives() -> Specimens {
        vec![
            ("SW6011", held(holder("running", false, 1))),
            ("SW6011", held(holder("failed", true, 1))),
            ("SW6012", held(holder("running", true, 1))),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", held(holder("running", true, 599_000))),
            ("SW9001", held(LimitHolder { usual_ms: Some(3_600_000), ..holder("running", true, 1) })),
        ]
    }
}
