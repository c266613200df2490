//! What steps of a workflow took in its latest runs, kept for a while: a page that is looked at every second does not read the
//! journals of ten other runs each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stepwell::contract::{Head, Name, Query, Status, TenantId};
use stepwell::observe::past::Past;
use stepwell::{Engine, Error};

/// How many past runs are looked at.
const RUNS: usize = 10;
/// Longer journals than that are not read for an estimate, in records.
const RECORDS_MAX: u64 = 2_000;
/// How long what was found is good enough.
const KEPT: Duration = Duration::from_secs(30);
/// Most workflows that something is kept of.
const WORKFLOWS_MAX: usize = 200;

/// What is known of the durations of steps, by tenant and workflow.
#[derive(Debug, Default)]
pub(crate) struct Estimates(Mutex<Known>);

/// When it was found out, and what.
type Known = HashMap<(TenantId, Name), (Instant, Arc<Past>)>;

impl Estimates {
    /// What the steps of a run's workflow took in runs that have succeeded; nothing for a run that has ended and needs no estimate.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn past(&self, engine: &Engine, head: &Head) -> Result<Arc<Past>, Error> {
        if head.status.is_finished() {
            return Ok(Arc::default());
        }
        let of = (head.key.tenant.clone(), head.workflow.clone());
        let known = self.lock().get(&of).filter(|(since, _)| since.elapsed() < KEPT).cloned();
        if let Some((_, past)) = known {
            return Ok(past);
        }
        let (tenant, workflow, statuses) = (Some(of.0.clone()), Some(of.1.clone()), vec![Status::Succeeded]);
        let query = Query { tenant, workflow, statuses, ..Query::default() };
        let mut past = Past::default();
        for run in engine.list(&query, None, RUNS).await?.items {
            if run.next_seq.0 <= RECORDS_MAX {
                past.add(&engine.history(&run.key).await?);
            }
        }
        let past = Arc::new(past);
        let mut all = self.lock();
        all.retain(|_, (since, _)| since.elapsed() < KEPT);
        if all.len() < WORKFLOWS_MAX {
            all.insert(of, (Instant::now(), Arc::clone(&past)));
        }
        Ok(past)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
