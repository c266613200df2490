//! Limits of queues: how many runs are advanced at once and begin in a time, which queues are paused, and what is started
//! once under a key. All of it is state in the store, changed by compare and set, so that it holds for all workers.
//!
//! A run asks right after it was claimed and before its journal is read. Runs of a queue without limits pay a look into a
//! map.

pub mod queue;
pub mod queues;
pub mod rate;

pub(crate) mod admission;
pub(crate) mod gate;
pub(crate) mod keyed;
mod line;
mod roster;
pub(crate) mod slots;
pub(crate) mod system;
pub(crate) mod tenants;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{BackendError, Batch, Clock, Cursor, Head, Name, Page, Query, Status, Verdict};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::gate::Gate;
use crate::exec::limits::queue::Queue;
use crate::exec::limits::system::Sort;
use crate::exec::limits::tenants::Tenants;

/// How often is looked at what other processes changed, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;

/// What this process knows of queues and tenants.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    gates: RwLock<HashMap<Name, Arc<Gate>>>,
    pub(crate) tenants: Tenants,
}

impl Limits {
    /// The gate of a queue whose runs have to ask; `None` for a queue without limits that is not paused.
    pub(crate) fn shut_gate(&self, queue: &Name) -> Option<Arc<Gate>> {
        self.known_gate(queue).filter(|gate| gate.is_shut())
    }

    fn known_gate(&self, queue: &Name) -> Option<Arc<Gate>> {
        self.gates.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned()
    }

    /// The gate of a queue.
    pub(super) fn gate(&self, queue: &Name) -> Result<Arc<Gate>, Error> {
        if let Some(gate) = self.known_gate(queue) {
            return Ok(gate);
        }
        let gate = Arc::new(Gate::new(queue)?);
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(gates.entry(queue.clone()).or_insert(gate)))
    }
}

/// Every head of a sort.
pub(in crate::exec) async fn heads_of(core: &Core, sort: Sort) -> Result<Vec<Head>, Error> {
    let query = sort.query()?;
    let (mut heads, mut after) = (Vec::new(), None);
    loop {
        let page = core.backend.scan(&query, after, PAGE_ITEMS_MAX).await?;
        heads.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(heads);
        }
    }
}

/// Removes a head of the engine's own, unless it is written meanwhile. Only what has ended can be removed.
pub(in crate::exec) async fn forget(core: &Core, head: &Head) -> Result<(), Error> {
    let now = core.time.now();
    let ended = Head {
        version: head.version.next(fastrand::u64(..)),
        status: Status::Succeeded,
        finished_at: Some(now),
        updated_at: now,
        ..head.clone()
    };
    let batch = Batch::replace(head.version, ended, Vec::new());
    if core.committer.commit(batch).await? == Verdict::Accepted {
        core.backend.remove(std::slice::from_ref(&head.key)).await?;
    }
    Ok(())
}

/// A page of the heads that fit a query, without those of the engine's own that are not asked for.
pub(crate) async fn list(
    core: &Core,
    query: &Query,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<Head>, BackendError> {
    if system::is_asked_for(query) {
        return core.backend.scan(query, after, limit).await;
    }
    let mut listed = Page { items: Vec::new(), next: after };
    loop {
        let wanted = limit - listed.items.len();
        let page = core.backend.scan(query, listed.next.take(), wanted).await?;
        listed.items.extend(page.items.into_iter().filter(|head| !system::is_own(&head.key)));
        listed.next = page.next;
        if listed.next.is_none() || listed.items.len() >= limit.min(PAGE_ITEMS_MAX) {
            return Ok(listed);
        }
    }
}

/// What one look of the store finds of that page.
pub(crate) async fn list_part(
    core: &Core,
    query: &Query,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<Head>, BackendError> {
    let mut page = core.backend.scan(query, after, limit).await?;
    if !system::is_asked_for(query) {
        page.items.retain(|head| !system::is_own(&head.key));
    }
    Ok(page)
}

/// Learns which queues have limits or are paused.
pub(crate) async fn learn(core: &Core) -> Result<(), Error> {
    for head in heads_of(core, Sort::Queue).await? {
        core.limits.gate(&head.queue)?.learn(head).await;
    }
    Ok(())
}

/// Makes the limits that the program states those of the queues, for all workers.
pub(crate) async fn state(core: &Arc<Core>, queues: &[Queue]) -> Result<(), Error> {
    for queue in queues {
        queues::set_limits(core, &queue.name, queue.limits).await?;
    }
    Ok(())
}

/// Looks at what other processes changed, until the engine stops.
pub(crate) async fn follow(core: Arc<Core>) {
    // Nobody else writes to a store that one process owns.
    while !core.store.exclusive && !core.is_stopping() {
        if let Err(error) = learn(&core).await {
            tracing::debug!(%error, "the limits of queues could not be looked at");
        }
        tokio::select! {
            () = core.time.sleep(LOOK_EVERY_MS) => {}
            () = core.stopping.cancelled() => return,
        }
    }
}
