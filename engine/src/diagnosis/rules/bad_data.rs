//! Data cannot be read, at a place that is known.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::{AttemptRecord, FileKind};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::links::KIND_TOLD;

/// Codes of errors that are about the form of data.
const CODES: &[&str] = &["json.syntax", "json.data", "json.eof", "text.utf8", "text.utf16", "io.invalid_data"];

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    // A peer that hangs up ends in the same way as a file that is too short.
    let file = seen.path_state().and_then(|state| Some((state.path, state.found?.kind)));
    let file = file.filter(|(_, kind)| *kind == FileKind::File).map(|(path, _)| path);
    let short_file = file.is_some() && last.has_typed_code(&["io.unexpected_eof"]) && seen.endpoint.is_none();
    let no_text = file.is_some() && last.has_typed_code(&["io.invalid_data"]) && last.field(KIND_TOLD.0).is_none();
    let of_data = last.has_code(CODES) || short_file;
    let (place, told) = match place(last) {
        Some(place) => (place, true),
        None if short_file => ("EOF".to_owned(), false),
        None if no_text => (file.unwrap_or_default().to_owned(), false),
        None => return None,
    };
    let by_fields = ["line", "offset", "field"].into_iter().any(|name| last.field(name).is_some());
    if !of_data && !by_fields {
        return None;
    }
    let sure = if told && of_data { Confidence::High } else { Confidence::Medium };
    let (says, params) = error(last);
    Some(
        Finding::new("SW1102", sure)
            .with("where", &place)
            .fact("data_place", Params::new().with("where", &place))
            .fact(says, params),
    )
}

/// Where in the data: by fields, or as the standard texts of `serde_json` and UTF-8 errors say it.
fn place(attempt: &AttemptRecord) -> Option<String> {
    let fields = ["file", "record", "field", "line", "column", "offset"];
    let told: Vec<_> =
        fields.into_iter().filter_map(|name| Some(format!("{name} {}", attempt.field(name)?))).collect();
    if !told.is_empty() {
        return Some(told.join(", "));
    }
    let texts = attempt.chain.iter().rev().map(|link| link.text.as_str()).chain([attempt.message.as_str()]);
    texts.into_iter().find_map(|text| {
        let (_, after) = text.rsplit_once(" at line ")?;
        let (line, after) = after.split_once(" column ")?;
        let column: String = after.chars().take_while(char::is_ascii_digit).collect();
        let is_number = !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit());
        (is_number && !column.is_empty()).then(|| format!("line {line}, column {column}"))
    })
}

#[cfg(test)]
pub(super) mod fixtures {
    use super::*;
    use crate::diagnosis::evidence::{Dossier, EnvironmentFact, PathState};
    use crate::diagnosis::rules::fixtures::*;
    use crate::workflow::error::ErrorClass;

    fn there() -> EnvironmentFact {
        let file = PathState { kind: FileKind::File, ..folder("/data/in.csv") };
        path("/data/in.csv", Some(file), "/data", &[])
    }

    pub(crate) fn positives() -> Specimens {
        let csv = Dossier::failed(ErrorClass::Validation, None, "CSV error")
            .last(|last| last.chain = vec![link(None, None, &[("line", "17"), ("field", "price")])]);
        vec![
            ("SW1102", known(ErrorClass::Validation, "json.data", "invalid type: null at line 3 column 7")),
            ("SW1102", csv),
            ("SW1102", known(ErrorClass::Transient, "io.unexpected_eof", "failed to fill whole buffer").fact(there())),
            (
                "SW1102",
                known(ErrorClass::Permanent, "io.invalid_data", "stream did not contain valid UTF-8").fact(there()),
            ),
        ]
    }

    pub(crate) fn decoys() -> Specimens {
        vec![
            ("SW1101", known(ErrorClass::Validation, "parse.int", "invalid digit found in string")),
            ("SW9001", words("the train stops at line 3 column 7")),
            // It may be a socket.
            ("SW9001", known(ErrorClass::Transient, "io.unexpected_eof", "failed to fill whole buffer")),
            ("SW9001", kind_told("io.invalid_data", "the ledger has no such account").fact(there())),
        ]
    }
}
