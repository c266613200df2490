//! The step's code panicked.

use crate::diagnosis::compare::{error, same_end, same_input};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    let caught = last.observed() == Some("panic") || last.panic_at.is_some();
    // A task that the step spawned panicked, and the step gave that on.
    if !caught && !last.has_code(&["tokio.task_panicked"]) {
        return None;
    }
    let at = last.panic_at.as_deref().or(last.location.as_deref()).unwrap_or("?");
    let (says, params) = error(last);
    let mut finding = Finding::new("SW1001", Confidence::High).with("at", at).fact(says, params);
    if at != "?" {
        finding = finding.fact("panic_at", Params::new().with("at", at));
    }
    if same_end(seen) {
        let count = seen.failures().count();
        finding = finding.fact("same_end", Params::new().with("count", count));
    }
    Some(if same_input(seen) { finding.fact("same_input", Params::new()) } else { finding })
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let caught = observed(ErrorClass::Bug, "panic", "index out of bounds")
            .times(2, |attempt| attempt.panic_at = Some("src/steps.rs:10:5".into()));
        vec![("SW1001", caught), ("SW1001", known(ErrorClass::Bug, "tokio.task_panicked", "task panicked"))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", words("the remote worker said: thread 'main' panicked at src/a.rs:1:1"))]
    }
}
