//! Why a run waits that nobody takes, as a diagnosis: nothing of it has failed, and nothing is recorded. It follows from the
//! workers of the store and from who holds the limits of the queue, as they are now.

use stepwell_contract::{Head, Query, RunKey, Seq, Status, Timestamp};

use crate::diagnosis::evidence::{Case, LimitHolder, LimitKey, QueueFacts, RunFacts, WorkerFacts};
use crate::diagnosis::{Confidence, Diagnosis, diagnose};
use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::workers::view;
use crate::observe::cause::Cause;

/// Holders of a limit that are looked at.
const HOLDERS_MAX: usize = 20;
/// Runs that have succeeded lately that tell how long one mostly takes, and how few of them tell nothing.
const USUAL_RUNS: usize = 9;
const USUAL_RUNS_MIN: usize = 3;

impl Engine {
    /// Why a run waits for a worker or for room in its queue, where something is wrong with that.
    pub(crate) async fn why_it_waits(&self, key: &RunKey) -> Result<Option<Diagnosis>, Error> {
        let cause = match self.cause(key).await {
            // Runs of others are none of this one's business.
            Ok(Some(cause)) => cause.for_tenant(&key.tenant),
            Ok(None) | Err(Error::Journal { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (since, limits) = match cause {
            Cause::FreeWorker { since, .. } | Cause::NoDefinition { since, .. } => (since, None),
            Cause::Limit { queue, key, limit, holders, since, .. } => {
                let name = key.map_or_else(|| queue.to_string(), |key| key.to_string());
                (since, Some((name, limit, holders)))
            }
            _ => return Ok(None),
        };
        let Some(head) = self.get(key).await? else { return Ok(None) };
        let workers = view::facts(self.core()).await?;
        let limits = match limits {
            None => Vec::new(),
            Some((key, max, runs)) => {
                let mut holders = Vec::new();
                for run in runs.iter().take(HOLDERS_MAX) {
                    holders.push(self.holder(run, &workers, since).await?);
                }
                vec![LimitKey { key, max, holders }]
            }
        };
        let queue =
            QueueFacts { queue: head.queue.to_string(), since, workers, workers_complete: true, limits };
        let run = RunFacts {
            tenant: key.tenant.to_string(),
            run: key.run.to_string(),
            workflow: head.workflow.to_string(),
            version: head.workflow_version,
            created_at: head.created_at,
            ..RunFacts::default()
        };
        let now = self.now();
        let case = Case { queue: Some(&queue), ..Case::new(&run, now) };
        // A run that waits its turn has nothing wrong with it.
        Ok(Some(diagnose(&case, &self.core().rules)).filter(|found| found.confidence > Confidence::Unknown))
    }

    async fn holder(
        &self,
        run: &RunKey,
        workers: &[WorkerFacts],
        since: Timestamp,
    ) -> Result<LimitHolder, Error> {
        let name = run.run.to_string();
        let Some(head) = self.get(run).await? else {
            return Ok(LimitHolder {
                run: name,
                since,
                status: "missing".to_owned(),
                ..LimitHolder::default()
            });
        };
        let owner = head.lease.as_ref().map(|lease| lease.worker.as_str());
        let known = owner.and_then(|owner| workers.iter().find(|worker| worker.worker == owner));
        Ok(LimitHolder {
            run: name,
            since: head.created_at,
            status: head.status.as_str().to_owned(),
            worker_alive: known.map(|worker| worker.alive),
            last_record_at: self.last_record_at(&head).await?,
            usual_ms: self.usual_ms(&head).await?,
        })
    }

    /// When something was last recorded of a run: its head is written at each renewal of its lease too.
    async fn last_record_at(&self, head: &Head) -> Result<Option<Timestamp>, Error> {
        let last = Seq(head.next_seq.0.saturating_sub(1).max(Seq::FIRST.0));
        let records = self.backend().journal(&head.key, last, 1).await?;
        Ok(records.last().map(|record| record.at))
    }

    /// How long runs of the same workflow mostly took that have succeeded lately, in milliseconds, from when they were made on: no
    /// less than they held the key. `None` where there are too few to say.
    async fn usual_ms(&self, head: &Head) -> Result<Option<u64>, Error> {
        let query = Query {
            tenant: Some(head.key.tenant.clone()),
            workflow: Some(head.workflow.clone()),
            statuses: vec![Status::Succeeded],
            ..Query::default()
        };
        let page = self.backend().scan(&query, None, USUAL_RUNS).await?;
        let took = page.items.iter().filter_map(|past| Some(past.finished_at?.since_ms(past.created_at)));
        let mut took: Vec<u64> = took.collect();
        took.sort_unstable();
        Ok(took.get(took.len() / 2).copied().filter(|_| took.len() >= USUAL_RUNS_MIN))
    }
}
