//! What the writer does between groups: bring the derived trees up to date, and free what is dead in the log.

use std::collections::{HashMap, HashSet};

use stepwell_contract::tally::Tallies;
use stepwell_contract::{BackendError, RunKey};

use crate::failure::{corrupt, sled};
use crate::frame::{Effect, Extent, Group, read_group};
use crate::options::Pace;
use crate::run::Kept;
use crate::segments::Segments;
use crate::writer::Writer;

/// With something to free behind it, a checkpoint begins after this many groups, or when nothing else is to do.
const CHECKPOINT_GROUPS_TO_FREE: u64 = 512;
/// How much one turn may do, so that no write waits long for it.
const TURN_RUNS_MAX: usize = 128;
const TURN_GROUPS_MAX: u64 = 64;
const TURN_BYTES_MAX: usize = 256 << 10;

/// What is to be kept, and how far the work is.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// Unfinished runs that changed since their entry was written.
    pub(crate) dirty: HashSet<RunKey>,
    pub(crate) segments: Segments,
    /// The group up to which the derived trees are complete.
    pub(crate) watermark: u64,
    pace: Pace,
    bytes: u64,
    groups: u64,
    checkpoint: Option<Checkpoint>,
    rewrite: Option<Rewrite>,
}

#[derive(Debug)]
struct Checkpoint {
    mark: u64,
    todo: Vec<RunKey>,
    /// As of the mark.
    tallies: Tallies,
}

#[derive(Debug)]
struct Rewrite {
    first: u64,
    last: u64,
    next: u64,
}

impl Keeping {
    pub(crate) fn new(segments: Segments, watermark: u64, pace: Pace) -> Self {
        Self { segments, watermark, pace, ..Self::default() }
    }

    /// Counts a group that is durable.
    pub(crate) fn wrote(&mut self, group: &Group) {
        self.count(group.number, group.bytes().len() as u64, group.record_bytes, &group.effects);
    }

    pub(crate) fn count(&mut self, group: u64, bytes: u64, records: u64, effects: &[Effect]) {
        self.bytes += bytes;
        self.groups += 1;
        self.segments.add(group, bytes, records);
        for effect in effects {
            if let Effect::Remove { freed, .. } | Effect::Move { freed, .. } = effect {
                self.segments.free(group, freed);
            }
        }
    }

    fn wants_checkpoint(&self, idle: bool) -> bool {
        self.bytes >= self.pace.checkpoint_bytes
            || self.groups >= self.pace.checkpoint_groups
            || (self.groups > 0
                && (idle || self.groups >= CHECKPOINT_GROUPS_TO_FREE)
                && self.segments.victim(u64::MAX).is_some_and(|(_, last)| last > self.watermark))
    }
}

impl Writer {
    /// Does one turn of what is to be kept; false when there is nothing to do.
    pub(crate) fn keep(&mut self, idle: bool) -> bool {
        if self.shared.poisoned().is_some() {
            return false;
        }
        if self.keeping.checkpoint.is_none() && self.keeping.wants_checkpoint(idle) {
            self.begin_checkpoint();
        }
        if self.keeping.checkpoint.is_some() {
            // A failure has poisoned the store and is told to the next writer.
            return self.checkpoint_turn(TURN_RUNS_MAX).is_ok();
        }
        // A stretch that cannot be read is left as it is.
        if self.shared.stuck().is_some() {
            return false;
        }
        if self.keeping.rewrite.is_none()
            && let Some((first, last)) = self.keeping.segments.victim(self.keeping.watermark)
        {
            self.keeping.segments.seal(first);
            self.keeping.rewrite = Some(Rewrite { first, last, next: first });
        }
        let Some(rewrite) = self.keeping.rewrite.take() else { return false };
        match self.rewrite_turn(rewrite) {
            Ok(rest) => {
                self.keeping.rewrite = rest;
                self.shared.set_log_totals(self.keeping.segments.totals());
                true
            }
            Err(error) => {
                self.shared.stick(error.to_string());
                false
            }
        }
    }

    fn begin_checkpoint(&mut self) {
        let todo = self.keeping.dirty.drain().collect();
        let tallies = self.shared.state().tallies.clone();
        self.keeping.checkpoint = Some(Checkpoint { mark: self.next_group - 1, todo, tallies });
        self.keeping.bytes = 0;
        self.keeping.groups = 0;
    }

    /// Writes the entries of some runs; after the last ones the watermark moves on. The watermark comes behind
    /// them in sled's log, so it is never there without them.
    fn checkpoint_turn(&mut self, runs: usize) -> Result<(), BackendError> {
        let Some(mut checkpoint) = self.keeping.checkpoint.take() else { return Ok(()) };
        let rest = checkpoint.todo.len().saturating_sub(runs);
        for key in checkpoint.todo.split_off(rest) {
            let Some(run) = self.shared.state().runs.get(&key).cloned() else { continue };
            let Some(head) = run.head.clone() else { continue };
            let kept = self.trees.keep_unfinished(&run, &head);
            kept.map_err(|error| self.broken("cannot write an entry", &error))?;
            if let Some(run) = self.shared.state().runs.get_mut(&key) {
                run.kept = Kept::Unfinished;
            }
        }
        if !checkpoint.todo.is_empty() {
            self.keeping.checkpoint = Some(checkpoint);
            return Ok(());
        }
        let marked = self
            .keeping
            .segments
            .keep(&self.trees, self.next_group - 1)
            // Before the watermark: what is counted from the log begins at it or later.
            .and_then(|()| self.trees.set_tallies(checkpoint.mark, &checkpoint.tallies))
            .and_then(|()| self.trees.set_watermark(checkpoint.mark));
        marked.map_err(|error| self.broken("cannot write a checkpoint", &error))?;
        self.keeping.watermark = checkpoint.mark;
        Ok(())
    }

    /// Brings the derived trees up to date, so that the next opening replays nothing.
    pub(crate) fn close(&mut self) {
        let mut done = Ok(());
        if self.shared.poisoned().is_none() {
            // One that is under way first, then one for what changed since.
            done = self.checkpoint_turn(usize::MAX);
            if done.is_ok() && self.keeping.watermark + 1 < self.next_group {
                self.begin_checkpoint();
                done = self.checkpoint_turn(usize::MAX);
            }
            done = done.and_then(|()| self.flush());
        }
        if let Err(error) = done {
            // What was acknowledged is in the log: the next opening replays it.
            tracing::error!(%error, "the last checkpoint of the sled store failed");
        }
    }

    /// Moves what is still needed out of some groups; when all were looked at, deletes some. `None` when the
    /// stretch is gone.
    fn rewrite_turn(&mut self, mut rewrite: Rewrite) -> Result<Option<Rewrite>, BackendError> {
        if rewrite.next > rewrite.last {
            return self.delete_turn(rewrite);
        }
        let mut found: HashMap<RunKey, Vec<(Extent, Vec<u8>)>> = HashMap::new();
        let mut needed: HashMap<RunKey, HashSet<(u64, u32)>> = HashMap::new();
        let mut bytes = 0;
        let end = rewrite.last.min(rewrite.next + TURN_GROUPS_MAX - 1);
        while rewrite.next <= end && bytes < TURN_BYTES_MAX {
            let number = rewrite.next;
            rewrite.next += 1;
            // A stretch that was being deleted when the process ended.
            let Some(group) = self.trees.group(number)? else { continue };
            let content = read_group(number, &group)
                .map_err(|damage| corrupt(format!("log group {number}"), damage))?;
            for effect in content.effects {
                let (Effect::Write { key, extents, .. } | Effect::Move { key, extents, .. }) = effect else {
                    continue;
                };
                if !needed.contains_key(&key) {
                    let places = self.places(&key)?;
                    needed.insert(key.clone(), places);
                }
                for extent in extents {
                    if needed[&key].contains(&(extent.group, extent.offset)) {
                        let (from, len) = (extent.offset as usize, extent.len as usize);
                        bytes += len;
                        let block = (extent, group[from..from + len].to_vec());
                        found.entry(key.clone()).or_default().push(block);
                    }
                }
            }
        }
        if !found.is_empty() {
            let mut group = Group::new(self.next_group);
            for (key, blocks) in &found {
                self.load(key)?;
                group.move_here(key, blocks);
            }
            self.commit(&mut [group])?;
            self.settle(found.into_keys());
        }
        Ok(Some(rewrite))
    }

    /// Where the records of a run are now.
    fn places(&self, key: &RunKey) -> Result<HashSet<(u64, u32)>, BackendError> {
        let place = |extent: &Extent| (extent.group, extent.offset);
        if let Some(run) = self.shared.state().runs.get(key) {
            return Ok(run.extents.iter().map(place).collect());
        }
        let run = self.trees.run(key, self.shared.opened_at)?;
        Ok(run.map(|run| run.extents.iter().map(place).collect()).unwrap_or_default())
    }

    fn delete_turn(&mut self, rewrite: Rewrite) -> Result<Option<Rewrite>, BackendError> {
        let range = rewrite.first.to_be_bytes()..(rewrite.last + 1).to_be_bytes();
        let keys: Result<Vec<_>, _> =
            self.trees.log.range(range).keys().take(4 * TURN_GROUPS_MAX as usize).collect();
        let keys = keys.map_err(|error| sled("tree log", error))?;
        if keys.is_empty() {
            let forgotten = self.keeping.segments.forget(&self.trees, rewrite.first);
            forgotten.map_err(|error| self.broken("cannot forget a segment", &error))?;
            return Ok(None);
        }
        for key in keys {
            self.trees.log.remove(key).map_err(|error| self.broken("cannot delete a group", &error))?;
        }
        Ok(Some(rewrite))
    }
}
