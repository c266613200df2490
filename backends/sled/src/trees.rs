//! The trees of a store and the form of their keys.
//!
//! * `log`: group number, big-endian → packed frames. The truth.
//! * `runs`: run → its entry. Derived.
//! * `live`: the runs that were unfinished when their entry was written, and maybe more. Derived.
//! * `shelves`: sort, `created_at`, run → head of a finished run. Derived.
//! * `sorts`: the sorts that finished runs are or were of. Derived.
//! * `by_age`: the same heads in a store of an earlier form, without the sort; emptied when it is opened.
//! * `segments`: first group of a stretch of the log → how much of it is still needed. Derived.
//! * `meta`: identity, format, watermark (the group up to which the derived trees are complete), and the tally as of a
//!   group that is not before the watermark: what comes after it is counted from the log.

use sled::{Db, Tree};
use stepwell_contract::tally::{Sort, Tallies};
use stepwell_contract::{BackendError, FaultKind, Head, RunKey, StoreId, Timestamp};
use uuid::Uuid;

use crate::codec::{Reader, Writer};
use crate::failure::{corrupt, definite, sled};
use crate::frame::Extent;
use crate::parts;
use crate::run::{Kept, Run, decode_aged, encode_aged};
use crate::shelf::Shelf;

const FORMAT: &[u8] = b"stepwell-sled 1";
const WATERMARK: &str = "watermark";
const TALLY: &[u8] = b"tally";

/// The open database.
#[derive(Debug, Clone)]
pub(crate) struct Trees {
    pub(crate) db: Db,
    pub(crate) log: Tree,
    pub(crate) runs: Tree,
    pub(crate) live: Tree,
    pub(crate) shelves: Tree,
    pub(crate) sorts: Tree,
    by_age: Tree,
    pub(crate) segments: Tree,
    meta: Tree,
}

impl Trees {
    pub(crate) fn open(db: Db) -> Result<Self, sled::Error> {
        let log = db.open_tree("log")?;
        let runs = db.open_tree("runs")?;
        let live = db.open_tree("live")?;
        let shelves = db.open_tree("shelves")?;
        let sorts = db.open_tree("sorts")?;
        let by_age = db.open_tree("by_age")?;
        let segments = db.open_tree("segments")?;
        let meta = db.open_tree("meta")?;
        Ok(Self { db, log, runs, live, shelves, sorts, by_age, segments, meta })
    }

    /// Writes the identity of a new store.
    pub(crate) fn found(&self) -> Result<(), sled::Error> {
        self.meta.insert("format", FORMAT)?;
        self.meta.insert("id", Uuid::new_v4().as_bytes().as_slice())?;
        self.meta.insert(WATERMARK, &0_u64.to_be_bytes())?;
        Ok(())
    }

    pub(crate) fn id(&self) -> Result<StoreId, BackendError> {
        let read = |name| self.meta.get(name).map_err(|error| sled(format_args!("key meta/{name}"), error));
        match read("format")? {
            Some(format) if format == FORMAT => {}
            Some(other) => {
                let found = String::from_utf8_lossy(&other).escape_debug().to_string();
                let words =
                    format!("the store has format {found:?}; this version reads {:?}", "stepwell-sled 1");
                return Err(definite(FaultKind::Refused, words));
            }
            None => return Err(definite(FaultKind::IdentityLost, "key meta/format is gone")),
        }
        let id = read("id")?.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        id.map(StoreId).ok_or_else(|| definite(FaultKind::IdentityLost, "key meta/id is gone or damaged"))
    }

    pub(crate) fn watermark(&self) -> Result<u64, BackendError> {
        let stored = self.meta.get(WATERMARK).map_err(|error| sled("key meta/watermark", error))?;
        let bytes = stored.as_deref().and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes.map(u64::from_be_bytes).ok_or_else(|| corrupt("key meta/watermark", "it is not 8 bytes"))
    }

    pub(crate) fn set_watermark(&self, group: u64) -> Result<(), sled::Error> {
        self.meta.insert(WATERMARK, &group.to_be_bytes()).map(drop)
    }

    /// The group as of which runs were counted last, and what was counted; `None` in a store that was not counted yet.
    pub(crate) fn tallies(&self) -> Result<Option<(u64, Tallies)>, BackendError> {
        let place = || "key meta/tally".to_owned();
        let Some(bytes) = parts::get(&self.meta, TALLY, &place)? else { return Ok(None) };
        let mut from = Reader::new(&bytes);
        let read = from.number().and_then(|group| Ok((group, from.tallies()?)));
        read.map(Some).map_err(|damage| corrupt(place(), damage))
    }

    pub(crate) fn set_tallies(&self, group: u64, tallies: &Tallies) -> Result<(), sled::Error> {
        let mut out = Writer::default();
        out.number(group);
        out.tallies(tallies);
        parts::put(&self.meta, TALLY, &out.0)
    }

    /// The heads of finished runs, as they are in the trees.
    pub(crate) fn finished(&self) -> impl Iterator<Item = Result<Head, BackendError>> {
        self.shelves.iter().map(|pair| {
            let (key, stored) = pair.map_err(|error| sled("tree shelves", error))?;
            let place = || format!("tree shelves, key {key:?}");
            let (bytes, _) = parts::open(&stored, &place)?;
            decode_aged(bytes, 0).map_err(|damage| corrupt(place(), damage))
        })
    }

    /// The entry of a run, by which it is found when it is not in memory.
    pub(crate) fn run(&self, key: &RunKey, opened_at: u64) -> Result<Option<Run>, BackendError> {
        let place = || format!("entry of run {key}");
        let Some(bytes) = parts::get(&self.runs, &run_key(key), &place)? else { return Ok(None) };
        Run::decode(&bytes, opened_at).map(Some).map_err(|damage| corrupt(place(), damage))
    }

    /// A whole group.
    pub(crate) fn group(&self, number: u64) -> Result<Option<Vec<u8>>, BackendError> {
        parts::get(&self.log, &number.to_be_bytes(), &|| format!("log group {number}"))
    }

    /// The bytes of an extent; `None` when its group is gone.
    pub(crate) fn extent(&self, extent: &Extent) -> Result<Option<Vec<u8>>, BackendError> {
        let (number, offset, len) = (extent.group, extent.offset as usize, extent.len as usize);
        parts::get_range(&self.log, &number.to_be_bytes(), offset, len, &|| format!("log group {number}"))
    }

    /// Writes the entry of a finished run. The entry comes last but for `live`: until it is there, replaying the
    /// log does all of it again.
    pub(crate) fn keep_finished(&self, run: &Run, head: &Head) -> Result<(), sled::Error> {
        let shelf = self.shelve(head, parts::seal(&encode_aged(run, head), false))?;
        if let Kept::Finished(former) = run.kept
            && former != shelf
        {
            self.shelves.remove(former.key(head.created_at, &head.key))?;
        }
        parts::put(&self.runs, &run_key(&head.key), &run.encode(head))?;
        self.live.remove(run_key(&head.key)).map(drop)
    }

    fn shelve(&self, head: &Head, aged: Vec<u8>) -> Result<Shelf, sled::Error> {
        let sort = Sort::of(head).to_string();
        if !self.sorts.contains_key(&sort)? {
            self.sorts.insert(&sort, &[])?;
        }
        let shelf = Shelf::of(&sort);
        self.shelves.insert(shelf.key(head.created_at, &head.key), aged)?;
        Ok(shelf)
    }

    /// Puts the heads of finished runs on their shelves that an earlier form of the store had in `by_age`.
    pub(crate) fn move_to_shelves(&self) -> Result<(), BackendError> {
        for pair in self.by_age.iter() {
            let (key, stored) = pair.map_err(|error| sled("tree by_age", error))?;
            let place = || format!("tree by_age, key {key:?}");
            let (bytes, _) = parts::open(&stored, &place)?;
            let head = decode_aged(bytes, 0).map_err(|damage| corrupt(place(), damage))?;
            let moved = self.shelve(&head, stored.to_vec()).and_then(|_| self.by_age.remove(&key));
            moved.map_err(|error| sled(place(), error))?;
        }
        Ok(())
    }

    /// The shelf that the entry of a finished run says its head is on.
    pub(crate) fn shelf_of(&self, key: &RunKey) -> Result<Option<Shelf>, BackendError> {
        let kept = self.run(key, 0)?.map(|run| run.kept);
        Ok(kept.and_then(|kept| if let Kept::Finished(shelf) = kept { Some(shelf) } else { None }))
    }

    /// Writes the entry of an unfinished run.
    pub(crate) fn keep_unfinished(&self, run: &Run, head: &Head) -> Result<(), sled::Error> {
        self.live.insert(run_key(&head.key), &[])?;
        if let Kept::Finished(shelf) = run.kept {
            self.shelves.remove(shelf.key(head.created_at, &head.key))?;
        }
        parts::put(&self.runs, &run_key(&head.key), &run.encode(head))
    }

    /// Deletes the entry of a run, and its head from its shelf: first, so that the entry tells the shelf until it is done.
    pub(crate) fn forget(
        &self,
        key: &RunKey,
        created_at: Timestamp,
        shelf: Option<Shelf>,
    ) -> Result<(), sled::Error> {
        if let Some(shelf) = shelf {
            self.shelves.remove(shelf.key(created_at, key))?;
        }
        parts::delete(&self.runs, &run_key(key))?;
        self.live.remove(run_key(key)).map(drop)
    }

    /// The runs that `live` names.
    pub(crate) fn live_keys(&self) -> Result<Vec<RunKey>, BackendError> {
        let keys = self.live.iter().keys().map(|key| {
            let key = key.map_err(|error| sled("tree live", error))?;
            read_run_key(&key).ok_or_else(|| corrupt(format_args!("tree live, key {key:?}"), "not a run"))
        });
        keys.collect()
    }
}

/// Ids hold no zero byte, so the order of these keys is the order of `RunKey`, and no key is the start of another.
pub(crate) fn run_key(key: &RunKey) -> Vec<u8> {
    let (tenant, run) = (key.tenant.as_str(), key.run.as_str());
    let mut bytes = Vec::with_capacity(tenant.len() + run.len() + 2);
    bytes.extend_from_slice(tenant.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(run.as_bytes());
    bytes.push(0);
    bytes
}

fn read_run_key(bytes: &[u8]) -> Option<RunKey> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (tenant, run) = text.strip_suffix('\0')?.split_once('\0')?;
    Some(RunKey::new(tenant.parse().ok()?, run.parse().ok()?))
}

/// With the sign flipped, big-endian bytes sort as the times do.
pub(crate) fn age_key(at: Timestamp, key: &RunKey) -> Vec<u8> {
    let mut bytes = ((at.0 as u64) ^ (1 << 63)).to_be_bytes().to_vec();
    bytes.extend_from_slice(&run_key(key));
    bytes
}

/// The time and the run of such a key.
pub(crate) fn read_age_key(bytes: &[u8]) -> Option<(Timestamp, RunKey)> {
    let (at, key) = bytes.split_at_checked(8)?;
    let at = u64::from_be_bytes(at.try_into().ok()?) ^ (1 << 63);
    Some((Timestamp(at as i64), read_run_key(key)?))
}
