//! The step fails since a version of the code.

use crate::diagnosis::compare::{OnlyVersion, RUNS_MIN, only_version};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    // The first to fail after a deploy may be what has always failed.
    let OnlyVersion { version, count, .. } = only_version(seen).filter(|found| found.runs >= RUNS_MIN)?;
    let said = Params::new().with("version", version).with("count", count);
    Some(Finding::new("SW1301", Confidence::Medium).with("version", version).fact("versions_succeed", said))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::ErrorClass;
    use crate::diagnosis::evidence::{Dossier, Endpoint, Neighbour, StepStats};
    use crate::diagnosis::fingerprint::{Marks, fingerprint};
    use crate::diagnosis::rules::fixtures::*;

    fn since(version: &str) -> Dossier {
        let by_code_version = successes(&[("1.4", 40, 5), ("1.3", 12, 3)]);
        words("no such tariff")
            .last(|last| last.code_version = Some(version.into()))
            .stats(StepStats { by_code_version, ..stats(52, 10, 20) })
    }

    fn with_another(text: &str) -> Dossier {
        let at = Endpoint { host: "h".into(), port: None };
        let marks = Marks { class: Some(ErrorClass::Unclassified), text, ..Marks::of_step("order", "charge") };
        let fingerprint = Some(fingerprint(marks));
        let other = neighbour("charge", "run-2", false, &at);
        let other = Neighbour { code_version: Some("1.5".into()), fingerprint, ..other };
        Dossier { neighbours: vec![other], ..since("1.5") }
    }

    pub(crate) fn positives() -> Specimens {
        vec![("SW1301", with_another("no such tariff"))]
    }

    pub(crate) fn decoys() -> Specimens {
        // One failure is one run's, and two different ones are two.
        vec![("SW9001", since("1.4")), ("SW9001", since("1.5")), ("SW9001", with_another("no such customer"))]
    }
}
