//! Codes that people and programs give to what they do or say, beside those of the engine.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code of one's own, such as `MAINTENANCE-7`: 2 to 32 letters, digits, `-` or `_`, a letter first, and not of the engine's own,
/// which begin with `SW`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OwnCode(String);

/// A text is no code of one's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACode {
    /// It begins with `SW`, in whatever case: these are the engine's own.
    #[error("the code {0:?} begins with SW, which is kept for codes of the engine: choose another prefix")]
    Reserved(String),
    /// It does not have the form of one.
    #[error("the code {0:?} is not 2 to 32 letters, digits, `-` or `_`, a letter first")]
    Malformed(String),
}

impl OwnCode {
    /// The code that a text is.
    ///
    /// # Errors
    /// [`NotACode`] says what to correct.
    pub fn new(code: impl Into<String>) -> Result<Self, NotACode> {
        let code = code.into();
        let of_code = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let first = code.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if !(2..=32).contains(&code.len()) || !first || !code.bytes().all(of_code) {
            return Err(NotACode::Malformed(code));
        }
        match code[..2].eq_ignore_ascii_case("SW") {
            true => Err(NotACode::Reserved(code)),
            false => Ok(Self(code)),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OwnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for OwnCode {
    type Error = NotACode;

    fn try_from(code: String) -> Result<Self, NotACode> {
        Self::new(code)
    }
}

impl From<OwnCode> for String {
    fn from(code: OwnCode) -> Self {
        code.0
    }
}
