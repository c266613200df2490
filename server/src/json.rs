//! JSON text laid out without reading its values: every number and text stays as it is stored, to the last digit.

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A line for each item, indented by two spaces.
    Indented,
    /// All on one line.
    OneLine,
}

/// The same JSON with a line for each member, indented by two spaces.
#[must_use]
pub fn indented(json: &str) -> String {
    laid_out(json, Layout::Indented, usize::MAX).0
}

/// The same JSON on one line.
#[must_use]
pub fn on_one_line(json: &str) -> String {
    laid_out(json, Layout::OneLine, usize::MAX).0
}

/// The same JSON in another layout, until it has so many bytes; and whether something was left out.
pub(crate) fn laid_out(json: &str, layout: Layout, bytes_max: usize) -> (String, bool) {
    let mut text = String::with_capacity(json.len().min(bytes_max).saturating_add(64));
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let line = |text: &mut String, depth: usize| {
        if layout == Layout::Indented {
            text.push('\n');
            (0..depth.min(DEPTH_SHOWN)).for_each(|_| text.push_str("  "));
        }
    };
    let mut marks = json.chars().peekable();
    while let Some(mark) = marks.next() {
        if text.len() >= bytes_max {
            return (text, true);
        }
        if in_string {
            text.push(mark);
            in_string = is_escaped || mark != '"';
            is_escaped = mark == '\\' && !is_escaped;
            continue;
        }
        match mark {
            '"' => {
                in_string = true;
                text.push(mark);
            }
            '{' | '[' => {
                text.push(mark);
                while marks.next_if(char::is_ascii_whitespace).is_some() {}
                match marks.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(mark);
            }
            ',' => {
                text.push(mark);
                line(&mut text, depth);
            }
            ':' => text.push_str(if layout == Layout::Indented { ": " } else { ":" }),
            mark if mark.is_ascii_whitespace() => {}
            mark => text.push(mark),
        }
    }
    (text, false)
}

/// Deeper than that the lines do not move further in: a hostile value must not blow up its own indentation.
const DEPTH_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laying_out_changes_no_value() {
        let text =
            r#"{ "a\"{": [1234567890123456789012345, -0.10, {}, [ ]], "b,:\\": "x, y: [z]", "c": null }"#;
        let shown = indented(text);
        assert_eq!(on_one_line(&shown), on_one_line(text));
        assert!(
            shown.starts_with(
                "{\n  \"a\\\"{\": [\n    1234567890123456789012345,\n    -0.10,\n    {},\n    []\n"
            ),
            "{shown}"
        );
        assert!(shown.contains("\"x, y: [z]\""), "{shown}");
    }
}
