//! Retention: runs that have ended are removed with all that is known of them.

use std::collections::HashSet;

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Cursor, Head, Order, Query, RunKey, Seq, Status};

use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::limits::system;
use crate::run::event::Event;

/// What became of runs that were to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// How many were removed.
    pub removed: usize,
    /// Children that stay because their parent is there and may still ask for them.
    pub kept: Vec<RunKey>,
    /// Where to go on; `None` when all that fit were looked at.
    pub next: Option<Cursor>,
}

impl Engine {
    /// Removes runs that have ended, oldest first: their heads, journals and what waits in their inboxes. It looks at the first
    /// `limit` runs behind `after` that fit the query, at most 1 000; of these it removes those that have ended, whatever else
    /// the query allows. Set [`finished_before`](Query::finished_before) to keep the younger ones.
    ///
    /// A run and what is known of it go together: history, logs, audit entries, attempts and diagnoses stay as long as the run
    /// is there, and nothing of them stays longer. Take its [`case_file`](Engine::case_file) before if it is to outlive the run.
    /// Afterwards the id can be used again: the same start makes a new run. A fork keeps the ends of the steps that were copied,
    /// not their attempts. Keep what is younger than a day: for so long a start under a key (`singleton`, `dedup`, `debounce`) whose
    /// maker died in the middle of it may be completed by others, who would make a removed run once more.
    ///
    /// A child stays as long as its parent has not ended, or has failed and could be tried again: it might start the child
    /// anew. What the engine keeps for itself stays.
    ///
    /// # Errors
    /// [`Error::Store`]: some may have been removed; call it again.
    ///
    /// # Cancellation
    /// As after an error.
    pub async fn remove_finished(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Removed, Error> {
        let query = Query { order: Order::Oldest, statuses: ended(&query.statuses), ..query.clone() };
        if query.statuses.is_empty() {
            return Ok(Removed { removed: 0, kept: Vec::new(), next: None });
        }
        let page = self.backend().scan(&query, after, limit.clamp(1, PAGE_ITEMS_MAX)).await?;
        let own = page.items.into_iter().filter(|head| !system::is_own(&head.key));
        let mut leaving: Vec<Head> = own.filter(|head| head.status.is_finished()).collect();
        let (mut keys, mut kept) = (HashSet::new(), Vec::new());
        // A parent was made before its children.
        leaving.sort_by_key(Cursor::of);
        for head in leaving {
            if self.is_needed(&head.key, &keys).await? {
                kept.push(head.key);
            } else {
                keys.insert(head.key);
            }
        }
        let keys: Vec<RunKey> = keys.into_iter().collect();
        let removed = if keys.is_empty() { 0 } else { self.backend().remove(&keys).await? };
        tracing::info!(removed, kept = kept.len(), "finished runs were removed");
        Ok(Removed { removed, kept, next: page.next })
    }

    /// Whether the parent of a run may still ask for it.
    async fn is_needed(&self, key: &RunKey, leaving: &HashSet<RunKey>) -> Result<bool, Error> {
        let first = self.backend().journal(key, Seq::FIRST, 1).await?;
        // What cannot be read has no parent that could make anything of it.
        let parent = first.first().and_then(|record| match Event::read(record) {
            Ok(Event::RunCreated(created)) => created.parent,
            _ => None,
        });
        match parent {
            Some(parent) if !leaving.contains(&parent.run) => {
                let head = self.get(&parent.run).await?;
                Ok(head.is_some_and(|head| !head.status.is_finished() || head.status == Status::Failed))
            }
            _ => Ok(false),
        }
    }
}

/// Of these statuses, or of all when there are none, those of runs that have ended.
fn ended(statuses: &[Status]) -> Vec<Status> {
    let of = if statuses.is_empty() { &Status::ALL[..] } else { statuses };
    of.iter().copied().filter(|status| status.is_finished()).collect()
}
