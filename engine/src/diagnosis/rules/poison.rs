//! Every worker that takes the run dies in this step.

use std::collections::BTreeMap;

use crate::diagnosis::evidence::AttemptEnd;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rules::lost_worker;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::run::event::LostReason;

/// Dead workers in a row from which on it is no chance any more.
const CRASHES_MIN: usize = 2;
/// Dead workers in a row from which on it is as good as proven.
const CRASHES_SURE: usize = 3;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let in_a_row = seen.attempts.iter().rev().take_while(|attempt| attempt.ended == AttemptEnd::Lost(LostReason::Crash));
    let mut losses_by_process: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for attempt in in_a_row {
        losses_by_process.entry((&attempt.worker, attempt.pid)).or_default().push(attempt);
    }
    // A process that was lost and came back has not died: it lost its lease. One that said goodbye was told to end.
    losses_by_process.retain(|_, losses| losses.len() == 1);
    let mut crashed: Vec<_> = losses_by_process.into_values().flatten().collect();
    crashed.sort_by_key(|attempt| attempt.attempt);
    let died_for_sure = seen.lost_worker.is_none_or(|lost| {
        lost.process_alive != Some(true) && lost.clean_exit != Some(true) && lost.host_answers != Some(false)
    });
    if crashed.len() < CRASHES_MIN || !died_for_sure {
        return None;
    }
    let sure = match seen.lost_worker {
        Some(lost) if crashed.len() >= CRASHES_SURE && lost_worker::has_died_by_itself(lost) => Confidence::High,
        _ => Confidence::Medium,
    };
    let mut finding = Finding::new("SW6007", sure).with("crashes", crashed.len());
    for attempt in &crashed {
        let worker = attempt.worker.as_deref().unwrap_or("?");
        finding = finding.fact("lost_in", Params::new().with("attempt", attempt.attempt).with("worker", worker));
    }
    Some(seen.lost_worker.map_or(finding.clone(), |lost| lost_worker::with_memory(finding, lost)))
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Heartbeat, LostWorker};
    use crate::diagnosis::rules::fixtures::*;

    #[test]
    fn workers_that_only_lost_their_lease_may_be_alive() {
        let sure = |worker: LostWorker| told(&lost(worker, 3));
        let gone = LostWorker { process_alive: Some(false), ..LostWorker::default() };
        assert_eq!(sure(LostWorker::default()), ("SW6007".to_owned(), Confidence::Medium));
        assert_eq!(sure(gone.clone()), ("SW6007".to_owned(), Confidence::High));
        // The kernel counts whom it kills for want of memory, and has not counted this one: somebody else may have killed it.
        let heartbeat = Some(Heartbeat { oom_kills: Some(2), ..Heartbeat::default() });
        let not_for_memory = LostWorker { heartbeat, oom_kills_after: Some(2), ..gone };
        assert_eq!(sure(not_for_memory), ("SW6007".to_owned(), Confidence::Medium));
    }

    pub(crate) fn positives() -> Specimens {
        let gone = LostWorker { process_alive: Some(false), ..LostWorker::default() };
        vec![("SW6007", lost(LostWorker::default(), 2)), ("SW6007", lost(gone, 4))]
    }

    pub(crate) fn decoys() -> Specimens {
        let one_process = lost(LostWorker { worker: "w1".into(), ..LostWorker::default() }, 3);
        let mut one_process = one_process;
        for attempt in &mut one_process.attempts {
            attempt.worker = Some("w1".into());
        }
        let cut_off = LostWorker { host: Some("h".into()), host_answers: Some(false), ..LostWorker::default() };
        // Three processes that take it from each other, as a slow machine makes them.
        let mut by_turns = lost(LostWorker::default(), 6);
        for (attempt, worker) in by_turns.attempts.iter_mut().zip(["a", "b", "c", "b", "a", "c"]) {
            attempt.worker = Some(worker.into());
        }
        vec![("SW9001", by_turns), ("SW9001", one_process), ("SW6005", lost(cut_off, 3)), ("SW9001", lost(LostWorker::default(), 1))]
    }
}
