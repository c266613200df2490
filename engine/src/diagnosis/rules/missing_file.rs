//! A file is not there, in a folder that is.

use crate::diagnosis::compare::error;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::{PathSeen, Seen};
use crate::diagnosis::signal::Signal;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let by = seen.says(Signal::NotFound)?;
    let (says, params) = error(seen.last()?);
    let state = seen.path_state();
    let absent = state.as_ref().is_some_and(PathSeen::is_absent);
    let there_now = state.is_some() && !absent;
    let foreign = state.as_ref().is_some_and(|state| state.is_foreign());
    // What is there now is not what was missing, and what is foreign may be no path.
    let sure = if there_now || foreign { Confidence::Low } else { seen.sure(by, absent) };
    let finding = Finding::new("SW3001", sure).with("what", if foreign { seen.error_text() } else { seen.path() });
    let looked = state.map(|state| {
        (if absent { "path_missing" } else { "path_there" }, Params::new().with("path", state.path))
    });
    Some(finding.fact_if(looked).fact(says, params).infer_if(there_now, "now_there", Params::new()).known_by(by))
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    #[test]
    fn a_file_that_is_there_may_not_be_the_one_that_was_missing() {
        let program = known(ErrorClass::Permanent, "io.not_found", "No such file or directory");
        let input = program.fact(path("/data/in.pdf", Some(folder("/data/in.pdf")), "/data", &[]));
        assert_eq!(told(&input), ("SW3001".to_owned(), Confidence::Low));
    }

    pub(crate) fn positives() -> Specimens {
        let missing = || known(ErrorClass::Permanent, "io.not_found", "No such file or directory");
        vec![
            ("SW3001", missing().fact(path("/data/a.csv", None, "/data", &[]))),
            ("SW3001", missing()),
            ("SW3001", missing().fact(path("/data/a.csv", Some(folder("/data/a.csv")), "/data", &[]))),
            ("SW3001", words("load: No such file or directory (os error 2)")),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW9001", known(ErrorClass::Permanent, "http.404", "order not found")),
            ("SW9001", words("customer not found")),
            ("SW9001", kind_told("io.not_found", "order 7 not found")),
        ]
    }
}
