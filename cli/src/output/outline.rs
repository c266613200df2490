//! Anything as an outline: a line for each field, deeper ones indented.

use std::fmt::Write as _;

use serde_json::Value;

use crate::output::Words;
use crate::output::words::{plain, safe, span, style};

/// An outline of a value.
pub(crate) fn outline(value: &Value, words: Words) -> String {
    let mut text = String::new();
    put(&mut text, value, 0, words);
    text
}

fn put(text: &mut String, value: &Value, depth: usize, words: Words) {
    let space = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            let is_plain = |value: &Value| !is_deep(value);
            let width = fields.iter().filter(|(_, value)| is_plain(value) && !is_empty(value));
            let width = width.map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            for (name, value) in fields {
                let shown = safe(&name.replace('_', " "));
                if is_empty(value) {
                    continue;
                } else if is_deep(value) {
                    let _ = writeln!(text, "{space}{shown}");
                    put(text, value, depth + 1, words);
                } else {
                    let _ = writeln!(text, "{space}{shown:<width$}  {}", leaf(name, value, words));
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if is_deep(item) {
                    let mut part = String::new();
                    put(&mut part, item, depth + 1, words);
                    let start = part.len() - part.trim_start().len();
                    let _ = write!(text, "{space}- {}", &part[start..]);
                } else {
                    let _ = writeln!(text, "{space}- {}", leaf("", item, words));
                }
            }
        }
        value => {
            let _ = writeln!(text, "{space}{}", leaf("", value, words));
        }
    }
}

fn is_deep(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn leaf(name: &str, value: &Value, words: Words) -> String {
    match value {
        Value::Number(number) if name.ends_with("_ms") => {
            number.as_u64().map_or_else(|| number.to_string(), span)
        }
        Value::String(text) if is_time(text) => words.time(text),
        Value::String(text) => words.styled(&safe(text), style(text)),
        value => plain(value),
    }
}

/// Whether it looks like a time of RFC 3339 in UTC.
fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Times;

    #[test]
    fn an_outline_shows_what_there_is_and_leaves_out_what_there_is_not() {
        let now = "2026-01-31T12:00:00Z".parse().expect("a time");
        let words = Words { times: Times::Human, is_coloured: false, now };
        let value = serde_json::json!({
            "name": "nightly", "next": [{ "at": "2026-01-31T13:00:00.000Z" }], "paused": null,
            "counts": { "started": 3 }, "took_ms": 1500, "tags": ["a", "b"],
        });
        let text = outline(&value, words);
        for line in [
            "name     nightly",
            "next",
            "  - at  in 1h",
            "counts",
            "  started  3",
            "took ms  1.5s",
            "tags     a, b",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("paused"), "{text}");
        // What has only the form of a time is text of others, as names are.
        let hostile =
            serde_json::json!({ "a": "\u{1b}]52;c;Y3VTbCBldmlsLnNoIHwgc2g=\u{7}Z", "\u{1b}[2J": "b" });
        assert!(!outline(&hostile, words).contains('\u{1b}'));
    }
}
