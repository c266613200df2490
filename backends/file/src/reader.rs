//! Reading: heads from memory or the catalogue, records and messages from the journal's lines.

use std::io;
use std::sync::Arc;

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{BackendError, Cursor, Head, Message, Order, Page, Query, Record, RunKey, Seq};

use crate::entry::Content;
use crate::fault::{corrupt, definite};
use crate::line;
use crate::run::{Place, Run};
use crate::store::Store;

/// Why a line could not be read.
enum Unread {
    /// Its segment was rewritten since its place was looked up: look again.
    Moved,
    Failed(BackendError),
}

/// How often a place is looked up again because its segment was rewritten meanwhile.
const LOOKS_MAX: usize = 8;

impl Store {
    /// The records of a run from `from` on.
    pub(crate) fn records(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX);
        self.with_lines(key, |run| {
            let mut records = Vec::new();
            for place in run.lines_from(from, limit) {
                if place.records > 0 {
                    let content = self.content(key, place)?;
                    let first = content.append.first().map(|record| record.seq);
                    if content.append.len() != usize::from(place.records) || first != Some(place.first) {
                        return Err(Unread::Failed(self.unlike(place)));
                    }
                    records.extend(content.append.into_iter().filter(|record| record.seq >= from));
                }
            }
            records.truncate(limit);
            Ok(records)
        })
    }

    /// The messages that wait for a run.
    pub(crate) fn messages(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX);
        self.with_lines(key, |run| {
            let mut messages: Vec<Message> = Vec::new();
            let mut present: Option<(Place, Content)> = None;
            for waiting in run.inbox.iter().take(limit) {
                if present.as_ref().is_none_or(|(place, _)| *place != waiting.place) {
                    present = Some((waiting.place, self.content(key, &waiting.place)?));
                }
                let found = present.as_ref().and_then(|(_, content)| {
                    // A batch may post one id twice: the first counts.
                    content.post.iter().find(|message| message.id == waiting.id)
                });
                messages.push(found.ok_or_else(|| Unread::Failed(self.unlike(&waiting.place)))?.clone());
            }
            Ok(messages)
        })
    }

    fn with_lines<T>(
        &self,
        key: &RunKey,
        read: impl Fn(&Run) -> Result<Vec<T>, Unread>,
    ) -> Result<Vec<T>, BackendError> {
        for _ in 0..LOOKS_MAX {
            let Some(run) = self.find(key)? else { return Ok(Vec::new()) };
            match read(&run) {
                Ok(read) => return Ok(read),
                Err(Unread::Failed(error)) => return Err(error),
                Err(Unread::Moved) => {}
            }
        }
        Err(corrupt(format!("the lines of {key} are in a file of the journal that is not there")))
    }

    fn content(&self, key: &RunKey, place: &Place) -> Result<Content, Unread> {
        let bytes = self.line(place)?;
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|_| Unread::Failed(self.unlike(place)))?;
        if content.run() != Some(key) {
            return Err(Unread::Failed(self.unlike(place)));
        }
        Ok(content)
    }

    fn line(&self, place: &Place) -> Result<Vec<u8>, Unread> {
        let name = place.segment.file_name();
        let failed = |error| Unread::Failed(definite(&self.disk.describe(&name), "read", error));
        let file = self.files.get(place.segment).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound { Unread::Moved } else { failed(error) }
        })?;
        let mut bytes = vec![0; place.len as usize];
        file.read_exact_at(&mut bytes, place.offset.into()).map_err(failed)?;
        if line::check(&bytes).is_none_or(|prefix| prefix.len != bytes.len()) {
            return Err(Unread::Failed(self.unlike(place)));
        }
        Ok(bytes)
    }

    fn unlike(&self, place: &Place) -> BackendError {
        corrupt(format!(
            "{} is damaged at byte {}: the line there is not the one that was written; restore the file from a backup",
            self.disk.describe(&place.segment.file_name()),
            place.offset
        ))
    }

    /// A page of the heads that fit.
    pub(crate) fn page(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX);
        let now = self.clock.now();
        let (unfinished, recent, shadowed, view) = {
            let state = self.state();
            let unfinished = state.index.scan(query, after, limit, now);
            if query.is_unfinished_only() || limit == 0 {
                return Ok(unfinished);
            }
            // One more than asked for, so as to know whether there is a next page.
            let recent = state.recent(query, after, limit + 1, now);
            // Under the lock: what leaves memory for the catalogue after this is still seen in exactly one of them.
            (unfinished, recent, Arc::clone(&state.shadowed), self.catalogue.view()?)
        };
        let skip = |key: &RunKey| shadowed.contains(key);
        let (shelved, stopped) = view.shelved(query, after, limit, skip)?;
        let mut has_more = unfinished.next.is_some();
        let mut items = unfinished.items;
        items.extend(recent);
        items.extend(shelved);
        items.sort_by_cached_key(Cursor::of);
        if query.order == Order::Newest {
            items.reverse();
        }
        // What lies behind the place where the catalogue's look stopped belongs to a later page.
        if let Some(stopped) = &stopped {
            let seen = items.iter().take_while(|head| match query.order {
                Order::Oldest => Cursor::of(head) <= *stopped,
                Order::Newest => Cursor::of(head) >= *stopped,
            });
            let seen = seen.count();
            items.truncate(seen);
            has_more = true;
        }
        has_more |= items.len() > limit;
        let is_cut = items.len() >= limit;
        items.truncate(limit);
        let next = match (has_more, stopped) {
            (false, _) => None,
            (true, Some(stopped)) if !is_cut => Some(stopped),
            (true, _) => items.last().map(Cursor::of),
        };
        Ok(Page { items, next })
    }
}
