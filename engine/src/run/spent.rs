//! What a run's time went to: its steps, and waiting for a worker or a person. A fold of its journal.

use stepwell_contract::{Record, Timestamp};

use crate::diagnosis::evidence::{Cancellation, StepSpent};
use crate::run::event::Event;

/// Most steps told, the first ones.
const STEPS_MAX: usize = 64;

/// What a run's time went to.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    steps: Vec<(StepSpent, Timestamp)>,
    held_since: Option<Timestamp>,
    held_ms: u64,
    cancelled: Option<Cancellation>,
}

impl Spent {
    /// Takes in the next records of the journal. One that cannot be read tells nothing and is passed over.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            let tells = matches!(
                record.kind.as_str(),
                "run_created"
                    | "run_taken"
                    | "run_paused"
                    | "run_resumed"
                    | "cancel_requested"
                    | "step_started"
                    | "step_succeeded"
                    | "attempt_failed"
                    | "attempt_lost"
            );
            if tells && let Ok(event) = Event::read(record) {
                self.note(&event, record.at);
            }
        }
    }

    /// What each step took so far, in the order they began: from its first attempt to the end of its latest.
    #[must_use]
    pub fn steps(&self) -> Vec<StepSpent> {
        self.steps.iter().map(|(spent, _)| spent.clone()).collect()
    }

    /// How long the run waited for its first worker or was held until now, in milliseconds.
    #[must_use]
    pub fn held_ms(&self, now: Timestamp) -> u64 {
        self.held_ms + self.held_since.map_or(0, |since| now.since_ms(since))
    }

    /// Who asked the run to stop for good.
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancellation> {
        self.cancelled.as_ref()
    }

    fn note(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::RunCreated(created) => {
                self.held_since = Some(created.not_before.map_or(at, |not_before| not_before.max(at)));
            }
            Event::RunPaused(_) => self.held_since = self.held_since.or(Some(at)),
            Event::RunTaken(_) | Event::RunResumed(_) => {
                self.held_ms += self.held_since.take().map_or(0, |since| at.since_ms(since));
            }
            Event::CancelRequested(asked) => {
                let (actor, message) = (asked.actor.clone(), asked.message.clone());
                self.cancelled = Some(Cancellation { actor, at, message });
            }
            Event::StepStarted(started) => {
                let (step, has_room) = (started.place.step.as_str(), self.steps.len() < STEPS_MAX);
                match self.steps.iter_mut().find(|(spent, _)| spent.step == step) {
                    Some((spent, _)) => spent.attempts += 1,
                    None if has_room => {
                        let (step, elapsed_ms) = (step.to_owned(), 0);
                        self.steps.push((StepSpent { step, elapsed_ms, attempts: 1, usual_ms: None }, at));
                    }
                    None => {}
                }
            }
            other => {
                let Some(step) = other.place().map(|place| place.step.as_str()) else { return };
                if let Some((spent, since)) = self.steps.iter_mut().find(|(spent, _)| spent.step == step) {
                    spent.elapsed_ms = at.since_ms(*since);
                }
            }
        }
    }
}
