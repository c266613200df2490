//! One entry of a journal, and the JSON text it carries.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::limits::PAYLOAD_BYTES_MAX;

/// The place of a record in its journal: 1, 2, 3, … without gap or repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place of the first record.
    pub const FIRST: Self = Self(1);

    /// The place `n` further on.
    #[must_use]
    pub fn plus(self, n: usize) -> Self {
        Self(self.0 + n as u64)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What sort of event a record or message carries: a short word that a store may show but not act on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub Cow<'static, str>);

impl Kind {
    /// A kind known at compile time.
    #[must_use]
    pub const fn of(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text or value cannot be a payload, or a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The JSON text is longer than [`PAYLOAD_BYTES_MAX`].
    #[error(
        "payload of {bytes} bytes is over the limit of {limit}; keep large data outside and store a reference"
    )]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The value does not become JSON, or the JSON does not become the value asked for.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The text no longer has the checksum that was stored with it.
    #[error("payload is damaged: its checksum is {found:08x} where {stored:08x} was stored")]
    Damaged {
        /// The checksum stored with it.
        stored: u32,
        /// The checksum of the text as read.
        found: u32,
    },
}

/// JSON text on one line, opaque to every store. Clones share the text.
///
/// Checked when made, also when read from JSON: it is within the limit and on one line.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Payload(Arc<RawValue>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::on_one_line(Box::<RawValue>::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl Payload {
    /// The value as JSON text.
    ///
    /// # Errors
    /// [`PayloadError::Json`] when the value has no JSON form, [`PayloadError::TooLarge`] over the limit.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        // A value may itself hold raw JSON with line breaks.
        Self::on_one_line(serde_json::value::to_raw_value(value)?)
    }

    fn on_one_line(raw: Box<RawValue>) -> Result<Self, PayloadError> {
        if raw.get().bytes().any(|b| b == b'\n' || b == b'\r') {
            return Self::from_text(raw.get());
        }
        Self::checked(Arc::from(raw))
    }

    /// Takes JSON text. Line breaks, which JSON allows between tokens, become spaces: one record is one line.
    ///
    /// # Errors
    /// [`PayloadError::Json`] when it is not JSON, [`PayloadError::TooLarge`] over the limit.
    pub fn from_text(text: &str) -> Result<Self, PayloadError> {
        // Inside a JSON string a line break is always escaped, so no content is touched.
        let raw = RawValue::from_string(text.replace(['\n', '\r'], " "))?;
        Self::checked(Arc::from(raw))
    }

    /// Takes raw JSON that was already parsed, of any size.
    #[must_use]
    pub fn from_raw(raw: &RawValue) -> Self {
        Self(Arc::from(raw.to_owned()))
    }

    /// The JSON list of the given JSON texts, of any size: what is derived from stored records is not itself stored.
    ///
    /// # Errors
    /// [`PayloadError::Json`] when a part is not JSON.
    pub fn from_parts(parts: &[String]) -> Result<Self, PayloadError> {
        let raw = RawValue::from_string(format!("[{}]", parts.join(",")))?;
        Ok(Self(Arc::from(raw)))
    }

    fn checked(raw: Arc<RawValue>) -> Result<Self, PayloadError> {
        let bytes = raw.get().len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(PayloadError::TooLarge { bytes, limit: PAYLOAD_BYTES_MAX });
        }
        Ok(Self(raw))
    }

    /// JSON `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(Arc::from(RawValue::NULL.to_owned()))
    }

    /// The value in it.
    ///
    /// # Errors
    /// [`PayloadError::Json`] when the JSON does not have the shape of `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        Ok(serde_json::from_str(self.text())?)
    }

    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The raw JSON, for embedding it in other JSON without parsing it.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// CRC-32 of the text.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        crc32fast::hash(self.text().as_bytes())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// An event as stored: its place, kind, time and JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place in the journal of its run.
    pub seq: Seq,
    /// What sort of event it is.
    pub kind: Kind,
    /// When it happened, by the engine's clock. Order is by `seq`, never by this.
    pub at: Timestamp,
    /// The version of the payload's form.
    #[serde(rename = "v")]
    pub format: u16,
    /// CRC-32 of the payload text, made with the record and checked by [`Record::verify`].
    pub crc: u32,
    /// The event.
    #[serde(rename = "data")]
    pub payload: Payload,
}

impl Record {
    /// A record with the checksum of its payload.
    #[must_use]
    pub fn new(seq: Seq, kind: Kind, at: Timestamp, format: u16, payload: Payload) -> Self {
        Self { seq, kind, at, format, crc: payload.checksum(), payload }
    }

    /// Checks the payload against its checksum.
    ///
    /// # Errors
    /// [`PayloadError::Damaged`]: what was read is not what was written. Do not act on it.
    pub fn verify(&self) -> Result<(), PayloadError> {
        let found = self.payload.checksum();
        if found == self.crc { Ok(()) } else { Err(PayloadError::Damaged { stored: self.crc, found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_one_line_and_keeps_its_content() {
        let payload =
            Payload::from_text("{\n \"a\": \"x\\ny\",\r\n \"n\": 12345678901234567890123\n}").expect("json");
        assert!(!payload.text().contains(['\n', '\r']));
        let back: serde_json::Value = payload.decode().expect("json");
        assert_eq!(back["a"], "x\ny");
        assert!(payload.text().contains("12345678901234567890123"), "numbers keep every digit");
    }

    #[test]
    fn a_payload_over_the_limit_is_refused() {
        let error = Payload::encode(&"x".repeat(PAYLOAD_BYTES_MAX)).expect_err("too large");
        assert!(matches!(error, PayloadError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn a_payload_read_from_json_is_on_one_line_and_within_the_limit_too() {
        let payload: Payload = serde_json::from_str("{\n  \"a\": [\r\n1]\n}").expect("json");
        assert!(!payload.text().contains(['\n', '\r']), "{payload:?}");
        let large = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX));
        let error = serde_json::from_str::<Payload>(&large).expect_err("too large");
        assert!(error.to_string().contains("over the limit"), "{error}");
    }

    #[test]
    fn a_changed_payload_is_found_out() {
        let mut record =
            Record::new(Seq::FIRST, Kind::of("x"), Timestamp(0), 1, Payload::encode(&1).expect("json"));
        assert!(record.verify().is_ok());
        record.payload = Payload::encode(&2).expect("json");
        assert!(matches!(record.verify(), Err(PayloadError::Damaged { .. })));
    }
}
