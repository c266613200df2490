//! The worker went away with its host.

use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let lost = seen.lost_worker.filter(|_| seen.failed().is_none())?;
    let host = lost.host.as_deref()?;
    let (code, says) = if lost.host_restarted == Some(true) {
        ("SW6006", "host_restarted")
    } else if lost.host_answers == Some(false) {
        ("SW6005", "host_silent")
    } else {
        return None;
    };
    Some(
        Finding::new(code, Confidence::High)
            .with("worker", &lost.worker)
            .with("host", host)
            .fact(says, Params::new().with("host", host)),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::LostWorker;
    use crate::diagnosis::rules::fixtures::*;

    pub(crate) fn positives() -> Specimens {
        let at = || LostWorker { worker: "w1".into(), host: Some("h1".into()), ..LostWorker::default() };
        vec![
            ("SW6005", lost(LostWorker { host_answers: Some(false), ..at() }, 1)),
            ("SW6006", lost(LostWorker { host_restarted: Some(true), ..at() }, 1)),
            ("SW6006", lost(LostWorker { host_restarted: Some(true), ..at() }, 3)),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let up = LostWorker { host: Some("h1".into()), host_answers: Some(true), ..LostWorker::default() };
        vec![("SW9001", lost(up, 1)), ("SW9001", lost(LostWorker::default(), 1))]
    }
}
