//! What a JSON text must be beside its syntax, so that whatever reads it again can: values of runs are passed on as they came, and
//! are read by others later.

use std::fmt;

use serde_json::value::RawValue;

/// Deepest nesting of lists and objects.
pub(crate) const DEPTH_MAX: usize = 127;

/// What is wrong with a text that is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Lists and objects are in each other too often.
    Deep,
    /// Half of a character: an escape like `\ud83d` without its other half.
    Half,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deep => write!(f, "lists and objects are in each other more than {DEPTH_MAX} times"),
            Self::Half => {
                f.write_str("a text has half of a character: a `\\u` escape without its other half")
            }
        }
    }
}

/// A value, as it is written.
///
/// # Errors
/// What is wrong with the text, for people.
pub(crate) fn value(text: &str) -> Result<Box<RawValue>, String> {
    let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    check(text.as_bytes()).map_err(|flaw| flaw.to_string())?;
    Ok(value)
}

/// Looks through a text that is JSON, or that whoever reads it next refuses.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(mut rest: &[u8]) -> Result<(), Flaw> {
    let (mut depth, mut is_text) = (0_usize, false);
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'"' => is_text = !is_text,
            b'\\' if is_text => rest = behind_escape(rest)?,
            b'[' | b'{' if !is_text => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Flaw::Deep);
                }
            }
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What comes behind an escape whose backslash was read.
fn behind_escape(rest: &[u8]) -> Result<&[u8], Flaw> {
    match unit(rest) {
        None => Ok(rest.get(1..).unwrap_or_default()),
        Some((0xD800..=0xDBFF, rest)) => match rest.strip_prefix(b"\\").and_then(unit) {
            Some((0xDC00..=0xDFFF, rest)) => Ok(rest),
            _ => Err(Flaw::Half),
        },
        Some((0xDC00..=0xDFFF, _)) => Err(Flaw::Half),
        Some((_, rest)) => Ok(rest),
    }
}

/// The number behind `u`, in four hexadecimal digits.
fn unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = rest.strip_prefix(b"u")?.split_at_checked(4)?;
    let digit = |sum: u32, digit: &u8| Some(sum * 16 + char::from(*digit).to_digit(16)?);
    Some((digits.iter().try_fold(0, digit)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_read_again_is_told_apart() {
        let nested = |times: usize| "[".repeat(times) + &"]".repeat(times);
        let rows = [
            (r#"{"a":["x\"[[[",{"b":"\\"}]}"#.to_owned(), Ok(())),
            (r#""\ud83d\ude00 \u00e9 \n""#.to_owned(), Ok(())),
            (format!("[{}]", vec!["[]"; 1_000].join(",")), Ok(())),
            (nested(DEPTH_MAX), Ok(())),
            (nested(DEPTH_MAX + 1), Err(Flaw::Deep)),
            (r#""\ud83d""#.to_owned(), Err(Flaw::Half)),
            (r#""\ud83d\n""#.to_owned(), Err(Flaw::Half)),
            (r#""\ud83d\ud83d""#.to_owned(), Err(Flaw::Half)),
            (r#"{"\ude00":1}"#.to_owned(), Err(Flaw::Half)),
        ];
        for (text, expected) in rows {
            assert_eq!(check(text.as_bytes()), expected, "{text}");
            // The parser that reads values later is of the same opinion.
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), expected.is_ok(), "{text}");
        }
    }
}
