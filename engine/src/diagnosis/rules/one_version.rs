//! The step fails since a version of the code.

use crate::diagnosis::compare::only_version;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let (version, count, sure) = only_version(seen)?;
    let said = Params::new().with("version", version).with("count", count);
    Some(Finding::new("SW1301", sure).with("version", version).fact("versions_succeed", said))
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::evidence::{Dossier, Endpoint, Neighbour, StepStats};
    use crate::diagnosis::rules::fixtures::*;

    fn since(version: &str) -> Dossier {
        let by_code_version = successes(&[("1.4", 40, 5), ("1.3", 12, 3)]);
        words("no such tariff")
            .last(|last| last.code_version = Some(version.into()))
            .stats(StepStats { by_code_version, ..stats(52, 10, 20) })
    }

    pub(crate) fn positives() -> Specimens {
        let at = Endpoint { host: "h".into(), port: None };
        let other = neighbour("charge", "run-2", false, &at);
        let other = Neighbour { code_version: Some("1.5".into()), ..other };
        vec![("SW1301", Dossier { neighbours: vec![other], ..since("1.5") }), ("SW1301", since("1.5"))]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", since("1.4"))]
    }
}
