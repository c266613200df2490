//! What is held in memory: the unfinished runs, and for a moment those that a write touches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use stepwell_contract::index::Index;
use stepwell_contract::tally::Tallies;
use stepwell_contract::{Head, RunKey};

use crate::frame::Effect;
use crate::run::Run;

/// The runs in memory. Every unfinished one is here; a finished one is here or in the trees.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) runs: HashMap<RunKey, Run>,
    /// How many runs there are of each sort, those in the trees too.
    pub(crate) tallies: Tallies,
}

impl State {
    /// Applies an effect of a group to the runs it names.
    pub(crate) fn apply(&mut self, group: u64, effect: &Effect) {
        match effect {
            Effect::Write { key, head, extents, post, take } => {
                // A message for a run that is not here: the log is being replayed and the run was removed later.
                if head.is_none() && !self.runs.contains_key(key) {
                    return;
                }
                let run = self.runs.entry(key.clone()).or_insert_with(Run::new);
                if group <= run.base {
                    return;
                }
                run.applied = group;
                if let Some(head) = head {
                    run.head = Some(Arc::clone(head));
                }
                run.append(extents);
                run.mail(post, take);
                self.reindex(key);
            }
            Effect::Remove { key, .. } => {
                if self.runs.get(key).is_some_and(|run| run.base < group) {
                    self.forget(key);
                }
            }
            Effect::Move { key, extents, .. } => {
                if let Some(run) = self.runs.get_mut(key)
                    && run.base < group
                {
                    run.applied = group;
                    run.move_to(extents);
                }
            }
        }
    }

    /// Puts a run that was read from the trees.
    pub(crate) fn load(&mut self, key: RunKey, run: Run) {
        self.runs.insert(key.clone(), run);
        self.reindex(&key);
    }

    fn reindex(&mut self, key: &RunKey) {
        if let Some(run) = self.runs.get(key)
            && let Some(head) = &run.head
        {
            self.index.put(Arc::clone(head), !run.inbox.is_empty());
        }
    }

    /// Lets go of a run.
    pub(crate) fn forget(&mut self, key: &RunKey) {
        self.runs.remove(key);
        self.index.remove(key);
    }

    /// Ends every lease, as a store does that one process owns when it is opened.
    pub(crate) fn end_leases(&mut self) {
        let held: HashSet<RunKey> = self
            .runs
            .iter()
            .filter(|(_, run)| run.head.as_ref().is_some_and(|head| head.lease.is_some()))
            .map(|(key, _)| key.clone())
            .collect();
        for key in held {
            if let Some(run) = self.runs.get_mut(&key)
                && let Some(head) = &run.head
            {
                run.head = Some(Arc::new(Head::clone(head).with_lease_ended()));
            }
            // Out and in again: a renewed lease alone would leave the run at its old place.
            self.index.remove(&key);
            self.reindex(&key);
        }
    }
}
