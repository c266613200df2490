//! What a step tells of itself while it runs: how far it is, and lines.

use serde::{Deserialize, Deserializer, Serialize};
use stepwell_contract::Timestamp;

/// How far a step is, by its own word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// From 0 to 1.
    #[serde(deserialize_with = "number_or_null")]
    pub fraction: f64,
    /// What it is at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// JSON has no word for what is not a number: it is stored as null, and must not make a journal unreadable.
fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(0.0))
}

impl Progress {
    /// Longest note, in bytes.
    pub const NOTE_BYTES_MAX: usize = 256;

    /// A progress within bounds: what is not a number counts as 0, a long note is cut.
    #[must_use]
    pub fn new(fraction: f64, note: impl Into<String>) -> Self {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        Self { fraction, note: within(note.into(), Self::NOTE_BYTES_MAX) }
    }
}

/// Whether JSON needs six bytes for a character of one.
fn is_costly(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n')
}

/// The text without what JSON would blow up, cut to so many bytes.
pub(crate) fn within(text: String, bytes_max: usize) -> String {
    let mut text = if text.contains(is_costly) { text.replace(is_costly, "\u{fffd}") } else { text };
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Detail.
    Debug,
    /// Ordinary.
    Info,
    /// Unusual.
    Warn,
    /// Wrong.
    Error,
}

/// A line that a step logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}
