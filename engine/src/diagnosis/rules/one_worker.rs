//! The step fails on one worker alone.

use crate::diagnosis::compare::{OnlyWorker, RUNS_MIN, only_worker};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    // However often one run fails on it, it may be the run.
    let OnlyWorker { worker, count, .. } = only_worker(seen).filter(|found| found.runs >= RUNS_MIN)?;
    let said = Params::new().with("worker", worker).with("count", count);
    Some(Finding::new("SW6008", Confidence::Medium).with("worker", worker).fact("others_succeed", said))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, Endpoint, Neighbour, StepStats};
    use crate::diagnosis::rules::fixtures::*;
    use stepwell_contract::Timestamp;

    fn on_b(times: u32, others_at: i64) -> Dossier {
        let by_worker = successes(&[("a", 40, others_at), ("c", 12, 100)]);
        words("the printer does not print")
            .times(times, |attempt| {
                attempt.worker = Some("b".into());
                attempt.started_at = Timestamp(1_000);
            })
            .stats(StepStats { by_worker, ..stats(52, 10, 20) })
    }

    fn also_another(mut case: Dossier) -> Dossier {
        let printer = Endpoint { host: "printer".into(), port: None };
        case.neighbours = vec![Neighbour { worker: Some("b".into()), ..neighbour("charge", "run-2", false, &printer) }];
        case
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW6008", also_another(on_b(2, 5_000))), ("SW6008", also_another(on_b(1, 5_000)))]
    }

    pub(crate) fn decoys() -> Specimens {
        let both = also_another(on_b(2, 5_000)).last(|last| last.worker = Some("a".into()));
        // Nobody else failed there: it may be the run.
        let one_run = on_b(2, 5_000);
        vec![("SW9001", also_another(on_b(2, 500))), ("SW9001", one_run), ("SW9001", on_b(1, 5_000)), ("SW9001", both)]
    }
}
