//! What all parts of a running engine share.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use serde_json::{Value, json};
use stepwell_contract::{Backend, Clock, Head, Lease, Name, StoreInfo, WorkerId, WorkflowRef};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::config::EngineOptions;
use crate::diagnosis::Rules;
use crate::error::Error;
use crate::exec::committer::Committer;
use crate::exec::definitions::Definitions;
use crate::exec::groups::Groups;
use crate::exec::lately::Lately;
use crate::exec::limits::Limits;
use crate::exec::outcome::Outcome;
use crate::exec::outlines::Outlines;
use crate::exec::pool::Pool;
use crate::exec::registry::Registry;
use crate::exec::requests;
use crate::exec::runner::Left;
use crate::exec::slot::Slot;
use crate::exec::stats::StepsStats;
use crate::exec::time::StoreTime;
use crate::exec::witness::Witness;
use crate::exec::workers::presence::Telling;
use crate::run::preview::Known;
use crate::workflow::classify::Classifiers;
use crate::workflow::context::Resources;
use crate::workflow::definition::Definition;
use crate::workflow::failure::payload_of_panic;
use crate::workflow::nearest::nearest_workflow;
use crate::workflow::policy::{Effective, StepPolicy, effective};
use crate::workflow::posted::{PostedError, PostedWorkflow};

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
    pub(crate) definitions: Definitions,
    /// What is known of workflows that others have registered.
    pub(crate) outlines: Outlines,
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
    pub(crate) registry: Registry,
    pub(crate) limits: Limits,
    /// Sees how attempts fail.
    pub(crate) witness: Arc<Witness>,
    /// What attempts met with lately.
    pub(crate) lately: Lately,
    /// What is known of failure groups.
    pub(crate) groups: Groups,
    /// What this worker tells of itself.
    pub(crate) telling: Telling,
    /// The program's own rules of diagnosis.
    pub(crate) rules: Rules,
}

/// A definition with the limits of its steps worked out.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) definition: Definition,
    pub(crate) limits: Arc<[Effective]>,
    /// The limits that somebody set, by step.
    pub(crate) stated: BTreeMap<Name, Value>,
    /// What its steps are like when they succeed, in this process.
    pub(crate) successes: StepsStats,
    /// What it was made of, if it was posted.
    pub(crate) posted: Option<PostedWorkflow>,
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
        let successes = StepsStats::new(definition.graph().steps.len());
        Self { definition, limits, stated, successes, posted: None }
    }

    /// One that was posted.
    pub(crate) fn posted(posted: PostedWorkflow, engine: &StepPolicy) -> Result<Self, PostedError> {
        Ok(Self { posted: Some(posted.clone()), ..Self::new(posted.definition()?, engine) })
    }

    /// What the pure part needs of it.
    pub(crate) fn known(&self) -> Known<'_> {
        (self.definition.graph(), &self.limits)
    }

    pub(crate) fn reference(&self) -> WorkflowRef {
        self.definition.reference()
    }
}

/// The workflows that every engine brings along.
pub(crate) fn built_in() -> [Definition; 2] {
    [crate::schedule::keeper::definition(), crate::integrity::keeper::definition()]
}

/// Whether a workflow is one of those.
pub(crate) fn is_built_in(workflow: &Name) -> bool {
    [crate::schedule::WORKFLOW, crate::integrity::WORKFLOW].contains(&workflow.as_str())
}

impl Core {
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

    /// The definition that goes on with a run: that of its version, else the newest one that takes it over.
    pub(crate) fn definition_of(&self, head: &Head) -> Option<Arc<Registered>> {
        let reference = WorkflowRef { name: head.workflow.clone(), version: head.workflow_version };
        self.definition_for(&reference)
    }

    /// The same for a workflow and its version.
    pub(crate) fn definition_for(&self, reference: &WorkflowRef) -> Option<Arc<Registered>> {
        let known = self.definitions.all();
        let own = known.get(reference);
        let taking_over = || {
            let named = known.values().filter(|known| *known.definition.name() == reference.name);
            let taking = named.filter(|known| known.definition.takes_over.contains(&reference.version));
            taking.max_by_key(|known| known.definition.version())
        };
        own.or_else(taking_over).cloned()
    }

    /// The workflows whose runs this worker goes on with.
    pub(crate) fn claimable(&self) -> Vec<WorkflowRef> {
        let definitions = self.definitions.all();
        let known = definitions.values().flat_map(|registered| {
            let definition = &registered.definition;
            let versions = std::iter::once(definition.version()).chain(definition.takes_over());
            versions.map(|version| WorkflowRef { name: definition.name().clone(), version })
        });
        let known: BTreeSet<WorkflowRef> = known.collect();
        known.into_iter().collect()
    }

    /// The workflow that is registered here and was probably meant.
    pub(crate) fn nearest(&self, name: &str, version: Option<u32>) -> Option<WorkflowRef> {
        nearest_workflow(name, version, self.definitions.all().keys()).cloned()
    }

    /// The error of whoever asks for a workflow that is neither registered here nor among those `elsewhere`.
    pub(crate) fn unknown(&self, name: &str, version: Option<u32>, elsewhere: &[WorkflowRef]) -> Error {
        let here = self.definitions.all();
        let known: BTreeSet<&WorkflowRef> =
            here.keys().filter(|known| !is_built_in(&known.name)).chain(elsewhere).collect();
        let said = |known: &WorkflowRef| format!("{} version {}", known.name, known.version);
        let all = || known.iter().map(|known| said(known)).collect::<Vec<_>>().join(", ");
        let hint = match nearest_workflow(name, version, known.iter().copied()) {
            _ if known.is_empty() => "; none is: add it with `.register(…)`".to_owned(),
            Some(near) => format!("; did you mean {}? there is {}", said(near), all()),
            None => format!("; there is {}", all()),
        };
        let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
        Error::UnknownWorkflow { name: format!("{name}{version}"), hint }
    }

    /// Does something for a step on the engine's own runtime. A step is polled by the run that has it, and not while that
    /// waits for a write of its own: what the step waits for in the store must go on meanwhile, or the two wait for each other
    /// where a store serves callers in turn.
    ///
    /// # Cancellation
    /// Dropping the future lets it go on to its end.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        // It ends early only with the engine, or by a panic, which is a fault of the engine.
        self.runtime.spawn(work.in_current_span()).await.map_err(|error| match error.is_panic() {
            true => Error::Internal(error.to_string()),
            false => Error::ShuttingDown,
        })
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
        self.registry.remove_slot(slot);
        match driven {
            Ok(outcome) => self.registry.tell(&slot.key, &outcome),
            Err(error) => tracing::warn!(run = %slot.key, %error, "the run is left to its next owner"),
        }
    }
}
