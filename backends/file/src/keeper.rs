//! The work that nobody waits for: saving what changed to the catalogue, so that finished runs leave memory, and
//! clearing away what removed ones left on the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError};
use std::time::Duration;

use stepwell_contract::{BackendError, Health};

use crate::rewrite;
use crate::store::Store;

/// What the keeper is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Save, then clear away.
    Tidy,
    /// Save a last time and end.
    Close,
}

/// How long after a failure the keeper tries again by itself.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Works until it is told to close, or nobody is left to tell it.
pub(crate) fn run(store: &Arc<Store>, tasks: &Receiver<Task>) {
    let mut has_failed = false;
    loop {
        let task = if has_failed {
            match tasks.recv_timeout(RETRY_AFTER) {
                Err(RecvTimeoutError::Timeout) => Ok(Task::Tidy),
                received => received.map_err(|_| RecvError),
            }
        } else {
            tasks.recv()
        };
        let Ok(task) = task else { break };
        let kept = tidy(store, has_failed);
        if let Err(error) = &kept
            && !has_failed
        {
            tracing::warn!(%error, "the index is behind; finished runs stay in memory, dead lines on the disk");
        }
        has_failed = kept.is_err() && !store.catalogue_is_lost.load(Ordering::SeqCst);
        note(store, kept.as_ref().err());
        if task == Task::Close || store.closing.load(Ordering::SeqCst) {
            break;
        }
    }
}

fn tidy(store: &Store, after_failure: bool) -> Result<(), BackendError> {
    if after_failure {
        store.catalogue.reopen(&*store.disk)?;
    }
    save(store)?;
    rewrite::clear_away(store)
}

/// Says in the store's health whether the index can be saved.
fn note(store: &Store, error: Option<&BackendError>) {
    let mut state = store.state();
    // After a failure it tries again by itself.
    state.keeper_asked = error.is_some();
    state.health = match (&state.health, error) {
        (Health::Poisoned(why), _) => Health::Poisoned(why.clone()),
        (_, Some(error)) => Health::Degraded(format!("the index is behind: {error}")),
        (_, None) => Health::Ok,
    };
}

/// Brings the catalogue up to date with what is durable. Runs on one thread at a time.
pub(crate) fn save(store: &Store) -> Result<(), BackendError> {
    let snapshot = {
        let mut state = store.state();
        if state.changed.is_empty() && state.saved == state.end {
            return Ok(());
        }
        state.begin_save()
    };
    let saved = sync_up_to(store, snapshot.end.segment).and_then(|()| store.catalogue.save(&snapshot));
    let mut state = store.state();
    match saved {
        Ok(()) => state.end_save(&snapshot),
        Err(_) => state.undo_save(&snapshot),
    }
    saved
}

/// The catalogue must never know more than the journal has on the disk.
fn sync_up_to(store: &Store, segment: u32) -> Result<(), BackendError> {
    if store.options.sync {
        return Ok(());
    }
    let id = crate::run::SegmentId::first(segment);
    let synced = store.files.get(id).and_then(|file| file.sync());
    synced.map_err(|error| crate::fault::definite(&store.disk.describe(&id.file_name()), "sync", error))
}
