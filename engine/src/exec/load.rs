//! A run's state and records from its journal, page by page.

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Backend, BackendError, Record, RunKey, Seq};

use crate::exec::runner::Left;
use crate::run::ledger::Ledger;
use crate::run::place::Place;
use crate::run::state::{FoldError, State};

/// A journal, page by page.
pub(crate) struct Pages<'a> {
    backend: &'a dyn Backend,
    key: &'a RunKey,
    /// Where the next page begins; `None` behind the last.
    from: Option<Seq>,
}

impl<'a> Pages<'a> {
    /// The records of a run from `from` on.
    pub(crate) fn new(backend: &'a dyn Backend, key: &'a RunKey, from: Seq) -> Self {
        Self { backend, key, from: Some(from) }
    }

    /// The next page, which may be empty; `None` behind the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, BackendError> {
        let Some(from) = self.from else { return Ok(None) };
        let page = self.backend.journal(self.key, from, PAGE_ITEMS_MAX).await?;
        // By the records and not by their number: a journal with a gap is not read for ever.
        self.from = page.last().filter(|_| page.len() == PAGE_ITEMS_MAX).map(|last| last.seq.plus(1));
        Ok(Some(page))
    }
}

/// The state of a run as its journal tells it now.
pub(crate) async fn state(backend: &dyn Backend, key: &RunKey) -> Result<State, Left> {
    state_from(backend, key, None).await
}

/// The same, of which a part may be known: then only what the journal has behind it is read.
pub(crate) async fn state_from(
    backend: &dyn Backend,
    key: &RunKey,
    known: Option<State>,
) -> Result<State, Left> {
    let from = known.as_ref().map_or(Seq::FIRST, |known| known.last_seq.plus(1));
    let mut pages = Pages::new(backend, key, from);
    let mut state = known;
    while let Some(page) = pages.next().await? {
        match &mut state {
            None => state = Some(State::fold(&page)?),
            Some(state) => {
                for record in &page {
                    state.replay(record)?;
                }
            }
        }
    }
    Ok(state.ok_or(FoldError::NoBeginning)?)
}

/// All records of a run.
pub(crate) async fn records(backend: &dyn Backend, key: &RunKey) -> Result<Vec<Record>, BackendError> {
    let mut pages = Pages::new(backend, key, Seq::FIRST);
    let mut records = Vec::new();
    while let Some(page) = pages.next().await? {
        records.extend(page);
    }
    Ok(records)
}

/// Forks of forks that are followed back to where a step ran.
const FORKS_MAX: usize = 16;

/// The ledger of a step as the journal tells it now, of the run in which the step ran: a fork only copies how it ended.
/// Nothing when there is no such run, or the one that it was copied from was removed.
pub(crate) async fn ledger(
    backend: &dyn Backend,
    key: &RunKey,
    place: &Place,
) -> Result<Option<Ledger>, BackendError> {
    let mut key = key.clone();
    for _ in 0..FORKS_MAX {
        let (mut ledger, mut is_there) = (Ledger::at(place.clone()), false);
        let mut pages = Pages::new(backend, &key, Seq::FIRST);
        while let Some(page) = pages.next().await? {
            is_there |= !page.is_empty();
            ledger.add(&page);
        }
        match ledger.copied_from() {
            _ if !is_there => return Ok(None),
            Some(origin) => key = origin.clone(),
            None => return Ok(Some(ledger)),
        }
    }
    Ok(None)
}
