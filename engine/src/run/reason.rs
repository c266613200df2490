//! Why things happen to a run: the words that events give as a reason.

use serde::{Deserialize, Serialize};
use stepwell_contract::Timestamp;

/// What follows from a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The step is tried again at this time.
    RetryAt(Timestamp),
    /// The step has failed: this limit of its retries is used up.
    Exhausted(String),
    /// The step has failed: trying again cannot help.
    Never,
    /// Nothing: the attempt was stopped on request, and the step is tried again when the run goes on.
    Stopped,
}

/// Why a worker gave a run up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// Nothing to do before `wake_at`.
    Waiting,
    /// The worker shuts down.
    Shutdown,
}

/// How an attempt was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// Its worker ended or was fenced off without recording an end. The step's effect may have happened.
    Crash,
    /// Its worker shut down before the step ended. The step was told to stop.
    Shutdown,
    /// A person interrupted or cancelled the run, or its deadline came. The step was told to stop.
    Stopped,
}

/// Why a run is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// A step's retries are used up.
    Exhausted,
    /// A step failed in a way that a person can mend (login, configuration, bug).
    NeedsAttention,
    /// A step that must not be repeated blindly was interrupted: whether its effect happened is unknown.
    InDoubt,
    /// A step was running each time its worker died, too often.
    Quarantined,
    /// A person asked.
    Requested,
    /// A person asked, and running attempts were stopped.
    Interrupted,
    /// No worker took the run in time.
    QueueWait,
    /// The definition that this worker has is not the one the run began with.
    DefinitionChanged,
    /// A stored value has a form that this worker's code does not read.
    NeedsMigration,
}

impl PauseReason {
    /// Whether someone asked for it: nothing went wrong.
    #[must_use]
    pub fn is_asked_for(self) -> bool {
        match self {
            Self::Requested | Self::Interrupted => true,
            Self::Exhausted
            | Self::NeedsAttention
            | Self::InDoubt
            | Self::Quarantined
            | Self::QueueWait
            | Self::DefinitionChanged
            | Self::NeedsMigration => false,
        }
    }

    /// Whether the run would pause again at once unless its steps get a fresh budget of attempts.
    #[must_use]
    pub fn needs_retry(self) -> bool {
        match self {
            Self::Exhausted | Self::NeedsAttention | Self::InDoubt | Self::Quarantined => true,
            Self::Requested
            | Self::Interrupted
            | Self::QueueWait
            | Self::DefinitionChanged
            | Self::NeedsMigration => false,
        }
    }
}
