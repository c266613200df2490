//! The only mutable thing of a run: the summary that an index needs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::key::{Name, RunKey, WorkerId};
use crate::record::{Payload, Seq};

/// Which write of a head this is: a counter, and a random nonce that tells two writes apart even when a store
/// that lost data hands out the same counter again.
///
/// A batch names the version it was computed from, and equality of the whole pair is the only comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// 1 for the first write of a head, one more at each later one.
    pub counter: u64,
    /// Drawn at random for each write.
    pub nonce: u64,
}

impl Version {
    /// The version of a write that follows this one.
    #[must_use]
    pub fn next(self, nonce: u64) -> Self {
        Self { counter: self.counter.wrapping_add(1), nonce }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.counter, self.nonce)
    }
}

impl FromStr for Version {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (counter, nonce) = text.split_once('-')?;
            Some(Self { counter: counter.parse().ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? })
        };
        parse().ok_or_else(|| format!("{text:?} is not a version: expected COUNTER-NONCE"))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The fencing token: raised at each takeover, handed to outside receivers so that they can refuse a stale owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right of one worker to advance a run, until it ends. Liveness only: what fences a stale worker is the version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub worker: WorkerId,
    /// How long it was asked for, in milliseconds.
    pub ttl_ms: u64,
    /// When it ends, by the store's clock. Set by the store at each write of the head to its `now + ttl_ms`;
    /// what a batch says here is ignored.
    pub expires_at: Timestamp,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun: waits for a worker.
    Queued,
    /// Begun: a worker is at it, or will be as soon as one is free.
    Running,
    /// Nothing to do until `wake_at` or a message.
    Waiting,
    /// Held by a person or by a policy; only a person's verb moves it on.
    Paused,
    /// Asked to stop: what it has to wind up is being wound up.
    Cancelling,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because someone asked.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a run's life.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the run has ended.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The word used in stores, listings and filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The mutable summary of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose head it is.
    pub key: RunKey,
    /// Which write of the head this is.
    pub version: Version,
    /// The workflow that the run executes.
    pub workflow: Name,
    /// The version of that workflow.
    pub workflow_version: u32,
    /// The queue that its workers read.
    pub queue: Name,
    /// Higher goes first.
    pub priority: i16,
    /// Where the run is.
    pub status: Status,
    /// When there is something to do without a message; `None` when only a message can wake it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Timestamp>,
    /// Who may advance it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Raised at each takeover, never lowered.
    pub fence: Fence,
    /// The place of the next record of its journal.
    pub next_seq: Seq,
    /// When the run was made. Never changes: scans order by it.
    pub created_at: Timestamp,
    /// When the head was last written, by the engine's clock.
    pub updated_at: Timestamp,
    /// When the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What people filter by.
    #[serde(default, skip_serializing_if = "tags_are_empty")]
    pub tags: Arc<BTreeMap<Name, String>>,
    /// A small JSON text for listings (progress, failure code), opaque to the store.
    pub summary: Payload,
}

fn tags_are_empty(tags: &Arc<BTreeMap<Name, String>>) -> bool {
    tags.is_empty()
}

impl Head {
    /// The lease, if it has not ended by `now`.
    #[must_use]
    pub fn live_lease(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.expires_at > now)
    }

    /// Whether a worker may claim the run: unfinished, not paused, under no live lease, and either its time has
    /// come or it has mail.
    #[must_use]
    pub fn is_due(&self, has_mail: bool, now: Timestamp) -> bool {
        !self.status.is_finished()
            && self.status != Status::Paused
            && self.live_lease(now).is_none()
            && (has_mail || self.wake_at.is_some_and(|at| at <= now))
    }

    /// From when on [`is_due`](Self::is_due) holds, if nothing else changes; `None` when never.
    #[must_use]
    pub fn due_from(&self, has_mail: bool) -> Option<Timestamp> {
        if self.status.is_finished() || self.status == Status::Paused {
            return None;
        }
        let time = if has_mail { Timestamp(i64::MIN) } else { self.wake_at? };
        Some(self.lease.as_ref().map_or(time, |lease| time.max(lease.expires_at)))
    }

    /// The head as an exclusive store has it after it was opened: the lease ended, its worker's name kept.
    #[must_use]
    pub fn with_lease_ended(mut self) -> Self {
        if let Some(lease) = &mut self.lease {
            lease.expires_at = Timestamp(0);
        }
        self
    }

    /// The head as a store keeps it: with the end of its lease by the store's clock.
    #[must_use]
    pub fn stamped(&self, now: Timestamp) -> Self {
        let mut head = self.clone();
        if let Some(lease) = &mut head.lease {
            lease.expires_at = now.plus_ms(lease.ttl_ms);
        }
        head
    }
}
