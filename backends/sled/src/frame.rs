//! The log: groups of frames. A group is what one flush made durable; a frame is one change.
//!
//! The last frame of a group says what the others change in the tally, if anything.
//!
//! Frames are the truth. Every other tree is derived from them and is brought up to date from the watermark on.

use std::sync::Arc;

use stepwell_contract::record::Seq;
use stepwell_contract::tally::Tallies;
use stepwell_contract::{Head, Message, MessageId, Record, RunKey, Timestamp};

use crate::codec::{Damage, Reader, Writer};

/// A run of records that lie together in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The place of its first record.
    pub(crate) first: Seq,
    /// The group it is in.
    pub(crate) group: u64,
    /// Where it begins in the group.
    pub(crate) offset: u32,
    /// Its length in bytes.
    pub(crate) len: u32,
}

/// One change, as it is applied to the state in memory.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// A batch of the contract, or a claim.
    Write {
        key: RunKey,
        head: Option<Arc<Head>>,
        extents: Vec<Extent>,
        post: Vec<Message>,
        take: Vec<MessageId>,
    },
    /// A run is gone. `freed` are the bytes of records it had, by group.
    Remove { key: RunKey, created_at: Timestamp, freed: Vec<(u64, u64)> },
    /// Records of a run lie elsewhere now.
    Move { key: RunKey, extents: Vec<Extent>, freed: Vec<(u64, u64)> },
}

const WRITE: u8 = 1;
const REMOVE: u8 = 2;
const MOVE: u8 = 3;
const COUNT: u8 = 4;

/// A long append is kept in pieces, so that reading a page never reads much more than the page.
const EXTENT_RECORDS_MAX: usize = 64;
const EXTENT_BYTES_MAX: usize = 64 << 10;

/// A group being written.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) number: u64,
    out: Writer,
    pub(crate) effects: Vec<Effect>,
    /// Bytes of records in it.
    pub(crate) record_bytes: u64,
    /// How many runs there are more, or less, of each sort.
    pub(crate) tallies: Tallies,
}

impl Group {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            out: Writer::default(),
            effects: Vec::new(),
            record_bytes: 0,
            tallies: Tallies::default(),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.out.0
    }

    /// Adds what it changes in the tally. Nothing else may be added after.
    pub(crate) fn seal(&mut self) {
        if self.tallies.iter().next().is_some() {
            self.out.byte(COUNT);
            self.out.tallies(&self.tallies);
        }
    }

    /// Adds a batch that was accepted. The head is as the store keeps it; `former` is the one before it.
    pub(crate) fn write(
        &mut self,
        key: &RunKey,
        former: Option<&Head>,
        head: Option<Arc<Head>>,
        append: &[Record],
        post: &[Message],
        take: &[MessageId],
    ) {
        self.out.byte(WRITE);
        self.out.key(key);
        self.out.byte(u8::from(head.is_some()));
        if let Some(head) = &head {
            self.out.head(head);
            self.tallies.replace(former, Some(head));
        }
        self.out.number(post.len() as u64);
        post.iter().for_each(|message| self.out.message(message));
        self.out.number(take.len() as u64);
        take.iter().for_each(|id| self.out.text(id.as_str()));
        let extents = self.records(append);
        let effect =
            Effect::Write { key: key.clone(), head, extents, post: post.to_vec(), take: take.to_vec() };
        self.effects.push(effect);
    }

    fn records(&mut self, mut append: &[Record]) -> Vec<Extent> {
        let mut extents = Vec::new();
        while let Some(first) = append.first() {
            let mut block = Writer::default();
            let mut count = 0;
            for record in append.iter().take(EXTENT_RECORDS_MAX) {
                if block.0.len() >= EXTENT_BYTES_MAX {
                    break;
                }
                block.record(record);
                count += 1;
            }
            extents.push(self.block(first.seq, &block.0));
            append = &append[count..];
        }
        // A block never begins at 0, so an empty place says that there is no other.
        self.out.number(0);
        extents
    }

    fn block(&mut self, first: Seq, bytes: &[u8]) -> Extent {
        self.out.number(first.0);
        self.out.fixed32(bytes.len() as u32);
        let offset = self.out.0.len() as u32;
        self.out.0.extend_from_slice(bytes);
        self.record_bytes += bytes.len() as u64;
        Extent { first, group: self.number, offset, len: bytes.len() as u32 }
    }

    /// Adds the removal of a run with this head and these records.
    pub(crate) fn remove(&mut self, head: &Head, extents: &[Extent]) {
        let (key, created_at) = (&head.key, head.created_at);
        self.tallies.replace(Some(head), None);
        let freed = freed(extents);
        self.out.byte(REMOVE);
        self.out.key(key);
        self.out.time(created_at);
        self.freed(&freed);
        self.effects.push(Effect::Remove { key: key.clone(), created_at, freed });
    }

    /// Adds records that lay elsewhere before, with their bytes.
    pub(crate) fn move_here(&mut self, key: &RunKey, blocks: &[(Extent, Vec<u8>)]) {
        let old: Vec<Extent> = blocks.iter().map(|(extent, _)| *extent).collect();
        let freed = freed(&old);
        self.out.byte(MOVE);
        self.out.key(key);
        self.freed(&freed);
        let extents = blocks.iter().map(|(extent, bytes)| self.block(extent.first, bytes)).collect();
        self.out.number(0);
        self.effects.push(Effect::Move { key: key.clone(), extents, freed });
    }

    fn freed(&mut self, freed: &[(u64, u64)]) {
        self.out.number(freed.len() as u64);
        for (group, bytes) in freed {
            self.out.number(*group);
            self.out.number(*bytes);
        }
    }
}

fn freed(extents: &[Extent]) -> Vec<(u64, u64)> {
    let mut freed: Vec<(u64, u64)> = Vec::new();
    for extent in extents {
        match freed.last_mut() {
            Some((group, bytes)) if *group == extent.group => *bytes += u64::from(extent.len),
            _ => freed.push((extent.group, u64::from(extent.len))),
        }
    }
    freed
}

/// A group as it is read back.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) effects: Vec<Effect>,
    /// Bytes of records in it.
    pub(crate) record_bytes: u64,
    /// How many runs there are more, or less, of each sort.
    pub(crate) tallies: Tallies,
}

/// Reads a group back.
pub(crate) fn read_group(number: u64, bytes: &[u8]) -> Result<Content, Damage> {
    let mut from = Reader::new(bytes);
    let mut content = Content::default();
    while !from.is_done() {
        let kind = from.byte()?;
        if kind == COUNT {
            content.tallies.merge(&from.tallies()?);
            continue;
        }
        let key = from.key()?;
        let effect = match kind {
            WRITE => {
                let head = if from.byte()? == 0 { None } else { Some(Arc::new(from.head()?)) };
                let post = (0..from.count()?).map(|_| from.message()).collect::<Result<_, _>>()?;
                let take = (0..from.count()?).map(|_| from.parsed()).collect::<Result<_, _>>()?;
                let extents = read_blocks(number, &mut from)?;
                content.record_bytes += total(&extents);
                Effect::Write { key, head, extents, post, take }
            }
            REMOVE => {
                let created_at = from.time()?;
                Effect::Remove { key, created_at, freed: read_freed(&mut from)? }
            }
            MOVE => {
                let freed = read_freed(&mut from)?;
                let extents = read_blocks(number, &mut from)?;
                content.record_bytes += total(&extents);
                Effect::Move { key, extents, freed }
            }
            other => return Err(format!("frame kind {other} is unknown to this version")),
        };
        content.effects.push(effect);
    }
    Ok(content)
}

fn total(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| u64::from(extent.len)).sum()
}

fn read_blocks(group: u64, from: &mut Reader<'_>) -> Result<Vec<Extent>, Damage> {
    let mut extents = Vec::new();
    loop {
        let first = Seq(from.number()?);
        if first.0 == 0 {
            return Ok(extents);
        }
        let len = from.fixed32()?;
        let offset = u32::try_from(from.position()).map_err(|error| error.to_string())?;
        from.take(len as usize)?;
        extents.push(Extent { first, group, offset, len });
    }
}

fn read_freed(from: &mut Reader<'_>) -> Result<Vec<(u64, u64)>, Damage> {
    (0..from.count()?).map(|_| Ok((from.number()?, from.number()?))).collect()
}
