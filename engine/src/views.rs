//! The engine's read-only views: where what is stored and what is registered meet the folds of [`observe`](crate::observe).

mod case_file;
mod search;
mod stats;

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Cursor, Head, Page, Query, RunKey, Status, TenantId, WorkflowRef};

use crate::diagnosis::Diagnosis;
use crate::diagnosis::evidence::AttemptRecord;
use crate::error::Error;
use crate::exec::engine::Engine;
use crate::exec::limits::queues::QueuePause;
use crate::exec::runner::Left;
use crate::exec::{load, outlines, posted};
use crate::observe::cancelled::why_cancelled;
use crate::observe::cause::{Cause, cause};
use crate::observe::check::{Block, CheckReport, Fitness, RunCheck};
use crate::observe::logs::{AttemptLine, lines};
use crate::observe::names::item_name;
use crate::observe::past::Past;
use crate::observe::progress::{RunProgress, begun, progress};
use crate::observe::verdict::{Having, Unfinished, Verdict, verdict};
use crate::run::change::look_ahead;
use crate::run::event::Event;
use crate::run::place::Place;
use crate::run::state::{FoldError, Request};
use crate::workflow::definition::Definition;
use crate::workflow::posted::is_own;

/// How many heads a check reads at once.
const CHECK_HEADS: usize = 100;
/// How many past runs an estimate looks at.
const PAST_RUNS: usize = 10;

impl Engine {
    /// How far a run is, and how long it may still take. Where its workflow is neither registered here nor known from others that have
    /// it ([`outlines`](Self::outlines)), only the steps that have begun are known, and
    /// [`is_complete`](RunProgress::is_complete) is `false`.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`].
    pub async fn progress(&self, key: &RunKey) -> Result<RunProgress, Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let registered = outlines::definition_of(self.core(), &head).await?;
        let state = self.state(key).await?;
        let Some(registered) = registered else { return Ok(begun(&head, &state, self.now())) };
        let past = if head.status.is_finished() { Past::default() } else { self.past(&head).await? };
        Ok(progress(&head, &state, registered.definition.graph(), &past, self.now()))
    }

    /// The definition that a run goes on with, registered here or posted: that of its version, or one that takes that over; else as
    /// other engines that have it told of it, without the code of its steps. `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn definition_of(&self, head: &Head) -> Result<Option<Definition>, Error> {
        let registered = outlines::definition_of(self.core(), head).await?;
        Ok(registered.map(|registered| registered.definition.clone()))
    }

    /// How people call the item that a place of a run is in, the outermost level first; `None` where no level is
    /// [named](crate::workflow::builder::WorkflowBuilder::name_items), or the run's [definition](Self::definition_of) is not known.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`].
    pub async fn item_name(&self, key: &RunKey, place: &Place) -> Result<Option<String>, Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let Some(registered) = outlines::definition_of(self.core(), &head).await? else { return Ok(None) };
        Ok(item_name(registered.definition.graph(), &self.state(key).await?, place))
    }

    /// What the steps of a run logged, oldest first.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`].
    pub async fn logs(&self, key: &RunKey) -> Result<Vec<AttemptLine>, Error> {
        let records = self.history(key).await?;
        lines(&records).map_err(|error| Error::Journal { key: key.clone(), source: error.into() })
    }

    /// The attempts of a step that have ended, oldest first, with what was seen of those that failed: whatever came later, a
    /// success, a restart or a fork. Where the run was forked and the step only copied, those of the run it was copied from.
    /// Of many attempts some are left out: see [`ledger`](crate::run::ledger).
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`].
    pub async fn attempts(&self, key: &RunKey, place: &Place) -> Result<Vec<AttemptRecord>, Error> {
        match load::ledger(self.backend().as_ref(), key, place).await? {
            Some(ledger) => Ok(ledger.attempts()),
            None if self.get(key).await?.is_some() => Ok(Vec::new()),
            None => Err(Error::NoSuchRun(key.clone())),
        }
    }

    /// What was said last of why a step of the run failed, or why the run is held or failed: also after it went on since. Of a run
    /// of which nothing has failed for good: who cancelled it, or what keeps it waiting that is not as it should be, as far as that
    /// can be told now. `None` otherwise.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`].
    pub async fn diagnosis(&self, key: &RunKey) -> Result<Option<Diagnosis>, Error> {
        let records = self.history(key).await?;
        for record in records.iter().rev().filter(|record| record.kind.as_str() == "diagnosed") {
            match Event::read(record) {
                Ok(Event::Diagnosed(told)) if told.late_by.is_none() => return Ok(Some(*told.diagnosis)),
                Ok(_) => {}
                Err(error) => return Err(Error::Journal { key: key.clone(), source: error.into() }),
            }
        }
        match why_cancelled(key, &records, self.now()) {
            None => self.why_it_waits(key).await,
            some => Ok(some),
        }
    }

    /// Whether a run can go on with what is registered here, or with a worker that is there and has its workflow, and what speaks
    /// against it.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`].
    pub async fn can_resume(&self, key: &RunKey) -> Result<Verdict, Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let here = posted::definition_of(self.core(), &head).await?;
        let (worker, told) = match here {
            Some(_) => (None, None),
            None => (
                outlines::worker_of(self.core(), &head).await?,
                outlines::definition_of(self.core(), &head).await?,
            ),
        };
        let having = match (&here, &worker) {
            (Some(here), _) => Having::Here(&here.definition),
            (None, Some(worker)) => {
                Having::Elsewhere { worker, told: told.as_ref().map(|told| &told.definition) }
            }
            (None, None) => Having::Nobody,
        };
        match self.state(key).await {
            Ok(state) => Ok(verdict(&head, Ok(&state), having, self.now())),
            Err(Error::Journal { source, .. }) => Ok(verdict(&head, Err(&source), having, self.now())),
            Err(error) => Err(error),
        }
    }

    /// What a run waits for; `None` when it has ended. Every run that has not ended waits for something that this names.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`] when this version cannot read it; [`Error::Store`].
    pub async fn cause(&self, key: &RunKey) -> Result<Option<Cause>, Error> {
        loop {
            let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
            let state = self.state(key).await?;
            let has_mail = !self.backend().inbox(key, 1).await?.is_empty();
            // A run that moves is looked at again: its head and journal must speak of the same moment.
            if state.last_seq.plus(1) == head.next_seq {
                let Some(cause) = cause(&head, &state, has_mail, self.now()) else { return Ok(None) };
                let cause = self.with_names(cause).await?;
                // A program that registers nothing steers runs of others: it knows nothing of their workflows.
                let core = self.core();
                if core.definitions.none_is_registered()
                    || core.definition_of(&head).is_some()
                    || outlines::worker_of(core, &head).await?.is_some()
                {
                    return Ok(Some(cause));
                }
                let nearest = core.nearest(head.workflow.as_str(), Some(head.workflow_version));
                return Ok(Some(cause.without_definition(nearest)));
            }
        }
    }

    /// Says who counts for a limit, or who paused a queue.
    async fn with_names(&self, cause: Cause) -> Result<Cause, Error> {
        Ok(match cause {
            Cause::Limit { queue, key, limit, others, since, .. } => {
                let holders = self.counted(&queue).await?;
                Cause::Limit { queue, key, limit, holders, others, since }
            }
            Cause::QueuePaused { queue, by, message, since } => match self.queue_pause(&queue).await? {
                Some(pause) => {
                    let QueuePause { actor: by, message, since } = pause;
                    Cause::QueuePaused { queue, by, message, since }
                }
                None => Cause::QueuePaused { queue, by, message, since },
            },
            other => other,
        })
    }

    /// A page of the runs that have not ended, newest first, with what is wrong with them. Reads heads only.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn unfinished(&self, after: Option<Cursor>, limit: usize) -> Result<Page<Unfinished>, Error> {
        let page = self.list(&open(), after, limit.min(PAGE_ITEMS_MAX)).await?;
        Ok(Page { items: page.items.iter().map(Unfinished::of).collect(), next: page.next })
    }

    /// Looks how the workflows registered here stand to every run that has not ended: what a worker with them would do. It
    /// only reads, also while other workers go on: ask it of a new version of a program before that takes any run. Requests and
    /// signals that wait in inboxes are not looked at, nor are schedules and other runs of the engine itself, unless this engine keeps them.
    /// Runs of other programs that share the store count as blocked: pass over them with [`checks`](Self::checks).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn check(&self) -> Result<CheckReport, Error> {
        let mut report = CheckReport::default();
        let mut checks = self.checks();
        while let Some(check) = checks.next().await? {
            report.add(check);
        }
        Ok(report)
    }

    /// The same run by run, the newest first, with one in memory at a time.
    #[must_use]
    pub fn checks(&self) -> Checks<'_> {
        Checks { engine: self, query: open(), page: Vec::new().into_iter(), next: Some(None) }
    }

    /// What the steps of the same workflow took in its tenant's latest runs.
    async fn past(&self, head: &Head) -> Result<Past, Error> {
        let query = Query {
            // How long it takes others is theirs to know.
            tenant: Some(head.key.tenant.clone()),
            workflow: Some(head.workflow.clone()),
            statuses: vec![Status::Succeeded],
            ..Query::default()
        };
        let mut past = Past::default();
        for run in self.list(&query, None, PAST_RUNS).await?.items {
            past.add(&self.history(&run.key).await?);
        }
        Ok(past)
    }
}

/// The runs that have not ended.
fn open() -> Query {
    let statuses = Status::ALL.into_iter().filter(|status| !status.is_finished()).collect();
    Query { statuses, ..Query::default() }
}

/// How the workflows of an engine stand to the runs that have not ended, one after the other.
#[derive(Debug)]
pub struct Checks<'a> {
    engine: &'a Engine,
    query: Query,
    page: std::vec::IntoIter<Head>,
    /// Where the next page begins, from the beginning if nowhere; nothing behind the last page.
    next: Option<Option<Cursor>>,
}

impl Checks<'_> {
    /// Of the runs of a tenant alone.
    #[must_use]
    pub fn of(mut self, tenant: TenantId) -> Self {
        self.query.tenant = Some(tenant);
        self
    }

    /// What was found about the next run; `None` behind the last.
    ///
    /// # Errors
    /// [`Error::Store`]; the next call goes on where it was.
    pub async fn next(&mut self) -> Result<Option<RunCheck>, Error> {
        loop {
            while let Some(head) = self.page.as_slice().first() {
                let found = self.engine.look_at(head).await?;
                self.page.next();
                if found.is_some() {
                    return Ok(found);
                }
            }
            let Some(after) = self.next.clone() else { return Ok(None) };
            let page = self.engine.list(&self.query, after, CHECK_HEADS).await?;
            self.next = page.next.map(Some);
            self.page = page.items.into_iter();
        }
    }
}

impl Engine {
    /// How the workflows registered here stand to a run; `None` when it has ended since it was listed.
    async fn look_at(&self, head: &Head) -> Result<Option<RunCheck>, Error> {
        let found = |version, status, fitness| {
            let (key, name) = (head.key.clone(), head.workflow.clone());
            Some(RunCheck { key, workflow: WorkflowRef { name, version }, status, fitness })
        };
        let mut state = match load::state(self.backend().as_ref(), &head.key).await {
            Ok(state) => state,
            // It was removed.
            Err(Left::Fold(FoldError::NoBeginning)) if self.get(&head.key).await?.is_none() => {
                return Ok(None);
            }
            Err(Left::Fold(error)) => {
                let fitness = Fitness::Blocked { block: Block::Unreadable(error.to_string()) };
                return Ok(found(head.workflow_version, head.status, fitness));
            }
            Err(left) => return Err(left.into_error(&head.key)),
        };
        let (version, status) = (state.workflow_version, state.status);
        if status.is_finished() {
            return Ok(None);
        }
        let reference = WorkflowRef { name: head.workflow.clone(), version };
        let fitness = match self.core().definition_for(&reference) {
            None if is_own(&reference.name) => return Ok(None),
            None => {
                let nearest = self.core().nearest(reference.name.as_str(), Some(version));
                Fitness::Blocked { block: Block::NoDefinition { nearest } }
            }
            // It ends as it is, whatever its definition says.
            Some(_) if state.ending.is_some() || state.request == Some(Request::Cancel) => {
                Fitness::Fine { moves_to: None }
            }
            Some(registered) => match look_ahead(&registered.definition, &mut state) {
                Ok(ahead) => {
                    Fitness::Fine { moves_to: ahead.moves_from.map(|_| registered.definition.version()) }
                }
                Err(holdup) => holdup.into(),
            },
        };
        Ok(found(version, status, fitness))
    }
}
