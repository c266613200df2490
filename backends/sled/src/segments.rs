//! How much of the log is still needed, by stretches of groups, so that what is dead can be freed.
//!
//! The figures only choose what to look at. Whether a record is still needed is decided by its run alone.

use std::collections::{BTreeMap, BTreeSet};

use stepwell_contract::BackendError;

use crate::codec::{Damage, Reader, Writer};
use crate::failure::{corrupt, sled};
use crate::options::Pace;
use crate::parts;
use crate::trees::Trees;

/// A stretch of the log.
#[derive(Debug, Clone, Default)]
struct Segment {
    last: u64,
    groups: u64,
    bytes: u64,
    /// Bytes of records put into it, and of those the bytes still needed.
    records: u64,
    live: u64,
    /// No group is added any more.
    sealed: bool,
    /// The group up to which the figures were complete when they were read.
    base: u64,
}

/// All stretches, by their first group.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pace: Pace,
    all: BTreeMap<u64, Segment>,
    changed: BTreeSet<u64>,
}

impl Segments {
    pub(crate) fn load(trees: &Trees, pace: Pace) -> Result<Self, BackendError> {
        let mut segments = Self { pace, ..Self::default() };
        for pair in &trees.segments {
            let (key, stored) = pair.map_err(|error| sled("tree segments", error))?;
            let place = || format!("tree segments, key {key:?}");
            let first = <[u8; 8]>::try_from(&*key).map_err(|_| corrupt(place(), "it is not 8 bytes"))?;
            let (bytes, _) = parts::open(&stored, &place)?;
            let segment = Segment::decode(bytes).map_err(|damage| corrupt(place(), damage))?;
            segments.all.insert(u64::from_be_bytes(first), segment);
        }
        Ok(segments)
    }

    /// Counts a group that was written.
    pub(crate) fn add(&mut self, group: u64, bytes: u64, records: u64) {
        if self.all.range(..=group).next_back().is_some_and(|(_, segment)| segment.last >= group) {
            return;
        }
        let open = self.all.iter_mut().next_back().filter(|(_, segment)| !segment.sealed);
        let (first, segment) = match open {
            Some((first, segment)) => (*first, segment),
            None => (group, self.all.entry(group).or_default()),
        };
        segment.last = group;
        segment.groups += 1;
        segment.bytes += bytes;
        segment.records += records;
        segment.live += records;
        segment.sealed =
            segment.groups >= self.pace.segment_groups || segment.bytes >= self.pace.segment_bytes;
        self.changed.insert(first);
    }

    /// Counts records that group `by` made needless.
    pub(crate) fn free(&mut self, by: u64, freed: &[(u64, u64)]) {
        for (group, bytes) in freed {
            let Some((first, segment)) = self.all.range_mut(..=group).next_back() else { continue };
            if segment.last >= *group && segment.base < by {
                segment.live = segment.live.saturating_sub(*bytes);
                self.changed.insert(*first);
            }
        }
    }

    /// The stretch that is most worth rewriting, with its first and last group, among those that end by `up_to`.
    pub(crate) fn victim(&self, up_to: u64) -> Option<(u64, u64)> {
        let worth = self
            .all
            .iter()
            .filter(|(_, segment)| segment.last <= up_to && segment.is_wasteful(self.pace.early_bytes));
        worth.min_by_key(|(_, segment)| segment.live).map(|(first, segment)| (*first, segment.last))
    }

    /// Lets no more groups into a stretch.
    pub(crate) fn seal(&mut self, first: u64) {
        if let Some(segment) = self.all.get_mut(&first) {
            segment.sealed = true;
            self.changed.insert(first);
        }
    }

    /// Forgets a stretch whose groups are gone.
    pub(crate) fn forget(&mut self, trees: &Trees, first: u64) -> Result<(), sled::Error> {
        self.all.remove(&first);
        self.changed.remove(&first);
        trees.segments.remove(first.to_be_bytes()).map(drop)
    }

    /// Writes the figures that changed; they are complete up to group `current`.
    pub(crate) fn keep(&mut self, trees: &Trees, current: u64) -> Result<(), sled::Error> {
        for first in std::mem::take(&mut self.changed) {
            if let Some(segment) = self.all.get(&first) {
                trees.segments.insert(first.to_be_bytes(), parts::seal(&segment.encode(current), false))?;
            }
        }
        Ok(())
    }

    /// Bytes of the log, and bytes of records that are still needed.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.all.values().fold((0, 0), |(bytes, live), segment| (bytes + segment.bytes, live + segment.live))
    }
}

impl Segment {
    /// Whether less than half of its records are needed. An open one has to be worth the trouble.
    fn is_wasteful(&self, early_bytes: u64) -> bool {
        (self.sealed || self.bytes >= early_bytes)
            && (self.live == 0 && (self.sealed || self.records > 0) || self.live * 2 < self.records)
    }

    fn encode(&self, current: u64) -> Vec<u8> {
        let mut out = Writer::default();
        for number in [self.last, self.groups, self.bytes, self.records, self.live, current] {
            out.number(number);
        }
        out.byte(u8::from(self.sealed));
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let mut from = Reader::new(bytes);
        Ok(Self {
            last: from.number()?,
            groups: from.number()?,
            bytes: from.number()?,
            records: from.number()?,
            live: from.number()?,
            base: from.number()?,
            sealed: from.byte()? != 0,
        })
    }
}
