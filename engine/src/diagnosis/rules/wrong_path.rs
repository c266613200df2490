//! The path leads nowhere: a folder is missing, a name is misspelt, or a file stands where a folder should.

use crate::diagnosis::compare::error;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

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
        // A route has no ending as files do: what is missing may be anything.
        if state.is_foreign() && !state.path.rsplit('/').next().unwrap_or_default().contains('.') {
            return None;
        }
        let mut finding = finding(by, true);
        if state.is_foreign() {
            finding.confidence = Confidence::Low;
        }
        return Some(finding.fact(missing.0, missing.1).fact("parent_there", there));
    }
    // A name that is nearly the same may also be another file.
    let name = state.similar.first()?;
    let beside = Params::new().with("names", state.similar.join(", "));
    let mut likely = finding(by, false);
    likely.confidence = Confidence::Medium;
    Some(
        likely
            .fact(missing.0, missing.1)
            .fact("path_similar", beside)
            .infer("nearest", Params::new().with("name", name)),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    #[test]
    fn a_path_of_which_nothing_is_there_may_be_a_route() {
        let program = known(ErrorClass::Permanent, "io.not_found", "No such file or directory");
        for (named, code) in [("/invoices/7", "SW3001"), ("/invoices", "SW3001"), ("/upload/in.csv", "SW3002")] {
            let said = told(&program.clone().fact(path(named, None, "/", &[])));
            assert_eq!(said, (code.to_owned(), Confidence::Low), "{named}");
        }
    }

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
        let order = kind_told("io.not_found", "no order at /orders/7").fact(path("/orders/7", None, "/", &[]));
        vec![("SW3001", missing.fact(path("/data/a.csv", None, "/data", &[]))), ("SW9001", order)]
    }
}
