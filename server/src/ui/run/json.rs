//! JSON as people read it: indented, with every number and text exactly as it is stored.

/// Most bytes of a value that a page shows; the rest is for those who take the whole of it.
pub(crate) const SHOWN_BYTES_MAX: usize = 64 << 10;

/// A value as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// How large all of it is.
    pub(crate) bytes: usize,
    /// Whether the end of it is left out.
    pub(crate) is_cut: bool,
}

/// A value, indented and within bounds.
pub(crate) fn shown(json: &str) -> Shown {
    shown_within(json, SHOWN_BYTES_MAX)
}

/// The same within other bounds.
pub(crate) fn shown_within(json: &str, bytes_max: usize) -> Shown {
    let (text, is_cut) = laid_out(json, bytes_max);
    Shown { text, bytes: json.len(), is_cut }
}

/// All of a value, indented: for whoever edits it.
pub(crate) fn indented(json: &str) -> String {
    laid_out(json, usize::MAX).0
}

/// JSON with a line for each item, until it has so many bytes; and whether something was left out. Nothing in it is read as a
/// number, so nothing is rounded.
fn laid_out(json: &str, bytes_max: usize) -> (String, bool) {
    let mut text = String::with_capacity(json.len().min(bytes_max).saturating_add(64));
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
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
            ':' => text.push_str(": "),
            mark if mark.is_ascii_whitespace() => {}
            mark => text.push(mark),
        }
    }
    (text, false)
}

/// Deeper than that the lines do not move further in: a hostile value must not blow up its own indentation.
const DEPTH_SHOWN: usize = 40;

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    (0..depth.min(DEPTH_SHOWN)).for_each(|_| text.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_stay_as_they_are_stored() {
        let json = r#"{"big":12345678901234567890123.0100,"e":1E400,"t":"a\"}{[,: \\","l":[],"o":{ },"n":[1,{"x":null}]}"#;
        let text = shown(json).text;
        assert!(text.contains("\"big\": 12345678901234567890123.0100,\n"), "{text}");
        assert!(text.contains("\"e\": 1E400"), "{text}");
        assert!(text.contains(r#""t": "a\"}{[,: \\","#), "{text}");
        assert!(text.contains("\"l\": [],\n  \"o\": {},\n"), "{text}");
        assert!(text.contains("  \"n\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}"), "{text}");
        let tight: String = text.split_whitespace().collect();
        assert_eq!(tight, json.split_whitespace().collect::<String>());
    }

    #[test]
    fn a_large_or_deep_value_is_bounded_and_says_so() {
        let large = format!("[{}1]", "123456,".repeat(50_000));
        let found = shown(&large);
        assert!(found.is_cut && found.text.len() < SHOWN_BYTES_MAX + 200);
        assert_eq!(found.bytes, large.len());
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        assert!(shown(&deep).text.len() < SHOWN_BYTES_MAX + 200);
    }
}
