//! A name is longer than the file system takes.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::EnvironmentFact;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let by = seen.says(Signal::NameTooLong)?;
    let (says, params) = error(seen.last()?);
    let lengths = seen.facts().find_map(|fact| match fact {
        EnvironmentFact::NameLength { name_bytes, name_bytes_max, path_bytes, path_bytes_max, .. }
            if name_bytes > name_bytes_max || path_bytes >= path_bytes_max =>
        {
            Some(Params::new()
                .with("name", name_bytes)
                .with("name_max", name_bytes_max)
                .with("path", path_bytes)
                .with("path_max", path_bytes_max))
        }
        _ => None,
    });
    // The same kind of error is also that of a name with characters that are not allowed.
    let proven = lengths.is_some() || (by == By::Code && seen.last()?.has_code(&["ENAMETOOLONG"]));
    Some(
        Finding::new("SW3006", seen.sure(by, proven))
            .with("what", seen.path())
            .fact_if(lengths.map(|lengths| ("name_length", lengths)))
            .fact(says, params)
            .known_by(by),
    )
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    pub(crate) fn positives() -> Specimens {
        let long = EnvironmentFact::NameLength {
            path: "/data/aaa…".into(),
            name_bytes: 300,
            name_bytes_max: 255,
            path_bytes: 306,
            path_bytes_max: 4096,
        };
        let error = || known(ErrorClass::Permanent, "io.invalid_filename", "File name too long");
        vec![("SW3006", error().fact(long)), ("SW3006", error())]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![("SW9001", words("the name of the customer is too long"))]
    }
}
