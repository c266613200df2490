//! Values as pages show them: within bounds.

use crate::json::{Layout, laid_out};

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
    let (text, is_cut) = laid_out(json, Layout::Indented, bytes_max);
    Shown { text, bytes: json.len(), is_cut }
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
