//! Values of any length in a sled tree, cut into parts with a checksum each.
//!
//! sled writes a page of its tree as one message and moves messages over a quarter of a segment into files of
//! their own, which it never syncs. A leaf holds at most about 20 entries, so with segments of 2 MiB a part of
//! 24 KiB keeps every page inside the log.

use sled::{Batch, Tree};
use stepwell_contract::BackendError;

use crate::failure::{corrupt, sled};

/// The size of a sled segment, in bytes. Fixed when a store is made.
pub(crate) const SEGMENT_BYTES: usize = 2 << 20;
/// The most bytes of a value in one part.
pub(crate) const PART_BYTES: usize = 24 << 10;
/// Before the bytes of a part: its CRC-32, and whether another part follows.
const PREFIX_BYTES: usize = 5;

/// The key of one part: the value's key and the part's number.
pub(crate) fn part_key(key: &[u8], part: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&part.to_be_bytes());
    full
}

/// The stored form of a part.
pub(crate) fn seal(bytes: &[u8], more: bool) -> Vec<u8> {
    let mut stored = Vec::with_capacity(PREFIX_BYTES + bytes.len());
    stored.extend_from_slice(&[0; 4]);
    stored.push(u8::from(more));
    stored.extend_from_slice(bytes);
    let crc = crc32fast::hash(&stored[4..]);
    stored[..4].copy_from_slice(&crc.to_le_bytes());
    stored
}

/// Calls `put` with key and value of each part.
fn cut(key: &[u8], value: &[u8], mut put: impl FnMut(Vec<u8>, Vec<u8>)) {
    let last = value.len().saturating_sub(1) / PART_BYTES;
    for part in 0..=last {
        let bytes = &value[part * PART_BYTES..value.len().min((part + 1) * PART_BYTES)];
        put(part_key(key, part as u16), seal(bytes, part < last));
    }
}

/// The bytes of a stored part and whether another follows.
pub(crate) fn open<'a>(
    stored: &'a [u8],
    place: &dyn Fn() -> String,
) -> Result<(&'a [u8], bool), BackendError> {
    if stored.len() < PREFIX_BYTES {
        return Err(corrupt(place(), format!("it has {} bytes", stored.len())));
    }
    let (crc, rest) = stored.split_at(4);
    let stored_crc = u32::from_le_bytes([crc[0], crc[1], crc[2], crc[3]]);
    let found = crc32fast::hash(rest);
    if found != stored_crc {
        let what = format!("its checksum is {found:08x} where {stored_crc:08x} was stored");
        return Err(corrupt(place(), what));
    }
    Ok((&rest[1..], rest[0] != 0))
}

/// Puts a value, whole or not at all. Longer than a former one or not, no part of the former one is left.
pub(crate) fn put(tree: &Tree, key: &[u8], value: &[u8]) -> Result<(), sled::Error> {
    let mut parts = Vec::new();
    cut(key, value, |key, part| parts.push((key, part)));
    let next = parts.len();
    let leftover = tree.get(part_key(key, next as u16))?.is_some();
    if next == 1 && !leftover {
        let (key, part) = parts.remove(0);
        tree.insert(key, part)?;
        return Ok(());
    }
    let mut batch = Batch::default();
    for (key, part) in parts {
        batch.insert(key, part);
    }
    for stale in next..=usize::from(u16::MAX) {
        let stale = part_key(key, stale as u16);
        if tree.get(&stale)?.is_none() {
            break;
        }
        batch.remove(stale);
    }
    tree.apply_batch(batch)
}

/// Puts a value under a key that was never used.
pub(crate) fn put_new(tree: &Tree, key: &[u8], value: &[u8]) -> Result<(), sled::Error> {
    if value.len() <= PART_BYTES {
        let mut result = Ok(());
        cut(key, value, |key, part| result = tree.insert(key, part).map(drop));
        return result;
    }
    let mut batch = Batch::default();
    cut(key, value, |key, part| batch.insert(key, part));
    tree.apply_batch(batch)
}

/// Deletes a value.
pub(crate) fn delete(tree: &Tree, key: &[u8]) -> Result<(), sled::Error> {
    for part in 0..=u16::MAX {
        if tree.remove(part_key(key, part))?.is_none() {
            break;
        }
    }
    Ok(())
}

/// Reads a whole value; `None` when it is not there.
///
/// # Errors
/// `Corrupt` names `place` and the part.
pub(crate) fn get(
    tree: &Tree,
    key: &[u8],
    place: &dyn Fn() -> String,
) -> Result<Option<Vec<u8>>, BackendError> {
    let mut value = Vec::new();
    for part in 0..=u16::MAX {
        let stored = tree.get(part_key(key, part)).map_err(|error| sled(place(), error))?;
        let Some(stored) = stored else {
            return if part == 0 { Ok(None) } else { Err(corrupt(place(), format!("part {part} is gone"))) };
        };
        let (bytes, more) = open(&stored, &|| format!("{} part {part}", place()))?;
        value.extend_from_slice(bytes);
        if !more {
            break;
        }
    }
    Ok(Some(value))
}

/// Reads `len` bytes of a value from `offset` on; `None` when a part is not there.
pub(crate) fn get_range(
    tree: &Tree,
    key: &[u8],
    offset: usize,
    len: usize,
    place: &dyn Fn() -> String,
) -> Result<Option<Vec<u8>>, BackendError> {
    let mut value = Vec::with_capacity(len);
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let part = at / PART_BYTES;
        let stored = tree.get(part_key(key, part as u16)).map_err(|error| sled(place(), error))?;
        let Some(stored) = stored else { return Ok(None) };
        let place = || format!("{} part {part}", place());
        let (bytes, _) = open(&stored, &place)?;
        let from = at - part * PART_BYTES;
        let to = bytes.len().min(end - part * PART_BYTES);
        if from >= to {
            return Err(corrupt(place(), "it is shorter than its index says"));
        }
        value.extend_from_slice(&bytes[from..to]);
        at = part * PART_BYTES + to;
    }
    Ok(Some(value))
}
