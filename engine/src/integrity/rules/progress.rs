//! An attempt ends within its own limit.

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;
use crate::run::state::StepStatus;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let Some(state) = sight.state() else { return Vec::new() };
    // Nobody runs anything under a lease that has ended.
    let Some(lease) = sight.head.live_lease(sight.now) else { return Vec::new() };
    let mut found = Vec::new();
    for (place, limit_ms) in &sight.limits {
        let Some(step) = state.step(place).filter(|step| step.status == StepStatus::Running) else {
            continue;
        };
        if sight.is_late(step.started_at.plus_ms(*limit_ms)) {
            let ran_ms = sight.now.since_ms(step.started_at);
            found.push(
                sight
                    .issue(IssueKind::NoProgress, place.to_string())
                    .saying(format!("attempt {} of {place} runs for {ran_ms} ms", step.attempt))
                    .fact("limit in ms", limit_ms)
                    .fact("worker", &lease.worker),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Lease, WorkerId};

    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, PATIENCE_MS, started, taken};
    use crate::integrity::sight::Sight;

    fn with_limit(fixture: &Fixture, limit_ms: Option<u64>) -> Sight<'_> {
        let mut sight = fixture.sight();
        let place = "pack".parse().expect("a place");
        sight.limits.extend(limit_ms.map(|limit_ms| (place, limit_ms)));
        sight
    }

    #[test]
    fn an_attempt_beyond_its_limit_is_found_and_a_long_one_without_limit_is_not() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(started("pack", 1));
        fixture.follow();
        fixture.now = NOW.plus_ms(PATIENCE_MS + 501);
        let worker = WorkerId::new("w-1").expect("an id");
        fixture.head.lease = Some(Lease { worker, ttl_ms: 9_000, expires_at: fixture.now.plus_ms(9_000) });
        assert_eq!(look(&with_limit(&fixture, Some(500))).len(), 1);
        assert_eq!(look(&with_limit(&fixture, Some(501))), []);
        assert_eq!(look(&with_limit(&fixture, None)), []);
    }
}
