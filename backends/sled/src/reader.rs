//! The thread that reads from sled, so that no runtime thread ever waits for the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stepwell_contract::query::{Cursor, Order, Page, Query};
use stepwell_contract::record::Seq;
use stepwell_contract::tally::Sort;
use stepwell_contract::{BackendError, Head, Message, Record, RunKey, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::codec::{Damage, Reader as Decoder};
use crate::failure::{closed, corrupt, sled};
use crate::frame::Extent;
use crate::parts;
use crate::run::{Run, decode_aged};
use crate::shared::Shared;
use crate::shelf::{self, Shelf};
use crate::trees::Trees;

/// What to do with the open trees.
type Task = Box<dyn FnOnce(&Reader) + Send>;

/// Most finished runs that one page looks at. A page may be short and still have a next one.
const LOOKED_AT_MAX: usize = 5_000;

/// The reading side of an open store.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) trees: Trees,
}

/// Runs tasks until the last sender is gone.
pub(crate) fn run(reader: &Reader, mut tasks: mpsc::Receiver<Task>) {
    while let Some(task) = tasks.blocking_recv() {
        task(reader);
    }
}

/// The way to the reading thread.
#[derive(Debug)]
pub(crate) struct Desk(pub(crate) mpsc::Sender<Task>);

impl Desk {
    /// Has `read` run on the reading thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let (reply, answer) = oneshot::channel();
        // Whoever asked may be gone.
        let task: Task = Box::new(move |reader| drop(reply.send(read(reader))));
        self.0.send(task).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Reader {
    /// What `look` finds in a run, in memory or in the trees.
    pub(crate) fn run<T>(&self, key: &RunKey, look: impl Fn(&Run) -> T) -> Result<Option<T>, BackendError> {
        if let Some(run) = self.shared.state().runs.get(key) {
            return Ok(Some(look(run)));
        }
        Ok(self.trees.run(key, self.shared.opened_at)?.as_ref().map(look))
    }

    pub(crate) fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let inbox = self.run(key, |run| run.inbox.iter().take(limit).cloned().collect())?;
        Ok(inbox.unwrap_or_default())
    }

    pub(crate) fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        // An extent holds one record or more, so this many reach to the end of the page.
        let extents = |run: &Run| -> Vec<Extent> {
            run.extents_from(from).iter().take(limit.saturating_add(1)).copied().collect()
        };
        let mut known = self.run(key, extents)?.unwrap_or_default();
        let mut records: Vec<Record> = Vec::new();
        let mut at = 0;
        while at < known.len() && records.len() < limit {
            let extent = known[at];
            let Some(bytes) = self.trees.extent(&extent)? else {
                // It was moved or removed since its place was looked up.
                let again = self.run(key, extents)?.unwrap_or_default();
                if again == known {
                    return Err(corrupt(format!("log group {}", extent.group), format!("{key} needs it")));
                }
                (known, at) = (again, 0);
                records.clear();
                continue;
            };
            read_records(&bytes, from, limit, &mut records).map_err(|damage| {
                corrupt(format!("records of {key} in log group {}", extent.group), damage)
            })?;
            at += 1;
        }
        Ok(records)
    }

    /// A page of all runs: those in memory and those in the trees, in one order.
    pub(crate) fn scan(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        loop {
            let revivals = self.shared.revivals();
            // Memory first: a run that ends meanwhile is then met twice, never missed.
            let live = self.shared.state().index.scan(query, after, limit, self.shared.clock.now());
            let mut ended = self.ended(query, after, limit)?;
            self.refresh(query, &mut ended.items);
            if self.shared.revivals() == revivals {
                return Ok(merge(query.order, live, ended, limit));
            }
        }
    }

    /// What memory says of a run goes before what the trees say: after a write they follow a moment later.
    fn refresh(&self, query: &Query, items: &mut Vec<Head>) {
        let now = self.shared.clock.now();
        let state = self.shared.state();
        items.retain_mut(|item| {
            let Some(run) = state.runs.get(&item.key) else { return true };
            let Some(head) = &run.head else { return false };
            let belongs = head.created_at == item.created_at && query.fits(head, !run.inbox.is_empty(), now);
            if belongs {
                *item = Head::clone(head);
            }
            belongs
        });
    }

    fn ended(&self, query: &Query, after: Option<&Cursor>, limit: usize) -> Result<Page<Head>, BackendError> {
        let now: Timestamp = self.shared.clock.now();
        let mut shelves = self.shelves(query, after)?;
        // The next row of each shelf, by age.
        let mut next = BTreeMap::new();
        let mut from: Vec<usize> = (0..shelves.len()).collect();
        let mut items: Vec<Head> = Vec::new();
        let mut last: Option<sled::IVec> = None;
        for looked_at in 0.. {
            for nth in from.drain(..) {
                if let Some(row) = shelves[nth].next() {
                    let (key, stored) = row.map_err(|error| sled("tree shelves", error))?;
                    next.insert((shelf::age_of(&key).to_vec(), nth), (key, stored));
                }
            }
            let first = match query.order {
                Order::Oldest => next.pop_first(),
                Order::Newest => next.pop_last(),
            };
            let Some(((_, nth), (key, stored))) = first else { break };
            from.push(nth);
            let place = || format!("tree shelves, key {key:?}");
            if items.len() == limit || looked_at == LOOKED_AT_MAX {
                let last = last.as_deref().and_then(shelf::read_key);
                let (created_at, key) = last.ok_or_else(|| corrupt(place(), "the key before is no run"))?;
                return Ok(Page { items, next: Some(Cursor { created_at, key }) });
            }
            let (bytes, _) = parts::open(&stored, &place)?;
            let head =
                decode_aged(bytes, self.shared.opened_at).map_err(|damage| corrupt(place(), damage))?;
            // Of the filters that look at mail, none fits a finished run.
            if query.fits(&head, false, now) {
                items.push(head);
            }
            last = Some(key);
        }
        Ok(Page { items, next: None })
    }

    /// The rows of each shelf with runs that can fit, in the query's order behind the cursor.
    fn shelves(&self, query: &Query, after: Option<&Cursor>) -> Result<Vec<Rows>, BackendError> {
        let mut wanted = BTreeSet::new();
        for name in self.trees.sorts.iter().keys() {
            let name = name.map_err(|error| sled("tree sorts", error))?;
            let place = || format!("tree sorts, key {name:?}");
            let name = std::str::from_utf8(&name).map_err(|error| corrupt(place(), error))?;
            let sort: Sort = name.parse().map_err(|error: String| corrupt(place(), error))?;
            if query.can_fit(&sort) {
                wanted.insert(Shelf::of(name));
            }
        }
        let rows = wanted.into_iter().map(|shelf| {
            let mark = after.map(|cursor| shelf.key(cursor.created_at, &cursor.key));
            let all = self.trees.shelves.scan_prefix(shelf.prefix());
            let rows: Rows = match (query.order, mark) {
                (Order::Oldest, None) => Box::new(all),
                (Order::Newest, None) => Box::new(all.rev()),
                // A key followed by a zero byte is the next one that there can be.
                (Order::Oldest, Some(mark)) => {
                    let from = [&mark[..], &[0]].concat();
                    let rows = self.trees.shelves.range(from..);
                    Box::new(rows.take_while(move |row| is_on(shelf, row)))
                }
                (Order::Newest, Some(mark)) => {
                    Box::new(self.trees.shelves.range(shelf.prefix().to_vec()..mark).rev())
                }
            };
            rows
        });
        Ok(rows.collect())
    }
}

type Row = sled::Result<(sled::IVec, sled::IVec)>;
type Rows = Box<dyn Iterator<Item = Row>>;

/// Whether a row stands on the shelf. An error stands everywhere.
fn is_on(shelf: Shelf, row: &Row) -> bool {
    row.as_ref().map_or(true, |(key, _)| key.starts_with(&shelf.prefix()))
}

fn read_records(bytes: &[u8], from: Seq, limit: usize, into: &mut Vec<Record>) -> Result<(), Damage> {
    let mut decoder = Decoder::new(bytes);
    while !decoder.is_done() && into.len() < limit {
        let record = decoder.record()?;
        record.verify().map_err(|error| error.to_string())?;
        if record.seq >= from {
            into.push(record);
        }
    }
    Ok(())
}

/// Joins two pages that begin at the same place, as far as both reach.
fn merge(order: Order, live: Page<Head>, ended: Page<Head>, limit: usize) -> Page<Head> {
    let comes_first = |a: &Cursor, b: &Cursor| match order {
        Order::Oldest => a.cmp(b),
        Order::Newest => b.cmp(a),
    };
    let reach = match (live.next, ended.next) {
        (Some(a), Some(b)) => Some(std::cmp::min_by(a, b, comes_first)),
        (reach, None) | (None, reach) => reach,
    };
    // A run that ended in between is in both: the second look is newer, and the sort is stable.
    let mut items: Vec<Head> = ended.items.into_iter().chain(live.items).collect();
    items.sort_by(|a, b| comes_first(&Cursor::of(a), &Cursor::of(b)));
    items.dedup_by(|later, kept| later.key == kept.key && later.created_at == kept.created_at);
    if let Some(reach) = &reach {
        items.retain(|head| comes_first(&Cursor::of(head), reach).is_le());
    }
    if items.len() > limit {
        items.truncate(limit);
        let next = items.last().map(Cursor::of);
        return Page { items, next };
    }
    Page { items, next: reach }
}
