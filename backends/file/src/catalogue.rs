//! Runs as rows of `index.redb`, so that finished ones cost no memory and opening need not read the whole journal.
//!
//! It is a cache of the journal as of a [`Watermark`] and never the truth: when it is missing, damaged or does not
//! fit the journal, it is made again from the journal.
//!
//! * `meta`: which store, which journal, up to where, and how many runs of each sort there are then.
//! * `open`: unfinished runs by key.
//! * `finished`: finished runs by key, without their heads.
//! * `shelves`: their heads by shelf and age; `sorts`: which shelves there are (`shelf`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use stepwell_contract::tally::Sort;
use stepwell_contract::{
    BackendError, Cursor, Fault, FaultKind, Head, Order, Query, RunKey, StoreId, Tally, Timestamp,
};
use uuid::Uuid;

use crate::disk::Disk;
use crate::fault::kind_of;
use crate::pack::{Packer, Unpacker};
use crate::run::{Run, SegmentId};
use crate::shelf::{self, Place, Shelf, row_key};
use crate::state::{Counts, Snapshot, Watermark};

pub(crate) const INDEX: &str = "index.redb";
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const OPEN: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("open");
const FINISHED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("finished");
const SHELVES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("shelves");
const SORTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("sorts");

/// The version of the form of the catalogue. One of another is made again from the journal.
pub(crate) const FORM: u32 = 2;

/// The most heads that one page of a scan looks at.
const SCAN_ROWS_MAX: usize = 5_000;

/// What the catalogue is the index of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    #[serde(rename = "format")]
    pub(crate) form: u32,
    pub(crate) store: StoreId,
    pub(crate) end: Watermark,
    pub(crate) segments: Vec<(SegmentId, Counts)>,
    /// How many runs there are of each sort.
    pub(crate) tally: Vec<Tally>,
}

/// The open catalogue. Its rows are as of the last save.
#[derive(Debug)]
pub(crate) struct Catalogue {
    database: RwLock<Option<Database>>,
    /// Which opening of the store this is: a lease saved by another one has ended.
    opening: [u8; 16],
    store: StoreId,
    place: String,
    cache_bytes: usize,
}

/// A view of the catalogue that later saves do not change.
pub(crate) struct View<'a> {
    catalogue: &'a Catalogue,
    transaction: ReadTransaction,
}

impl Catalogue {
    /// Opens the catalogue; a damaged one is an error, and is best removed then.
    pub(crate) fn open(disk: &dyn Disk, store: StoreId, cache_bytes: usize) -> Result<Self, BackendError> {
        let place = disk.describe(INDEX);
        let database = connect(disk, &place, cache_bytes)?;
        let opening = *Uuid::new_v4().as_bytes();
        Ok(Self { database: RwLock::new(Some(database)), opening, store, place, cache_bytes })
    }

    fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, BackendError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = &*database else {
            return Err(BackendError::Definite(Fault::new(
                FaultKind::Closed,
                "the index is closed: open the store again",
            )));
        };
        guarded(&self.place, || run(database))
    }

    /// Opens it again after a failed save: the library refuses everything after a failed write. It then has either
    /// all of the save or nothing of it.
    pub(crate) fn reopen(&self, disk: &dyn Disk) -> Result<(), BackendError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one first: it holds the file's lock.
        drop(database.take());
        *database = Some(connect(disk, &self.place, self.cache_bytes)?);
        Ok(())
    }

    /// Closes it; later calls fail.
    pub(crate) fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(database);
    }

    /// What it is the index of; `None` when it is new.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, BackendError> {
        let row = self.with(|database| {
            let table = database.begin_read()?.open_table(META)?;
            Ok(table.get("meta")?.map(|row| row.value().to_vec()))
        })?;
        let Some(row) = row else { return Ok(None) };
        serde_json::from_slice(&row)
            .map(Some)
            .map_err(|error| self.damaged().caused_by(error))
            .map_err(definite)
    }

    fn damaged(&self) -> Fault {
        let what = format!(
            "{} is damaged; it is only an index: close the store, delete this file, and opening makes it again",
            self.place
        );
        Fault::new(FaultKind::Corrupt, what)
    }

    /// All unfinished runs, each lease ended.
    pub(crate) fn open_runs(&self) -> Result<Vec<Run>, BackendError> {
        let rows = self.with(|database| {
            let table = database.begin_read()?.open_table(OPEN)?;
            let rows = table.iter()?.map(|row| Ok(row?.1.value().to_vec()));
            rows.collect::<Result<Vec<_>, redb::Error>>()
        })?;
        let unpack = |row: &Vec<u8>| {
            let mut row = Unpacker::new(row)?;
            let head = row.head()?.with_lease_ended();
            row.rest(Arc::new(head))
        };
        rows.iter().map(|row| unpack(row).ok_or_else(|| definite(self.damaged()))).collect()
    }

    /// A view as of now.
    pub(crate) fn view(&self) -> Result<View<'_>, BackendError> {
        let transaction = self.with(|database| Ok(database.begin_read()?))?;
        Ok(View { catalogue: self, transaction })
    }

    /// Writes what changed, and what the segments are then. Durable when it returns.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> Result<(), BackendError> {
        let meta = Meta {
            form: FORM,
            store: self.store,
            end: snapshot.end,
            segments: snapshot.counts.clone(),
            tally: snapshot.tally.clone(),
        };
        // In the order of their keys, neighbours share pages.
        let mut runs: Vec<_> = snapshot.runs.iter().map(|(key, run)| (row_key(key), run)).collect();
        runs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let ended =
            runs.iter().filter_map(|(_, run)| run.as_ref()).filter(|run| run.head.status.is_finished());
        let sorts: BTreeSet<String> = ended.map(|run| Sort::of(&run.head).to_string()).collect();
        self.write(&meta, |Rows { open, finished, shelves, sorts: register }| {
            for name in &sorts {
                if register.get(name.as_bytes())?.is_none() {
                    register.insert(name.as_bytes(), &[][..])?;
                }
            }
            for (key, run) in &runs {
                let former = finished.remove(&**key)?.and_then(|row| Place::read(row.value()));
                if let Some(former) = former {
                    shelves.remove(&*former.row_key(key))?;
                }
                match run {
                    Some(run) if run.head.status.is_finished() => {
                        open.remove(&**key)?;
                        let place = Place::of(run);
                        shelves.insert(&*place.row_key(key), &*self.shelf_row(&run.head))?;
                        finished.insert(&**key, &*finished_row(place, run))?;
                    }
                    Some(run) => {
                        open.insert(&**key, &*open_row(run))?;
                    }
                    None => {
                        open.remove(&**key)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Follows a segment that was rewritten: the runs, as they are but for the places of their lines, and the counts.
    pub(crate) fn relocate(
        &self,
        old: SegmentId,
        new: SegmentId,
        counts: Counts,
        runs: impl Iterator<Item = Run>,
    ) -> Result<(), BackendError> {
        let Some(mut meta) = self.meta()? else { return Err(definite(self.damaged())) };
        meta.segments.retain(|(id, _)| *id != old);
        meta.segments.push((new, counts));
        let mut runs: Vec<_> = runs.map(|run| (row_key(&run.head.key), run)).collect();
        runs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        self.write(&meta, |Rows { open, finished, .. }| {
            for (key, run) in &runs {
                if run.head.status.is_finished() {
                    finished.insert(&**key, &*finished_row(Place::of(run), run))?;
                } else {
                    open.insert(&**key, &*open_row(run))?;
                }
            }
            Ok(())
        })
    }

    fn write(
        &self,
        meta: &Meta,
        change: impl FnOnce(&mut Rows<'_>) -> Result<(), redb::Error>,
    ) -> Result<(), BackendError> {
        let meta = serde_json::to_vec(meta).expect("numbers and ids have a JSON form");
        self.with(|database| {
            let mut write = database.begin_write()?;
            // Without it, opening after a crash walks the whole file.
            write.set_quick_repair(true);
            {
                let mut rows = Rows {
                    open: write.open_table(OPEN)?,
                    finished: write.open_table(FINISHED)?,
                    shelves: write.open_table(SHELVES)?,
                    sorts: write.open_table(SORTS)?,
                };
                change(&mut rows)?;
                write.open_table(META)?.insert("meta", &*meta)?;
            }
            Ok(write.commit()?)
        })
    }

    fn shelf_row(&self, head: &Head) -> Vec<u8> {
        let mut row = Packer::default();
        row.bytes(&self.opening);
        row.head(head);
        row.finish()
    }

    fn unshelve(&self, row: &[u8]) -> Result<Head, BackendError> {
        let unpack = || {
            let mut row = Unpacker::new(row)?;
            let is_ours = row.bytes()? == self.opening;
            let head = row.head()?;
            Some(if is_ours { head } else { head.with_lease_ended() })
        };
        unpack().ok_or_else(|| definite(self.damaged()))
    }
}

fn open_row(run: &Run) -> Vec<u8> {
    let mut row = Packer::default();
    row.head(&run.head);
    row.rest(run);
    row.finish()
}

/// The row of a finished run, without its head.
fn finished_row(place: Place, run: &Run) -> Vec<u8> {
    let mut row = Packer::default();
    place.pack(&mut row);
    row.rest(run);
    row.finish()
}

type Table<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// The tables of a write.
struct Rows<'txn> {
    open: Table<'txn>,
    finished: Table<'txn>,
    shelves: Table<'txn>,
    sorts: Table<'txn>,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl View<'_> {
    fn read<T>(
        &self,
        run: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, BackendError> {
        guarded(&self.catalogue.place, || run(&self.transaction))
    }

    /// A finished run.
    pub(crate) fn finished(&self, key: &RunKey) -> Result<Option<Run>, BackendError> {
        let key = row_key(key);
        let rows = self.read(|transaction| {
            let finished = transaction.open_table(FINISHED)?;
            let Some(row) = finished.get(&*key)? else { return Ok(None) };
            let row = row.value().to_vec();
            let Some(place) = Place::read(&row) else { return Ok(Some((row, None))) };
            let shelves = transaction.open_table(SHELVES)?;
            let head = shelves.get(&*place.row_key(&key))?.map(|row| row.value().to_vec());
            Ok(Some((row, head)))
        })?;
        let Some((row, head)) = rows else { return Ok(None) };
        let damaged = || definite(self.catalogue.damaged());
        let head = self.catalogue.unshelve(&head.ok_or_else(damaged)?)?;
        let unpack = || {
            let mut row = Unpacker::new(&row)?;
            Place::unpack(&mut row)?;
            row.rest(Arc::new(head))
        };
        unpack().map(Some).ok_or_else(damaged)
    }

    /// The unfinished run as of the last save.
    pub(crate) fn unfinished(&self, key: &RunKey) -> Result<Option<Run>, BackendError> {
        let key = row_key(key);
        let row = self.read(|transaction| {
            let open = transaction.open_table(OPEN)?;
            Ok(open.get(&*key)?.map(|row| row.value().to_vec()))
        })?;
        let Some(row) = row else { return Ok(None) };
        let unpack = || {
            let mut row = Unpacker::new(&row)?;
            let head = row.head()?;
            row.rest(Arc::new(head))
        };
        unpack().map(Some).ok_or_else(|| definite(self.catalogue.damaged()))
    }

    /// The finished runs that fit, in the query's order behind `after`, up to `limit`; and where the looking
    /// stopped if that was not at the end. Runs that `skip` names are passed over.
    pub(crate) fn shelved(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
        skip: impl Fn(&RunKey) -> bool,
    ) -> Result<(Vec<Head>, Option<Cursor>), BackendError> {
        let mut heads = Vec::new();
        let mut stopped = None;
        let damaged = || definite(self.catalogue.damaged());
        // What can go wrong with a row, carried out of the table's own error type.
        let mut failure = None;
        self.read(|transaction| {
            let table = transaction.open_table(SHELVES)?;
            let mut wanted = BTreeSet::new();
            for name in transaction.open_table(SORTS)?.iter()? {
                let name = name?.0;
                let sort =
                    std::str::from_utf8(name.value()).ok().and_then(|name| Some((name, name.parse().ok()?)));
                let Some((name, sort)) = sort else {
                    failure = Some(damaged());
                    return Ok(());
                };
                if query.can_fit(&sort) {
                    wanted.insert(Shelf::of(name));
                }
            }
            let mut shelves = Vec::new();
            for shelf in wanted {
                let (from, to) = shelf.range(query.order, after);
                let range = table.range::<&[u8]>(from.as_slice()..to.as_slice())?;
                shelves.push(match query.order {
                    Order::Oldest => Box::new(range) as Box<dyn Iterator<Item = _>>,
                    Order::Newest => Box::new(range.rev()),
                });
            }
            // The next row of each shelf, by age.
            let mut next = BTreeMap::new();
            let mut from: Vec<usize> = (0..shelves.len()).collect();
            let mut looked_at = 0;
            loop {
                for nth in from.drain(..) {
                    if let Some(row) = shelves[nth].next() {
                        let (key, row) = row?;
                        next.insert((shelf::age_of(key.value()).to_vec(), nth), row);
                    }
                }
                let first = match query.order {
                    Order::Oldest => next.pop_first(),
                    Order::Newest => next.pop_last(),
                };
                let Some(((place, nth), row)) = first else { break };
                from.push(nth);
                let Some(cursor) = shelf::cursor_of(&place) else {
                    failure = Some(damaged());
                    break;
                };
                looked_at += 1;
                if !skip(&cursor.key) {
                    match self.catalogue.unshelve(row.value()) {
                        // Neither mail nor time makes a finished run fit.
                        Ok(head) if query.fits(&head, false, Timestamp(0)) => heads.push(head),
                        Ok(_) => {}
                        Err(error) => {
                            failure = Some(error);
                            break;
                        }
                    }
                }
                if heads.len() == limit || looked_at == SCAN_ROWS_MAX {
                    stopped = Some(cursor);
                    break;
                }
            }
            Ok(())
        })?;
        failure.map_or(Ok((heads, stopped)), Err)
    }
}

fn connect(disk: &dyn Disk, place: &str, cache_bytes: usize) -> Result<Database, BackendError> {
    let mut settings = Database::builder();
    settings.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    guarded(place, || {
        let database = disk.open_index(INDEX, &settings)?;
        let write = database.begin_write()?;
        write.open_table(META)?;
        write.open_table(OPEN)?;
        write.open_table(FINISHED)?;
        write.open_table(SHELVES)?;
        write.open_table(SORTS)?;
        write.commit()?;
        Ok(database)
    })
}

fn definite(fault: Fault) -> BackendError {
    BackendError::Definite(fault)
}

/// Runs a piece of redb. A damaged file may make it panic; here that is an error like any other.
fn guarded<T>(place: &str, run: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, BackendError> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let kind = match &error {
                redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => FaultKind::Corrupt,
                // What a crash left of the making of an index is not yet one.
                redb::Error::Io(error)
                    if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
                {
                    FaultKind::Corrupt
                }
                redb::Error::Io(error) if kind_of(error) == FaultKind::Full => FaultKind::Full,
                redb::Error::Io(_) | redb::Error::PreviousIo => FaultKind::Unavailable,
                _ => FaultKind::Other,
            };
            Err(definite(Fault::new(kind, format!("{place}: {error}")).caused_by(error)))
        }
        Err(_) => Err(definite(Fault::new(FaultKind::Corrupt, format!("{place} is damaged beyond reading")))),
    }
}
