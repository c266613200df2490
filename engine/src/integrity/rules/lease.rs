//! A lease ends, and when it has ended somebody takes the run over.

use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::integrity::sight::Sight;

/// The longest lease that an engine asks for, in milliseconds.
const LEASE_MAX_MS: u64 = 3_600_000;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let head = sight.head;
    // One without a length names a line that the run stands in: nobody holds it.
    let Some(lease) = head.lease.as_ref().filter(|lease| lease.ttl_ms > 0) else { return Vec::new() };
    if head.status.is_finished() {
        return Vec::new();
    }
    let latest_end = sight.now.plus_ms(lease.ttl_ms.min(LEASE_MAX_MS)).plus_ms(sight.patience_ms);
    let issue = |about: &str, summary: String| {
        let issue =
            sight.issue(IssueKind::LeaseOrphaned, format!("{about} {}", lease.worker)).saying(summary);
        issue
            .fact("worker", &lease.worker)
            .fact("ends at", lease.expires_at.0)
            .fact("length in ms", lease.ttl_ms)
    };
    if lease.expires_at > latest_end {
        let far_ms = lease.expires_at.since_ms(sight.now);
        let says = format!("the lease of {} ends in {far_ms} ms: nobody can take the run over", lease.worker);
        return vec![issue("endless", says).mended_by(Mend::ReleaseLease)];
    }
    if let Some(due) = sight.due_since()
        && sight.is_late(due.max(lease.expires_at))
    {
        let since = due.max(lease.expires_at);
        let late_ms = sight.now.since_ms(since);
        let says = format!("{} has gone, and nobody took the run over for {late_ms} ms", lease.worker);
        let issue = issue("ended", says).fact("queue", &head.queue).fact("workflow", &head.workflow);
        return vec![issue.fact("version", head.workflow_version)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Lease, WorkerId};

    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, PATIENCE_MS, taken};

    fn leased(ttl_ms: u64, ends_in_ms: u64) -> Fixture {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.follow();
        let worker = WorkerId::new("w-1").expect("an id");
        fixture.head.lease = Some(Lease { worker, ttl_ms, expires_at: NOW.plus_ms(ends_in_ms) });
        fixture
    }

    #[test]
    fn a_lease_that_ended_long_ago_and_one_that_never_ends_are_found() {
        let mut fixture = leased(1_000, 1_000);
        assert_eq!(look(&fixture.sight()), []);
        fixture.now = NOW.plus_ms(2_000);
        assert_eq!(look(&fixture.sight()), [], "somebody takes it over in a moment");
        fixture.now = NOW.plus_ms(1_001 + PATIENCE_MS);
        let found = look(&fixture.sight());
        assert_eq!((found.len(), found[0].mend.clone()), (1, None), "releasing it would change nothing");

        let found = look(&leased(1_000, 2_000 + 10 * PATIENCE_MS).sight());
        assert_eq!((found.len(), found[0].mend.clone()), (1, Some(Mend::ReleaseLease)));
    }

    #[test]
    fn a_place_in_a_line_is_no_lease() {
        let mut fixture = leased(0, 0);
        fixture.now = NOW.plus_ms(10 * PATIENCE_MS);
        assert_eq!(look(&fixture.sight()), []);
    }
}
