//! What a program says about a queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_contract::{IdError, Name};

use crate::error::Error;
use crate::exec::limits::rate::Rate;

/// Most runs of a queue that can be counted at once: those that are counted are named in one head.
pub const COUNTED_MAX: u32 = 64;

/// A queue and its limits, for [`EngineBuilder::queue`](crate::EngineBuilder::queue).
#[derive(Debug, Clone)]
#[must_use]
pub struct Queue {
    pub(crate) name: Name,
    pub(crate) limits: QueueLimits,
}

/// The limits of a queue, for all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueLimits {
    /// Most runs advanced at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Most runs with the same limit key advanced at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<u32>,
    /// How many runs begin in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many runs with the same limit key begin in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_key: Option<Rate>,
}

impl Queue {
    /// A queue without limits.
    ///
    /// # Errors
    /// [`IdError`] when it is not a name.
    pub fn named(name: &str) -> Result<Self, IdError> {
        Ok(Self { name: Name::new(name)?, limits: QueueLimits::default() })
    }

    /// At most so many runs of the queue are advanced at once, on all workers together; 1 to [`COUNTED_MAX`]. A run that
    /// sleeps, waits for a signal or is paused is not counted; nor is one that is being cancelled, which is let in at once.
    pub fn concurrency(mut self, runs: u32) -> Self {
        self.limits.concurrency = Some(runs);
        self
    }

    /// At most so many runs with the same [limit key](crate::StartRun::limit_key) are advanced at once. Of all keys
    /// together that is then at most [`COUNTED_MAX`].
    pub fn per_key(mut self, runs: u32) -> Self {
        self.limits.per_key = Some(runs);
        self
    }

    /// At most so many runs of the queue begin in any stretch of time `per`, evenly spread over it. What has begun and goes
    /// on is not counted again.
    pub fn rate(mut self, runs: u32, per: Duration) -> Self {
        self.limits.rate = Some(Rate::new(runs, per));
        self
    }

    /// At most so many runs with the same [limit key](crate::StartRun::limit_key) begin in any stretch of time `per`, evenly
    /// spread over it.
    pub fn rate_per_key(mut self, runs: u32, per: Duration) -> Self {
        self.limits.rate_per_key = Some(Rate::new(runs, per));
        self
    }
}

impl QueueLimits {
    /// How many runs may be advanced at once, if that is limited at all.
    pub(crate) fn counted(&self) -> Option<u32> {
        self.concurrency.or(self.per_key.map(|_| COUNTED_MAX))
    }

    /// Whether it limits anything.
    pub(crate) fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Checks the figures.
    ///
    /// # Errors
    /// [`Error::Options`] names the figure that is out of range.
    pub(crate) fn check(&self, queue: &Name) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Options(format!("queue {queue}: {why}")));
        for (what, runs) in [("concurrency", self.concurrency), ("per_key", self.per_key)] {
            if runs.is_some_and(|runs| runs == 0 || runs > COUNTED_MAX) {
                return refuse(format!(
                    "{what} must be 1 to {COUNTED_MAX}; to hold all runs, pause the queue"
                ));
            }
        }
        for (what, rate) in [("rate", self.rate), ("rate_per_key", self.rate_per_key)] {
            if rate.is_some_and(|rate| rate.runs == 0 || rate.per_ms == 0) {
                return refuse(format!("{what} must let at least one run begin in at least a millisecond"));
            }
        }
        Ok(())
    }
}
