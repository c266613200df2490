//! One line of a file: a JSON object that begins with its own checksum and length, all of fixed width:
//!
//! ```text
//! {"crc":"1a2b3c4d","len":"0000012a","synced":"0001f2a0", … }⏎
//! ```
//!
//! * `crc`: CRC-32 of everything behind these eight digits, without the line break.
//! * `len`: bytes of the line without the line break.
//! * `synced`: how much of this file was safely on the disk when the line was written. See [`crate::replay`].
//!
//! So every line is checked before it is parsed, and every line is still JSON.

use std::ops::Range;

const CRC: Range<usize> = 8..16;
const LEN: Range<usize> = 25..33;
const SYNCED: Range<usize> = 45..53;
const TEMPLATE: &[u8] = br#"{"crc":"00000000","len":"00000000","synced":"00000000","#;

/// Starts a line: what is serialized next must be a JSON object with at least one member; [`seal`] makes it one with the prefix.
pub(crate) fn begin(buffer: &mut Vec<u8>) {
    // Without the comma: it takes the place of the object's opening brace.
    buffer.extend_from_slice(&TEMPLATE[..TEMPLATE.len() - 1]);
}

/// Ends the line that began at the start of `line`, with prefix and line break.
pub(crate) fn end(buffer: &mut Vec<u8>, start: usize) {
    buffer[start + TEMPLATE.len() - 1] = b',';
    buffer.push(b'\n');
}

/// Fills in length, sync mark and checksum of a line that ends with its line break.
pub(crate) fn seal(line: &mut [u8], synced: u32) {
    let len = line.len() - 1;
    hex(&mut line[LEN], u32::try_from(len).expect("a batch is far smaller than 4 GiB"));
    hex(&mut line[SYNCED], synced);
    let crc = crc32fast::hash(&line[CRC.end..len]);
    hex(&mut line[CRC], crc);
}

/// What the prefix of a whole line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// Bytes of the line with its line break.
    pub(crate) len: usize,
    /// The sync mark.
    pub(crate) synced: u32,
}

/// The prefix of the line that `bytes` begin with, if it is there whole and undamaged.
pub(crate) fn check(bytes: &[u8]) -> Option<Prefix> {
    if bytes.len() <= TEMPLATE.len() || bytes[..CRC.start] != TEMPLATE[..CRC.start] {
        return None;
    }
    let len = usize::try_from(number(&bytes[LEN])?).ok()?;
    if len < TEMPLATE.len() || bytes.get(len) != Some(&b'\n') {
        return None;
    }
    let synced = number(&bytes[SYNCED])?;
    let fits = crc32fast::hash(&bytes[CRC.end..len]) == number(&bytes[CRC])?;
    fits.then_some(Prefix { len: len + 1, synced })
}

/// The places in `bytes` from `from` on where a line may begin, found by how lines begin and not by line breaks,
/// as the break before a whole line may be lost.
pub(crate) fn candidates(bytes: &[u8], from: usize) -> impl Iterator<Item = usize> {
    let start = &TEMPLATE[..CRC.start];
    (from..bytes.len().saturating_sub(TEMPLATE.len()))
        .filter(move |&at| bytes[at] == b'{' && &bytes[at..at + start.len()] == start)
}

fn hex(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Reads lower-case hex digits only: one number has one form.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u32::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(body: &str, synced: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin(&mut bytes);
        bytes.extend_from_slice(body.as_bytes());
        end(&mut bytes, 0);
        seal(&mut bytes, synced);
        bytes
    }

    #[test]
    fn a_line_is_json_and_says_what_it_is() {
        let bytes = line(r#"{"a":1}"#, 0x1f2a0);
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!((json["a"].as_i64(), json["synced"].as_str()), (Some(1), Some("0001f2a0")));
        assert_eq!(check(&bytes), Some(Prefix { len: bytes.len(), synced: 0x1f2a0 }));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found_out() {
        let bytes = line(r#"{"a":"text"}"#, 7);
        for at in 0..bytes.len() {
            assert_eq!(check(&bytes[..at]), None, "cut at {at}");
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(check(&damaged), None, "byte {at} bit {bit}");
            }
        }
    }
}
