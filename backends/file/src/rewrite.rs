//! Clearing away what removed runs left: a segment that is half dead is written again without its dead lines.
//!
//! It is done beside the writer, on what the catalogue says as of its last save, for segments that lie wholly before
//! it. What dies meanwhile is copied once more and counts as dead in the new file. The order keeps one of the two
//! files whole and known at every moment: new file, sync, name, sync of the folder; then the catalogue, in one
//! transaction; then memory; then the old file goes.
//!
//! The line that says that a run was removed is needed as long as any line of that run is on the disk, and all of them
//! stand before it. So it goes when its segment is rewritten while no segment before it has dead lines.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use stepwell_contract::{BackendError, RunKey};

use crate::catalogue::View;
use crate::disk::read_from;
use crate::entry::Entry;
use crate::fault::{corrupt, definite};
use crate::keeper;
use crate::line;
use crate::replay::{self, End};
use crate::run::{Run, SegmentId};
use crate::segment::{self, UNFINISHED};
use crate::state::{Counts, State};
use crate::store::Store;

/// Removal lines may make up this part of the live bytes before segments are rewritten only to be rid of them.
const REMOVALS_PART: u64 = 4;

/// From an offset in the old file to the one in the new file.
pub(crate) type Moves = HashMap<u32, u32>;

/// Rewrites every segment that is worth it, and drops the empty ones at the journal's beginning.
pub(crate) fn clear_away(store: &Store) -> Result<(), BackendError> {
    while !store.closing.load(Ordering::SeqCst) {
        let next = {
            let state = store.state();
            next(&state, state.saved.segment, store.options.segment_bytes.into())
        };
        let Some(task) = next else { break };
        rewrite(store, task)?;
        // What died since the last save was copied as if it were alive; the next look must know better.
        keeper::save(store)?;
    }
    drop_beginning(store)
}

/// A segment to be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewrite {
    id: SegmentId,
    /// Whether the removals it tells of are told nowhere else and needed nowhere any more.
    drops_removals: bool,
}

/// The segment among those numbered below `before` that is worth rewriting.
pub(crate) fn next(state: &State, before: u32, segment_bytes: u64) -> Option<Rewrite> {
    let mut is_clean_so_far = true;
    let mut first_dead = None;
    let (mut live, mut removals) = (0, 0);
    for (&id, counts) in state.segments.iter().filter(|(id, _)| id.number < before) {
        let task = Rewrite { id, drops_removals: is_clean_so_far };
        let waste = counts.dead + if is_clean_so_far { counts.removals } else { 0 };
        if waste > 0 && waste * 2 >= counts.bytes {
            return Some(task);
        }
        if counts.dead > 0 {
            first_dead.get_or_insert(task);
            is_clean_so_far = false;
        }
        live += counts.bytes - counts.dead;
        removals += counts.removals;
    }
    first_dead.filter(|_| removals > live / REMOVALS_PART + segment_bytes / REMOVALS_PART)
}

/// What is known of a run while one of its segments is rewritten.
struct Owner {
    run: Option<Arc<Run>>,
    /// Bytes of its lines that were copied.
    copied: u64,
}

fn rewrite(store: &Store, task: Rewrite) -> Result<(), BackendError> {
    let (old, new) = (task.id, SegmentId { generation: task.id.generation + 1, ..task.id });
    let place = store.disk.describe(&old.file_name());
    let io = |error| definite(&place, "rewrite", error);
    let view = store.catalogue.view()?;
    let bytes = read_from(&*store.files.get(old).map_err(io)?, 0).map_err(io)?;
    let mut out = segment::header_line(store.id(), new);
    let mut removals = 0;
    let mut moves = Moves::new();
    let mut owners: HashMap<RunKey, Owner> = HashMap::new();
    let end = replay::walk(&bytes, 0, |at, _, text| {
        let not_understood =
            |error| corrupt(format!("{place}: the line at byte {at} is not understood: {error}"));
        let entry: Entry = serde_json::from_slice(text).map_err(not_understood)?;
        let at = u32::try_from(at).map_err(|_| corrupt(format!("{place} is over 4 GiB")))?;
        let start = out.len();
        if let Some(key) = entry.run() {
            let owner = match owners.get_mut(key) {
                Some(owner) => owner,
                None => owners.entry(key.clone()).or_insert(Owner { run: load(&view, key)?, copied: 0 }),
            };
            if !owner.run.as_ref().is_some_and(|run| run.has_line(old, at)) {
                return Ok(());
            }
            owner.copied += text.len() as u64;
            moves.insert(at, u32::try_from(start).map_err(|_| corrupt(format!("{place} is over 4 GiB")))?);
        } else if !entry.remove.is_empty() && !task.drops_removals {
            removals += text.len() as u64;
        } else {
            return Ok(());
        }
        out.extend_from_slice(text);
        line::seal(&mut out[start..], 0);
        Ok(())
    })?;
    if let End::Torn(at) | End::Damaged(at) = end {
        return Err(corrupt(format!("{place} is damaged at byte {at}; restore the file from a backup")));
    }
    put_in_place(store, new, &out).map_err(io)?;

    let counts = Counts { bytes: out.len() as u64, dead: 0, removals };
    let moved = owners.values().filter_map(|owner| owner.run.as_ref()).map(|run| {
        let mut run = Run::clone(run);
        run.relocate(old, new, &moves);
        run
    });
    if let Err(error) = store.catalogue.relocate(old, new, counts, moved) {
        // It is unknown which of the two files the catalogue means now. Both are there; opening again asks it.
        // Until then it must not be saved, or it would mean both.
        store.catalogue_is_lost.store(true, Ordering::SeqCst);
        store.catalogue.close();
        return Err(error);
    }
    drop(view);
    {
        let mut state = store.state();
        let dead =
            owners.iter().map(|(key, owner)| state.relocate(key, old, new, &moves, owner.copied)).sum();
        state.segments.remove(&old);
        state.segments.insert(new, Counts { dead, ..counts });
        state.moved.insert(old, (new, Arc::new(moves)));
    }
    store.files.forget(old);
    store.disk.remove(&old.file_name()).map_err(io)
}

/// The run as the catalogue has it.
fn load(view: &View<'_>, key: &RunKey) -> Result<Option<Arc<Run>>, BackendError> {
    let run = match view.finished(key)? {
        None => view.unfinished(key)?,
        finished => finished,
    };
    Ok(run.map(Arc::new))
}

/// Writes a file under a name of its own, and gives it its final name once it is whole on the disk.
fn put_in_place(store: &Store, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
    let name = id.file_name();
    let unfinished = format!("{name}{UNFINISHED}");
    match store.disk.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = store.disk.create(&unfinished)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    store.disk.rename(&unfinished, &name)?;
    store.disk.sync_folder(&name)
}

/// Drops the segments at the journal's beginning that have nothing but a header.
fn drop_beginning(store: &Store) -> Result<(), BackendError> {
    let empty: Vec<SegmentId> = {
        let state = store.state();
        let before = state.saved.segment;
        let is_empty = |(id, counts): &(&SegmentId, &Counts)| {
            id.number < before && counts.bytes == segment::header_line(store.id(), **id).len() as u64
        };
        state.segments.iter().take_while(is_empty).map(|(id, _)| *id).collect()
    };
    let Some(last) = empty.last() else { return Ok(()) };
    let identity = {
        let mut identity = store.identity.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        identity.first_segment = last.number + 1;
        identity.clone()
    };
    let place = store.disk.describe("store.json");
    identity.write(&*store.disk).map_err(|error| definite(&place, "write", error))?;
    for id in empty {
        store.state().segments.remove(&id);
        store.files.forget(id);
        let name = id.file_name();
        store.disk.remove(&name).map_err(|error| definite(&store.disk.describe(&name), "remove", error))?;
    }
    Ok(())
}
