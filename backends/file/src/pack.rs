//! How a run is packed into the rows of the catalogue: numbers of variable length, and a checksum behind it all.

use std::collections::HashSet;
use std::sync::Arc;

use stepwell_contract::{Head, MessageId, Seq};

use crate::run::{Place, Run, SegmentId, Waiting};

/// Writes a row.
#[derive(Debug, Default)]
pub(crate) struct Packer(Vec<u8>);

impl Packer {
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn head(&mut self, head: &Head) {
        self.bytes(&serde_json::to_vec(head).expect("ids, numbers and raw JSON always have a JSON form"));
    }

    /// Everything of a run but its head.
    pub(crate) fn rest(&mut self, run: &Run) {
        self.number(run.lines.len() as u64);
        for place in &run.lines {
            self.place(place);
        }
        self.number(run.inbox.len() as u64);
        for waiting in &run.inbox {
            self.bytes(waiting.id.as_str().as_bytes());
            self.place(&waiting.place);
        }
        self.number(run.seen.len() as u64);
        for id in &run.seen {
            self.bytes(id.as_str().as_bytes());
        }
    }

    fn place(&mut self, place: &Place) {
        self.number(place.segment.number.into());
        self.number(place.segment.generation.into());
        self.number(place.offset.into());
        self.number(place.len.into());
        self.number(place.first.0);
        self.number(u64::from(place.records) << 1 | u64::from(place.has_mail));
    }

    /// The row with its checksum.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let crc = crc32fast::hash(&self.0);
        self.0.extend_from_slice(&crc.to_le_bytes());
        self.0
    }
}

/// Reads a row. Every method returns `None` when the row is not what was written.
#[derive(Debug)]
pub(crate) struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// Takes a row whose checksum fits.
    pub(crate) fn new(row: &'a [u8]) -> Option<Self> {
        let (bytes, crc) = row.split_last_chunk::<4>()?;
        (crc32fast::hash(bytes) == u32::from_le_bytes(*crc)).then_some(Self(bytes))
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.small()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn head(&mut self) -> Option<Head> {
        serde_json::from_slice(self.bytes()?).ok()
    }

    fn id(&mut self) -> Option<MessageId> {
        MessageId::new(std::str::from_utf8(self.bytes()?).ok()?).ok()
    }

    /// The run that has this head.
    pub(crate) fn rest(&mut self, head: Arc<Head>) -> Option<Run> {
        let lines = (0..self.number()?).map(|_| self.place()).collect::<Option<_>>()?;
        let inbox = (0..self.number()?)
            .map(|_| Some(Waiting { id: self.id()?, place: self.place()? }))
            .collect::<Option<_>>()?;
        let seen = (0..self.number()?).map(|_| self.id()).collect::<Option<HashSet<_>>>()?;
        Some(Run { head, lines, inbox, seen })
    }

    fn place(&mut self) -> Option<Place> {
        let segment = SegmentId { number: self.small()?, generation: self.small()? };
        let (offset, len, first) = (self.small()?, self.small()?, Seq(self.number()?));
        let rest = self.number()?;
        Some(Place {
            segment,
            offset,
            len,
            first,
            records: u16::try_from(rest >> 1).ok()?,
            has_mail: rest & 1 == 1,
        })
    }
}
