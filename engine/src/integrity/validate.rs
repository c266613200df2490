//! Looking through the runs of a store.

use std::sync::Arc;

use serde::Serialize;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Cursor, Query, RunKey};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::integrity::issue::Issue;
use crate::integrity::look::{Kin, Looked, look_at};

/// How late something may be before it is an issue, if nothing else is said, in milliseconds.
pub const PATIENCE_MS: u64 = 10 * 60_000;

/// Which runs are looked at, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityFilter {
    /// Which runs, and in which order. What the engine keeps for itself is looked at where no tenant is named.
    pub query: Query,
    /// How many runs one page has; at most 1000.
    pub runs: usize,
    /// How late something may be before it is an issue, in milliseconds: a claim, the reading of mail, the end of an attempt.
    pub patience_ms: u64,
}

impl Default for IntegrityFilter {
    /// All runs, the newest first, a hundred to a page; what is ten minutes late is an issue.
    fn default() -> Self {
        Self { query: Query::default(), runs: 100, patience_ms: PATIENCE_MS }
    }
}

/// What a page of runs came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Findings {
    /// What is wrong.
    pub issues: Vec<Issue>,
    /// How many runs were looked at.
    pub looked_at: usize,
    /// Runs that were written to all the time: nothing is known of them. Look again.
    pub moving: Vec<RunKey>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Cursor>,
}

impl Engine {
    /// Looks at a page of runs: whether each is whole, agrees with itself and with those that it has to do with, and goes on.
    /// It only reads. A run that is under way is judged by what was so at one moment, and what is found is looked at
    /// twice, so that what is only on its way is no issue.
    ///
    /// Some of it needs the run's workflow registered here: whether something wakes it in time, whether its attempts
    /// keep to their limits, and whether one that succeeded has done all.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn validate(&self, filter: &IntegrityFilter, after: Option<Cursor>) -> Result<Findings, Error> {
        validate(self.core(), filter, after).await
    }

    /// Looks at one run in the same way. One that is not there has no issues.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn validate_run(&self, key: &RunKey) -> Result<Findings, Error> {
        let mut findings = Findings::default();
        findings.look(self.core(), key, PATIENCE_MS, &mut Kin::default()).await?;
        Ok(findings)
    }
}

/// Looks at a page of runs.
pub(super) async fn validate(
    core: &Arc<Core>,
    filter: &IntegrityFilter,
    after: Option<Cursor>,
) -> Result<Findings, Error> {
    let page = core.backend.scan(&filter.query, after, filter.runs.clamp(1, PAGE_ITEMS_MAX)).await?;
    let mut findings = Findings { next: page.next, ..Findings::default() };
    let mut kin = Kin::default();
    for head in &page.items {
        findings.look(core, &head.key, filter.patience_ms, &mut kin).await?;
    }
    Ok(findings)
}

impl Findings {
    async fn look(
        &mut self,
        core: &Arc<Core>,
        key: &RunKey,
        patience_ms: u64,
        kin: &mut Kin,
    ) -> Result<(), Error> {
        match look_at(core, key, patience_ms, kin).await? {
            Looked::At(issues, _) => {
                self.looked_at += 1;
                self.issues.extend(issues);
            }
            Looked::Moving => self.moving.push(key.clone()),
            Looked::Gone => {}
        }
        Ok(())
    }
}
