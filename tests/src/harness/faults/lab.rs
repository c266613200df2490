//! An engine for one case, and what is asked of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stepwell::contract::{Backend, MemoryBackend, RunKey};
use stepwell::diagnosis::evidence::Dossier;
use stepwell::diagnosis::{Diagnosis, Rules, diagnose};
use stepwell::run::event::Event;
use stepwell::workflow::classify::Classifiers;
use stepwell::{
    Engine, EngineBuilder, EngineOptions, Retry, RunError, RunHandle, StepContext, StepPolicy, StepResult,
    Workflow,
};
use tempfile::TempDir;

use crate::harness::faults::case::Outcome;
use crate::place::folder_in_memory;
use crate::wait::wait_until;

/// How long a run of a case may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the latest attempt ended, whichever way.
#[derive(Debug, Clone, Default)]
pub struct Stopwatch(Arc<Mutex<Option<Instant>>>);

/// Notes the end of an attempt when it is dropped: after its last word, or in the middle of it.
struct End(Stopwatch);

impl Drop for End {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Stopwatch {
    fn since(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|end| end.elapsed())
    }
}

/// Where one case is played.
#[derive(Debug)]
pub struct Lab {
    probes: bool,
    backend: Arc<dyn Backend>,
    folder: TempDir,
    policy: StepPolicy,
    classifiers: Classifiers,
    code_version: Option<&'static str>,
    stand_in: Option<String>,
    stopwatch: Stopwatch,
    ran: u32,
}

impl Lab {
    /// An empty one.
    #[must_use]
    pub fn new(probes: bool) -> Self {
        Self {
            probes,
            backend: Arc::new(MemoryBackend::new()),
            folder: folder_in_memory(),
            policy: StepPolicy::default().retry(Retry::none()),
            classifiers: Classifiers::default(),
            code_version: None,
            stand_in: None,
            stopwatch: Stopwatch::default(),
            ran: 0,
        }
    }

    /// A folder that is gone with the lab.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A path in that folder, as text.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    /// The store of the engines.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// With this store.
    #[must_use]
    pub fn on(mut self, backend: Arc<dyn Backend>) -> Self {
        self.backend = backend;
        self
    }

    /// With this policy of the step; without one it has a single attempt.
    #[must_use]
    pub fn policy(mut self, policy: StepPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// With so many attempts, one right after the other.
    #[must_use]
    pub fn attempts(self, count: u32) -> Self {
        self.policy(StepPolicy::default().retry(Retry::fixed(Duration::from_millis(1)).max_attempts(count)))
    }

    /// With these classifiers.
    #[must_use]
    pub fn classifiers(mut self, classifiers: Classifiers) -> Self {
        self.classifiers = classifiers;
        self
    }

    /// As this version of the code.
    #[must_use]
    pub fn code_version(mut self, version: &'static str) -> Self {
        self.code_version = Some(version);
        self
    }

    /// Says that the fault is not real here, and what stands in for it.
    pub fn stand_in(&mut self, what: &str) {
        self.stand_in = Some(what.to_owned());
    }

    /// The builder of an engine.
    pub fn builder(&self) -> EngineBuilder {
        let options = EngineOptions {
            probes: self.probes,
            threads: 2,
            poll_ms: 20,
            stop_grace_ms: 50,
            shutdown_grace_ms: 100,
            lease_ms: 2_000,
            ..EngineOptions::default()
        };
        let builder =
            Engine::builder(Arc::clone(&self.backend)).options(options).classifiers(self.classifiers.clone());
        match self.code_version {
            Some(version) => builder.code_version(version),
            None => builder,
        }
    }

    /// An engine that has this workflow.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn engine<I, O>(&self, workflow: Workflow<I, O>) -> Result<Engine, String> {
        self.builder().register(workflow).start().await.map_err(|error| error.to_string())
    }

    /// A workflow `w` of one step, `act`, by the policy of this lab.
    ///
    /// # Errors
    /// Never: the definition is valid.
    pub fn workflow<F, Fut>(&self, act: F) -> Result<Workflow<String, String>, String>
    where
        F: Fn(StepContext, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<String>> + Send + 'static,
    {
        let stopwatch = self.stopwatch.clone();
        let timed = move |ctx: StepContext, input: String| {
            let (acting, end) = (act(ctx, input), End(stopwatch.clone()));
            async move {
                let _end = end;
                acting.await
            }
        };
        let workflow = Workflow::named("w").step_fn("act", timed).policy(self.policy);
        workflow.build().map_err(|error| error.to_string())
    }

    /// Plays a step with each of these inputs, one run after the other, and tells of the last.
    ///
    /// # Errors
    /// When the engine does not start or a run does not come to rest.
    pub async fn plays<F, Fut>(mut self, inputs: &[&str], act: F) -> Result<Outcome, String>
    where
        F: Fn(StepContext, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<String>> + Send + 'static,
    {
        let engine = self.engine(self.workflow(act)?).await?;
        let mut outcome = Err("no input".to_owned());
        for input in inputs {
            let (handle, took) = self.rests(&engine, "w", input).await?;
            outcome = self.outcome(&engine, handle.key(), took).await;
        }
        engine.shutdown().await;
        outcome
    }

    /// Plays a step once that fails so.
    ///
    /// # Errors
    /// As for [`plays`](Self::plays).
    pub async fn fails<F, Fut>(self, act: F) -> Result<Outcome, String>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = StepResult<String>> + Send + 'static,
    {
        self.plays(&["in"], move |_, _| act()).await
    }

    /// Starts a run and waits until it is at rest.
    ///
    /// # Errors
    /// When it does not start or does not come to rest.
    pub async fn rests(
        &mut self,
        engine: &Engine,
        workflow: &str,
        input: &str,
    ) -> Result<(RunHandle, Option<Duration>), String> {
        self.ran += 1;
        let id = format!("r-{}", self.ran);
        let handle = engine.start_run(workflow, &id, &input).await.map_err(|error| error.to_string())?;
        let took = self.comes_to_rest(&handle).await?;
        Ok((handle, took))
    }

    /// Waits until the run is at rest.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn comes_to_rest(&self, handle: &RunHandle) -> Result<Option<Duration>, String> {
        // Of a store that fails the end is asked for again.
        let resting = async { while let Err(RunError::Engine(_)) = handle.output().await {} };
        let rested = tokio::time::timeout(PATIENCE, resting).await;
        let took = self.stopwatch.since();
        // How it ended is in its journal.
        rested.map(|()| took).map_err(|_| format!("{} does not come to rest", handle.key()))
    }

    /// What the engine says of a run.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub async fn outcome(
        &self,
        engine: &Engine,
        key: &RunKey,
        took: Option<Duration>,
    ) -> Result<Outcome, String> {
        let diagnosis = engine.diagnosis(key).await.map_err(|error| error.to_string())?;
        let judging = judging(engine, key).await;
        Ok(Outcome { diagnosis, took, judging, stand_in: self.stand_in.clone() })
    }

    /// What the engine says of a run, as soon as it says something.
    ///
    /// # Errors
    /// When it says nothing in time.
    pub async fn told(&self, engine: &Engine, key: &RunKey) -> Result<Outcome, String> {
        let diagnosis: Diagnosis =
            wait_until("a diagnosis", PATIENCE, async || engine.diagnosis(key).await.ok().flatten()).await?;
        let judging = judging(engine, key).await;
        Ok(Outcome { diagnosis: Some(diagnosis), took: None, judging, stand_in: self.stand_in.clone() })
    }

    /// What a worker says of a run that it has lost, once it is recorded.
    ///
    /// # Errors
    /// When it says nothing in time.
    pub async fn told_late(&self, engine: &Engine, key: &RunKey) -> Result<Outcome, String> {
        let diagnosis = wait_until("a late word", PATIENCE, async || late(engine, key).await).await?;
        Ok(Outcome { diagnosis: Some(diagnosis), took: None, judging: None, stand_in: self.stand_in.clone() })
    }
}

/// What a worker said too late of a run.
async fn late(engine: &Engine, key: &RunKey) -> Option<Diagnosis> {
    let records = engine.history(key).await.ok()?;
    records.iter().find_map(|record| match Event::read(record) {
        Ok(Event::Diagnosed(told)) if told.late_by.is_some() => Some(*told.diagnosis),
        _ => None,
    })
}

/// How long it takes to judge the attempts of the step that are kept.
async fn judging(engine: &Engine, key: &RunKey) -> Option<Duration> {
    let attempts =
        engine.attempts(key, &"act".parse().ok()?).await.ok().filter(|attempts| !attempts.is_empty())?;
    let dossier = Dossier { attempts, ..Dossier::of_step("w", "act") };
    let begun = Instant::now();
    let told = diagnose(&dossier.case(), &Rules::none());
    let took = begun.elapsed();
    (!told.code.is_empty()).then_some(took)
}
