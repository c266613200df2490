//! Evidence that is owned: what is gathered before a diagnosis, and what fixtures of rules are written as.

use stepwell_contract::Timestamp;

use crate::diagnosis::evidence::{
    AttemptRecord, Case, EnvironmentFact, LeaseFacts, LostWorker, Neighbour, QueueFacts, RunFacts, StepFacts,
    StepStats, StoreFault, UnreadValue,
};
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;

/// Everything that a [`Case`] borrows, field by field.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dossier {
    /// When the evidence was gathered.
    pub at: Timestamp,
    /// The run.
    pub run: RunFacts,
    /// The step.
    pub step: Option<StepFacts>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    /// What it is like when it succeeds.
    pub stats: Option<StepStats>,
    /// What others did lately.
    pub neighbours: Vec<Neighbour>,
    /// The worker that went away.
    pub lost_worker: Option<LostWorker>,
    /// The lease, when a write was refused.
    pub lease: Option<LeaseFacts>,
    /// What the run waits for.
    pub queue: Option<QueueFacts>,
    /// The stored value that could not be read.
    pub unread: Option<UnreadValue>,
    /// What the store answered.
    pub store_faults: Vec<StoreFault>,
    /// Facts that belong to no single attempt.
    pub environment: Vec<EnvironmentFact>,
}

impl Dossier {
    /// A step `charge` of a workflow `order` whose first attempt failed so: what a fixture starts from.
    #[must_use]
    pub fn failed(class: ErrorClass, code: Option<&str>, message: &str) -> Self {
        let attempt = AttemptRecord {
            attempt: 1,
            class: Some(class),
            code: code.map(str::to_owned),
            classified_by: ClassifiedBy::Declared,
            message: message.to_owned(),
            ..AttemptRecord::default()
        };
        Self { attempts: vec![attempt], ..Self::of_step("order", "charge") }
    }

    /// A step of a workflow of which nothing else is known.
    #[must_use]
    pub fn of_step(workflow: &str, step: &str) -> Self {
        let run = RunFacts {
            run: "run-1".to_owned(),
            workflow: workflow.to_owned(),
            version: 1,
            ..RunFacts::default()
        };
        let step = StepFacts { step: step.to_owned(), ..StepFacts::default() };
        Self { run, step: Some(step), ..Self::default() }
    }

    /// With these facts at its latest attempt.
    #[must_use]
    pub fn fact(mut self, fact: EnvironmentFact) -> Self {
        match self.attempts.last_mut() {
            Some(last) => last.environment.push(fact),
            None => self.environment.push(fact),
        }
        self
    }

    /// With its latest attempt changed so.
    #[must_use]
    pub fn last(mut self, change: impl FnOnce(&mut AttemptRecord)) -> Self {
        if let Some(last) = self.attempts.last_mut() {
            change(last);
        }
        self
    }

    /// With so many attempts like the latest one, numbered from 1, each changed so.
    #[must_use]
    pub fn times(mut self, count: u32, change: impl Fn(&mut AttemptRecord)) -> Self {
        if let Some(last) = self.attempts.pop() {
            self.attempts = (1..=count)
                .map(|nth| {
                    let mut attempt = AttemptRecord { attempt: nth, ..last.clone() };
                    change(&mut attempt);
                    attempt
                })
                .collect();
        }
        self
    }

    /// With these successes in the past.
    #[must_use]
    pub fn stats(mut self, stats: StepStats) -> Self {
        self.stats = Some(stats);
        self
    }

    /// The case, for as long as the dossier lives.
    #[must_use]
    pub fn case(&self) -> Case<'_> {
        Case {
            at: self.at,
            run: &self.run,
            step: self.step.as_ref(),
            attempts: &self.attempts,
            stats: self.stats.as_ref(),
            neighbours: &self.neighbours,
            lost_worker: self.lost_worker.as_ref(),
            lease: self.lease.as_ref(),
            queue: self.queue.as_ref(),
            unread: self.unread.as_ref(),
            store_faults: &self.store_faults,
            environment: &self.environment,
        }
    }
}
