//! Shares of what there is a limited number of: however much one caller takes, it leaves some to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::identify::Holder;

/// What there is a limited number of.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    most_each: usize,
    held: Arc<Mutex<Held>>,
}

/// What is taken.
#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_holder: HashMap<Holder, usize>,
}

/// One of them: taken as long as this is kept.
#[derive(Debug)]
pub(crate) struct Share {
    held: Arc<Mutex<Held>>,
    holder: Option<Holder>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All of them are taken: so many.
    All(usize),
    /// The caller has as many as one may have.
    Own(usize),
}

impl Shares {
    /// So many, of which one of several callers has half at most, and an only one all.
    pub(crate) fn new(most: usize, is_for_several: bool) -> Self {
        let most = most.max(1);
        let most_each = if is_for_several { most.div_ceil(2) } else { most };
        Self { most, most_each, held: Arc::default() }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        lock(&self.held).all
    }

    /// Takes one. A caller that cannot be told from others is counted with all of them only.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn take(&self, holder: Option<&Holder>) -> Result<Share, Full> {
        let mut held = lock(&self.held);
        if held.all >= self.most {
            return Err(Full::All(self.most));
        }
        if let Some(holder) = holder {
            let own = held.by_holder.get(holder).copied().unwrap_or_default();
            if own >= self.most_each {
                return Err(Full::Own(self.most_each));
            }
            held.by_holder.insert(holder.clone(), own + 1);
        }
        held.all += 1;
        Ok(Share { held: Arc::clone(&self.held), holder: holder.cloned() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.all -= 1;
        if let Some(holder) = &self.holder
            && let Some(own) = held.by_holder.get_mut(holder)
        {
            *own -= 1;
            if *own == 0 {
                held.by_holder.remove(holder);
            }
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_callers_has_half_at_most_and_leaves_what_it_gives_back() {
        let (ann, bob) = (Holder::Token("ann".to_owned()), Holder::Token("bob".to_owned()));
        let shares = Shares::new(4, true);
        let first = shares.take(Some(&ann)).expect("a share");
        let _second = shares.take(Some(&ann)).expect("a share");
        assert_eq!(shares.take(Some(&ann)).err(), Some(Full::Own(2)));
        let _bobs = shares.take(Some(&bob)).expect("a share");
        let _nobodys = shares.take(None).expect("a share");
        assert_eq!(shares.take(Some(&bob)).err(), Some(Full::All(4)));
        drop(first);
        assert_eq!(shares.taken(), 3);
        shares.take(Some(&ann)).expect("a share");
        let only = Shares::new(2, false);
        let _both = [only.take(Some(&ann)).expect("a share"), only.take(Some(&ann)).expect("a share")];
    }
}
