//! Which run is due, in what order, and what a scan of unfinished runs returns: in memory, for stores that one
//! process owns. A store puts every head it writes and removes what ends; the index never reads the store.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::head::Head;
use crate::key::RunKey;
use crate::limits::{CLAIM_RUNS_MAX, PAGE_ITEMS_MAX};
use crate::query::{Claim, Cursor, Order, Page, Query};

/// Heads by key, by age and by when they are due.
#[derive(Debug, Default)]
pub struct Index {
    entries: HashMap<RunKey, Entry>,
    by_age: BTreeSet<(Timestamp, RunKey)>,
    ready: BTreeSet<(Reverse<i16>, Timestamp, RunKey)>,
    later: BTreeSet<(Timestamp, RunKey)>,
}

#[derive(Debug)]
struct Entry {
    head: Arc<Head>,
    has_mail: bool,
    place: Place,
}

/// Where an entry stands among the due ones. It may stand too early (a renewed lease does not move it) but never
/// too late; who takes it out looks at the head again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    Ready(i16),
    Later(Timestamp),
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many heads it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The head of a run.
    #[must_use]
    pub fn head(&self, key: &RunKey) -> Option<&Arc<Head>> {
        self.entries.get(key).map(|entry| &entry.head)
    }

    /// Puts the head in place of the run's former one.
    pub fn put(&mut self, head: Arc<Head>, has_mail: bool) {
        match self.entries.get_mut(&head.key) {
            Some(entry) => {
                entry.head = Arc::clone(&head);
                entry.has_mail = has_mail;
            }
            None => {
                self.by_age.insert((head.created_at, head.key.clone()));
                let entry = Entry { head: Arc::clone(&head), has_mail, place: Place::Nowhere };
                self.entries.insert(head.key.clone(), entry);
            }
        }
        self.settle(&head.key);
    }

    /// Forgets a run.
    pub fn remove(&mut self, key: &RunKey) -> Option<Arc<Head>> {
        self.unplace(key);
        let entry = self.entries.remove(key)?;
        self.by_age.remove(&(entry.head.created_at, key.clone()));
        Some(entry.head)
    }

    /// Moves an entry to where it has to stand now, unless it stands early enough already.
    fn settle(&mut self, key: &RunKey) {
        let Some(entry) = self.entries.get(key) else { return };
        let wanted = entry.head.due_from(entry.has_mail).map_or(Place::Nowhere, Place::Later);
        match (entry.place, wanted) {
            (Place::Later(stands), Place::Later(due)) if stands <= due => return,
            (Place::Nowhere, Place::Nowhere) => return,
            _ => {}
        }
        self.unplace(key);
        self.place(key, wanted);
    }

    fn place(&mut self, key: &RunKey, place: Place) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.place = place;
        match place {
            Place::Nowhere => {}
            Place::Ready(priority) => {
                self.ready.insert((Reverse(priority), entry.head.created_at, key.clone()));
            }
            Place::Later(at) => {
                self.later.insert((at, key.clone()));
            }
        }
    }

    fn unplace(&mut self, key: &RunKey) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match std::mem::replace(&mut entry.place, Place::Nowhere) {
            Place::Nowhere => {}
            Place::Ready(priority) => {
                self.ready.remove(&(Reverse(priority), entry.head.created_at, key.clone()));
            }
            Place::Later(at) => {
                self.later.remove(&(at, key.clone()));
            }
        }
    }

    /// Moves what has become due by `now` into the ready order.
    fn ripen(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.later.first().cloned() {
            if at > now {
                break;
            }
            self.unplace(&key);
            let Some(entry) = self.entries.get(&key) else { continue };
            let place = match entry.head.due_from(entry.has_mail) {
                None => Place::Nowhere,
                Some(due) if due <= now => Place::Ready(entry.head.priority),
                Some(due) => Place::Later(due),
            };
            self.place(&key, place);
        }
    }

    /// The heads that the claim takes, as they are after it. The caller writes them and puts them back.
    #[must_use]
    pub fn claim(&mut self, claim: &Claim, now: Timestamp) -> Vec<Head> {
        self.ripen(now);
        let limit = claim.limit.min(CLAIM_RUNS_MAX);
        let mut taken = Vec::new();
        let mut early = Vec::new();
        for (_, _, key) in &self.ready {
            if taken.len() == limit {
                break;
            }
            let Some(entry) = self.entries.get(key) else { continue };
            if !entry.head.is_due(entry.has_mail, now) {
                // The clock was put back, or the run was leased since it became ready.
                early.push(key.clone());
            } else if claim.wants(&entry.head) {
                taken.push(claim.taken(&entry.head, taken.len(), now));
            }
        }
        for key in early {
            self.unplace(&key);
            self.settle(&key);
        }
        taken
    }

    /// When the next run becomes due, or a moment before; `None` when none will by itself.
    #[must_use]
    pub fn next_due_at(&self) -> Option<Timestamp> {
        if self.ready.is_empty() { self.later.first().map(|(at, _)| *at) } else { Some(Timestamp(i64::MIN)) }
    }

    /// A page of the heads that fit the query, in its order; a `limit` over [`PAGE_ITEMS_MAX`] is read as it.
    #[must_use]
    pub fn scan(&self, query: &Query, after: Option<&Cursor>, limit: usize, now: Timestamp) -> Page<Head> {
        let mark =
            after.map_or(Bound::Unbounded, |cursor| Bound::Excluded((cursor.created_at, cursor.key.clone())));
        let places: Box<dyn Iterator<Item = &(Timestamp, RunKey)>> = match query.order {
            Order::Oldest => Box::new(self.by_age.range((mark, Bound::Unbounded))),
            Order::Newest => Box::new(self.by_age.range((Bound::Unbounded, mark)).rev()),
        };
        let mut found = places
            .filter_map(|(_, key)| self.entries.get(key))
            .filter(|entry| query.fits(&entry.head, entry.has_mail, now));
        let limit = limit.min(PAGE_ITEMS_MAX);
        let items: Vec<Head> = found.by_ref().take(limit).map(|entry| Head::clone(&entry.head)).collect();
        let next = if found.next().is_some() { items.last().map(Cursor::of) } else { None };
        Page { items, next }
    }
}
