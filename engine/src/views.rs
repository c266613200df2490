//! The engine's read-only views: where what is stored and what is registered meet the folds of [`observe`](crate::observe).

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Cursor, Head, Page, Query, RunKey, Status};

use crate::error::Error;
use crate::exec::engine::Engine;
use crate::observe::cause::{Cause, cause};
use crate::observe::logs::{AttemptLine, lines};
use crate::observe::names::item_name;
use crate::observe::past::Past;
use crate::observe::progress::{RunProgress, progress};
use crate::observe::verdict::{Unfinished, Verdict, verdict};
use crate::run::place::Place;

/// How many past runs an estimate looks at.
const PAST_RUNS: usize = 10;

impl Engine {
    /// How far a run is, and how long it may still take.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::UnknownWorkflow`] when its workflow is not registered here, without which the steps
    /// not yet begun are not known; [`Error::Journal`]; [`Error::Store`].
    pub async fn progress(&self, key: &RunKey) -> Result<RunProgress, Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let registered = self.core().definition_of(&head).ok_or_else(|| Error::UnknownWorkflow {
            name: format!("{} version {}", head.workflow, head.workflow_version),
            hint: String::new(),
        })?;
        let state = self.state(key).await?;
        let past = if head.status.is_finished() { Past::default() } else { self.past(&head).await? };
        Ok(progress(&head, &state, registered.definition.graph(), &past, self.now()))
    }

    /// How people call the item that a place of a run is in, the outermost level first; `None` where no level is
    /// [named](crate::workflow::builder::WorkflowBuilder::name_items), or the run's workflow is not registered here.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Journal`]; [`Error::Store`].
    pub async fn item_name(&self, key: &RunKey, place: &Place) -> Result<Option<String>, Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let Some(registered) = self.core().definition_of(&head) else { return Ok(None) };
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

    /// Whether a run can go on with what is registered here, and what speaks against it.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Store`].
    pub async fn can_resume(&self, key: &RunKey) -> Result<Verdict, Error> {
        let head = self.get(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))?;
        let registered = self.core().definition_of(&head);
        let graph = registered.as_ref().map(|registered| registered.definition.graph().as_ref());
        match self.state(key).await {
            Ok(state) => Ok(verdict(&head, Ok(&state), graph, self.now())),
            Err(Error::Journal { source, .. }) => Ok(verdict(&head, Err(&source), graph, self.now())),
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
                return Ok(cause(&head, &state, has_mail, self.now()));
            }
        }
    }

    /// A page of the runs that have not ended, newest first, with what is wrong with them. Reads heads only.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn unfinished(&self, after: Option<Cursor>, limit: usize) -> Result<Page<Unfinished>, Error> {
        let statuses = Status::ALL.into_iter().filter(|status| !status.is_finished()).collect();
        let page =
            self.list(&Query { statuses, ..Query::default() }, after, limit.min(PAGE_ITEMS_MAX)).await?;
        Ok(Page { items: page.items.iter().map(Unfinished::of).collect(), next: page.next })
    }

    /// What the steps of the same workflow took in its latest runs.
    async fn past(&self, head: &Head) -> Result<Past, Error> {
        let query = Query {
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
