//! The work that nobody waits for: saving what changed to the catalogue, so that finished runs leave memory, and
//! clearing away what removed ones left on the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

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

/// Works until it is told to close, or nobody is left to tell it.
pub(crate) fn run(store: &Arc<Store>, tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        let kept = save(store).and_then(|()| rewrite::clear_away(store));
        if let Err(error) = &kept {
            tracing::warn!(%error, "the index is behind; finished runs stay in memory, dead lines on the disk");
        }
        note(store, kept.as_ref().err());
        if task == Task::Close || store.closing.load(Ordering::SeqCst) {
            break;
        }
    }
}

/// Says in the store's health whether the index can be saved.
fn note(store: &Store, error: Option<&BackendError>) {
    let mut state = store.state();
    state.keeper_asked = false;
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
