//! How many runs there are of each sort, kept by counting along instead of by looking at every run.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::head::{Head, Status};
use crate::key::{Name, TenantId};

/// How many runs of one tenant, workflow and queue are in one status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tally {
    /// Whose runs they are.
    pub tenant: TenantId,
    /// The workflow that they execute, in whatever version.
    pub workflow: Name,
    /// The queue that they are in.
    pub queue: Name,
    /// Where they are.
    pub status: Status,
    /// How many there are.
    pub runs: u64,
}

/// What runs are counted by. As a text: `TENANT,STATUS,QUEUE,WORKFLOW`; names and ids hold no comma.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sort {
    /// The tenant.
    pub tenant: TenantId,
    /// The workflow.
    pub workflow: Name,
    /// The queue.
    pub queue: Name,
    /// The status.
    pub status: Status,
}

impl Sort {
    /// The sort of the run that has this head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self {
            tenant: head.key.tenant.clone(),
            workflow: head.workflow.clone(),
            queue: head.queue.clone(),
            status: head.status,
        }
    }

    /// Whether the runs that have these heads are counted together.
    fn is_shared(one: &Head, other: &Head) -> bool {
        one.status == other.status
            && one.queue == other.queue
            && one.workflow == other.workflow
            && one.key.tenant == other.key.tenant
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, workflow, queue, status } = self;
        write!(f, "{tenant},{status},{queue},{workflow}")
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut parts = text.split(',');
            let tenant = parts.next()?.parse().ok()?;
            let status =
                parts.next().and_then(|word| Status::ALL.into_iter().find(|one| one.as_str() == word))?;
            let (queue, workflow) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            parts.next().is_none().then_some(Self { tenant, workflow, queue, status })
        };
        parse()
            .ok_or_else(|| format!("{text:?} is not a sort of runs: expected TENANT,STATUS,QUEUE,WORKFLOW"))
    }
}

/// Runs counted by [`Sort`]: a store tells each write of a head and each removal, and has the tally at any time. Also
/// the difference that some writes make, in which a sort may have lost runs.
#[derive(Debug, Clone, Default)]
pub struct Tallies(HashMap<Sort, i64>);

impl Tallies {
    /// Counts that `from` gave way to `to`: `None` before a run is made and after it is removed. Costs next to
    /// nothing when both are of one sort.
    pub fn replace(&mut self, from: Option<&Head>, to: Option<&Head>) {
        if let (Some(from), Some(to)) = (from, to)
            && Sort::is_shared(from, to)
        {
            return;
        }
        if let Some(from) = from {
            self.add(Sort::of(from), -1);
        }
        if let Some(to) = to {
            self.add(Sort::of(to), 1);
        }
    }

    /// Counts `runs` more of a sort; less, when negative.
    pub fn add(&mut self, sort: Sort, runs: i64) {
        let counted = self.0.entry(sort).or_default();
        *counted += runs;
    }

    /// Counts a difference in.
    pub fn merge(&mut self, difference: &Self) {
        for (sort, runs) in difference.iter() {
            self.add(sort.clone(), runs);
        }
    }

    /// What has been counted of each sort, in no order, zeroes left out.
    pub fn iter(&self) -> impl Iterator<Item = (&Sort, i64)> {
        self.0.iter().map(|(sort, runs)| (sort, *runs)).filter(|(_, runs)| *runs != 0)
    }

    /// The tally, in the order of tenant, workflow, queue and status.
    #[must_use]
    pub fn list(&self) -> Vec<Tally> {
        let positive = self.iter().filter_map(|(sort, runs)| {
            let Sort { tenant, workflow, queue, status } = sort.clone();
            let runs = u64::try_from(runs).ok()?;
            Some(Tally { tenant, workflow, queue, status, runs })
        });
        let mut list: Vec<Tally> = positive.collect();
        list.sort_unstable();
        list
    }
}

impl<'a> FromIterator<&'a Head> for Tallies {
    fn from_iter<I: IntoIterator<Item = &'a Head>>(heads: I) -> Self {
        let mut tallies = Self::default();
        heads.into_iter().for_each(|head| tallies.replace(None, Some(head)));
        tallies
    }
}

impl FromIterator<Tally> for Tallies {
    fn from_iter<I: IntoIterator<Item = Tally>>(list: I) -> Self {
        let mut tallies = Self::default();
        for Tally { tenant, workflow, queue, status, runs } in list {
            // No store holds so many that they would not fit.
            let runs = i64::try_from(runs).unwrap_or(i64::MAX);
            tallies.add(Sort { tenant, workflow, queue, status }, runs);
        }
        tallies
    }
}
