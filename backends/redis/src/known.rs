//! What this process knows of heads it has read or written: enough to find a batch that contradicts its run before
//! anything is sent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stepwell_contract::{Fence, Head, RunKey, Seq, Timestamp, Version};

/// Entries of one generation; at most two are kept.
const GENERATION_MAX: usize = 32_768;

/// What `Batch::judge` looks at in a head. A version stands for exactly one content, so this never grows stale: it
/// either is about the present version or of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version: Version,
    pub(crate) next_seq: Seq,
    pub(crate) fence: Fence,
    pub(crate) created_at: Timestamp,
}

impl Known {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            version: head.version,
            next_seq: head.next_seq,
            fence: head.fence,
            created_at: head.created_at,
        }
    }
}

/// The heads seen lately, of bounded number.
#[derive(Debug, Default)]
pub(crate) struct KnownHeads(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<RunKey, Known>,
    old: HashMap<RunKey, Known>,
}

impl KnownHeads {
    fn lock(&self) -> MutexGuard<'_, Generations> {
        // Every state is a right one: at worst an entry is missing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers heads.
    pub(crate) fn learn<'a>(&self, heads: impl IntoIterator<Item = &'a Head>) {
        let mut generations = self.lock();
        for head in heads {
            if generations.young.len() >= GENERATION_MAX {
                generations.old = std::mem::take(&mut generations.young);
            }
            match generations.young.get_mut(&head.key) {
                Some(known) => *known = Known::of(head),
                None => drop(generations.young.insert(head.key.clone(), Known::of(head))),
            }
        }
    }

    /// What is known of each run.
    pub(crate) fn recall<'a>(&self, keys: impl IntoIterator<Item = &'a RunKey>) -> Vec<Option<Known>> {
        let generations = self.lock();
        let find = |key| generations.young.get(key).or_else(|| generations.old.get(key)).copied();
        keys.into_iter().map(find).collect()
    }
}
