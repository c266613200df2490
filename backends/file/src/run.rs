//! What the store knows of one run: its head, and where in the journal everything else is.

use std::collections::HashSet;
use std::sync::Arc;

use stepwell_contract::{Head, MessageId, RunKey, Seq};

use crate::rewrite::Moves;

/// A segment's file: its number, and how often it was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct SegmentId {
    pub(crate) number: u32,
    pub(crate) generation: u32,
}

/// Where a line is, and what of its run is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u32,
    /// Bytes with the line break.
    pub(crate) len: u32,
    /// The place of its first record, or of the next one to come when it has none.
    pub(crate) first: Seq,
    pub(crate) records: u16,
    /// Whether it posts or takes messages.
    pub(crate) has_mail: bool,
}

impl Place {
    /// Whether the line holds nothing but a head, so that the next head makes it worthless.
    fn is_bare(&self) -> bool {
        self.records == 0 && !self.has_mail
    }
}

/// A message that waits, and the line it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: MessageId,
    pub(crate) place: Place,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) head: Arc<Head>,
    /// The lines that make it up, oldest first.
    pub(crate) lines: Vec<Place>,
    pub(crate) inbox: Vec<Waiting>,
    /// The ids of all messages ever posted.
    pub(crate) seen: HashSet<MessageId>,
}

/// What one line does to its run.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: RunKey,
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) post: Vec<MessageId>,
    pub(crate) take: Vec<MessageId>,
    pub(crate) place: Place,
}

impl Run {
    /// A run that its first line makes.
    pub(crate) fn new(head: Arc<Head>) -> Self {
        Self { head, lines: Vec::new(), inbox: Vec::new(), seen: HashSet::new() }
    }

    /// Applies a line, and returns the place of a line that it made worthless.
    pub(crate) fn apply(&mut self, change: Change) -> Option<Place> {
        let mut superseded = None;
        if let Some(head) = change.head {
            self.head = head;
            // Only the last line with a head can be bare; posts may stand behind it.
            let bare = self.lines.iter().rposition(|line| line.records > 0 || line.is_bare());
            if let Some(at) = bare.filter(|&at| self.lines[at].is_bare()) {
                superseded = Some(self.lines.remove(at));
            }
        }
        self.lines.push(change.place);
        if !change.take.is_empty() {
            self.inbox.retain(|waiting| !change.take.contains(&waiting.id));
        }
        for id in change.post {
            if self.seen.insert(id.clone()) {
                self.inbox.push(Waiting { id, place: change.place });
            }
        }
        superseded
    }

    /// Whether one of its lines stands there. Lines stand in the order of the journal.
    pub(crate) fn has_line(&self, segment: SegmentId, offset: u32) -> bool {
        let place_of = |line: &Place| (line.segment.number, line.offset);
        let found = self.lines.binary_search_by_key(&(segment.number, offset), place_of);
        found.is_ok_and(|at| self.lines[at].segment == segment)
    }

    /// Follows the lines of a segment that was rewritten.
    pub(crate) fn relocate(&mut self, old: SegmentId, new: SegmentId, moves: &Moves) {
        let waiting = self.inbox.iter_mut().map(|waiting| &mut waiting.place);
        for place in self.lines.iter_mut().chain(waiting).filter(|place| place.segment == old) {
            if let Some(&offset) = moves.get(&place.offset) {
                (place.segment, place.offset) = (new, offset);
            }
        }
    }

    /// The lines that hold the records from `from` on, up to `limit` of them.
    pub(crate) fn lines_from(&self, from: Seq, limit: usize) -> &[Place] {
        let start = self.lines.partition_point(|line| line.first.plus(line.records.into()) <= from);
        let mut found = 0;
        let mut end = start;
        for line in &self.lines[start..] {
            if found >= limit {
                break;
            }
            let skipped = from.0.saturating_sub(line.first.0);
            found += usize::from(line.records).saturating_sub(usize::try_from(skipped).unwrap_or(usize::MAX));
            end += 1;
        }
        &self.lines[start..end]
    }
}
