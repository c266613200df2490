//! Which runs this process advances, and who waits for a run to come to rest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use stepwell_contract::RunKey;
use tokio::sync::oneshot;

use crate::exec::outcome::Outcome;
use crate::exec::slot::Slot;
use crate::lock::lock;

/// Which runs this process advances, and who waits for a run to come to rest.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    slots: Mutex<HashMap<RunKey, Arc<Slot>>>,
    waiters: Mutex<HashMap<RunKey, Vec<oneshot::Sender<Outcome>>>>,
}

impl Registry {
    /// The run, if this process advances it.
    pub(crate) fn slot(&self, key: &RunKey) -> Option<Arc<Slot>> {
        lock(&self.slots).get(key).cloned()
    }

    /// All runs that this process advances.
    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.slots).values().cloned().collect()
    }

    pub(crate) fn add_slot(&self, slot: &Arc<Slot>) {
        if let Some(former) = lock(&self.slots).insert(slot.key.clone(), Arc::clone(slot)) {
            // Two owners in one process: the former one must not run on until its next write tells it.
            former.lost.cancel();
        }
    }

    pub(crate) fn remove_slot(&self, slot: &Arc<Slot>) {
        slot.end();
        let mut slots = lock(&self.slots);
        // A later takeover by this same process may have put its own in place.
        if slots.get(&slot.key).is_some_and(|present| Arc::ptr_eq(present, slot)) {
            slots.remove(&slot.key);
        }
    }

    /// Asks to be told when this process brings the run to rest.
    pub(crate) fn wait_for(&self, key: &RunKey) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        let mut waiters = lock(&self.waiters);
        let waiting = waiters.entry(key.clone()).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(tell);
        told
    }

    /// Forgets those who no longer wait for the run.
    pub(crate) fn forget_waiters(&self, key: &RunKey) {
        let mut waiters = lock(&self.waiters);
        if let Some(waiting) = waiters.get_mut(key) {
            waiting.retain(|waiter| !waiter.is_closed());
            if waiting.is_empty() {
                waiters.remove(key);
            }
        }
    }

    /// Tells whoever waits for the run how it came to rest.
    pub(crate) fn tell(&self, key: &RunKey, outcome: &Outcome) {
        if matches!(outcome, Outcome::Released) {
            return;
        }
        for waiter in lock(&self.waiters).remove(key).into_iter().flatten() {
            // Who waited may have gone.
            let _ = waiter.send(outcome.clone());
        }
    }
}
