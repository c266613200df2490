//! Values of runs as people may see them: without what has the form of a secret, and otherwise as they were stored, digit by digit.

mod edited;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use stepwell_contract::Payload;

use crate::redact::{REDACTED, redact};

pub use edited::{EditError, edited_from};

/// Stands in place of a secret.
pub const HIDDEN: &str = REDACTED;
/// How deep a value is looked into; what lies deeper is hidden.
const DEPTH_MAX: usize = 100;

/// The value without secrets: texts that hold one are cleaned, and what stands under the name of one is taken out. Numbers, the
/// order of fields and all other texts stay as they are. What cannot be looked through is hidden whole.
#[must_use]
pub fn without_secrets(value: &Payload) -> Payload {
    let mut shown = String::with_capacity(value.text().len());
    let had_any = clean(None, value.raw(), &mut shown, 0);
    match Payload::from_text(&shown) {
        Ok(shown) if had_any => shown,
        Ok(_) => value.clone(),
        // What stands for its secrets has made it too large.
        Err(_) => Payload::encode(REDACTED).expect("a short text has a JSON form"),
    }
}

/// Writes a value without secrets, and returns whether it had any. `name` is that of the field it stands under.
fn clean(name: Option<&str>, value: &RawValue, to: &mut String, depth: usize) -> bool {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(text).map(|said| hidden(name, &said)) {
            Ok(None) => {
                to.push_str(text);
                false
            }
            Ok(Some(shown)) => hide(&shown, to),
            // Its escapes are no text.
            Err(_) => hide(REDACTED, to),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(parts) if depth < DEPTH_MAX => {
                let mut had_any = false;
                to.push('[');
                for (nth, part) in parts.into_iter().enumerate() {
                    to.push_str(if nth == 0 { "" } else { "," });
                    // What a list has under a name, each of its parts has.
                    had_any |= clean(name, part, to, depth + 1);
                }
                to.push(']');
                had_any
            }
            _ => hide(REDACTED, to),
        },
        Some(b'{') => match serde_json::from_str::<Fields<'_>>(text) {
            Ok(Fields(fields)) if depth < DEPTH_MAX => {
                let mut had_any = false;
                to.push('{');
                let above = above(name);
                for (nth, (name, part)) in fields.into_iter().enumerate() {
                    to.push_str(if nth == 0 { "" } else { "," });
                    to.push_str(&quoted(&name));
                    to.push(':');
                    had_any |= clean(Some(above.unwrap_or(&name)), part, to, depth + 1);
                }
                to.push('}');
                had_any
            }
            _ => hide(REDACTED, to),
        },
        Some(b'-' | b'0'..=b'9') if hidden(name, text).is_some() => hide(REDACTED, to),
        _ => {
            to.push_str(text);
            false
        }
    }
}

/// The name of a secret, of which what stands below it is a part.
fn above(name: Option<&str>) -> Option<&str> {
    name.filter(|name| hidden(Some(name), "x").is_some())
}

fn hide(shown: &str, to: &mut String) -> bool {
    to.push_str(&quoted(shown));
    true
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// What is shown in place of a text that has a secret, or is one by the name it stands under.
pub(crate) fn hidden(name: Option<&str>, text: &str) -> Option<String> {
    if let Some(name) = name.filter(|_| !text.is_empty())
        && !redact(format!("{name}=\"x\"")).ends_with("=\"x\"")
    {
        return Some(REDACTED.to_owned());
    }
    let shown = redact(text.to_owned());
    (shown != text).then_some(shown)
}

/// The fields of an object in their order, those of one name too.
#[derive(Default)]
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        without_secrets(&Payload::from_text(text).expect("JSON")).text().to_owned()
    }

    #[test]
    fn what_is_no_secret_stays_digit_by_digit() {
        let text =
            r#"{"id": 123456789012345678901234567890, "e": 1.10e5, "b":[ null,true ], "a":"\u00e9", "a":2}"#;
        assert_eq!(shown(text), text);
    }

    #[test]
    fn what_stands_under_the_name_of_a_secret_goes_and_the_rest_stays_digit_by_digit() {
        let rows = [
            (
                r#"{"password":"two words","n":18446744073709551616}"#,
                r#"{"password":"[redacted]","n":18446744073709551616}"#,
            ),
            (
                r#"{"api_key":["a","b",1],"x":{"secret":"y"}}"#,
                r#"{"api_key":["[redacted]","[redacted]","[redacted]"],"x":{"secret":"[redacted]"}}"#,
            ),
            (r#"["http://ada:pw@db/"]"#, r#"["http://[redacted]@db/"]"#),
            (r#""AKIAIOSFODNN7EXAMPLE""#, r#""[redacted]""#),
            (r#"{"note":"\ud800 password=x"}"#, r#"{"note":"[redacted]"}"#),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn what_lies_too_deep_is_hidden_and_costs_no_stack() {
        let deep = |levels: usize| format!("{}\"password=x\"{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!shown(&deep(100_000)).contains("password"));
        assert!(shown(&deep(50)).contains("[redacted]"));
    }
}
