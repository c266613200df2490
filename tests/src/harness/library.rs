//! A library against what it has to hold, by its files alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::harness::eyewitness::Eyewitness;
use crate::harness::source::sha256;

/// What an audit of a library found.
#[derive(Debug, Default)]
pub struct Found {
    /// Copies of a content that the library had already.
    pub twice: u64,
    /// Contents that are not there, or not whole.
    pub lost: u64,
    /// Claims that a process which was taken for dead left behind: void, since the catalogue has their contents.
    pub void_claims: u64,
    /// Everything that is wrong, in words.
    pub violations: Vec<String>,
}

/// Looks at the library in `root` while nobody is at work in it. It has to hold each content of `held` once, with one entry
/// that tells the truth, beside `strangers`, the files that were there before the first import.
#[must_use]
pub fn audit(
    root: &Path,
    held: &BTreeSet<String>,
    strangers: &BTreeMap<PathBuf, String>,
    eyewitness: &Eyewitness,
) -> Found {
    let mut found = Found::default();
    let mut copies = BTreeMap::new();
    for path in below(&root.join("files"), &mut found) {
        let Some(sha256) = read(&path, &mut found).map(|bytes| sha256(&bytes)) else { continue };
        let place = path.strip_prefix(root).unwrap_or(&path).to_owned();
        if let Some(before) = strangers.get(&place) {
            if *before != sha256 {
                found.violations.push(format!("{place:?} was there before, and is another content now"));
            }
            continue;
        }
        let times = eyewitness.arrivals_of(&path);
        if times != 1 {
            found.violations.push(format!("{place:?} came {times} times, not once"));
        }
        if !held.contains(&sha256) {
            found.violations.push(format!("{place:?} holds what nobody imported, or half of it"));
        } else if let Some(other) = copies.insert(sha256, place.clone()) {
            found.twice += 1;
            found.violations.push(format!("{place:?} and {other:?} are copies of one content"));
        }
    }
    for sha256 in held.iter().filter(|sha256| !copies.contains_key(*sha256)) {
        found.lost += 1;
        found.violations.push(format!("the content {sha256} is lost"));
    }
    let mut entries = BTreeSet::new();
    for path in below(&root.join("catalogue"), &mut found) {
        match entry(&path, &mut found) {
            Some((sha256, place, bytes)) => {
                let copy = copies.get(&sha256);
                let len = copy.and_then(|place| root.join(place).metadata().ok()).map(|copy| copy.len());
                if copy != Some(&place) || len != Some(bytes) {
                    found
                        .violations
                        .push(format!("the entry {sha256} tells of {place:?}, the copy is {copy:?}"));
                }
                entries.insert(sha256);
            }
            None => found.violations.push(format!("{path:?} is no whole entry")),
        }
    }
    for sha256 in copies.keys().filter(|sha256| !entries.contains(*sha256)) {
        found.violations.push(format!("the content {sha256} is not in the catalogue"));
    }
    for left in ["tmp", "lists"].map(|left| root.join(".import").join(left)) {
        let names = fs::read_dir(&left).into_iter().flatten().flatten().map(|entry| entry.path());
        found.violations.extend(names.map(|path| format!("{path:?} is left")));
    }
    for claim in below(&root.join(".import/claims"), &mut found) {
        let sha256 = claim.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if entries.contains(sha256) {
            found.void_claims += 1;
        } else {
            found.violations.push(format!("{claim:?} is left, and the catalogue does not have it"));
        }
    }
    found
}

/// What an entry says: content, place and size.
fn entry(path: &Path, found: &mut Found) -> Option<(String, PathBuf, u64)> {
    let entry: serde_json::Value = serde_json::from_slice(&read(path, found)?).ok()?;
    let sha256 = entry["sha256"].as_str()?.to_owned();
    let is_named_so = path.file_stem().and_then(OsStr::to_str) == Some(&sha256);
    let place = match &entry["path"] {
        serde_json::Value::String(text) => PathBuf::from(text),
        other => PathBuf::from(OsString::from_vec(unhex(other["hex"].as_str()?)?)),
    };
    is_named_so.then_some((sha256, place, entry["bytes"].as_u64()?))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn read(path: &Path, found: &mut Found) -> Option<Vec<u8>> {
    fs::read(path).map_err(|error| found.violations.push(format!("{path:?} cannot be read: {error}"))).ok()
}

/// The files below a folder.
fn below(folder: &Path, found: &mut Found) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        match fs::read_dir(&folder) {
            Ok(entries) => {
                for path in entries.flatten().map(|entry| entry.path()) {
                    (if path.is_dir() { &mut folders } else { &mut files }).push(path);
                }
            }
            Err(error) => found.violations.push(format!("{folder:?} cannot be listed: {error}")),
        }
    }
    files
}
