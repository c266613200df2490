//! What is read of a run for one page: its head, its journal, and what the two make.

use std::ops::Deref;
use std::sync::Arc;

use stepwell::Definition;
use stepwell::contract::{Head, Record, RunKey};
use stepwell::run::event::Event;
use stepwell::run::state::State;
use stepwell::run::summary::Summary;

use crate::api::runs::head;
use crate::app::App;
use crate::journals::Journal;
use crate::problem::Problem;
use crate::view::run::Run;

/// A run as it was when the page was made.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) head: Head,
    pub(crate) summary: Summary,
    pub(crate) run: Run,
    journal: Arc<Journal>,
    /// What it executes, where this engine has it.
    pub(crate) definition: Option<Definition>,
}

/// A sight is a journal with what stands beside it.
impl Deref for Sight {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.journal
    }
}

impl Sight {
    /// Reads all that pages show of a run.
    ///
    /// # Errors
    /// [`Code::NotFound`](crate::problem::Code::NotFound) when there is no such run; the store's errors. A journal that cannot
    /// be read is none: the page says so.
    pub(crate) async fn of(app: &App, key: &RunKey) -> Result<Self, Problem> {
        let head = head(app, key).await?;
        let journal = app.journals().of(app.engine(), &head).await?;
        let definition = app.engine().definition_of(&head).await?;
        let summary = head.summary.decode().unwrap_or_default();
        Ok(Self { run: Run::of(&head), summary, journal, definition, head })
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref().ok()
    }

    /// Whether the definition here is another one than that which the run began with.
    pub(crate) fn is_changed(&self) -> bool {
        match (&self.definition, &self.state) {
            (Some(known), Ok(state)) => known.fingerprint() != state.fingerprint,
            _ => false,
        }
    }

    /// The step that keeps it from going on, or made it fail.
    pub(crate) fn trouble_at(&self) -> Option<String> {
        self.summary.trouble.as_ref()?.place.as_ref().map(ToString::to_string)
    }

    /// The first event of a kind, with its record.
    pub(crate) fn first(&self, kind: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.kind.as_str() == kind)
    }

    /// The last event of a kind that can be read, with its record.
    pub(crate) fn last(&self, kind: &str) -> Option<(&Record, Event)> {
        let record = self.records.iter().rev().find(|record| record.kind.as_str() == kind)?;
        Event::read(record).ok().map(|event| (record, event))
    }
}
