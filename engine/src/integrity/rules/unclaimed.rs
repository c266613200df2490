//! A run that can go on is taken by a worker.

use stepwell_contract::Head;

use crate::diagnosis::evidence::WorkerFacts;
use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;
use crate::run::summary::Summary;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let head = sight.head;
    // A worker that has gone with it is an issue of its own.
    let was_leased = head.lease.as_ref().is_some_and(|lease| lease.ttl_ms > 0);
    let since = sight.due_since().filter(|since| !was_leased && sight.is_late(*since));
    let Some(since) = since else { return Vec::new() };
    let takers = || sight.workers.iter().filter(|worker| takes(worker, head));
    let (count, free) = (takers().count(), takers().find(|worker| worker.room.is_none_or(|room| room > 0)));
    // A backlog: all who could take it have as many runs as they advance at once, and come to it.
    if count > 0 && free.is_none() {
        return Vec::new();
    }
    let late_ms = sight.now.since_ms(since);
    let why = match free {
        Some(worker) => format!("worker {} could take it and does not", worker.worker),
        None => "no worker that is there could take it".to_owned(),
    };
    let issue = sight
        .issue(IssueKind::RunUnclaimed, "claim")
        .saying(format!("the run could go on for {late_ms} ms, and {why}"))
        .fact("workers that could take it", count)
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

/// Whether a worker is there that reads the queue of a run and has its workflow in its version.
fn takes(worker: &WorkerFacts, head: &Head) -> bool {
    let reads = worker.queues.is_empty() || worker.queues.iter().any(|queue| queue == head.queue.as_str());
    let has =
        |(name, version): &(String, u32)| name == head.workflow.as_str() && *version == head.workflow_version;
    worker.alive && reads && worker.workflows.iter().any(has)
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
    fn a_run_that_waits_behind_others_is_none_unless_no_worker_could_take_it_or_one_has_room() {
        let mut fixture = Fixture::new();
        fixture.follow();
        fixture.now = NOW.plus_ms(PATIENCE_MS + 1);
        let full = WorkerFacts {
            worker: "w-1".to_owned(),
            alive: true,
            workflows: vec![("w".to_owned(), 1)],
            room: Some(0),
            ..WorkerFacts::default()
        };
        let gone = WorkerFacts { alive: false, ..full.clone() };
        let elsewhere = WorkerFacts { queues: vec!["mail".to_owned()], ..full.clone() };
        let older = WorkerFacts { workflows: vec![("w".to_owned(), 0)], ..full.clone() };
        let idle = WorkerFacts { worker: "w-2".to_owned(), room: Some(1), ..full.clone() };
        let found = |workers: &[WorkerFacts]| {
            let mut sight = fixture.sight();
            sight.workers = workers;
            look(&sight).into_iter().map(|issue| issue.summary).collect::<Vec<_>>()
        };
        assert_eq!(found(&[full.clone(), gone.clone()]), [""; 0]);
        for other in [gone, elsewhere, older] {
            assert!(found(&[other])[0].ends_with("no worker that is there could take it"));
        }
        assert!(found(&[full, idle])[0].ends_with("worker w-2 could take it and does not"));
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
