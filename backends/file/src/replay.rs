//! From bytes of the journal back to lines: which are whole, which were torn by a crash, and which were damaged later.
//!
//! # How a torn tail is told apart from damage
//!
//! Lines are written in groups: one write, one sync, then the acknowledgement; the next group is written only when the
//! sync of the one before it succeeded. A crash may keep any part of the last group: any of its sectors may be missing,
//! so a whole line may well stand behind a broken one. Every line therefore carries in `synced` how much of its file
//! was on the disk when it was written, which is where its group begins. Let the first broken line begin at `x`.
//!
//! * If a whole line behind it has `synced > x`, the broken line was on the disk once, and may have been acknowledged.
//!   It was damaged since. The store is not opened, and nothing is changed.
//! * Otherwise everything from `x` on belongs to the last group, which was never acknowledged, or is no line at all.
//!   The file is cut at `x`.
//! * A segment is begun only when the one before it is synced to its end: in any but the last, every broken line is damage.
//!
//! A store that is closed in an orderly way ends with a line that says so, and whose `synced` covers all others. After a
//! crash, damage to the very last group alone cannot be told from a torn write. Level D1 syncs only now and then;
//! there `synced` says up to where, and a power cut costs what came after it.

use crate::line::{self, Prefix};

/// How the lines of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the last whole line, at the end of the bytes.
    Whole,
    /// With a write that never finished: everything from here on is to be cut.
    Torn(usize),
    /// At a line that was whole once.
    Damaged(usize),
}

/// Walks over the whole lines from the start of `bytes`, which are the bytes of a segment from `base` on, and says how
/// they end.
pub(crate) fn walk<E>(
    bytes: &[u8],
    base: usize,
    mut visit: impl FnMut(usize, Prefix, &[u8]) -> Result<(), E>,
) -> Result<End, E> {
    let mut at = 0;
    let mut synced = 0;
    while at < bytes.len() {
        let Some(prefix) = line::check(&bytes[at..]) else { return Ok(broken(bytes, base, at)) };
        // A line that claims what cannot be is no line of this place.
        if prefix.synced < synced || prefix.synced as usize > base + at {
            return Ok(End::Damaged(base + at));
        }
        synced = prefix.synced;
        visit(base + at, prefix, &bytes[at..at + prefix.len])?;
        at += prefix.len;
    }
    Ok(End::Whole)
}

fn broken(bytes: &[u8], base: usize, at: usize) -> End {
    let was_synced = line::candidates(bytes, at + 1)
        .filter_map(|start| line::check(&bytes[start..]))
        .any(|prefix| prefix.synced as usize > base + at);
    if was_synced { End::Damaged(base + at) } else { End::Torn(base + at) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn groups(groups: &[&[&str]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for group in groups {
            let synced = u32::try_from(bytes.len()).expect("small");
            for body in *group {
                let start = bytes.len();
                line::begin(&mut bytes);
                bytes.extend_from_slice(body.as_bytes());
                line::end(&mut bytes, start);
                line::seal(&mut bytes[start..], synced);
            }
        }
        bytes
    }

    fn end(bytes: &[u8]) -> (usize, End) {
        let mut lines = 0;
        let Ok(end) = walk(bytes, 0, |_, _, _| {
            lines += 1;
            Ok::<(), Infallible>(())
        });
        (lines, end)
    }

    #[test]
    fn a_hole_in_the_last_group_is_torn_and_one_before_it_is_damage() {
        let one = r#"{"a":1}"#;
        let bytes = groups(&[&[one], &[one, one, one]]);
        let line = bytes.len() / 4;
        assert_eq!(end(&bytes), (4, End::Whole));
        let holed = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at * line..(at + 1) * line].fill(0);
            end(&bytes)
        };
        assert_eq!(holed(0), (0, End::Damaged(0)));
        assert_eq!(holed(1), (1, End::Torn(line)));
        assert_eq!(holed(2), (2, End::Torn(2 * line)));
        assert_eq!(holed(3), (3, End::Torn(3 * line)));
    }

    #[test]
    fn zeros_behind_the_last_line_are_torn() {
        let mut bytes = groups(&[&[r#"{"a":1}"#]]);
        let whole = bytes.len();
        bytes.resize(whole + 5000, 0);
        assert_eq!(end(&bytes), (1, End::Torn(whole)));
    }

    #[test]
    fn a_line_inside_a_payload_is_not_taken_for_a_line() {
        let inner = groups(&[&[r#"{"a":1}"#]]);
        let text = std::str::from_utf8(&inner).expect("UTF-8").trim_end();
        let mut bytes = groups(&[&[&format!(r#"{{"data":{text}}}"#)]]);
        bytes[60] ^= 1;
        assert_eq!(end(&bytes), (0, End::Torn(0)));
    }
}
