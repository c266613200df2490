//! The engine: what a program holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use stepwell_contract::{
    Backend, Clock, Cursor, Head, Page, Payload, Query, Record, RunKey, StoreInfo, Tally, TenantId, WorkerId,
};

use crate::error::Error;
use crate::exec::builder::{EngineBuilder, OwnRuntime};
use crate::exec::bulk::{self, Asked, AskedInTime, BulkPreview, Selection};
use crate::exec::core::Core;
use crate::exec::fork::{self, ForkRun};
use crate::exec::handle::RunHandle;
use crate::exec::runs::Runs;
use crate::exec::start::{self, StartPreview, StartRun};
use crate::exec::workers::presence;
use crate::exec::{groups, keeper, limits, load, outlines, posted, requests, worker};
use crate::run::actor::Actor;
use crate::run::place::Place;
use crate::run::preview::Preview;
use crate::run::request::{Ask, Verb};
use crate::run::state::State;
use crate::workflow::definition::Definition;
use crate::workflow::finite;
use crate::workflow::step::VALUE_BYTES_MAX;

/// Runs workflows on a store. Clones are the same engine. End it with [`shutdown`](Self::shutdown): one that is dropped ends as after a
/// crash, and on a shared store others wait for its leases to end.
///
/// Its own work (writes, leases, timers) is done on threads that user code never runs on.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shell>);

#[derive(Debug)]
struct Shell {
    core: Arc<Core>,
    _runtime: OwnRuntime,
}

impl Drop for Shell {
    fn drop(&mut self) {
        // As after a crash: nothing is recorded of attempts that are dropped. Whoever wants them to end calls `shutdown`.
        self.core.pool.stop();
        self.core.stopping.cancel();
        self.core.time.end();
    }
}

/// What a person gives in place of what a step or a starter would have given.
pub(crate) fn value_of<T: Serialize + ?Sized>(value: &T) -> Result<Payload, Error> {
    let value = finite::encode(value)?;
    match value.text().len() {
        bytes if bytes > VALUE_BYTES_MAX => {
            Err(stepwell_contract::PayloadError::TooLarge { bytes, limit: VALUE_BYTES_MAX }.into())
        }
        _ => Ok(value),
    }
}

impl Engine {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    /// Begins an engine on a store.
    pub fn builder(backend: Arc<dyn Backend>) -> EngineBuilder {
        EngineBuilder::new(backend)
    }

    pub(super) fn of(core: Arc<Core>, runtime: OwnRuntime) -> Self {
        Self(Arc::new(Shell { core, _runtime: runtime }))
    }

    /// Begins to take due runs. Calling it again has no effect.
    pub fn work(&self) {
        let core = &self.0.core;
        if core.working.swap(true, Ordering::AcqRel) || core.is_stopping() {
            return;
        }
        core.runtime.spawn(keeper::fetch_mail(Arc::clone(core)));
        core.runtime.spawn(keeper::watch_unowned(Arc::clone(core)));
        core.runtime.spawn(limits::follow(Arc::clone(core)));
        core.runtime.spawn(groups::keep(Arc::clone(core)));
        core.runtime.spawn(presence::attend(Arc::clone(core)));
        core.runtime.spawn(posted::follow(Arc::clone(core)));
        core.runtime.spawn(outlines::keep::keep(Arc::clone(core)));
        core.runtime.spawn(worker::work(Arc::clone(core)));
    }

    /// Takes due runs and does nothing else by the clock: where time is skipped, what comes back every half second
    /// would come back millions of times.
    pub(crate) fn work_without_rounds(&self) {
        let core = &self.0.core;
        core.working.store(true, Ordering::Release);
        core.runtime.spawn(worker::work(Arc::clone(core)));
    }

    /// Starts a run of the newest registered version of a workflow. The same call again, with the same id, workflow
    /// and input, returns the run that is there. Of a workflow that only others have, it is started as
    /// [`StartRun::new`] says.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the id was used with another workflow or input; [`Error::UnknownWorkflow`]; [`Error::Input`] when the
    /// workflow is registered here and its first steps cannot read the input; [`Error::Id`]; [`Error::Payload`]; [`Error::Store`], after which the run may have been started: call it again.
    ///
    /// # Cancellation
    /// Dropping the future leaves the run started or not: call it again.
    pub async fn start_run<I: Serialize + ?Sized>(
        &self,
        workflow: &str,
        run: &str,
        input: &I,
    ) -> Result<RunHandle, Error> {
        self.start_with(StartRun::new(workflow, run, input)?).await
    }

    /// Like [`start_run`](Self::start_run), with a tenant, tags, a priority or a queue.
    ///
    /// # Errors
    /// As for [`start_run`](Self::start_run); [`Error::Options`] when it has more tags than a run can have, one of the engine's
    /// own, or the engine's own tenant.
    pub async fn start_with(&self, run: StartRun) -> Result<RunHandle, Error> {
        start::start(&self.0.core, run).await
    }

    /// What [`start_with`](Self::start_with) would do. Nothing is written.
    ///
    /// # Errors
    /// As for [`start_with`](Self::start_with): what would be refused is refused.
    pub async fn dry_run_start(&self, run: &StartRun) -> Result<StartPreview, Error> {
        start::dry_run(&self.0.core, run).await
    }

    /// The runs of this engine, for whom the engine itself holds: keeping it does not keep the engine.
    #[must_use]
    pub fn runs(&self) -> Runs {
        Runs::new(Arc::downgrade(&self.0.core), TenantId::default())
    }

    /// Finds a run.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`].
    pub async fn find(&self, key: &RunKey) -> Result<RunHandle, Error> {
        requests::head_of(&self.0.core, key).await?;
        Ok(RunHandle::new(&self.0.core, key.clone(), false))
    }

    /// The head of a run; `None` when there is no such run.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn get(&self, key: &RunKey) -> Result<Option<Head>, Error> {
        Ok(self.0.core.backend.head(key).await?)
    }

    /// A page of the heads that fit a query. What the engine keeps for itself, in the tenant `stepwell.system`, is listed
    /// only for a query that names that tenant. The page is full unless it is the
    /// last, however many runs have to be looked at for that; see [`list_part`](Self::list_part).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, Error> {
        Ok(limits::list(&self.0.core, query, after, limit).await?)
    }

    /// As [`list`](Self::list), but no further than the store goes in one look: in a bounded time, whatever the query. The page
    /// may hold fewer heads than asked for, even none, and still have a next one, where the looking goes on.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list_part(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, Error> {
        Ok(limits::list_part(&self.0.core, query, after, limit).await?)
    }

    /// How many runs there are of each tenant, workflow, queue and status, those that the engine keeps for itself left out.
    /// Exact while nothing is written; a store of many runs answers without looking at them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn tally(&self) -> Result<Vec<Tally>, Error> {
        let mut tally = self.0.core.backend.tally().await?;
        tally.retain(|counted| !limits::system::is_own_tenant(&counted.tenant));
        Ok(tally)
    }

    /// All records of a run, oldest first: its history.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`].
    pub async fn history(&self, key: &RunKey) -> Result<Vec<Record>, Error> {
        let records = load::records(self.0.core.backend.as_ref(), key).await?;
        if records.is_empty() { Err(Error::NoSuchRun(key.clone())) } else { Ok(records) }
    }

    /// Where a run is: the fold of its journal.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`] when this version cannot read it; [`Error::Store`].
    pub async fn state(&self, key: &RunKey) -> Result<State, Error> {
        requests::head_of(&self.0.core, key).await?;
        requests::load_state(&self.0.core, key).await
    }

    /// Asks something of a run on behalf of `actor`, and returns its head once that was answered.
    ///
    /// # Errors
    /// [`Error::Refused`] when the run's state does not allow it: nothing changed. [`Error::Changed`] when it was asked only for
    /// the case that the run [has not gone on](Ask::if_unchanged_since): look at it again. [`Error::NoAnswerYet`] when the
    /// worker that has the run does not answer: the request stays in the run's inbox. [`Error::NoSuchRun`];
    /// [`Error::Store`].
    ///
    /// # Cancellation
    /// Dropping the future leaves the request in the run's inbox, or unsent.
    pub async fn ask(&self, key: &RunKey, verb: Verb, actor: Actor, message: &str) -> Result<Head, Error> {
        self.send(key, Ask::new(verb, actor, message)).await
    }

    /// Like [`ask`](Self::ask), with all that a request can say: a step, a value, what was seen of the run.
    ///
    /// A request about a step is answered by an engine that has the run's workflow registered: this one, or the next that
    /// looks at the run's inbox.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    ///
    /// # Cancellation
    /// As for [`ask`](Self::ask).
    pub async fn send(&self, key: &RunKey, ask: Ask) -> Result<Head, Error> {
        requests::ask(&self.0.core, key, ask).await
    }

    /// Asks a run to stop for good: running attempts are told to stop, then the run ends as cancelled.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn cancel(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Cancel, Actor::Program, reason).await
    }

    /// Asks a run to stop for good and to undo what its steps did, where the definition says how; see
    /// [`compensate`](crate::workflow::builder::WorkflowBuilder::compensate). Returns once that was accepted; a worker that
    /// has the definition carries it out.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn undo(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Undo, Actor::Program, reason).await
    }

    /// What a request would do: whether it is allowed, where it would lead, which steps would run again and which results would
    /// no longer count. Nothing is written. A run that is under way may be elsewhere by the time it is asked.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`]. What would be refused is no error.
    pub async fn dry_run(&self, key: &RunKey, ask: &Ask) -> Result<Preview, Error> {
        requests::dry_run(&self.0.core, key, ask).await
    }

    /// What a [`fork`](Self::fork) would do. Nothing is written.
    ///
    /// # Errors
    /// As for [`fork`](Self::fork). What would be refused is no error.
    pub async fn dry_run_fork(&self, key: &RunKey, into: &ForkRun) -> Result<Preview, Error> {
        fork::dry_run(&self.0.core, key, into).await
    }

    /// Lists at most `limit` runs that fit a query, to ask them all the same: what is listed later is not among them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn select(&self, query: &Query, limit: usize) -> Result<Selection, Error> {
        bulk::select(&self.0.core, query, limit).await
    }

    /// How many runs would be asked, and what the request would do to the first `sample` of them. Nothing is written.
    ///
    /// # Errors
    /// As for [`dry_run`](Self::dry_run); runs that were removed since they were listed are left out.
    pub async fn dry_run_all(
        &self,
        selection: &Selection,
        ask: &Ask,
        sample: usize,
    ) -> Result<BulkPreview, Error> {
        bulk::dry_run(&self.0.core, selection, ask, sample).await
    }

    /// Asks each of the runs, several at a time, and tells what became of each in the order of the selection. With the same
    /// selection it can be called again: a run that has had the request is not given it twice, and tells how it answered or
    /// why it would refuse it now.
    ///
    /// # Cancellation
    /// Dropping the future leaves some runs asked and others not: call it again with the same selection.
    pub async fn ask_all(&self, selection: &Selection, ask: &Ask) -> Vec<Asked> {
        bulk::ask_all(&self.0.core, selection, ask).await
    }

    /// The same for as long as there is time: after `within` no further run is asked, and those that were not are returned too.
    /// What is on its way to the store then is waited for half as long again, so that every run is told of. A run whose owner
    /// does not answer within three seconds, or within the time, has the request in its inbox: [`Error::NoAnswerYet`].
    ///
    /// # Cancellation
    /// As for [`ask_all`](Self::ask_all).
    pub async fn ask_within(&self, selection: &Selection, ask: &Ask, within: Duration) -> AskedInTime {
        bulk::ask_within(&self.0.core, selection, ask, within).await
    }

    /// Passes over a step that has no result: one that has failed, waits, sleeps or has not begun. It gives what would have
    /// flowed into it. A run for which that step stood in the way goes on; one that is held for another reason stays held.
    /// [`send`](Self::send) a [`Verb::Skip`] with a value to have it give that.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn skip(&self, key: &RunKey, place: &Place, reason: &str) -> Result<Head, Error> {
        self.send(key, Ask::new(Verb::Skip, Actor::Program, reason).at(place.clone())).await
    }

    /// Says what the result of a step is that has begun and has none: one that has failed, is in doubt or waits. The run goes
    /// on as after [`skip`](Self::skip).
    ///
    /// # Errors
    /// As for [`send`](Self::send); [`Error::Payload`] when the output has no JSON form or is over the limit.
    pub async fn set_output<T: Serialize + ?Sized>(
        &self,
        key: &RunKey,
        place: &Place,
        output: &T,
        reason: &str,
    ) -> Result<Head, Error> {
        let ask = Ask::new(Verb::SetOutput, Actor::Program, reason).at(place.clone());
        self.send(key, ask.with(value_of(output)?)).await
    }

    /// Lets a run begin again at a step: what is recorded of that step and of all that comes after it in the definition is set
    /// aside, stays in the history, and no longer counts. Attempts count on, with fresh budgets. A place that leaves items
    /// or rounds out, like `pack` for `pack[2]`, means all of them. Signals that were taken are not given again. Steps keep
    /// their idempotency keys: a receiver that knows them may answer as it did before.
    ///
    /// A run that has succeeded or was cancelled stays as it is: [`fork`](Self::fork) it.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn restart(&self, key: &RunKey, place: &Place, reason: &str) -> Result<Head, Error> {
        self.send(key, Ask::new(Verb::Restart, Actor::Program, reason).at(place.clone())).await
    }

    /// Makes a new run that goes on from a step of another one, wherever that one is; the other one is not touched. The new
    /// run's journal begins with where it comes from and with how all steps ended there, but that one and those after it.
    /// It has the tags, queue and priority of the old one, its own deadline, and its own idempotency keys: what its steps do
    /// outside, they do again. Signals that nothing has taken are not copied. The same call again returns the run that is
    /// there.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the id is in use for another run; [`Error::Refused`] when the step is not known, or when what
    /// is copied does not fit; [`Error::Changed`] when the old run has [gone on](ForkRun::if_unchanged_since);
    /// [`Error::UnknownWorkflow`]; [`Error::NoSuchRun`]; [`Error::Id`]; [`Error::Store`], also when
    /// there is more to copy than one batch holds (10 000 results, 4 MiB).
    ///
    /// # Cancellation
    /// Dropping the future leaves the run made or not: call it again.
    pub async fn fork(&self, key: &RunKey, into: ForkRun) -> Result<RunHandle, Error> {
        fork::fork(&self.0.core, key, into).await
    }

    /// Changes the input of a run of which nothing was made of its input yet. A run that is held or has failed stays so.
    /// Later, [`send`](Self::send) a [`Verb::Restart`] from the first step with the new input. Starting the run again with
    /// its first input still finds it.
    ///
    /// # Errors
    /// As for [`send`](Self::send); [`Error::Payload`] when the input has no JSON form or is over the limit.
    pub async fn edit_input<T: Serialize + ?Sized>(
        &self,
        key: &RunKey,
        input: &T,
        reason: &str,
    ) -> Result<Head, Error> {
        self.send(key, Ask::new(Verb::EditInput, Actor::Program, reason).with(value_of(input)?)).await
    }

    /// Ends a run as cancelled at once: what runs is dropped where it is, and nothing is undone. The worker that has the
    /// run is asked first; one that does not answer within a second loses the run, and what it writes afterwards is
    /// refused.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn terminate(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Terminate, Actor::Program, reason).await
    }

    /// Asks a run to hold once its running attempts have ended.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn pause(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Pause, Actor::Program, reason).await
    }

    /// Stops running attempts and holds the run.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn interrupt(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Interrupt, Actor::Program, reason).await
    }

    /// Lets a held run go on where it was, or takes back a pause that it has not carried out yet.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn resume(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Resume, Actor::Program, reason).await
    }

    /// Lets a held or failed run go on, with a fresh budget of attempts for every step that has no result.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn retry(&self, key: &RunKey, reason: &str) -> Result<Head, Error> {
        self.ask(key, Verb::Retry, Actor::Program, reason).await
    }

    /// What the store says of itself now.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn store(&self) -> Result<StoreInfo, Error> {
        Ok(self.0.core.backend.info().await?)
    }

    /// The store.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.core.backend
    }

    /// The name of this worker.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.0.core.worker
    }

    /// The definitions that this engine has now: those that are registered, and those that were posted. What other engines have
    /// registered is in [`outlines`](Self::outlines).
    #[must_use]
    pub fn definitions(&self) -> Vec<Definition> {
        self.0.core.definitions.all().values().map(|registered| registered.definition.clone()).collect()
    }

    /// The store's time, as far as this process knows it.
    #[must_use]
    pub fn now(&self) -> stepwell_contract::Timestamp {
        self.0.core.time.now()
    }

    /// How many runs this process advances now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.core.runners.len()
    }

    /// Whether the store has said that it must not be written any more: end the process and start it again.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.0.core.committer.poison().is_some()
    }

    /// Stops taking runs, lets running attempts end within the grace time, stops the others, and gives every run up, so
    /// that another worker takes it at once. Returns when that is durable.
    ///
    /// # Cancellation
    /// Dropping the future leaves the shutdown going on; runs not given up are taken when their lease ends.
    pub async fn shutdown(&self) {
        let core = Arc::clone(&self.0.core);
        // On the engine's own runtime: whoever asked may go.
        let _ = self.0.core.runtime.spawn(async move { stop(&core).await }).await;
    }
}

async fn stop(core: &Core) {
    core.stopping.cancel();
    core.runners.close();
    for slot in core.registry.slots() {
        slot.wake.notify_one();
    }
    let grace = core.time.sleep(core.options.shutdown_grace_ms);
    tokio::select! {
        () = core.runners.wait() => return presence::leave(core).await,
        () = grace => {}
    }
    tracing::warn!(runs = core.runners.len(), "the grace time is over; running steps are told to stop");
    core.grace_over.cancel();
    let last = Duration::from_millis(core.options.stop_grace_ms.saturating_add(5_000));
    if tokio::time::timeout(last, core.runners.wait()).await.is_err() {
        tracing::error!(
            runs = core.runners.len(),
            "steps did not stop; their runs are taken when the leases end"
        );
    }
    presence::leave(core).await;
}
