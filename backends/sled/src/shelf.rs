//! Where the heads of finished runs stand in tree `shelves`: by sort, then by age, so that a listing of the few that failed
//! or that are of a rare workflow does not wade through all the others.

use stepwell_contract::tally::Sort;
use stepwell_contract::{Head, RunKey, Timestamp};

use crate::trees::{age_key, read_age_key};

/// The runs of a sort. Two sorts may share a shelf: who reads one looks at the heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shelf(u32);

/// The bytes of the shelf before the age in a key.
const SHELF_BYTES: usize = 4;

impl Shelf {
    /// The shelf of a sort, by its name in tree `sorts`.
    pub(crate) fn of(sort: &str) -> Self {
        Self(crc32fast::hash(sort.as_bytes()))
    }

    pub(crate) fn of_head(head: &Head) -> Self {
        Self::of(&Sort::of(head).to_string())
    }

    /// What every key of it begins with.
    pub(crate) fn prefix(self) -> [u8; SHELF_BYTES] {
        self.0.to_be_bytes()
    }

    pub(crate) fn key(self, at: Timestamp, key: &RunKey) -> Vec<u8> {
        [&self.prefix()[..], &age_key(at, key)].concat()
    }
}

/// The part of a key that sorts by age, on whatever shelf.
pub(crate) fn age_of(key: &[u8]) -> &[u8] {
    key.get(SHELF_BYTES..).unwrap_or_default()
}

/// The place in a scan of a key.
pub(crate) fn read_key(key: &[u8]) -> Option<(Timestamp, RunKey)> {
    read_age_key(age_of(key))
}
