//! Failure groups: where what the store keeps of them meets the folds of [`observe`](crate::observe).

use std::collections::{HashMap, HashSet};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Cursor, Head, Name, Page, Query, RunKey, Status, TenantId};

use crate::error::Error;
use crate::exec::bulk::{self, Selection};
use crate::exec::engine::Engine;
use crate::exec::groups;
use crate::observe::groups::{
    FailureGroup, GroupEntry, GroupMember, GroupView, Members, Standing, fingerprint_of,
};
use crate::run::said::{FAILURE_TAG, FirstSeen};

/// Most heads that one call counts.
const COUNTED_MAX: usize = 10_000;
/// Most looks of the store that one call takes: runs are found by tag by looking at all of them.
const LOOKS_MAX: usize = 12;
/// Most groups of one page.
const GROUPS_MAX: usize = 100;

/// Which failure groups are listed: those that fit all that is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFilter {
    /// Those that have runs of this tenant. What is told of them is told of this tenant's runs alone.
    pub tenant: Option<TenantId>,
    /// Those of this workflow.
    pub workflow: Option<Name>,
    /// Those of this code.
    pub code: Option<String>,
    /// Those that have runs which are failed or held now.
    pub in_trouble: bool,
}

impl Engine {
    /// A page of the failure groups, the one that came up last first: at most `limit` and at most 100, fewer where some do not
    /// fit the filter. How many runs are failed or held is counted over at most 10 000 such runs, the newest; what became of
    /// the others [`failure_group`](Self::failure_group) tells. With a tenant, the groups are made of its runs alone, and nothing
    /// tells that there are others: a group without such runs is listed when it has one among the newest 10 000 runs of the
    /// tenant. Reads heads only. A store that keeps no list of failed runs looks through all
    /// of its runs for them.
    ///
    /// A group appears a moment after its first failure. One that could not be written then is written by the first page.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn failure_groups(
        &self,
        filter: &GroupFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<GroupEntry>, Error> {
        let mut trouble: HashMap<String, Members> = HashMap::new();
        let statuses = vec![Status::Failed, Status::Paused];
        let query = Query { tenant: filter.tenant.clone(), statuses, ..Query::default() };
        let is_complete = self
            .walk(&query, &mut HashSet::new(), |head| {
                let in_trouble = Standing::of(head).is_in_trouble();
                if let Some(fingerprint) = fingerprint_of(head).filter(|_| in_trouble) {
                    trouble.entry(fingerprint.to_owned()).or_default().add(head);
                }
            })
            .await?;
        if after.is_none() {
            self.make_missing(trouble.values()).await;
        }
        let limit = limit.min(GROUPS_MAX);
        let page = match &filter.tenant {
            None => groups::page(self.core(), after, limit).await?,
            Some(tenant) => {
                let others = match filter.in_trouble {
                    true => HashMap::new(),
                    false => self.members_of(tenant).await?,
                };
                let firsts = trouble.values().chain(others.values()).filter_map(Members::first);
                page_of(firsts, after.as_ref(), limit)
            }
        };
        let mut listed = Page { items: Vec::new(), next: page.next };
        for first in page.items {
            let fits = filter.workflow.as_ref().is_none_or(|wanted| *wanted == first.workflow)
                && filter.code.as_ref().is_none_or(|wanted| *wanted == first.said.code);
            let members = trouble.remove(&first.said.fingerprint);
            if !fits || (members.is_none() && filter.in_trouble) {
                continue;
            }
            let group = FailureGroup::of(&first);
            let members = members.unwrap_or_default();
            let (failed, held) = (members.standings.failed, members.standings.held);
            listed.items.push(GroupEntry { group, failed, held, last_seen: members.last_seen, is_complete });
        }
        Ok(listed)
    }

    /// A failure group with what became of its runs, counted over at most 10 000 of them that are failed or held and over those of
    /// the others that are among the newest runs of the store, as far as a bounded reading goes; with a tenant, of those of that
    /// tenant alone. `None` when nothing is known of it. Reads heads only.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn failure_group(
        &self,
        fingerprint: &str,
        tenant: Option<&TenantId>,
    ) -> Result<Option<GroupView>, Error> {
        let (mut members, mut shown) = (Members::default(), HashSet::new());
        let (trouble, rest): (Vec<_>, Vec<_>) =
            Status::ALL.into_iter().partition(|status| matches!(status, Status::Failed | Status::Paused));
        let mut is_complete = true;
        // Of those that are failed or held stores keep lists, shorter ones than those of all runs.
        for statuses in [trouble, rest] {
            let query = Query { statuses, ..of_group(fingerprint, tenant) };
            is_complete &= self.walk(&query, &mut shown, |head| members.add(head)).await?;
        }
        let stored = match tenant {
            // How it was first seen may be another tenant's.
            Some(_) => None,
            None => groups::first_seen(self.core(), fingerprint).await?,
        };
        let group = stored.as_ref().or(members.first()).map(FailureGroup::of);
        Ok(group.map(|group| GroupView { group, members, is_complete }))
    }

    /// A page of the runs of a failure group, the newest first; with a tenant, of those of that tenant alone. Runs stay in the
    /// group of their latest failure when they go on. Reads heads only, and no more than a bounded number of them: the page may
    /// hold fewer members than asked for, even none, and still have a next one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn group_members(
        &self,
        fingerprint: &str,
        tenant: Option<&TenantId>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<GroupMember>, Error> {
        let query = of_group(fingerprint, tenant);
        let mut members = Page { items: Vec::new(), next: after };
        for _ in 0..LOOKS_MAX {
            let part = self.list_part(&query, members.next, limit - members.items.len()).await?;
            members.items.extend(part.items.iter().map(GroupMember::of));
            members.next = part.next;
            if members.next.is_none() || members.items.len() >= limit {
                break;
            }
        }
        Ok(members)
    }

    /// Lists at most `limit` runs of a failure group that are failed or held for it now, to ask them all the same with
    /// [`ask_all`](Self::ask_all), after a look with [`dry_run_all`](Self::dry_run_all): what fails later is not among them.
    /// Make the request one [of the group](crate::Ask::of_group), and runs that have gone on or met with something else by then
    /// refuse it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn select_group(
        &self,
        fingerprint: &str,
        tenant: Option<&TenantId>,
        limit: usize,
    ) -> Result<Selection, Error> {
        let statuses = vec![Status::Failed, Status::Paused];
        let query = Query { statuses, ..of_group(fingerprint, tenant) };
        bulk::select_where(self.core(), &query, limit, |head| Standing::of(head).is_in_trouble()).await
    }

    /// Forgets how a failure group was first seen, and returns whether that was known. Its runs are not touched: as long as some
    /// are failed or held the group comes back, as if it had just come up.
    ///
    /// # Errors
    /// [`Error::Store`], after which it may be forgotten: call it again.
    pub async fn forget_failure_group(&self, fingerprint: &str) -> Result<bool, Error> {
        groups::remove(self.core(), fingerprint).await
    }

    /// Shows heads that fit and were not shown before, the newest first, as far as some looks of the store go. Returns whether
    /// that were all.
    async fn walk(
        &self,
        query: &Query,
        shown: &mut HashSet<RunKey>,
        mut show: impl FnMut(&Head),
    ) -> Result<bool, Error> {
        let (mut after, mut found) = (None, 0);
        for _ in 0..LOOKS_MAX {
            let page = self.list_part(query, after, PAGE_ITEMS_MAX.min(COUNTED_MAX - found)).await?;
            found += page.items.len();
            // A run that ends while the pages are read may be on two of them.
            for head in &page.items {
                if shown.insert(head.key.clone()) {
                    show(head);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(true);
            }
            if found == COUNTED_MAX {
                break;
            }
        }
        Ok(false)
    }

    /// Makes groups of which runs tell and that this process has not seen.
    async fn make_missing(&self, told: impl Iterator<Item = &Members>) {
        let core = self.core();
        let now = core.time.own_now();
        let is_new = |first: &&FirstSeen| core.groups.is_new(&first.said.fingerprint, now);
        for first in told.filter_map(Members::first).filter(is_new).take(GROUPS_MAX) {
            let fingerprint = &first.said.fingerprint;
            if let Err(error) = groups::make(core, first).await {
                tracing::debug!(fingerprint, %error, "a failure group is not written yet");
                core.groups.forget(fingerprint);
                return;
            }
        }
    }

    /// The newest runs of a tenant that belong to groups, by fingerprint: found in one walk, since no store finds runs by tag
    /// without looking at all of them.
    async fn members_of(&self, tenant: &TenantId) -> Result<HashMap<String, Members>, Error> {
        let mut found: HashMap<String, Members> = HashMap::new();
        let query = Query { tenant: Some(tenant.clone()), ..Query::default() };
        self.walk(&query, &mut HashSet::new(), |head| {
            if let Some(fingerprint) = fingerprint_of(head) {
                found.entry(fingerprint.to_owned()).or_default().add(head);
            }
        })
        .await?;
        Ok(found)
    }
}

/// A page of groups made of how their runs failed, the last that came up first. Of those of one group the first told counts.
fn page_of<'a>(
    firsts: impl Iterator<Item = &'a FirstSeen>,
    after: Option<&Cursor>,
    limit: usize,
) -> Page<FirstSeen> {
    let mut known = HashSet::new();
    let place = |first: &FirstSeen| Cursor { created_at: first.said.at, key: first.run.clone() };
    let mut all: Vec<_> = firsts
        .filter(|first| known.insert(&first.said.fingerprint))
        .map(|first| (place(first), first))
        .filter(|(place, _)| after.is_none_or(|after| place < after))
        .collect();
    all.sort_by(|(a, _), (b, _)| b.cmp(a));
    let more = all.get(limit).and_then(|_| all.get(limit.checked_sub(1)?));
    let next = more.map(|(place, _)| place.clone());
    Page { items: all.into_iter().take(limit).map(|(_, first)| first.clone()).collect(), next }
}

/// The runs of a group.
fn of_group(fingerprint: &str, tenant: Option<&TenantId>) -> Query {
    Query {
        tenant: tenant.cloned(),
        tag: Some((FAILURE_TAG.clone(), fingerprint.to_owned())),
        ..Query::default()
    }
}
