//! A value that was shown without secrets, edited, and sent back: its secrets are put where they were.

use serde_json::value::RawValue;
use stepwell_contract::{Payload, PayloadError};

use crate::observe::values::{DEPTH_MAX, Fields, above, clean, quoted};
use crate::redact::REDACTED;

/// Why it is not known which secret is meant.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A mark that stands for a secret is where none was hidden, or what is around it was changed. Write the value out, or leave the
    /// place as it was shown.
    #[error(
        "{0}: `[redacted]` does not say which value is meant there: write it out, or leave the place as it was shown"
    )]
    Unknown(String),
    /// The value is no longer one that can be stored.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// The value that is meant by one who was shown `stored` [without its secrets](super::without_secrets) and made `edited` of that:
/// what reads as it was shown is as it is stored, and all else as it was sent. Items of a list are known by their places, as long as
/// none came or went.
///
/// # Errors
/// [`EditError`]: nothing else is guessed.
pub fn edited_from(edited: &Payload, stored: &Payload) -> Result<Payload, EditError> {
    if !edited.text().contains(REDACTED) {
        return Ok(edited.clone());
    }
    let mut meant = String::with_capacity(edited.text().len());
    put(&Place::Root, None, edited.raw(), Some(stored.raw()), &mut meant, 0)?;
    Ok(Payload::from_text(&meant)?)
}

/// What came of a part of the value.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Whether all of it reads as it was shown.
    is_as_shown: bool,
    /// Whether it has a secret again.
    has_secret: bool,
}

/// Where a part is.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn unknown(&self) -> EditError {
        EditError::Unknown(format!("${}", self.path()))
    }

    fn path(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(of, name) => format!("{}.{name}", of.path()),
            Self::Item(of, nth) => format!("{}[{nth}]", of.path()),
        }
    }
}

/// Writes what is meant by a part. `name` is that of the field it stands under, as for those who hide.
fn put(
    place: &Place<'_>,
    name: Option<&str>,
    edited: &RawValue,
    stored: Option<&RawValue>,
    to: &mut String,
    depth: usize,
) -> Result<Part, EditError> {
    let text = edited.get();
    let is_shallow = depth < DEPTH_MAX;
    match text.as_bytes().first() {
        Some(b'[') if is_shallow => {
            let parts: Vec<&RawValue> = read(edited, place)?;
            let before: Vec<&RawValue> =
                stored.and_then(|stored| serde_json::from_str(stored.get()).ok()).unwrap_or_default();
            let is_same_length = parts.len() == before.len();
            let mut whole = Part { is_as_shown: is_same_length, has_secret: false };
            to.push('[');
            for (nth, part) in parts.iter().enumerate() {
                to.push_str(if nth == 0 { "" } else { "," });
                let place = Place::Item(place, nth);
                let done = put(&place, name, part, before.get(nth).copied(), to, depth + 1)?;
                // One that was changed may be another one that was moved here.
                if done.has_secret && !(is_same_length && (done.is_as_shown || before.len() == 1)) {
                    return Err(place.unknown());
                }
                whole.is_as_shown &= done.is_as_shown;
                whole.has_secret |= done.has_secret;
            }
            to.push(']');
            Ok(whole)
        }
        Some(b'{') if is_shallow => {
            let Fields(fields): Fields<'_> = read(edited, place)?;
            let before: Fields<'_> =
                stored.and_then(|stored| serde_json::from_str(stored.get()).ok()).unwrap_or_default();
            let mut whole = Part { is_as_shown: fields.len() == before.0.len(), has_secret: false };
            let above = above(name);
            to.push('{');
            for (nth, (name, part)) in fields.iter().enumerate() {
                to.push_str(if nth == 0 { "" } else { "," });
                to.push_str(&quoted(name));
                to.push(':');
                // Of several fields of one name each is known by its turn.
                let turn = fields[..nth].iter().filter(|(other, _)| other == name).count();
                let own = before.0.iter().filter(|(other, _)| other == name).nth(turn);
                let own = own.map(|(_, part)| *part);
                let place = Place::Field(place, name);
                let done = put(&place, Some(above.unwrap_or(name)), part, own, to, depth + 1)?;
                whole.is_as_shown &= done.is_as_shown;
                whole.has_secret |= done.has_secret;
            }
            to.push('}');
            Ok(whole)
        }
        _ => {
            let mut shown = String::new();
            let had_any = stored.is_some_and(|stored| clean(name, stored, &mut shown, depth));
            let is_as_shown = stored.is_some() && is_same(text, &shown);
            match stored {
                Some(stored) if had_any && is_as_shown => to.push_str(stored.get()),
                _ if !is_as_shown && text.contains(REDACTED) => return Err(place.unknown()),
                _ => to.push_str(text),
            }
            Ok(Part { is_as_shown, has_secret: had_any && is_as_shown })
        }
    }
}

/// Whether two texts of JSON are the same value, however it is written.
fn is_same(a: &str, b: &str) -> bool {
    let text = |json: &str| serde_json::from_str::<String>(json).ok();
    a == b || text(a).is_some_and(|a| text(b) == Some(a))
}

fn read<'a, T: serde::Deserialize<'a>>(value: &'a RawValue, place: &Place<'_>) -> Result<T, EditError> {
    serde_json::from_str(value.get()).map_err(|_| place.unknown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::values::without_secrets;

    const STORED: &str = r#"{"to":"ada","password":"pw1","url":"http://ada:pw2@db/","n":1.10,
        "keys":[{"id":"a","secret":"s1"},{"id":"b","secret":"s2"}],"one":[{"id":"c","secret":"s3"}],"secret":{"pin":1234}}"#;

    fn payload(text: &str) -> Payload {
        Payload::from_text(text).expect("JSON")
    }

    /// The value as it is meant, or the place at which that is not known.
    fn edited(edited: &Payload, stored: &Payload) -> Result<String, String> {
        let place = |error: EditError| error.to_string().split(": ").next().unwrap_or_default().to_owned();
        edited_from(edited, stored).map(|meant| meant.text().to_owned()).map_err(place)
    }

    fn meant(edit: impl Fn(String) -> String) -> Result<String, String> {
        let stored = payload(STORED);
        let shown = without_secrets(&stored).text().to_owned();
        for secret in ["pw1", "pw2", "s1", "s2", "s3", "1234"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        edited(&payload(&edit(shown)), &stored)
    }

    fn is(text: &str) -> serde_json::Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn what_was_left_as_it_was_shown_is_as_it_was_stored() {
        let untouched = meant(|shown| shown).expect("known");
        assert_eq!(is(&untouched), is(STORED));
        assert!(untouched.contains("1.10"), "{untouched}");
        let rows = [
            ("\"ada\"", "\"bob\""),
            ("\"n\":1.10", "\"m\":2,\"n\":18446744073709551616"),
            ("{\"id\":\"c\"", "{\"id\":\"d\""),
            ("\"password\":\"[redacted]\",", ""),
            ("\"password\":\"[redacted]\"", "\"password\":\"pw9\""),
        ];
        for (before, after) in rows {
            let found = meant(|shown| shown.replacen(before, after, 1)).expect("known");
            let secrets = ["pw2", "s1", "s2", "s3", "1234"];
            assert!(secrets.iter().all(|secret| found.contains(secret)), "{before}: {found}");
            assert!(found.contains(after) && !found.contains(REDACTED), "{after}: {found}");
        }
    }

    #[test]
    fn a_mark_that_may_mean_another_secret_is_refused_with_its_place() {
        let rows = [
            ("\"to\":\"ada\"", "\"to\":\"[redacted]\"", "$.to"),
            ("\"password\"", "\"pass_word\"", "$.pass_word"),
            ("@db/", "@other/", "$.url"),
            ("{\"id\":\"a\",\"secret\":\"[redacted]\"},", "", "$.keys[0]"),
            ("{\"id\":\"a\"", "{\"id\":\"b\"", "$.keys[0]"),
        ];
        for (before, after, place) in rows {
            let refused = meant(|shown| shown.replacen(before, after, 1));
            assert_eq!(refused, Err(place.to_owned()), "{before}");
        }
        let nothing = edited(&payload(r#"["[redacted]"]"#), &payload("null"));
        assert_eq!(nothing, Err("$[0]".to_owned()));
        let literal = payload(r#"{"note":"it was [redacted] here"}"#);
        assert_eq!(edited(&literal, &literal), Ok(literal.text().to_owned()));
    }
}
