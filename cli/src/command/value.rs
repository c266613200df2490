//! Values that are given: JSON, `@FILE`, or `-` for stdin. They are passed on as they were written.

use std::io::Read as _;

use serde_json::value::RawValue;

use crate::failure::Failure;

/// The value that a text gives.
pub(super) fn value(text: &str) -> Result<Box<RawValue>, Failure> {
    let (from, json) = match text.strip_prefix('@') {
        _ if text == "-" => {
            let mut json = String::new();
            std::io::stdin()
                .read_to_string(&mut json)
                .map_err(|error| Failure::usage(format!("stdin: {error}")))?;
            ("stdin", json)
        }
        Some(path) => {
            let json = std::fs::read_to_string(path);
            (path, json.map_err(|error| Failure::usage(format!("{path}: {error}")))?)
        }
        None => ("the value", text.to_owned()),
    };
    RawValue::from_string(json.trim().to_owned()).map_err(|error| {
        let hint = if text.starts_with(['{', '[', '@', '-']) {
            String::new()
        } else {
            format!("; a string needs its quotes: '\"{text}\"', a file its @")
        };
        Failure::usage(format!("{from} is not JSON: {error}{hint}"))
    })
}

/// The value that an optional text gives.
pub(super) fn maybe(text: Option<&str>) -> Result<Option<Box<RawValue>>, Failure> {
    text.map(value).transpose()
}
