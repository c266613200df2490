//! Opening: from what is on the disk to an open store.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::{BackendError, FaultKind};

use crate::catalogue::{Catalogue, FORM, INDEX, Meta};
use crate::disk::{Disk, DiskFile, read_from};
use crate::entry::{Entry, Header};
use crate::fault::{corrupt, definite};
use crate::identity::Identity;
use crate::keeper;
use crate::line;
use crate::options::FileOptions;
use crate::replay::{self, End};
use crate::run::{Change, Place, SegmentId};
use crate::segment::{self, UNFINISHED};
use crate::state::{State, Watermark};
use crate::store::Store;

/// Where the journal goes on.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) id: SegmentId,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Its length.
    pub(crate) end: u32,
    /// How much of it is on the disk for certain.
    pub(crate) synced: u32,
    /// Whether its last line says that the store was closed.
    pub(crate) is_closed: bool,
}

/// Opens the store in the folder, or makes one there. What it refuses to open it has not changed, but for the index.
pub(crate) fn open(disk: Arc<dyn Disk>, options: FileOptions) -> Result<(Arc<Store>, Tail), BackendError> {
    let identity = match Identity::read(&*disk)? {
        Some(identity) => identity,
        None => make(&*disk, Identity::new(options.clock.now()))?,
    };
    let names = disk.list_journal().map_err(|error| definite(&disk.describe("journal"), "list", error))?;
    let files: Vec<SegmentId> = names.iter().filter_map(|name| SegmentId::of_file(name)).collect();
    let (catalogue, meta) = open_catalogue(&*disk, &identity, options.cache_bytes, &files)?;
    let segments = choose(&*disk, &identity, &files, meta.as_ref())?;

    let mut state = State::new();
    let mut from = Watermark { segment: identity.first_segment, offset: 0 };
    if let Some(meta) = meta {
        state.segments =
            meta.segments.into_iter().filter(|(id, _)| segments.get(&id.number) == Some(id)).collect();
        from = meta.end;
        state.saved = meta.end;
        state.tallies = meta.tally.into_iter().collect();
        for run in catalogue.open_runs()? {
            state.adopt(Arc::new(run));
        }
    }
    let store = Arc::new(Store::new(Arc::clone(&disk), options, identity, catalogue, state));
    let tail = replay_all(&store, &segments, from)?;

    // Everything is understood: what a crash left behind can go.
    let left = names.iter().filter(|name| match SegmentId::of_file(name) {
        Some(id) => segments.get(&id.number) != Some(&id),
        None => name.ends_with(UNFINISHED),
    });
    for name in left {
        let name = format!("journal/{name}");
        disk.remove(&name).map_err(|error| definite(&disk.describe(&name), "remove", error))?;
    }
    Ok((store, tail))
}

/// Makes an empty store: the first segment, then `store.json`, whose presence says that the segment is there.
fn make(disk: &dyn Disk, identity: Identity) -> Result<Identity, BackendError> {
    let place = disk.describe("journal");
    let io = |error| definite(&place, "make a store", error);
    let first = SegmentId::first(identity.first_segment);
    for name in disk.list_journal().map_err(io)? {
        let path = format!("journal/{name}");
        // What is left of a making that was interrupted has no line but a header.
        let is_empty = SegmentId::of_file(&name) == Some(first) && {
            let bytes = read_from(&*disk.open(&path).map_err(io)?, 0).map_err(io)?;
            let behind_header = line::check(&bytes).map_or(0, |prefix| prefix.len);
            !line::candidates(&bytes, behind_header).any(|at| at > 0)
        };
        if !is_empty {
            return Err(corrupt(format!(
                "{} is there, but no store.json: the store is incomplete, restore store.json from a backup",
                disk.describe(&path)
            )));
        }
        disk.remove(&path).map_err(io)?;
    }
    segment::create(disk, identity.id, first).map_err(io)?;
    identity.write(disk).map_err(io)?;
    Ok(identity)
}

/// Opens the catalogue, and what it is the index of if it fits the journal. One that does not is made anew, empty.
fn open_catalogue(
    disk: &dyn Disk,
    identity: &Identity,
    cache_bytes: usize,
    files: &[SegmentId],
) -> Result<(Catalogue, Option<Meta>), BackendError> {
    let (store, first) = (identity.id, identity.first_segment);
    let opened = Catalogue::open(disk, store, cache_bytes)
        .and_then(|catalogue| catalogue.meta().map(|meta| (catalogue, meta)));
    match opened {
        Ok((catalogue, None)) => return Ok((catalogue, None)),
        Ok((catalogue, Some(meta))) => {
            let fits = meta.form == FORM
                && meta.store == store
                && meta.segments.iter().all(|(id, _)| id.number < first || files.contains(id));
            if fits {
                return Ok((catalogue, Some(meta)));
            }
            tracing::warn!(store = %store, "the index does not fit the journal and is made again from it");
        }
        Err(error) if matches!(error.kind(), FaultKind::Unavailable | FaultKind::Full) => return Err(error),
        Err(error) => {
            tracing::warn!(store = %store, %error, "the index cannot be read and is made again from the journal");
        }
    }
    disk.remove(INDEX).map_err(|error| definite(&disk.describe(INDEX), "remove", error))?;
    Ok((Catalogue::open(disk, store, cache_bytes)?, None))
}

/// The file of each segment, by number. Of two generations the one that the catalogue knows counts, else the later:
/// it got its name only when it was whole.
fn choose(
    disk: &dyn Disk,
    identity: &Identity,
    files: &[SegmentId],
    meta: Option<&Meta>,
) -> Result<BTreeMap<u32, SegmentId>, BackendError> {
    let mut chosen = BTreeMap::new();
    for &id in files.iter().filter(|id| id.number >= identity.first_segment) {
        let present = chosen.entry(id.number).or_insert(id);
        *present = (*present).max(id);
    }
    for (id, _) in meta.into_iter().flat_map(|meta| &meta.segments) {
        if id.number >= identity.first_segment {
            chosen.insert(id.number, *id);
        }
    }
    for (number, present) in (identity.first_segment..).zip(chosen.keys()) {
        if number != *present {
            let missing = disk.describe(&SegmentId::first(number).file_name());
            return Err(corrupt(format!("{missing} is missing; restore it from a backup of this store")));
        }
    }
    if chosen.is_empty() {
        let missing = disk.describe(&SegmentId::first(identity.first_segment).file_name());
        return Err(corrupt(format!("{missing} is missing; restore it from a backup of this store")));
    }
    Ok(chosen)
}

/// Reads the journal behind the watermark into memory, mends the end of the last segment, and says where it goes on.
fn replay_all(
    store: &Store,
    segments: &BTreeMap<u32, SegmentId>,
    from: Watermark,
) -> Result<Tail, BackendError> {
    let last = *segments.keys().next_back().expect("`choose` found at least one");
    if from.segment > last {
        return Err(shorter_than_index(store, segments[&last]));
    }
    for (&number, &id) in segments.range(from.segment..last) {
        let start = if number == from.segment { from.offset } else { 0 };
        let (file, end) = replay_segment(store, id, start)?;
        if let End::Torn(at) | End::Damaged(at) = end.0 {
            return Err(damaged(store, id, &*file, at));
        }
    }
    let id = segments[&last];
    let start = if last == from.segment { from.offset } else { 0 };
    let (file, (end, len, is_closed)) = replay_segment(store, id, start)?;
    let place = store.disk.describe(&id.file_name());
    let io = |error| definite(&place, "mend the end", error);
    let len = u32::try_from(len).map_err(|_| corrupt(format!("{place} is over 4 GiB")))?;
    let tail = match end {
        End::Damaged(at) => return Err(damaged(store, id, &*file, at)),
        End::Whole => Tail { id, file, end: len, synced: len, is_closed },
        End::Torn(0) if segments.len() == 1 => return Err(damaged(store, id, &*file, 0)),
        // Its making was interrupted: nothing in it was ever acknowledged.
        End::Torn(0) => {
            store.disk.remove(&id.file_name()).map_err(io)?;
            let (file, end) = segment::create(&*store.disk, store.id(), id).map_err(io)?;
            Tail { id, file, end, synced: end, is_closed: false }
        }
        End::Torn(at) => {
            tracing::warn!(file = %place, at, bytes = len as usize - at, "cut off a write that a crash interrupted");
            // Durable before anything is written in its place: else a second crash could bring it back behind that.
            file.truncate(at as u64).and_then(|()| file.sync()).map_err(io)?;
            let at = u32::try_from(at).expect("it is less than the length");
            Tail { id, file, end: at, synced: at, is_closed }
        }
    };
    let mut state = store.state();
    state.segments.entry(id).or_default().bytes = tail.end.into();
    state.end = Watermark { segment: last, offset: tail.end };
    Ok(tail)
}

type Replayed = (Arc<dyn DiskFile>, (End, usize, bool));

/// Applies the lines of a segment from `start` on, and returns how they end, its length, and whether the last one
/// says that the store was closed.
fn replay_segment(store: &Store, id: SegmentId, start: u32) -> Result<Replayed, BackendError> {
    let place = store.disk.describe(&id.file_name());
    let io = |error| definite(&place, "read", error);
    let file = store.disk.open(&id.file_name()).map_err(io)?;
    // What the last process wrote may be in the cache only, or, if its sync failed, never have reached the disk though
    // the cache has it. Nothing is shown to anyone before it is known to be on the disk.
    if store.options.sync {
        file.sync().map_err(|error| definite(&place, "sync", error))?;
    }
    file.forget_cache().map_err(io)?;
    let len = file.len().map_err(io)?;
    if len < u64::from(start) {
        return Err(shorter_than_index(store, id));
    }
    if start > 0 {
        let header = segment::header_line(store.id(), id);
        let mut found = vec![0; header.len()];
        file.read_exact_at(&mut found, 0).map_err(io)?;
        if found != header {
            return Err(damaged(store, id, &*file, 0));
        }
    }
    let bytes = read_from(&*file, start.into()).map_err(io)?;
    let base = start as usize;
    let mut is_closed = start > 0;
    let end = replay::walk(&bytes, base, |at, prefix, line| {
        let offset = u32::try_from(at).map_err(|_| corrupt(format!("{place} is over 4 GiB")))?;
        let len = u32::try_from(prefix.len).expect("the prefix holds 32 bits");
        let at_line = |error: serde_json::Error| {
            corrupt(format!("{place}: the line at byte {at} is whole but not understood: {error}"))
        };
        if at == 0 {
            #[derive(serde::Deserialize)]
            struct Line {
                header: Header,
            }
            let header = serde_json::from_slice::<Line>(line).map_err(at_line)?.header;
            if header.store != store.id() || header.segment != id.number || header.generation != id.generation
            {
                return Err(corrupt(format!("{place} belongs to another store or place: {header:?}")));
            }
            store.state().segments.entry(id).or_default().bytes += u64::from(len);
            return Ok(());
        }
        let entry: Entry = serde_json::from_slice(line).map_err(at_line)?;
        is_closed = entry.closed.is_some();
        apply(store, id, offset, len, entry)
    })?;
    let file_len = base + bytes.len();
    // Not even a header: its making was interrupted.
    let end = if file_len == 0 { End::Torn(0) } else { end };
    Ok((file, (end, file_len, is_closed)))
}

/// Applies a line that was read back.
fn apply(store: &Store, id: SegmentId, offset: u32, len: u32, entry: Entry) -> Result<(), BackendError> {
    // A run that only the catalogue has, and that this line changes.
    let bring = |key| {
        if let Some(run) = store.find(key)? {
            store.state().adopt(run);
        }
        Ok::<_, BackendError>(())
    };
    {
        let mut state = store.state();
        let counts = state.segments.entry(id).or_default();
        counts.bytes += u64::from(len);
        if !entry.remove.is_empty() {
            counts.removals += u64::from(len);
        }
    }
    for key in &entry.remove {
        bring(key)?;
        store.state().remove(key);
    }
    let Some(key) = entry.run().cloned() else { return Ok(()) };
    let is_new = entry.head.as_ref().is_some_and(|head| head.version.counter == 1);
    if !is_new {
        bring(&key)?;
    }
    let next = entry.head.as_ref().map(|head| head.next_seq);
    let records = u16::try_from(entry.append.len()).map_err(|_| corrupt(format!("{key}: line too long")))?;
    let mut state = store.state();
    let present = || state.runs.get(&key).map(|run| run.head.next_seq);
    let first = entry.append.first().map(|record| record.seq).or(next).or_else(present);
    let place = Place {
        segment: id,
        offset,
        len,
        first: first.unwrap_or(stepwell_contract::Seq::FIRST),
        records,
        has_mail: !entry.post.is_empty() || !entry.take.is_empty(),
    };
    state.apply(Change {
        key,
        // The process that held the lease is gone.
        head: entry.head.map(|head| Arc::new(head.with_lease_ended())),
        post: entry.post.into_iter().map(|message| message.id).collect(),
        take: entry.take,
        place,
    });
    state.end = Watermark { segment: id.number, offset: offset + len };
    if state.recent.len() >= store.options.recent_runs_max {
        drop(state);
        keeper::save(store)?;
    }
    Ok(())
}

fn damaged(store: &Store, id: SegmentId, file: &dyn DiskFile, at: usize) -> BackendError {
    let line = read_from(file, 0)
        .map_or(0, |bytes| bytes[..at.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count() + 1);
    corrupt(format!(
        "{} is damaged at byte {at} (line {line}), with whole lines behind it: nothing was changed; restore the file \
         from a backup",
        store.disk.describe(&id.file_name())
    ))
}

fn shorter_than_index(store: &Store, id: SegmentId) -> BackendError {
    corrupt(format!(
        "{} ends before what the index has of it: lines were lost; restore the file from a backup, or delete \
         {} to go on with what is left",
        store.disk.describe(&id.file_name()),
        store.disk.describe(INDEX)
    ))
}
