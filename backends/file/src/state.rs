//! What is in memory: unfinished runs, finished ones that the catalogue does not have yet, and the segments.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stepwell_contract::index::Index;
use stepwell_contract::tally::Tallies;
use stepwell_contract::{Cursor, Head, Health, Order, Query, RunKey, Tally, Timestamp};

use crate::rewrite::Moves;
use crate::run::{Change, Place, Run, SegmentId};

/// A place in the journal: everything before it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct Watermark {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// How many bytes a segment has, of what sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// All of them.
    pub(crate) bytes: u64,
    /// Those of lines that no run needs any more.
    pub(crate) dead: u64,
    /// Those of lines that say that runs were removed.
    pub(crate) removals: u64,
}

/// The state as of the last durable line.
#[derive(Debug)]
pub(crate) struct State {
    /// The unfinished runs.
    pub(crate) index: Index,
    /// The unfinished runs, and the finished ones whose catalogue row is missing or out of date.
    pub(crate) runs: HashMap<RunKey, Arc<Run>>,
    /// The finished ones among `runs`, by age.
    pub(crate) recent: BTreeSet<(Timestamp, RunKey)>,
    /// The runs whose catalogue rows are not to be believed: what `runs` says of them is true, also when it
    /// says nothing. Readers share it, together with a view of the catalogue that they open under the same lock.
    pub(crate) shadowed: Arc<HashSet<RunKey>>,
    /// The runs changed since the catalogue was last saved.
    pub(crate) changed: HashSet<RunKey>,
    /// How many runs there are of each sort, those of the catalogue too.
    pub(crate) tallies: Tallies,
    /// The segments rewritten since the writer began its present group: what it looked up before may be in the old ones.
    pub(crate) moved: HashMap<SegmentId, (SegmentId, Arc<Moves>)>,
    pub(crate) segments: BTreeMap<SegmentId, Counts>,
    /// Writes since it was opened, each of which was synced once.
    pub(crate) writes: u64,
    /// Behind the last durable line.
    pub(crate) end: Watermark,
    /// What the catalogue has.
    pub(crate) saved: Watermark,
    pub(crate) health: Health,
    /// Whether the keeper has been asked to save and has not yet done so.
    pub(crate) keeper_asked: bool,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            index: Index::new(),
            runs: HashMap::new(),
            recent: BTreeSet::new(),
            shadowed: Arc::default(),
            changed: HashSet::new(),
            tallies: Tallies::default(),
            moved: HashMap::new(),
            segments: BTreeMap::new(),
            writes: 0,
            end: Watermark::default(),
            saved: Watermark::default(),
            health: Health::Ok,
            keeper_asked: false,
        }
    }

    /// Puts a run that the catalogue has into memory, unchanged, unless it is there.
    pub(crate) fn adopt(&mut self, mut run: Arc<Run>) {
        let key = run.head.key.clone();
        if self.runs.contains_key(&key) {
            return;
        }
        for (old, (new, moves)) in &self.moved {
            if run.lines.iter().any(|line| line.segment == *old) {
                Arc::make_mut(&mut run).relocate(*old, *new, moves);
            }
        }
        if run.head.status.is_finished() {
            Arc::make_mut(&mut self.shadowed).insert(key.clone());
        }
        self.place(&run);
        self.runs.insert(key, run);
    }

    /// Applies a line. The run must be in memory unless the line makes it.
    pub(crate) fn apply(&mut self, change: Change) {
        let key = change.key.clone();
        let superseded = match (self.runs.get_mut(&key), &change.head) {
            (Some(run), head) => {
                if let Some(head) = head {
                    self.tallies.replace(Some(&run.head), Some(head));
                }
                Arc::make_mut(run).apply(change)
            }
            (None, Some(head)) => {
                self.tallies.replace(None, Some(head));
                let mut run = Run::new(Arc::clone(head));
                let superseded = run.apply(change);
                self.runs.insert(key.clone(), Arc::new(run));
                superseded
            }
            // A post to a run that is not there never passes its guard.
            (None, None) => return,
        };
        if let Some(place) = superseded {
            self.bury(&place);
        }
        if let Some(run) = self.runs.get(&key).map(Arc::clone) {
            self.place(&run);
        }
        self.changed.insert(key);
    }

    /// Forgets a finished run that is in memory.
    pub(crate) fn remove(&mut self, key: &RunKey) {
        let Some(run) = self.runs.remove(key) else { return };
        self.tallies.replace(Some(&run.head), None);
        for place in &run.lines {
            self.bury(place);
        }
        self.index.remove(key);
        self.recent.remove(&(run.head.created_at, key.clone()));
        Arc::make_mut(&mut self.shadowed).insert(key.clone());
        self.changed.insert(key.clone());
    }

    /// Follows a segment that was rewritten, and returns how many of the run's `copied` bytes have died since.
    pub(crate) fn relocate(
        &mut self,
        key: &RunKey,
        old: SegmentId,
        new: SegmentId,
        moves: &Moves,
        copied: u64,
    ) -> u64 {
        let Some(run) = self.runs.get_mut(key) else {
            return if self.shadowed.contains(key) { copied } else { 0 };
        };
        let run = Arc::make_mut(run);
        run.relocate(old, new, moves);
        let live = run.lines.iter().filter(|line| line.segment == new).map(|line| u64::from(line.len));
        copied - live.sum::<u64>()
    }

    /// Enters a run among the unfinished or the finished ones.
    fn place(&mut self, run: &Run) {
        let head = &run.head;
        if head.status.is_finished() {
            self.index.remove(&head.key);
            self.recent.insert((head.created_at, head.key.clone()));
        } else {
            self.index.put(Arc::clone(head), !run.inbox.is_empty());
            if !self.recent.is_empty() {
                self.recent.remove(&(head.created_at, head.key.clone()));
            }
        }
    }

    /// Counts the bytes of a line as dead.
    fn bury(&mut self, place: &Place) {
        if let Some(counts) = self.segments.get_mut(&place.segment) {
            counts.dead += u64::from(place.len);
        }
    }

    /// The finished runs in memory that fit, in the query's order behind `after`.
    pub(crate) fn recent(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Vec<Head> {
        let mark = after.map_or(Bound::Unbounded, |at| Bound::Excluded((at.created_at, at.key.clone())));
        let places: Box<dyn Iterator<Item = &(Timestamp, RunKey)>> = match query.order {
            Order::Oldest => Box::new(self.recent.range((mark, Bound::Unbounded))),
            Order::Newest => Box::new(self.recent.range((Bound::Unbounded, mark)).rev()),
        };
        places
            .filter_map(|(_, key)| self.runs.get(key))
            .filter(|run| query.fits(&run.head, !run.inbox.is_empty(), now))
            .take(limit)
            .map(|run| Head::clone(&run.head))
            .collect()
    }

    /// Begins a save of what changed since the last one. Until [`State::saved`], memory speaks for these runs.
    pub(crate) fn begin_save(&mut self) -> Snapshot {
        let keys = std::mem::take(&mut self.changed);
        Arc::make_mut(&mut self.shadowed).extend(keys.iter().cloned());
        let runs = keys.into_iter().map(|key| (self.runs.get(&key).map(Arc::clone), key));
        Snapshot {
            runs: runs.map(|(run, key)| (key, run)).collect(),
            counts: self.segments.iter().map(|(id, counts)| (*id, *counts)).collect(),
            tally: self.tallies.list(),
            end: self.end,
        }
    }

    /// Ends a save that succeeded: finished runs that have not changed since leave memory.
    pub(crate) fn end_save(&mut self, snapshot: &Snapshot) {
        for (key, saved) in &snapshot.runs {
            let present = self.runs.get(key);
            let unchanged = match (saved, present) {
                (Some(saved), Some(present)) => Arc::ptr_eq(saved, present),
                (None, None) => true,
                _ => false,
            };
            if !unchanged {
                continue;
            }
            Arc::make_mut(&mut self.shadowed).remove(key);
            if let Some(run) = saved
                && run.head.status.is_finished()
            {
                self.runs.remove(key);
                self.recent.remove(&(run.head.created_at, key.clone()));
            }
        }
        self.saved = snapshot.end;
    }

    /// Ends a save that failed: everything in it counts as changed again.
    pub(crate) fn undo_save(&mut self, snapshot: &Snapshot) {
        self.changed.extend(snapshot.runs.iter().map(|(key, _)| key.clone()));
    }
}

/// What a save writes.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The runs that changed; `None` for those removed.
    pub(crate) runs: Vec<(RunKey, Option<Arc<Run>>)>,
    pub(crate) counts: Vec<(SegmentId, Counts)>,
    pub(crate) tally: Vec<Tally>,
    pub(crate) end: Watermark,
}
