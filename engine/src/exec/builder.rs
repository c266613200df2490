//! An engine under construction: what it runs, on which store, with which settings.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use stepwell_contract::{Backend, Clock, SystemClock, WorkerId, WorkflowRef};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::clock::Time;
use crate::config::EngineOptions;
use crate::diagnosis::Rules;
use crate::error::Error;
use crate::exec::committer::Committer;
use crate::exec::core::{Core, Registered, built_in};
use crate::exec::definitions::Definitions;
use crate::exec::engine::Engine;
use crate::exec::groups::Groups;
use crate::exec::lately::Lately;
use crate::exec::limits::queue::Queue;
use crate::exec::limits::{self, Limits};
use crate::exec::outlines::Outlines;
use crate::exec::pool::Pool;
use crate::exec::registry::Registry;
use crate::exec::time::StoreTime;
use crate::exec::witness::Witness;
use crate::exec::workers::presence::Telling;
use crate::exec::{keeper, panics, posted};
use crate::run::notes::within;
use crate::workflow::classify::Classifiers;
use crate::workflow::context::Resources;
use crate::workflow::definition::{Definition, Workflow};

/// Longest name of a version of the code kept, in bytes.
const CODE_VERSION_BYTES_MAX: usize = 128;

/// The runtime that the engine's own work is done on. Left without waiting when dropped: a runtime must not be waited
/// for inside another one.
#[derive(Debug)]
pub(super) struct OwnRuntime(Option<tokio::runtime::Runtime>);

impl OwnRuntime {
    fn start() -> Result<(Self, tokio::runtime::Handle), Error> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(2)
            .thread_name("stepwell-io")
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let handle = runtime.handle().clone();
        Ok((Self(Some(runtime)), handle))
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An engine under construction.
#[must_use]
pub struct EngineBuilder {
    backend: Arc<dyn Backend>,
    options: EngineOptions,
    time: Arc<dyn Time>,
    definitions: Vec<Definition>,
    resources: Resources,
    classifiers: Classifiers,
    queues: Vec<Queue>,
    code_version: Option<String>,
    rules: Rules,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.definitions.iter().map(Definition::name).collect();
        f.debug_struct("EngineBuilder").field("workflows", &names).finish_non_exhaustive()
    }
}

impl EngineBuilder {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            options: EngineOptions::default(),
            time: Arc::new(SystemClock),
            definitions: Vec::new(),
            resources: Resources::default(),
            classifiers: Classifiers::default(),
            queues: Vec::new(),
            code_version: None,
            rules: Rules::none(),
        }
    }

    /// Registers a workflow: its runs can be started and advanced by this engine.
    pub fn register<I, O>(mut self, workflow: Workflow<I, O>) -> Self {
        self.definitions.push(workflow.into_definition());
        self
    }

    /// Adds a value that steps get with [`StepContext::resource`](crate::StepContext::resource), one of each type: a second of
    /// the same type takes the place of the first, so two of one kind get types of their own (`struct Billing(PgPool)`).
    pub fn resource<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.resources.put(Arc::new(value));
        self
    }

    /// Lets this engine keep schedules: make them, and decide by the clock what they start. An engine that has workflows and is
    /// [started](Self::start) does so anyway; one that is [built](Self::build) and begins to [work](Engine::work) later is
    /// told with this.
    pub fn keep_schedules(mut self) -> Self {
        for keeper in built_in() {
            let is_kept = |known: &Definition| {
                known.name() == keeper.name() && known.fingerprint() == keeper.fingerprint()
            };
            // Another workflow of that name is refused as registered twice.
            if !self.definitions.iter().any(is_kept) {
                self.definitions.push(keeper);
            }
        }
        self
    }

    /// Adds a workflow of which the types were put aside.
    pub(crate) fn definition(mut self, definition: Definition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// Replaces the values that steps get.
    pub(crate) fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// Replaces the settings.
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets how many runs are advanced at once.
    pub fn concurrency(mut self, runs: usize) -> Self {
        self.options.concurrency = runs;
        self
    }

    /// States the limits of a queue, for all workers that share the store: those of the engine that was made last count,
    /// also for workers that state none. A queue that is stated without limits has none any more.
    pub fn queue(mut self, queue: Queue) -> Self {
        self.queues.push(queue);
        self
    }

    /// Names the version of the program's code, such as `env!("CARGO_PKG_VERSION")` or a commit: it is kept with every attempt
    /// that fails and with what succeeded, so that a failure can be told to have begun with a version.
    pub fn code_version(mut self, version: impl Into<String>) -> Self {
        self.code_version = Some(within(version.into(), CODE_VERSION_BYTES_MAX));
        self
    }

    /// Gives the program's own rules of diagnosis, which are asked before those of the engine, in place of any given before.
    pub fn diagnose(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Adds to how errors of steps are classified.
    pub fn classifiers(mut self, classifiers: Classifiers) -> Self {
        self.classifiers = classifiers;
        self
    }

    /// Replaces the clock, for tests.
    pub fn time(mut self, time: Arc<dyn Time>) -> Self {
        self.time = time;
        self
    }

    /// Makes the engine without taking any runs: for programs that only start, list and steer them.
    ///
    /// # Errors
    /// [`Error::Store`] when the store does not answer; [`Error::RegisteredTwice`]; [`Error::Options`].
    pub async fn build(self) -> Result<Engine, Error> {
        check(&self.options)?;
        for queue in &self.queues {
            queue.limits.check(&queue.name)?;
        }
        panics::watch();
        let definitions = register(self.definitions, &self.options)?;
        let (runtime, io) = OwnRuntime::start()?;
        // Steps run inside the program's runtime where there is one, so that what they spawn is not on the engine's.
        let outside = tokio::runtime::Handle::try_current().unwrap_or_else(|_| io.clone());
        let pool = Pool::start(self.options.threads, outside).map_err(Error::Thread)?;
        let time = Arc::new(StoreTime::new(self.time, io.clone()));
        let asked_at = time.own_now();
        let store = self.backend.info().await?;
        time.correct(asked_at, store.now);
        let committer = {
            let _inside = io.enter();
            let (backend, patience_ms) = (Arc::clone(&self.backend), self.options.commit_patience_ms);
            Committer::start(backend, &store, Arc::clone(&time), patience_ms)
        };
        let worker = match self.options.worker.clone() {
            Some(worker) => worker,
            None => WorkerId::new(format!("w-{}", &Uuid::new_v4().simple().to_string()[..12]))?,
        };
        let witness = Witness::new(self.code_version, self.options.probes, io.clone());
        witness.look(&time);
        let core = Arc::new(Core {
            witness: Arc::new(witness),
            lately: Lately::default(),
            groups: Groups::default(),
            telling: Telling::at(time.now()),
            rules: self.rules,
            permits: Arc::new(Semaphore::new(self.options.concurrency)),
            backend: self.backend,
            store,
            time,
            committer,
            pool,
            runtime: io,
            worker,
            options: self.options,
            definitions: Definitions::new(definitions),
            outlines: Outlines::default(),
            resources: self.resources,
            classifiers: self.classifiers,
            stopping: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            working: AtomicBool::new(false),
            runners: TaskTracker::new(),
            registry: Registry::default(),
            limits: Limits::default(),
        });
        limits::learn(&core).await?;
        posted::learn(&core).await?;
        limits::state(&core, &self.queues).await?;
        keeper::start(&core).map_err(Error::Thread)?;
        Ok(Engine::of(core, runtime))
    }

    /// Makes the engine and begins to take due runs; with workflows, it also [keeps schedules](Self::keep_schedules). On an
    /// exclusive store that begins with those that a dead process left behind.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub async fn start(self) -> Result<Engine, Error> {
        // One without workflows takes no runs; what schedules start, it could not run.
        let this = if self.definitions.is_empty() { self } else { self.keep_schedules() };
        let engine = this.build().await?;
        engine.work();
        Ok(engine)
    }
}

fn check(options: &EngineOptions) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::Options(why.to_owned()));
    if options.concurrency == 0 || options.concurrency > Semaphore::MAX_PERMITS {
        return refuse("concurrency must be at least 1");
    }
    if options.lease_ms < 1_000 {
        return refuse("lease_ms must be at least 1000: shorter leases are lost to ordinary delays");
    }
    if options.lease_ms > 3_600_000 {
        return refuse("lease_ms must be at most an hour: the runs of a dead worker wait that long");
    }
    if options.heartbeat_ms > 3_600_000 {
        return refuse(
            "heartbeat_ms must be at most an hour: a worker that is gone counts as there for three times as long",
        );
    }
    if options.poll_ms == 0 {
        return refuse("poll_ms must be at least 1");
    }
    if let Err(error) = options.step.check() {
        return refuse(&format!("step: {error}"));
    }
    Ok(())
}

fn register(
    definitions: Vec<Definition>,
    options: &EngineOptions,
) -> Result<HashMap<WorkflowRef, Arc<Registered>>, Error> {
    let mut registered = HashMap::new();
    for definition in definitions {
        let entry = Arc::new(Registered::new(definition, &options.step));
        let reference = entry.reference();
        if registered.insert(reference.clone(), entry).is_some() {
            return Err(Error::RegisteredTwice {
                name: reference.name.to_string(),
                version: reference.version,
            });
        }
    }
    Ok(registered)
}
