//! Figures over many runs, from bounded reading.

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Cursor, Head, Query, RunId, RunKey, Seq, TenantId, Timestamp};

use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::limits::system;
use crate::observe::stats::{RECORDS_MAX, RUNS_MAX, Stats, StatsFilter, Tally};

/// How many records are read at once.
const RECORDS_AT_ONCE: usize = 1_000;

impl Engine {
    /// How runs did: how many there are in each status, how many end in an hour and with an error, how long each step takes and
    /// how often it is tried again, which codes diagnoses give, and what may be inconsistent.
    ///
    /// It looks at the newest [`runs_max`](StatsFilter::runs_max) of the runs that were made in the window, and reads at most
    /// [`RECORDS_MAX`] records of them; [`Stats::runs`] and [`Stats::is_complete`] say how many it looked at and whether that was
    /// all. What the engine keeps for itself does not count unless its tenant is named.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn stats(&self, filter: &StatsFilter) -> Result<Stats, Error> {
        let query =
            Query { tenant: filter.tenant.clone(), workflow: filter.workflow.clone(), ..Query::default() };
        let now = self.now();
        let runs_max = filter.runs_max.min(RUNS_MAX);
        let mut after = filter.until.map(before).transpose()?;
        let (mut tally, mut runs, mut records_left) = (Tally::default(), 0, RECORDS_MAX);
        loop {
            let page = self.backend().scan(&query, after, PAGE_ITEMS_MAX).await?;
            for head in page.items {
                if filter.until.is_some_and(|until| head.created_at >= until)
                    || system::is_own(&head.key) && !system::is_asked_for(&query)
                {
                    continue;
                }
                // Runs come by when they were made.
                if filter.since.is_some_and(|since| head.created_at < since) {
                    return Ok(tally.stats(filter, true, now));
                }
                if runs == runs_max || !self.tally_run(&head, &mut tally, &mut records_left).await? {
                    return Ok(tally.stats(filter, false, now));
                }
                runs += 1;
            }
            after = page.next;
            if after.is_none() {
                return Ok(tally.stats(filter, true, now));
            }
        }
    }

    /// Takes in a run. Returns whether all of it was.
    async fn tally_run(
        &self,
        head: &Head,
        tally: &mut Tally,
        records_left: &mut usize,
    ) -> Result<bool, Error> {
        tally.begin(head);
        let mut from = Seq::FIRST;
        loop {
            let wanted = RECORDS_AT_ONCE.min(*records_left);
            if wanted == 0 {
                return Ok(false);
            }
            let records = self.backend().journal(&head.key, from, wanted).await?;
            tally.add(&records);
            *records_left -= records.len();
            match records.last() {
                Some(last) if records.len() == wanted => from = last.seq.plus(1),
                _ => return Ok(true),
            }
        }
    }
}

/// The place before which, newest first, every run was made at `until` or later.
fn before(until: Timestamp) -> Result<Cursor, Error> {
    // A run made at just that time may stand behind it; it is left out when it is looked at.
    let key = RunKey::new(TenantId::new("0")?, RunId::new("0")?);
    Ok(Cursor { created_at: until, key })
}
