//! Runs as a step reaches them: the engine without holding it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use serde::Serialize;
use stepwell_contract::{Cursor, Head, Page, Query, RunKey, TenantId};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::handle::RunHandle;
use crate::exec::start::{self, StartRun};
use crate::exec::{limits, requests};
use crate::run::actor::Actor;
use crate::run::request::{Ask, Verb};

/// The runs of an engine, for those whom the engine itself holds, such as steps and resources: keeping it does not keep
/// the engine. A step gets it with [`StepContext::runs`](crate::StepContext::runs), a program with
/// [`Engine::runs`](crate::Engine::runs).
#[derive(Clone)]
pub struct Runs {
    core: Weak<Core>,
    tenant: TenantId,
}

impl Runs {
    pub(crate) fn new(core: Weak<Core>, tenant: TenantId) -> Self {
        Self { core, tenant }
    }

    pub(crate) fn core(&self) -> &Weak<Core> {
        &self.core
    }

    /// Whose runs [`start`](Self::start) starts: in a step, those of the tenant that the step's own run belongs to.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Starts a run of the newest registered version of a workflow. The same call again, with the same id, workflow and
    /// input, returns the run that is there: a step that is tried again starts nothing twice, if it names the run after
    /// what it is for.
    ///
    /// A step that waits for the result goes on taking up room: where every run that this engine advances at once waits
    /// for one that waits for room, none goes on.
    ///
    /// # Errors
    /// As for [`Engine::start_run`](crate::Engine::start_run); [`Error::ShuttingDown`] also when the engine is gone.
    ///
    /// # Cancellation
    /// Dropping the future leaves the run started, or about to be, or not: call it again.
    pub async fn start<I: Serialize + ?Sized>(
        &self,
        workflow: &str,
        run: &str,
        input: &I,
    ) -> Result<RunHandle, Error> {
        self.start_with(StartRun::new(workflow, run, input)?.tenant(self.tenant.clone())).await
    }

    /// Like [`start`](Self::start), with tags, a priority or a queue, and for the tenant that `run` names.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(&self, run: StartRun) -> Result<RunHandle, Error> {
        self.apart(|core| async move { start::start(&core, run).await }).await
    }

    /// Finds a run.
    ///
    /// # Errors
    /// As for [`Engine::find`](crate::Engine::find); [`Error::ShuttingDown`] when the engine is gone.
    pub async fn find(&self, key: &RunKey) -> Result<RunHandle, Error> {
        let key = key.clone();
        self.apart(|core| async move {
            requests::head_of(&core, &key).await?;
            Ok(RunHandle::new(&core, key, false))
        })
        .await
    }

    /// The head of a run; `None` when there is no such run.
    ///
    /// # Errors
    /// As for [`Engine::get`](crate::Engine::get); [`Error::ShuttingDown`] when the engine is gone.
    pub async fn get(&self, key: &RunKey) -> Result<Option<Head>, Error> {
        let key = key.clone();
        self.apart(|core| async move { Ok(core.backend.head(&key).await?) }).await
    }

    /// A page of the heads that fit a query, of every tenant unless it names one.
    ///
    /// # Errors
    /// As for [`Engine::list`](crate::Engine::list); [`Error::ShuttingDown`] when the engine is gone.
    pub async fn list(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, Error> {
        let query = query.clone();
        self.apart(move |core| async move { Ok(limits::list(&core, &query, after, limit).await?) }).await
    }

    /// Asks something of a run on behalf of the program, and returns its head once that was answered.
    ///
    /// # Errors
    /// As for [`Engine::ask`](crate::Engine::ask); [`Error::ShuttingDown`] when the engine is gone.
    ///
    /// # Cancellation
    /// Dropping the future leaves the request in the run's inbox, or about to be there, or unsent.
    pub async fn ask(&self, key: &RunKey, verb: Verb, message: &str) -> Result<Head, Error> {
        let (key, ask) = (key.clone(), Ask::new(verb, Actor::Program, message));
        self.apart(|core| async move { requests::ask(&core, &key, ask).await }).await
    }

    /// Does something with the engine, for a step as well: see [`Core::apart`].
    async fn apart<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let core = self.core.upgrade().ok_or(Error::ShuttingDown)?;
        core.apart(work(Arc::clone(&core))).await?
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}
