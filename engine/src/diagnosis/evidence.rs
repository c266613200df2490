//! What a rule may look at: everything the engine saw that bears on one failure, borrowed for the time of a diagnosis.
//!
//! Whoever gathers it fills in what it knows and leaves the rest empty: a rule that needs more than there is gives no answer.

pub mod attempt;
pub mod dossier;
pub mod environment;
pub mod run;
pub mod schedule;
pub mod statistics;
pub mod store;
pub mod worker;

use stepwell_contract::Timestamp;

pub use attempt::{AttemptEnd, AttemptRecord, ErrorLink};
pub use dossier::Dossier;
pub use environment::{Endpoint, EndpointAnswer, EnvironmentFact, FileKind, PathState};
pub use run::{Cancellation, Relation, Relative, RunFacts, StepFacts, StepSpent, UnreadValue};
pub use schedule::{LeaseFacts, LimitHolder, LimitKey, QueueFacts, WorkerFacts};
pub use statistics::{Neighbour, StepStats, Successes};
pub use store::StoreFault;
pub use worker::{Ending, Heartbeat, LostWorker};

/// Everything a rule may look at.
///
/// ```
/// use stepwell::contract::Timestamp;
/// use stepwell::diagnosis::evidence::{AttemptRecord, Case, RunFacts};
///
/// let run = RunFacts { workflow: "order".into(), ..RunFacts::default() };
/// let attempts = [AttemptRecord { attempt: 1, ..AttemptRecord::default() }];
/// let case = Case { attempts: &attempts, ..Case::new(&run, Timestamp(0)) };
/// assert_eq!(case.last().map(|last| last.attempt), Some(1));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// When the evidence was gathered.
    pub at: Timestamp,
    /// The run.
    pub run: &'a RunFacts,
    /// The step that it is about; `None` when it is about the run.
    pub step: Option<&'a StepFacts>,
    /// The attempts of the step that are kept, oldest first.
    pub attempts: &'a [AttemptRecord],
    /// What the step is like when it succeeds.
    pub stats: Option<&'a StepStats>,
    /// What other steps and runs of this engine did lately with the same host or the same fingerprint.
    pub neighbours: &'a [Neighbour],
    /// The worker that went away in the middle of the last attempt.
    pub lost_worker: Option<&'a LostWorker>,
    /// The lease of the run, when a write under it was refused.
    pub lease: Option<&'a LeaseFacts>,
    /// What the run waits for, when it is not running.
    pub queue: Option<&'a QueueFacts>,
    /// A stored value that could not be read.
    pub unread: Option<&'a UnreadValue>,
    /// What the store answered, oldest first.
    pub store_faults: &'a [StoreFault],
    /// Environment facts that belong to no single attempt.
    pub environment: &'a [EnvironmentFact],
}

impl<'a> Case<'a> {
    /// A case of which nothing is known but the run.
    #[must_use]
    pub fn new(run: &'a RunFacts, at: Timestamp) -> Self {
        Self {
            at,
            run,
            step: None,
            attempts: &[],
            stats: None,
            neighbours: &[],
            lost_worker: None,
            lease: None,
            queue: None,
            unread: None,
            store_faults: &[],
            environment: &[],
        }
    }

    /// The latest attempt.
    #[must_use]
    pub fn last(&self) -> Option<&'a AttemptRecord> {
        self.attempts.last()
    }

    /// The latest attempt, if it failed.
    #[must_use]
    pub fn failed(&self) -> Option<&'a AttemptRecord> {
        self.last().filter(|last| last.ended == AttemptEnd::Failed)
    }

    /// The environment facts of the latest attempt, then those of no attempt.
    pub fn facts(&self) -> impl Iterator<Item = &'a EnvironmentFact> + use<'a> {
        let of_last: &'a [EnvironmentFact] = self.last().map_or(&[], |last| &last.environment);
        of_last.iter().chain(self.environment)
    }
}
