//! JSON text laid out without reading its values: what was sent is what is printed, to the last digit.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::client::Items;
use crate::failure::Failure;

#[derive(Serialize)]
struct Page<'a> {
    items: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

/// Items as the API would answer them in one page.
pub(crate) fn page(found: &Items) -> Result<String, Failure> {
    let page = Page { items: &found.items, next_cursor: found.next_cursor.as_deref() };
    serde_json::to_string(&page).map_err(Failure::other)
}

/// The same JSON with a line for each member, indented by two spaces.
pub(crate) fn indented(text: &str) -> String {
    laid_out(text, true)
}

/// The same JSON on one line.
pub(crate) fn on_one_line(text: &str) -> String {
    laid_out(text, false)
}

fn laid_out(text: &str, is_indented: bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_in_text, mut is_escaped) = (0usize, false, false);
    let mut chars = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        if is_indented {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    while let Some(char) = chars.next() {
        if is_in_text {
            out.push(char);
            is_in_text = is_escaped || char != '"';
            is_escaped = !is_escaped && char == '\\';
            continue;
        }
        match char {
            '"' => {
                is_in_text = true;
                out.push(char);
            }
            '{' | '[' => {
                out.push(char);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                line(&mut out, depth);
            }
            ':' => out.push_str(if is_indented { ": " } else { ":" }),
            char if char.is_ascii_whitespace() => {}
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laying_out_changes_no_value() {
        let text =
            r#"{ "a\"{": [1234567890123456789012345, -0.10, {}, [ ]], "b,:\\": "x, y: [z]", "c": null }"#;
        let shown = indented(text);
        assert_eq!(on_one_line(&shown), on_one_line(text));
        assert!(shown.contains("1234567890123456789012345") && shown.contains("-0.10"), "{shown}");
        assert!(shown.starts_with("{\n  \"a\\\"{\": [\n    1234567890123456789012345,\n"), "{shown}");
        assert!(shown.contains("\"x, y: [z]\""), "{shown}");
    }
}
