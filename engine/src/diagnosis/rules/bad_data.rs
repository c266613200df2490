//! Data cannot be read, at a place that is known.

use crate::diagnosis::compare::error;
use crate::diagnosis::evidence::{AttemptRecord, FileKind};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::seen::Seen;
use crate::diagnosis::signal::{By, Signal};
use crate::diagnosis::text::Params;
use crate::diagnosis::verdict::Confidence;
use crate::workflow::links::KIND_TOLD;

/// Codes of errors that are about the form of data.
const CODES: &[&str] = &["json.syntax", "json.data", "json.eof", "text.utf8", "text.utf16", "io.invalid_data"];
/// What readers say of data that has not the form they read.
const FORM: &[&str] = &[
    "did not find expected",
    "expected `",
    "expected one of",
    "expected value",
    "expecting ",
    "invalid type",
    "invalid value",
    "missing field",
    "not allowed in this context",
    "parse error",
    "syntax error",
    "trailing characters",
    "trailing comma",
    "unexpected character",
    "unexpected end",
    "unexpected token",
    "unknown field",
    "unknown variant",
];

pub(super) fn find(seen: &Seen<'_>) -> Option<Finding> {
    let last = seen.failed()?;
    // A peer that hangs up ends in the same way as a file that is too short.
    let file = seen.path_state().and_then(|state| Some((state.path, state.found?.kind)));
    let file = file.filter(|(_, kind)| *kind == FileKind::File).map(|(path, _)| path);
    let short_file = file.is_some() && last.has_typed_code(&["io.unexpected_eof"]) && seen.endpoint.is_none();
    let no_text = file.is_some() && last.has_typed_code(&["io.invalid_data"]) && last.field(KIND_TOLD.0).is_none();
    let of_data = last.has_code(CODES) || short_file;
    let said = seen.says(Signal::Malformed);
    let (place, told) = match place(last).or_else(|| place_in_words(last, said.is_some())) {
        Some(place) => (place, true),
        None if short_file => ("EOF".to_owned(), false),
        None if no_text || said.is_some() && file.is_some() => (file.unwrap_or_default().to_owned(), false),
        None if said.is_some() => (last.root_text().to_owned(), false),
        None => return None,
    };
    let by_fields = ["line", "offset", "field"].into_iter().any(|name| last.field(name).is_some());
    let sure = match (told && of_data, of_data || by_fields) {
        (true, _) => Confidence::High,
        (false, true) => Confidence::Medium,
        // Only words say that it is about data.
        (false, false) if seen.signal.is_none() || said.is_some() => {
            said.map_or(Confidence::Low, |by| seen.sure(by, told))
        }
        (false, false) => return None,
    };
    let (says, params) = error(last);
    Some(
        Finding::new("SW1102", sure)
            .with("where", &place)
            .fact("data_place", Params::new().with("where", &place))
            .fact(says, params)
            .known_by(said.unwrap_or(By::Code)),
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
    texts(attempt).find_map(line_and_column).filter(|_| attempt.has_code(CODES))
}

/// The same of any reader of data, by its words: where they say that something is wrong there.
fn place_in_words(attempt: &AttemptRecord, is_data: bool) -> Option<String> {
    texts(attempt).find_map(|text| {
        let lower = text.to_ascii_lowercase();
        // `at 14:30` is a time of day too.
        match line_and_column(&lower).or_else(|| row_and_column(&lower).filter(|_| is_data)) {
            Some(place) => (is_data || FORM.iter().any(|words| lower.contains(words))).then_some(place),
            None if is_data => ["line", "record", "row", "position", "offset", "byte"].iter().find_map(|what| {
                let (_, after) = lower.split_once(&format!("{what} ")).or_else(|| lower.split_once(&format!("{what}: ")))?;
                Some(format!("{what} {}", number(after)?))
            }),
            None => None,
        }
    })
}

fn texts(attempt: &AttemptRecord) -> impl Iterator<Item = &str> {
    attempt.chain.iter().rev().map(|link| link.text.as_str()).chain([attempt.message.as_str()])
}

fn number(text: &str) -> Option<&str> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..digits).filter(|digits| !digits.is_empty())
}

/// `at line 3 column 7`, `at line 4, column 11`.
fn line_and_column(text: &str) -> Option<String> {
    text.rmatch_indices("line ").find_map(|(at, before)| {
        let line = number(&text[at + before.len()..])?;
        let after = text[at + before.len() + line.len()..].trim_start_matches(',').strip_prefix(" column ")?;
        Some(format!("line {line}, column {}", number(after)?))
    })
}

/// `at 14:3`.
fn row_and_column(text: &str) -> Option<String> {
    text.rmatch_indices(" at ").find_map(|(at, before)| {
        let line = number(&text[at + before.len()..])?;
        let column = number(text[at + before.len() + line.len()..].strip_prefix(':')?)?;
        Some(format!("line {line}, column {column}"))
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
            ("SW1102", words("jq: parse error: Expected value before ',' at line 3, column 7")),
            ("SW1102", words("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)")),
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
            ("SW9001", words("the parcel expected at 14:30 did not come")),
            // It may be a socket.
            ("SW9001", known(ErrorClass::Transient, "io.unexpected_eof", "failed to fill whole buffer")),
            ("SW9001", kind_told("io.invalid_data", "the ledger has no such account").fact(there())),
        ]
    }
}
