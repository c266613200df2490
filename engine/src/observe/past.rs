//! How long steps took in runs that have succeeded.

use std::collections::HashMap;

use stepwell_contract::{Name, Record};

use crate::run::event::Event;

/// Durations of steps in past runs.
#[derive(Debug, Clone, Default)]
pub struct Past {
    durations_ms: HashMap<Name, Vec<u64>>,
}

impl Past {
    /// Takes in the journal of a run. Records that cannot be read tell nothing and are passed over.
    pub fn add(&mut self, records: &[Record]) {
        for record in records.iter().filter(|record| record.kind.as_str() == "step_succeeded") {
            if let Ok(Event::StepSucceeded(done)) = Event::read(record) {
                self.durations_ms.entry(done.place.step).or_default().push(done.elapsed_ms);
            }
        }
    }

    /// The middle of the known durations of a step, in milliseconds; `None` when none is known.
    #[must_use]
    pub fn median_ms(&self, step: &Name) -> Option<u64> {
        let mut known = self.durations_ms.get(step)?.clone();
        known.sort_unstable();
        known.get(known.len() / 2).copied()
    }
}
