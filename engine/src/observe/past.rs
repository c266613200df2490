//! How long steps took in runs that have succeeded.

use std::collections::HashMap;

use stepwell_contract::{Name, Record, Timestamp};

use crate::run::event::{Event, StepReported};
use crate::run::place::Place;
use crate::run::waiting::Said;

/// Durations of steps in past runs.
#[derive(Debug, Clone, Default)]
pub struct Past {
    durations_ms: HashMap<Name, Vec<u64>>,
}

impl Past {
    /// Takes in the journal of a run. Records that cannot be read tell nothing and are passed over.
    pub fn add(&mut self, records: &[Record]) {
        // When someone outside said that they had begun a step.
        let mut begun: HashMap<Place, Timestamp> = HashMap::new();
        let told = records
            .iter()
            .filter(|record| matches!(record.kind.as_str(), "step_succeeded" | "step_reported"));
        for record in told {
            match Event::read(record) {
                Ok(Event::StepSucceeded(done)) => self.took(done.place.step, done.elapsed_ms),
                Ok(Event::StepReported(StepReported { place, said: Said::Started(_), .. })) => {
                    begun.insert(place, record.at);
                }
                Ok(Event::StepReported(StepReported { place, said: Said::Succeeded { .. }, .. })) => {
                    // How long one took of which nobody said when they began it is not known: it may have waited for them.
                    if let Some(at) = begun.remove(&place) {
                        self.took(place.step, record.at.since_ms(at));
                    }
                }
                _ => {}
            }
        }
    }

    fn took(&mut self, step: Name, ms: u64) {
        self.durations_ms.entry(step).or_default().push(ms);
    }

    /// The middle of the known durations of a step, in milliseconds; `None` when none is known.
    #[must_use]
    pub fn median_ms(&self, step: &Name) -> Option<u64> {
        let mut known = self.durations_ms.get(step)?.clone();
        known.sort_unstable();
        known.get(known.len() / 2).copied()
    }
}
