//! A run that can go on is taken by a worker.

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;
use crate::run::summary::Summary;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let head = sight.head;
    // A worker that has gone with it is an issue of its own.
    let was_leased = head.lease.as_ref().is_some_and(|lease| lease.ttl_ms > 0);
    let since = sight.due_since().filter(|since| !was_leased && sight.is_late(*since));
    let Some(since) = since else { return Vec::new() };
    let late_ms = sight.now.since_ms(since);
    let issue = sight
        .issue(IssueKind::RunUnclaimed, "claim")
        .saying(format!("the run could go on for {late_ms} ms, and no worker takes it"))
        .fact("queue", &head.queue)
        .fact("workflow", &head.workflow)
        .fact("version", head.workflow_version)
        .fact("status", head.status);
    let parked = head.summary.decode::<Summary>().ok().and_then(|summary| summary.parked);
    vec![match parked {
        Some(parked) => issue.fact("was last kept back by", format!("{:?}", parked.reason)),
        None => issue,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, PATIENCE_MS, paused, released, taken};

    #[test]
    fn a_run_that_nobody_takes_is_found_once_that_is_long_ago() {
        let mut fixture = Fixture::new();
        fixture.follow();
        assert_eq!(look(&fixture.sight()), []);
        fixture.now = NOW.plus_ms(PATIENCE_MS + 1);
        assert_eq!(look(&fixture.sight()).len(), 1);
    }

    #[test]
    fn a_run_that_sleeps_or_is_held_waits_for_no_worker() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(released(NOW.plus_ms(50 * PATIENCE_MS)));
        fixture.follow();
        fixture.now = NOW.plus_ms(40 * PATIENCE_MS);
        assert_eq!(look(&fixture.sight()), []);

        let mut held = Fixture::new();
        held.add(taken(1));
        held.add(paused());
        held.follow();
        held.now = NOW.plus_ms(40 * PATIENCE_MS);
        assert_eq!(look(&held.sight()), []);
    }
}
