//! What can be asked of an index: which heads, which due runs.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::head::{Head, Status};
use crate::key::{Name, RunKey, TenantId, WorkerId};
use crate::tally::Sort;

/// The order of a scan: by `created_at`, which never changes, then by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

/// Which heads a scan returns: those that fit every filter that is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Runs of this tenant only.
    pub tenant: Option<TenantId>,
    /// Runs in one of these statuses; empty for any.
    pub statuses: Vec<Status>,
    /// Runs of this workflow only.
    pub workflow: Option<Name>,
    /// Runs in this queue only.
    pub queue: Option<Name>,
    /// Runs that carry this tag with this value.
    pub tag: Option<(Name, String)>,
    /// Runs whose lease, live or not, names this worker.
    pub leased_by: Option<WorkerId>,
    /// Only unfinished runs with something in their inbox.
    pub with_mail: bool,
    /// Only runs that a worker may claim now, by the store's clock ([`Head::is_due`]).
    pub due: bool,
    /// Only runs that ended before this time.
    pub finished_before: Option<Timestamp>,
    /// The order.
    pub order: Order,
}

impl Query {
    /// Whether a head belongs to the answer.
    #[must_use]
    pub fn fits(&self, head: &Head, has_mail: bool, now: Timestamp) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == head.key.tenant)
            && (self.statuses.is_empty() || self.statuses.contains(&head.status))
            && self.workflow.as_ref().is_none_or(|workflow| *workflow == head.workflow)
            && self.queue.as_ref().is_none_or(|queue| *queue == head.queue)
            && self.tag.as_ref().is_none_or(|(name, value)| head.tags.get(name) == Some(value))
            && self
                .leased_by
                .as_ref()
                .is_none_or(|by| head.lease.as_ref().is_some_and(|lease| lease.worker == *by))
            && (!self.with_mail || (has_mail && !head.status.is_finished()))
            && (!self.due || head.is_due(has_mail, now))
            && self.finished_before.is_none_or(|before| head.finished_at.is_some_and(|at| at < before))
    }

    /// Whether runs of a sort can fit, so that others need not be looked at.
    #[must_use]
    pub fn can_fit(&self, sort: &Sort) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == sort.tenant)
            && (self.statuses.is_empty() || self.statuses.contains(&sort.status))
            && self.workflow.as_ref().is_none_or(|workflow| *workflow == sort.workflow)
            && self.queue.as_ref().is_none_or(|queue| *queue == sort.queue)
            && !(self.is_unfinished_only() && sort.status.is_finished())
    }

    /// Whether only unfinished runs can fit, so that finished ones need not be looked at.
    #[must_use]
    pub fn is_unfinished_only(&self) -> bool {
        self.due
            || self.with_mail
            || (!self.statuses.is_empty() && self.statuses.iter().all(|status| !status.is_finished()))
    }

    /// Whether `head` comes after the cursor in this query's order.
    #[must_use]
    pub fn is_after(&self, head: &Head, cursor: Option<&Cursor>) -> bool {
        let Some(cursor) = cursor else { return true };
        let place = (head.created_at, &head.key);
        let mark = (cursor.created_at, &cursor.key);
        match self.order {
            Order::Newest => place < mark,
            Order::Oldest => place > mark,
        }
    }
}

/// The place of a head in a scan; the next page begins behind it. Stays right while heads change and runs come and go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The run's `created_at`.
    pub created_at: Timestamp,
    /// The run.
    pub key: RunKey,
}

impl Cursor {
    /// The place of `head`.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self { created_at: head.created_at, key: head.key.clone() }
    }
}

/// One page of a scan. A page may hold fewer items than asked for, even none, and still have a next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Cursor>,
}

/// A workflow and the version of it that a worker can run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkflowRef {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: u32,
}

/// A worker's request for due runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who asks.
    pub worker: WorkerId,
    /// How long the leases are to last, in milliseconds.
    pub ttl_ms: u64,
    /// Only from these queues; empty for any.
    pub queues: Vec<Name>,
    /// Only runs of these workflows; empty for any.
    pub workflows: Vec<WorkflowRef>,
    /// Only runs of this tenant; `None` for any.
    pub tenant: Option<TenantId>,
    /// At most this many.
    pub limit: usize,
    /// Drawn at random for each claim: the nonces of the claimed heads' versions are this, plus one, plus two, ….
    pub nonce: u64,
}

impl Claim {
    /// Whether the worker can run it, due or not.
    #[must_use]
    pub fn wants(&self, head: &Head) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == head.key.tenant)
            && (self.queues.is_empty() || self.queues.contains(&head.queue))
            && (self.workflows.is_empty()
                || self.workflows.iter().any(|workflow| {
                    workflow.name == head.workflow && workflow.version == head.workflow_version
                }))
    }

    /// The head of the `nth` run that this claim takes, as it is after the takeover: leased to the worker from
    /// `now` on, the fence raised, the version new. Everything else, the journal too, stays.
    #[must_use]
    pub fn taken(&self, head: &Head, nth: usize, now: Timestamp) -> Head {
        let mut taken = head.clone();
        taken.fence.0 += 1;
        taken.version = head.version.next(self.nonce.wrapping_add(nth as u64));
        taken.lease = Some(crate::head::Lease {
            worker: self.worker.clone(),
            ttl_ms: self.ttl_ms,
            expires_at: now.plus_ms(self.ttl_ms),
        });
        taken
    }
}
