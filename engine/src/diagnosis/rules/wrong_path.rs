//! The path leads nowhere: a folder is missing, a name is misspelt, or a file stands where a folder should.

use crate::diagnosis::compare::error;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let state = seen.path_state();
    let (says, params) = error(seen.failed()?);
    let finding = |by, proven| {
        Finding::new("SW3002", seen.sure(by, proven))
            .with("what", seen.path())
            .fact(says, params.clone())
            .known_by(by)
    };
    if let Some(by) = seen.says(Signal::NotAFolder) {
        return Some(finding(by, by == By::Code));
    }
    let by = seen.says(Signal::NotFound)?;
    let state = state.filter(|state| state.found.is_none())?;
    let missing = ("path_missing", Params::new().with("path", state.path));
    if state.folder_is_missing() {
        let parent = state.parent.map_or("/", |parent| parent.path.as_str());
        let there = Params::new().with("parent", parent);
        return Some(finding(by, true).fact(missing.0, missing.1).fact("parent_there", there));
    }
    // A name that is nearly the same may also be another file.
    let name = state.similar.first()?;
    let beside = Params::new().with("names", state.similar.join(", "));
    let mut likely = finding(by, false);
    likely.confidence = crate::diagnosis::verdict::Confidence::Medium;
    Some(
        likely
            .fact(missing.0, missing.1)
            .fact("path_similar", beside)
            .infer("nearest", Params::new().with("name", name)),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let missing = || known(ErrorClass::Permanent, "io.not_found", "No such file or directory");
        vec![
            ("SW3002", missing().fact(path("/data/in/2026/a.csv", None, "/data", &[]))),
            ("SW3002", missing().fact(path("/data/ordres.csv", None, "/data", &["orders.csv"]))),
            ("SW3002", known(ErrorClass::Permanent, "io.not_a_directory", "Not a directory")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        let missing = known(ErrorClass::Permanent, "io.not_found", "No such file or directory");
        vec![("SW3001", missing.fact(path("/data/a.csv", None, "/data", &[])))]
    }
}
