//! What the engine itself has to remember, as heads of a tenant of its own.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use stepwell_contract::{
    Fence, Head, IdError, Lease, Name, Payload, Query, RunId, RunKey, Seq, Status, TenantId, Timestamp,
    Version, WorkerId,
};

/// The tenant whose heads are the engine's own.
const SYSTEM_TENANT: &str = "stepwell.system";

/// What such a head is for: names its `workflow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The limits of a queue.
    Queue,
    /// The rate of one key of a queue.
    KeyRate,
    /// A tenant that has runs.
    Tenant,
    /// What was started under a key.
    Start,
    /// A group of failures.
    Failure,
    /// A worker.
    Worker,
    /// A workflow that was posted.
    Posted,
    /// What an engine told of a workflow that it has registered.
    Outline,
    /// What callers did on a day.
    Trail,
}

impl Sort {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "stepwell.queue",
            Self::KeyRate => "stepwell.rate",
            Self::Tenant => "stepwell.tenant",
            Self::Start => "stepwell.start",
            Self::Failure => "stepwell.failure",
            Self::Worker => "stepwell.worker",
            Self::Posted => "stepwell.posted",
            Self::Outline => "stepwell.outline",
            Self::Trail => "stepwell.trail",
        }
    }

    /// The key of the head of this sort for the thing that `parts` name together.
    pub(crate) fn key(self, parts: &[&str]) -> Result<RunKey, IdError> {
        let run = RunId::new(format!("{}.{}", self.as_str(), digest(parts)))?;
        Ok(RunKey::new(tenant()?, run))
    }

    /// All heads of this sort. Their leases, by which nobody advances them, name it: so they are found without looking at any run.
    pub(crate) fn query(self) -> Result<Query, IdError> {
        Ok(Query {
            tenant: Some(tenant()?),
            leased_by: Some(WorkerId::new(self.as_str())?),
            ..Query::default()
        })
    }

    /// A head that is not written yet. It is never due.
    pub(crate) fn head(self, key: RunKey, queue: &Name, now: Timestamp) -> Result<Head, IdError> {
        let listed = !matches!(self, Self::KeyRate | Self::Start);
        let marker = WorkerId::new(self.as_str())?;
        Ok(Head {
            key,
            version: Version { counter: 0, nonce: 0 },
            workflow: Name::new(self.as_str())?,
            workflow_version: 1,
            queue: queue.clone(),
            priority: 0,
            // What was started may be forgotten once it is old.
            status: if self == Self::Start { Status::Succeeded } else { Status::Waiting },
            wake_at: None,
            lease: listed.then_some(Lease { worker: marker, ttl_ms: 0, expires_at: now }),
            fence: Fence(0),
            next_seq: Seq::FIRST,
            created_at: now,
            updated_at: now,
            finished_at: (self == Self::Start).then_some(now),
            tags: Arc::default(),
            summary: Payload::null(),
        })
    }
}

/// The tenant of the engine's own heads.
pub(crate) fn tenant() -> Result<TenantId, IdError> {
    TenantId::new(SYSTEM_TENANT)
}

/// Whether a key is of one of the engine's own heads.
pub(crate) fn is_own(key: &RunKey) -> bool {
    is_own_tenant(&key.tenant)
}

/// Whether the runs of a tenant are the engine's own.
pub(crate) fn is_own_tenant(tenant: &TenantId) -> bool {
    tenant.as_str() == SYSTEM_TENANT
}

/// Whether a query is about them alone.
pub(crate) fn is_asked_for(query: &Query) -> bool {
    query.tenant.as_ref().is_some_and(is_own_tenant)
}

/// Stands in the lease of a run that waits in this line, which nobody holds: so the line is found, oldest first, without
/// looking at other runs.
pub(super) fn line(queue: &Name, what: &str) -> Result<WorkerId, IdError> {
    WorkerId::new(format!("stepwell.line.{}", digest(&[queue.as_str(), what])))
}

/// A text that names the parts, whatever their length.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
