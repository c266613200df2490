//! What all parts of a running engine share.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use serde_json::{Value, json};
use stepwell_contract::{Backend, Clock, Head, Lease, Name, RunKey, StoreInfo, WorkerId, WorkflowRef};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::clock::StoreTime;
use crate::config::EngineOptions;
use crate::exec::committer::Committer;
use crate::exec::outcome::Outcome;
use crate::exec::pool::Pool;
use crate::exec::requests;
use crate::exec::runner::Left;
use crate::exec::slot::Slot;
use crate::workflow::classify::Classifiers;
use crate::workflow::context::Resources;
use crate::workflow::definition::Definition;
use crate::workflow::failure::payload_of_panic;
use crate::workflow::policy::{Effective, StepPolicy, effective};

/// What all parts of a running engine share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) store: StoreInfo,
    pub(crate) time: Arc<StoreTime>,
    pub(crate) committer: Committer,
    pub(crate) pool: Pool,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) worker: WorkerId,
    pub(crate) options: EngineOptions,
    pub(crate) definitions: HashMap<WorkflowRef, Arc<Registered>>,
    pub(crate) resources: Resources,
    pub(crate) classifiers: Classifiers,
    /// One for each run that may be advanced at once.
    pub(crate) permits: Arc<Semaphore>,
    /// No new runs and no new attempts.
    pub(crate) stopping: CancellationToken,
    /// Running attempts are told to stop.
    pub(crate) grace_over: CancellationToken,
    /// Whether runs are taken at all: not before `start`, not after `shutdown` began.
    pub(crate) working: AtomicBool,
    pub(crate) runners: TaskTracker,
    slots: Mutex<HashMap<RunKey, Arc<Slot>>>,
    waiters: Mutex<HashMap<RunKey, Vec<oneshot::Sender<Outcome>>>>,
}

/// A definition with the limits of its steps worked out.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) definition: Definition,
    pub(crate) limits: Arc<[Effective]>,
    /// The limits that somebody set, by step.
    pub(crate) stated: BTreeMap<Name, Value>,
}

impl Registered {
    pub(crate) fn new(definition: Definition, engine: &StepPolicy) -> Self {
        let workflow = &definition.policy().step;
        let limits: Arc<[Effective]> =
            definition.graph().steps.iter().map(|step| effective(&step.policy, workflow, engine)).collect();
        let named =
            definition.graph().steps.iter().zip(limits.iter()).map(|(step, limits)| (step, limits.stated()));
        let stated = named
            .filter(|(_, stated)| !stated.is_empty())
            .map(|(step, stated)| (step.name.clone(), json!(stated)));
        let stated = stated.collect();
        Self { definition, limits, stated }
    }

    pub(crate) fn reference(&self) -> WorkflowRef {
        WorkflowRef { name: self.definition.name().clone(), version: self.definition.version() }
    }
}

/// The parts of a [`Core`] that are made first.
pub(crate) struct Parts {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) store: StoreInfo,
    pub(crate) time: Arc<StoreTime>,
    pub(crate) committer: Committer,
    pub(crate) pool: Pool,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) worker: WorkerId,
    pub(crate) options: EngineOptions,
    pub(crate) definitions: HashMap<WorkflowRef, Arc<Registered>>,
    pub(crate) resources: Resources,
    pub(crate) classifiers: Classifiers,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Self {
        let permits = Arc::new(Semaphore::new(parts.options.concurrency));
        Self {
            backend: parts.backend,
            store: parts.store,
            time: parts.time,
            committer: parts.committer,
            pool: parts.pool,
            runtime: parts.runtime,
            worker: parts.worker,
            options: parts.options,
            definitions: parts.definitions,
            resources: parts.resources,
            classifiers: parts.classifiers,
            permits,
            stopping: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            working: AtomicBool::new(false),
            runners: TaskTracker::new(),
            slots: Mutex::default(),
            waiters: Mutex::default(),
        }
    }

    /// The lease that this worker asks for.
    pub(crate) fn lease(&self) -> Lease {
        let ttl_ms = self.options.lease_ms;
        Lease { worker: self.worker.clone(), ttl_ms, expires_at: self.time.now().plus_ms(ttl_ms) }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    pub(crate) fn is_working(&self) -> bool {
        self.working.load(Ordering::Acquire) && !self.is_stopping()
    }

    /// Whether this worker takes runs from that queue.
    pub(crate) fn reads_queue(&self, queue: &Name) -> bool {
        self.options.queues.is_empty() || self.options.queues.contains(queue)
    }

    /// The definition that a run needs.
    pub(crate) fn definition_of(&self, head: &Head) -> Option<Arc<Registered>> {
        let reference = WorkflowRef { name: head.workflow.clone(), version: head.workflow_version };
        self.definitions.get(&reference).cloned()
    }

    pub(crate) fn slot(&self, key: &RunKey) -> Option<Arc<Slot>> {
        lock(&self.slots).get(key).cloned()
    }

    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.slots).values().cloned().collect()
    }

    pub(crate) fn add_slot(&self, slot: &Arc<Slot>) {
        if let Some(former) = lock(&self.slots).insert(slot.key.clone(), Arc::clone(slot)) {
            // Two owners in one process: the former one must not run on until its next write tells it.
            former.lost.cancel();
        }
    }

    pub(crate) fn remove_slot(&self, slot: &Arc<Slot>) {
        slot.end();
        let mut slots = lock(&self.slots);
        // A later takeover by this same process may have put its own in place.
        if slots.get(&slot.key).is_some_and(|present| Arc::ptr_eq(present, slot)) {
            slots.remove(&slot.key);
        }
    }

    /// Asks to be told when this process brings the run to rest.
    pub(crate) fn wait_for(&self, key: &RunKey) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        let mut waiters = lock(&self.waiters);
        let waiting = waiters.entry(key.clone()).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(tell);
        told
    }

    /// Forgets those who no longer wait for the run.
    pub(crate) fn forget_waiters(&self, key: &RunKey) {
        let mut waiters = lock(&self.waiters);
        if let Some(waiting) = waiters.get_mut(key) {
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.is_empty() {
                waiters.remove(key);
            }
        }
    }

    /// Tells whoever waits for the run how it came to rest.
    pub(crate) fn tell(&self, key: &RunKey, outcome: &Outcome) {
        if matches!(outcome, Outcome::Released) {
            return;
        }
        for waiter in lock(&self.waiters).remove(key).into_iter().flatten() {
            // Who waited may have gone.
            let _ = waiter.send(outcome.clone());
        }
    }

    /// Drives a run in the background until it comes to rest.
    pub(crate) fn spawn<F>(self: &Arc<Self>, slot: Arc<Slot>, driven: F)
    where
        F: Future<Output = Result<Outcome, Left>> + Send + 'static,
    {
        let core = Arc::clone(self);
        let span = tracing::info_span!("run", run = %slot.key);
        let key = slot.key.clone();
        let work = async move {
            // Steps are caught where they run; what is left is a panic while one is dropped. The run is then left alone,
            // as after a crash: its lease must not be renewed any more.
            let driven = AssertUnwindSafe(driven).catch_unwind().await;
            if let Ok(Err(left)) = &driven
                && left.is_lasting()
            {
                requests::hold_unrecordable(&core, &slot, &left.to_string()).await;
            }
            core.leave(&slot, driven.unwrap_or_else(|panic| Err(Left::Panic(payload_of_panic(panic)))));
        };
        self.pool.spawn(key, self.runners.track_future(work).instrument(span)).detach();
    }

    /// Accounts for a run that this process no longer advances.
    pub(crate) fn leave(&self, slot: &Arc<Slot>, driven: Result<Outcome, Left>) {
        self.remove_slot(slot);
        match driven {
            Ok(outcome) => self.tell(&slot.key, &outcome),
            Err(error) => tracing::warn!(run = %slot.key, %error, "the run is left to its next owner"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
