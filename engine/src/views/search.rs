//! Searches the audit log: the journals of many runs, a page at a time.

use stepwell_contract::{Cursor, Head, Query, Record, Seq};

use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::limits::system;
use crate::observe::audit::{
    AuditEntry, EventCursor, EventFilter, EventPage, FoundEvent, Mark, Order, PAGE_ENTRIES_MAX,
    PAGE_HEADS_MAX, PAGE_RECORDS_MAX,
};

/// How many records are read at once.
const RECORDS_AT_ONCE: usize = 250;
/// How often one page asks the store for heads: a store may answer with few, or none, and have more.
const PAGE_SCANS_MAX: usize = 20;

impl Engine {
    /// A page of what happened to runs, as the filter wants it: every event, and every line that a step logged.
    ///
    /// Runs come by when they were made, and what happened to each by its place in the journal of that run: the newest first or
    /// the oldest first, as the filter says. So the entries of one run stand together; across runs they are not in the order
    /// of their times.
    ///
    /// One page reads at most [`PAGE_HEADS_MAX`] heads and [`PAGE_RECORDS_MAX`] records and returns at most `limit` entries, never
    /// more than [`PAGE_ENTRIES_MAX`]: it may be short, even empty, and have a cursor. A run that was made after
    /// [`until`](EventFilter::until), or was last written before [`since`](EventFilter::since), is passed over by its head, by the
    /// clocks of those who wrote it.
    ///
    /// Following the cursor with the same filter visits each entry that fits at most once, whatever runs do meanwhile, and
    /// every one that was there when the first page was asked for, unless its run is removed. What is added to a run while
    /// pages are read is found with the oldest first as long as the cursor has not passed the run, and with the newest first
    /// unless its run was begun; what happens to runs made later than the cursor's is found with the oldest first only.
    ///
    /// What is found stays as long as its run: [`remove_finished`](Self::remove_finished) takes both away. What the engine keeps
    /// for itself is found only by a filter that names its tenant or run.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`] when the filter names a run that is not there; [`Error::Store`].
    pub async fn search(
        &self,
        filter: &EventFilter,
        after: Option<EventCursor>,
        limit: usize,
    ) -> Result<EventPage, Error> {
        let mut reading = Reading {
            engine: self,
            filter,
            limit: limit.clamp(1, PAGE_ENTRIES_MAX),
            records_left: PAGE_RECORDS_MAX,
            items: Vec::new(),
        };
        let next = match &filter.run {
            Some(key) => {
                let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
                reading.one(&head, after).await?
            }
            None => reading.many(after).await?,
        };
        Ok(EventPage { items: reading.items, next })
    }
}

/// A page in the making.
struct Reading<'a> {
    engine: &'a Engine,
    filter: &'a EventFilter,
    limit: usize,
    records_left: usize,
    items: Vec<FoundEvent>,
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.records_left == 0
    }

    /// The run that the filter names.
    async fn one(&mut self, head: &Head, after: Option<EventCursor>) -> Result<Option<EventCursor>, Error> {
        let run = Cursor::of(head);
        // Under its id there may be another run than the one that was begun.
        let begun = after.filter(|after| after.run == run);
        let from = match begun {
            Some(EventCursor { mark: None, .. }) => return Ok(None),
            Some(EventCursor { mark, .. }) => mark,
            None => None,
        };
        let mark = if self.may_fit(head) { self.run(head, from).await? } else { None };
        Ok(mark.map(|mark| EventCursor { run, mark: Some(mark) }))
    }

    /// Every run that may have what is sought.
    async fn many(&mut self, after: Option<EventCursor>) -> Result<Option<EventCursor>, Error> {
        let query = Query {
            tenant: self.filter.tenant.clone(),
            workflow: self.filter.workflow.clone(),
            order: self.filter.order,
            ..Query::default()
        };
        let mut passed = match after {
            Some(EventCursor { run, mark: Some(mark) }) => {
                let head = self.engine.get(&run.key).await?.filter(|head| Cursor::of(head) == run);
                if let Some(head) = head
                    && let Some(mark) = self.run(&head, Some(mark)).await?
                {
                    return Ok(Some(EventCursor { run, mark: Some(mark) }));
                }
                Some(run)
            }
            Some(EventCursor { run, mark: None }) => Some(run),
            None => None,
        };
        let (mut heads_left, mut scans_left) = (PAGE_HEADS_MAX, PAGE_SCANS_MAX);
        loop {
            if heads_left == 0 || scans_left == 0 || self.is_full() {
                return Ok(passed.map(|run| EventCursor { run, mark: None }));
            }
            scans_left -= 1;
            let page = self.engine.backend().scan(&query, passed.clone(), heads_left).await?;
            for head in page.items {
                if self.is_full() {
                    return Ok(passed.map(|run| EventCursor { run, mark: None }));
                }
                heads_left -= 1;
                let run = Cursor::of(&head);
                let is_sought = system::is_asked_for(&query) || !system::is_own(&head.key);
                if is_sought
                    && self.may_fit(&head)
                    && let Some(mark) = self.run(&head, None).await?
                {
                    return Ok(Some(EventCursor { run, mark: Some(mark) }));
                }
                passed = Some(run);
            }
            match page.next {
                Some(next) => passed = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// Whether the head allows that something in the journal fits.
    fn may_fit(&self, head: &Head) -> bool {
        let filter = self.filter;
        filter.tenant.as_ref().is_none_or(|tenant| *tenant == head.key.tenant)
            && filter.workflow.as_ref().is_none_or(|workflow| *workflow == head.workflow)
            && filter.until.is_none_or(|until| head.created_at < until)
            && filter.since.is_none_or(|since| head.updated_at >= since)
    }

    /// Looks through a run behind `after`. Returns how far it came, or nothing when that was the end.
    async fn run(&mut self, head: &Head, after: Option<Mark>) -> Result<Option<Mark>, Error> {
        let mut passed = after;
        loop {
            if self.is_full() {
                return Ok(passed);
            }
            let records = self.records(head, passed).await?;
            if records.is_empty() {
                return Ok(None);
            }
            for record in records {
                if self.is_full() {
                    return Ok(passed);
                }
                self.records_left -= 1;
                if let Some(mark) = self.record(head, &record, passed) {
                    return Ok(Some(mark));
                }
                passed = Some(end_of(&record, self.filter.order));
            }
        }
    }

    /// The next records of a run behind `after`, in the order of the filter.
    async fn records(&self, head: &Head, after: Option<Mark>) -> Result<Vec<Record>, Error> {
        let at_once = RECORDS_AT_ONCE.min(self.records_left);
        let read = |from, limit| self.engine.backend().journal(&head.key, from, limit);
        match self.filter.order {
            Order::Oldest => {
                // The record itself may have more; one that was looked at to its end has a mark that nothing is behind.
                let from = after.map_or(Seq::FIRST, |mark| match mark.nth {
                    u32::MAX => mark.seq.plus(1),
                    _ => mark.seq,
                });
                Ok(read(from, at_once).await?)
            }
            Order::Newest => {
                let mut last = after.map_or(head.next_seq.0.saturating_sub(1), |mark| match mark.nth {
                    0 => mark.seq.0.saturating_sub(1),
                    _ => mark.seq.0,
                });
                while last >= Seq::FIRST.0 {
                    let from = Seq(last.saturating_sub(at_once as u64 - 1).max(Seq::FIRST.0));
                    let count = usize::try_from(last - from.0 + 1).unwrap_or(at_once);
                    let mut records = read(from, count).await?;
                    // In a damaged journal records may be missing.
                    records.retain(|record| record.seq.0 <= last);
                    records.reverse();
                    if !records.is_empty() {
                        return Ok(records);
                    }
                    last = from.0 - 1;
                }
                Ok(Vec::new())
            }
        }
    }

    /// Takes what fits of a record behind `after`. Returns how far it came when there is no more room.
    fn record(&mut self, head: &Head, record: &Record, after: Option<Mark>) -> Option<Mark> {
        let order = self.filter.order;
        let mut entries = self.filter.entries(record);
        entries.retain(|entry| entry.mark().is_behind(after, order));
        if order == Order::Newest {
            entries.reverse();
        }
        for entry in entries {
            let mark = entry.mark();
            self.items.push(found(head, entry));
            if self.is_full() {
                return Some(mark);
            }
        }
        None
    }
}

/// Where a record has been looked at to its end.
fn end_of(record: &Record, order: Order) -> Mark {
    let nth = match order {
        Order::Newest => 0,
        Order::Oldest => u32::MAX,
    };
    Mark { seq: record.seq, nth }
}

fn found(head: &Head, entry: AuditEntry) -> FoundEvent {
    FoundEvent { run: head.key.clone(), workflow: head.workflow.clone(), entry }
}
