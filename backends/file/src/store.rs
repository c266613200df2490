//! What the threads of an open store share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stepwell_contract::{BackendError, Clock, RunKey, StoreId};
use tokio::sync::Notify;

use crate::catalogue::Catalogue;
use crate::disk::Disk;
use crate::files::Files;
use crate::identity::Identity;
use crate::options::FileOptions;
use crate::run::Run;
use crate::state::State;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: FileOptions,
    id: StoreId,
    pub(crate) identity: Mutex<Identity>,
    pub(crate) catalogue: Catalogue,
    pub(crate) files: Files,
    pub(crate) written: Notify,
    pub(crate) closing: AtomicBool,
    /// Whether the catalogue stays closed until the store is opened again.
    pub(crate) catalogue_is_lost: AtomicBool,
    state: Mutex<State>,
}

impl Store {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: FileOptions,
        identity: Identity,
        catalogue: Catalogue,
        state: State,
    ) -> Self {
        Self {
            files: Files::new(Arc::clone(&disk)),
            disk,
            clock: Arc::clone(&options.clock),
            options,
            id: identity.id,
            identity: Mutex::new(identity),
            catalogue,
            written: Notify::new(),
            closing: AtomicBool::new(false),
            catalogue_is_lost: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a fault of ours; the files, which are the truth, are not touched under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    /// The run as of the last durable line. A finished one that is found may leave memory at any time after.
    pub(crate) fn find(&self, key: &RunKey) -> Result<Option<Arc<Run>>, BackendError> {
        let view = {
            let state = self.state();
            if let Some(run) = state.runs.get(key) {
                return Ok(Some(Arc::clone(run)));
            }
            if state.shadowed.contains(key) {
                return Ok(None);
            }
            // Under the lock, so that a save between the two cannot hide the run from both.
            self.catalogue.view()?
        };
        Ok(view.finished(key)?.map(Arc::new))
    }
}
