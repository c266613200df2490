//! Every worker that takes the run dies in this step.

use std::collections::BTreeSet;

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
    let crashed: Vec<_> = in_a_row.collect();
    let processes: BTreeSet<_> = crashed.iter().map(|attempt| (&attempt.worker, attempt.pid)).collect();
    // One process that loses its lease again and again has not died, and one that said goodbye was told to end.
    let died_for_sure = seen.lost_worker.is_none_or(|lost| {
        lost.process_alive != Some(true) && lost.clean_exit != Some(true) && lost.host_answers != Some(false)
    });
    if processes.len() < CRASHES_MIN || !died_for_sure {
        return None;
    }
    let sure = if processes.len() >= CRASHES_SURE { Confidence::High } else { Confidence::Medium };
    let mut finding = Finding::new("SW6007", sure).with("crashes", crashed.len());
    for attempt in crashed.iter().rev() {
        let worker = attempt.worker.as_deref().unwrap_or("?");
        finding = finding.fact("lost_in", Params::new().with("attempt", attempt.attempt).with("worker", worker));
    }
    Some(seen.lost_worker.map_or(finding.clone(), |lost| lost_worker::with_memory(finding, lost)))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::LostWorker;
    use crate::diagnosis::rules::fixtures::*;

    pub(crate) fn positives() -> Specimens {
        vec![("SW6007", lost(LostWorker::default(), 2)), ("SW6007", lost(LostWorker::default(), 4))]
    }

    pub(crate) fn decoys() -> Specimens {
        let one_process = lost(LostWorker { worker: "w1".into(), ..LostWorker::default() }, 3);
        let mut one_process = one_process;
        for attempt in &mut one_process.attempts {
            attempt.worker = Some("w1".into());
        }
        let cut_off = LostWorker { host: Some("h".into()), host_answers: Some(false), ..LostWorker::default() };
        vec![("SW9001", one_process), ("SW6005", lost(cut_off, 3)), ("SW9001", lost(LostWorker::default(), 1))]
    }
}
