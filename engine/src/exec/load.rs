//! A run's state from its journal.

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Backend, Record, RunKey, Seq};

use crate::exec::runner::Left;
use crate::run::state::{FoldError, State};

/// The state of a run as its journal tells it now.
pub(crate) async fn state(backend: &dyn Backend, key: &RunKey) -> Result<State, Left> {
    let mut page = backend.journal(key, Seq::FIRST, PAGE_ITEMS_MAX).await?;
    if page.is_empty() {
        return Err(FoldError::NoBeginning.into());
    }
    let mut state = State::fold(&page)?;
    while page.len() == PAGE_ITEMS_MAX {
        page = backend.journal(key, state.last_seq.plus(1), PAGE_ITEMS_MAX).await?;
        for record in &page {
            state.replay(record)?;
        }
    }
    Ok(state)
}

/// All records of a run.
pub(crate) async fn records(
    backend: &dyn Backend,
    key: &RunKey,
) -> Result<Vec<Record>, stepwell_contract::BackendError> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let from = records.last().map_or(Seq::FIRST, |last| last.seq.plus(1));
        let page = backend.journal(key, from, PAGE_ITEMS_MAX).await?;
        let is_last = page.len() < PAGE_ITEMS_MAX;
        records.extend(page);
        if is_last {
            return Ok(records);
        }
    }
}
