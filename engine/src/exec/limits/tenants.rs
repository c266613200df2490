//! Which tenants there are, and whose turn it is where more runs are due than workers take.
//!
//! A claim takes the oldest runs whoever's they are. When it comes back full, the next ones go round the tenants, so that
//! the runs of one do not have to wait for all of another's.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, TenantId, Timestamp};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::gate::{Change, Kept};
use crate::exec::limits::heads_of;
use crate::exec::limits::system::Sort;
use crate::lock::lock;

/// How often is looked for tenants that came up in other processes, in milliseconds.
const LOOK_EVERY_MS: u64 = 5_000;

/// The tenants that this process knows to have runs, beside the default one.
#[derive(Debug, Default)]
pub(crate) struct Tenants(Mutex<BTreeSet<TenantId>>);

/// A tenant as its head names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Known {
    tenant: Option<TenantId>,
}

impl Tenants {
    /// Makes a tenant known to all workers, once in the life of this process.
    pub(crate) fn remember(core: &Arc<Core>, tenant: &TenantId) {
        if *tenant == TenantId::default() || !lock(&core.limits.tenants.0).insert(tenant.clone()) {
            return;
        }
        let (core, tenant) = (Arc::clone(core), tenant.clone());
        core.runtime.clone().spawn(async move {
            if let Err(error) = write(&core, &tenant).await {
                tracing::warn!(%tenant, %error, "the tenant is not known to other workers yet");
                lock(&core.limits.tenants.0).remove(&tenant);
            }
        });
    }

    fn all(&self) -> Vec<TenantId> {
        std::iter::once(TenantId::default()).chain(lock(&self.0).iter().cloned()).collect()
    }

    async fn learn(core: &Core) -> Result<(), Error> {
        for head in heads_of(core, Sort::Tenant).await? {
            if let Some(tenant) = head.summary.decode::<Known>()?.tenant {
                lock(&core.limits.tenants.0).insert(tenant);
            }
        }
        Ok(())
    }
}

async fn write(core: &Core, tenant: &TenantId) -> Result<(), Error> {
    let key = Sort::Tenant.key(&[tenant.as_str()])?;
    let kept = Kept::<Known>::new(Sort::Tenant, key, Name::new("default")?);
    let known = Known { tenant: Some(tenant.clone()) };
    let write = |stored: &mut Known, _| {
        if *stored == known {
            return Change::Keep(());
        }
        stored.clone_from(&known);
        Change::write(())
    };
    kept.change(core, write).await
}

/// Whose runs the next claim is for.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// The tenants whose turn comes in this round.
    round: VecDeque<TenantId>,
    /// How many tenants the round has.
    tenants: usize,
    /// More is due than is taken.
    is_backlog: bool,
    /// Somebody in this round had at least as many runs as were asked for.
    is_anyone_full: bool,
    looked_at: Option<Timestamp>,
}

impl Rounds {
    /// The tenant that the next claim is for, and its share of `room`; `None` for whoever comes first.
    pub(crate) async fn next(&mut self, core: &Core, room: usize) -> (Option<TenantId>, usize) {
        if self.is_backlog && self.round.is_empty() {
            let now = core.time.own_now();
            if self.looked_at.is_none_or(|at| now < at || now.since_ms(at) >= LOOK_EVERY_MS) {
                self.looked_at = Some(now);
                if let Err(error) = Tenants::learn(core).await {
                    tracing::debug!(%error, "tenants could not be listed");
                }
            }
            self.begin(core.limits.tenants.all());
        }
        self.pop(room)
    }

    fn begin(&mut self, all: Vec<TenantId>) {
        self.tenants = all.len();
        self.is_anyone_full = false;
        if self.tenants > 1 {
            self.round = all.into();
        } else {
            self.is_backlog = false;
        }
    }

    fn pop(&mut self, room: usize) -> (Option<TenantId>, usize) {
        match self.round.pop_front() {
            Some(tenant) => (Some(tenant), room.div_ceil(self.tenants.max(1))),
            None => (None, room),
        }
    }

    /// Takes note of what a claim brought.
    pub(crate) fn note(&mut self, tenant: Option<&TenantId>, asked: usize, got: usize) {
        let is_full = got > 0 && got >= asked;
        match tenant {
            None => self.is_backlog = is_full,
            Some(_) => {
                self.is_anyone_full |= is_full;
                if self.round.is_empty() {
                    self.is_backlog = self.is_anyone_full;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(names: &[&str]) -> Vec<TenantId> {
        names.iter().map(|name| TenantId::new(name).expect("an id")).collect()
    }

    #[test]
    fn a_full_claim_is_followed_by_rounds_until_nobody_has_as_much_as_is_asked_for() {
        let mut rounds = Rounds::default();
        rounds.note(None, 10, 10);
        assert!(rounds.is_backlog);
        rounds.begin(tenants(&["a", "b"]));
        let (first, share) = rounds.pop(10);
        assert_eq!((first.as_ref().map(TenantId::as_str), share), (Some("a"), 5));
        rounds.note(first.as_ref(), 5, 5);
        let (second, _) = rounds.pop(5);
        rounds.note(second.as_ref(), 3, 1);
        assert!(rounds.is_backlog, "a has more");
        rounds.begin(tenants(&["a", "b"]));
        for _ in 0..2 {
            let (tenant, share) = rounds.pop(10);
            rounds.note(tenant.as_ref(), share, 0);
        }
        assert!(!rounds.is_backlog);
        assert_eq!(rounds.pop(10), (None, 10));
    }

    #[test]
    fn without_a_backlog_or_with_one_tenant_a_claim_is_for_whoever_comes_first() {
        let mut rounds = Rounds::default();
        rounds.note(None, 10, 9);
        assert!(!rounds.is_backlog);
        rounds.note(None, 10, 10);
        rounds.begin(tenants(&["a"]));
        assert_eq!(rounds.pop(10), (None, 10));
        assert!(!rounds.is_backlog);
    }
}
