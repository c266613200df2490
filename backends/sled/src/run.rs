//! What is kept of one run beside its records: the entry of tree `runs`.

use std::collections::HashSet;
use std::sync::Arc;

use stepwell_contract::record::Seq;
use stepwell_contract::{Head, Message, MessageId};

use crate::codec::{Damage, Reader, Writer};
use crate::frame::Extent;
use crate::shelf::Shelf;

/// Where the entry of a run stands in the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nowhere yet.
    Not,
    /// As an unfinished run.
    Unfinished,
    /// As a finished run, its head on this shelf.
    Finished(Shelf),
}

/// One run in memory.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its head; `None` only while the log of a run that was removed later is replayed.
    pub(crate) head: Option<Arc<Head>>,
    /// The last group that changed it.
    pub(crate) applied: u64,
    /// The group up to which the entry in the trees was current when it was read: replaying skips those.
    pub(crate) base: u64,
    /// Where its records are, in order.
    pub(crate) extents: Vec<Extent>,
    /// What waits for it.
    pub(crate) inbox: Vec<Message>,
    /// Every message id it was ever sent.
    pub(crate) seen: HashSet<MessageId>,
    /// Where its entry stands.
    pub(crate) kept: Kept,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self {
            head: None,
            applied: 0,
            base: 0,
            extents: Vec::new(),
            inbox: Vec::new(),
            seen: HashSet::new(),
            kept: Kept::Not,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.status.is_finished())
    }

    pub(crate) fn append(&mut self, extents: &[Extent]) {
        self.extents.extend_from_slice(extents);
    }

    pub(crate) fn move_to(&mut self, moved: &[Extent]) {
        for extent in moved {
            if let Ok(at) = self.extents.binary_search_by_key(&extent.first, |extent| extent.first) {
                self.extents[at] = *extent;
            }
        }
    }

    pub(crate) fn mail(&mut self, post: &[Message], take: &[MessageId]) {
        self.inbox.retain(|message| !take.contains(&message.id));
        for message in post {
            if self.seen.insert(message.id.clone()) {
                self.inbox.push(message.clone());
            }
        }
    }

    /// The extents that hold `from` and what follows.
    pub(crate) fn extents_from(&self, from: Seq) -> &[Extent] {
        let behind = self.extents.partition_point(|extent| extent.first <= from);
        &self.extents[behind.saturating_sub(1)..]
    }

    pub(crate) fn encode(&self, head: &Head) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.applied);
        out.head(head);
        out.number(self.extents.len() as u64);
        for Extent { first, group, offset, len } in &self.extents {
            out.number(first.0);
            out.number(*group);
            out.number(u64::from(*offset));
            out.number(u64::from(*len));
        }
        out.number(self.inbox.len() as u64);
        self.inbox.iter().for_each(|message| out.message(message));
        out.number(self.seen.len() as u64);
        self.seen.iter().for_each(|id| out.text(id.as_str()));
        out.0
    }

    /// Reads an entry. A lease written up to group `opened_at`, in a former opening, has ended.
    pub(crate) fn decode(bytes: &[u8], opened_at: u64) -> Result<Self, Damage> {
        let mut from = Reader::new(bytes);
        let applied = from.number()?;
        let mut head = from.head()?;
        if applied <= opened_at {
            head = head.with_lease_ended();
        }
        let extents = (0..from.count()?)
            .map(|_| {
                Ok(Extent {
                    first: Seq(from.number()?),
                    group: from.number()?,
                    offset: from.small()?,
                    len: from.small()?,
                })
            })
            .collect::<Result<_, Damage>>()?;
        let inbox = (0..from.count()?).map(|_| from.message()).collect::<Result<_, _>>()?;
        let seen = (0..from.count()?).map(|_| from.parsed()).collect::<Result<_, _>>()?;
        let kept =
            if head.status.is_finished() { Kept::Finished(Shelf::of_head(&head)) } else { Kept::Unfinished };
        Ok(Self { head: Some(Arc::new(head)), applied, base: applied, extents, inbox, seen, kept })
    }
}

/// The value of a finished run in tree `shelves`: its head, for scans.
pub(crate) fn encode_aged(run: &Run, head: &Head) -> Vec<u8> {
    let mut out = Writer::default();
    out.number(run.applied);
    out.head(head);
    out.0
}

/// Reads a value of tree `shelves`; leases as in [`Run::decode`].
pub(crate) fn decode_aged(bytes: &[u8], opened_at: u64) -> Result<Head, Damage> {
    let mut from = Reader::new(bytes);
    let applied = from.number()?;
    let head = from.head()?;
    Ok(if applied <= opened_at { head.with_lease_ended() } else { head })
}
