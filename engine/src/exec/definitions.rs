//! The workflows that this process has: those that the program registered, and those that were posted, of which more may come.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use stepwell_contract::WorkflowRef;
use tokio::sync::Notify;

use crate::exec::core::Registered;

type Known = HashMap<WorkflowRef, Arc<Registered>>;

/// The workflows that this process has.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    known: RwLock<Arc<Known>>,
    grown: Notify,
}

impl Definitions {
    pub(crate) fn new(registered: Known) -> Self {
        Self { known: RwLock::new(Arc::new(registered)), grown: Notify::new() }
    }

    /// All of them as they are now.
    pub(crate) fn all(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn get(&self, reference: &WorkflowRef) -> Option<Arc<Registered>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(reference).cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether the program has registered none: what was posted any engine has.
    pub(crate) fn none_is_registered(&self) -> bool {
        self.all().values().all(|known| known.posted.is_some())
    }

    /// Adds a workflow that was posted, unless one of its name and version is there: what is registered stays.
    pub(crate) fn add(&self, posted: Arc<Registered>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let reference = posted.reference();
        if !known.contains_key(&reference) {
            Arc::make_mut(&mut known).insert(reference, posted);
            self.grown.notify_waiters();
        }
    }

    /// Waits until there is any.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) async fn any(&self) {
        loop {
            let grown = self.grown.notified();
            if !self.is_empty() {
                return;
            }
            grown.await;
        }
    }
}
