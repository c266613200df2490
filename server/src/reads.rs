//! What several surfaces ask the engine for again and again: kept for a moment, so that who looks costs the engine the same
//! whether they are one or a hundred.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use stepwell::contract::{Status, Tally, TenantId};
use stepwell::workflow::posted::is_own;
use stepwell::{Engine, Error, QueueView, WorkerView};

use crate::api::health;
use crate::memo::Memo;
use crate::view::run::RunStatus;
use crate::view::store::StoreHealth;

/// What was read lately.
#[derive(Debug)]
pub(crate) struct Reads {
    tally: Memo<Vec<Tally>>,
    workers: Memo<Vec<WorkerView>>,
    queues: Memo<Vec<QueueView>>,
    store: Memo<StoreHealth>,
}

impl Reads {
    pub(crate) fn new() -> Self {
        Self {
            tally: Memo::new(Duration::from_millis(500)),
            workers: Memo::new(Duration::from_secs(2)),
            queues: Memo::new(Duration::from_secs(2)),
            store: Memo::brief(Duration::from_secs(1)),
        }
    }

    /// How many runs there are of each sort.
    pub(crate) async fn tally(&self, engine: &Engine) -> Result<Arc<Vec<Tally>>, Error> {
        // As lists leave out what the engine keeps runs for itself, so do counts.
        let counted = async {
            let tally = engine.tally().await?;
            Ok(tally.into_iter().filter(|counted| !is_own(&counted.workflow)).collect())
        };
        self.tally.get(counted).await
    }

    /// The workers of the store.
    pub(crate) async fn workers(&self, engine: &Engine) -> Result<Arc<Vec<WorkerView>>, Error> {
        self.workers.get(engine.workers()).await
    }

    /// The queues of the store.
    pub(crate) async fn queues(&self, engine: &Engine) -> Result<Arc<Vec<QueueView>>, Error> {
        self.queues.get(engine.queues()).await
    }

    /// How the store is.
    pub(crate) async fn store(&self, engine: &Engine) -> Arc<StoreHealth> {
        let read = async { Ok::<_, Infallible>(health::of_store(engine).await) };
        match self.store.get(read).await {
            Ok(health) => health,
            Err(never) => match never {},
        }
    }

    /// Forgets the queues: one of them was changed.
    pub(crate) fn forget_queues(&self) {
        self.queues.forget();
    }
}

/// How many runs are in each status, of those that `is_counted`; every status is there.
pub(crate) fn by_status(tally: &[Tally], is_counted: impl Fn(&Tally) -> bool) -> BTreeMap<RunStatus, u64> {
    let mut counts: BTreeMap<_, _> =
        Status::ALL.into_iter().map(|status| (RunStatus::from(status), 0)).collect();
    for counted in tally.iter().filter(|counted| is_counted(counted)) {
        *counts.entry(counted.status.into()).or_default() += counted.runs;
    }
    counts
}

/// Whether runs of a tenant are among those asked about.
pub(crate) fn is_of(tenant: Option<&TenantId>, counted: &Tally) -> bool {
    tenant.is_none_or(|tenant| counted.tenant == *tenant)
}
