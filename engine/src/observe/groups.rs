//! Failure groups as people see them: folds of the heads of the runs that belong to them.

use std::collections::BTreeMap;

use serde::Serialize;
use stepwell_contract::{Head, Name, RunKey, Status, TenantId, Timestamp, WorkerId};

use crate::run::event::PauseReason;
use crate::run::said::{FAILURE_TAG, FirstSeen, Said};
use crate::run::summary::Summary;

/// How a run stands that belongs to a failure group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It ended with the failure.
    Failed,
    /// It is held for it.
    Held,
    /// It goes on after it, or someone holds it for a reason of their own.
    Open,
    /// It succeeded after it.
    Recovered,
    /// It was cancelled after it.
    Cancelled,
}

impl Standing {
    /// How a run stands by its head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self::by(head.status, || head.summary.decode().unwrap_or_default())
    }

    fn by(status: Status, summary: impl FnOnce() -> Summary) -> Self {
        match status {
            Status::Failed => Self::Failed,
            Status::Paused => {
                let reason = summary().trouble.and_then(|trouble| trouble.reason);
                if reason.is_some_and(PauseReason::is_asked_for) { Self::Open } else { Self::Held }
            }
            Status::Queued | Status::Running | Status::Waiting | Status::Cancelling => Self::Open,
            Status::Succeeded => Self::Recovered,
            Status::Cancelled => Self::Cancelled,
        }
    }

    /// Whether the failure still stands in the run's way.
    #[must_use]
    pub fn is_in_trouble(self) -> bool {
        matches!(self, Self::Failed | Self::Held)
    }
}

/// A run that belongs to a failure group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupMember {
    /// The run.
    pub run: RunKey,
    /// Its workflow.
    pub workflow: Name,
    /// The version of that which it is a run of now.
    pub version: u32,
    /// Where it is.
    pub status: Status,
    /// How it stands.
    pub standing: Standing,
    /// What was said of it: the group's code, in the words of this run.
    pub said: Option<Said>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its head was last written.
    pub updated_at: Timestamp,
}

impl GroupMember {
    /// The member by its head.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        let summary: Summary = head.summary.decode().unwrap_or_default();
        let said = summary.said.clone();
        Self {
            run: head.key.clone(),
            workflow: head.workflow.clone(),
            version: head.workflow_version,
            status: head.status,
            standing: Standing::by(head.status, || summary),
            said: said.filter(|said| fingerprint_of(head) == Some(said.fingerprint.as_str())),
            created_at: head.created_at,
            updated_at: head.updated_at,
        }
    }
}

/// The failure group that a run belongs to.
#[must_use]
pub fn fingerprint_of(head: &Head) -> Option<&str> {
    head.tags.get(&*FAILURE_TAG).map(String::as_str)
}

/// What a failure group is: failures of one cause, as far as their texts tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureGroup {
    /// What all its failures share; it begins with their code.
    pub fingerprint: String,
    /// The code of their diagnosis.
    pub code: String,
    /// What happened, in the words of the run that was the first.
    pub summary: String,
    /// The workflow.
    pub workflow: Name,
    /// The step; `None` when the failures are about runs.
    pub step: Option<Name>,
    /// The run that was the first.
    pub sample: RunKey,
    /// When that was.
    pub first_seen: Timestamp,
}

impl FailureGroup {
    /// The group that was first seen so.
    #[must_use]
    pub fn of(FirstSeen { run, workflow, said }: &FirstSeen) -> Self {
        Self {
            fingerprint: said.fingerprint.clone(),
            code: said.code.clone(),
            summary: said.summary.clone(),
            workflow: workflow.clone(),
            step: said.place.as_ref().map(|place| place.step.clone()),
            sample: run.clone(),
            first_seen: said.at,
        }
    }
}

/// How many members stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Standings {
    /// Those that ended with the failure.
    pub failed: usize,
    /// Those that are held for it.
    pub held: usize,
    /// Those that go on after it.
    pub open: usize,
    /// Those that succeeded after it.
    pub recovered: usize,
    /// Those that were cancelled after it.
    pub cancelled: usize,
}

impl Standings {
    fn count(&mut self, standing: Standing) {
        *match standing {
            Standing::Failed => &mut self.failed,
            Standing::Held => &mut self.held,
            Standing::Open => &mut self.open,
            Standing::Recovered => &mut self.recovered,
            Standing::Cancelled => &mut self.cancelled,
        } += 1;
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> usize {
        self.in_trouble() + self.open + self.recovered + self.cancelled
    }

    /// Those in whose way the failure still stands.
    #[must_use]
    pub fn in_trouble(&self) -> usize {
        self.failed + self.held
    }
}

/// What the members of a group tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Members {
    /// How many stand how.
    pub standings: Standings,
    /// When the failure was last recorded.
    pub last_seen: Option<Timestamp>,
    /// How many are whose.
    pub tenants: BTreeMap<TenantId, usize>,
    /// How many failed on which worker.
    pub workers: BTreeMap<WorkerId, usize>,
    /// How many failed as runs of which version of the workflow.
    pub versions: BTreeMap<u32, usize>,
    /// How many failed with which version of the code, where programs name it.
    pub code_versions: BTreeMap<String, usize>,
    #[serde(skip)]
    first: Option<FirstSeen>,
}

impl Members {
    /// Counts a member.
    pub fn add(&mut self, head: &Head) {
        let member = GroupMember::of(head);
        self.standings.count(member.standing);
        *self.tenants.entry(head.key.tenant.clone()).or_default() += 1;
        *self
            .versions
            .entry(member.said.as_ref().map_or(member.version, |said| said.version))
            .or_default() += 1;
        let Some(said) = member.said else { return };
        self.last_seen = self.last_seen.max(Some(said.at));
        if let Some(worker) = &said.worker {
            *self.workers.entry(worker.clone()).or_default() += 1;
        }
        if let Some(code_version) = &said.code_version {
            *self.code_versions.entry(code_version.clone()).or_default() += 1;
        }
        if self.first.as_ref().is_none_or(|first| said.at < first.said.at) {
            self.first = Some(FirstSeen { run: head.key.clone(), workflow: head.workflow.clone(), said });
        }
    }

    /// How the first of those counted failed.
    #[must_use]
    pub fn first(&self) -> Option<&FirstSeen> {
        self.first.as_ref()
    }
}

/// A failure group in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupEntry {
    /// The group.
    #[serde(flatten)]
    pub group: FailureGroup,
    /// How many runs are failed for it now.
    pub failed: usize,
    /// How many are held for it now.
    pub held: usize,
    /// When it was last recorded of one of these; `None` when there is none.
    pub last_seen: Option<Timestamp>,
    /// Whether all runs that are failed or held were looked at.
    pub is_complete: bool,
}

/// A failure group with what its members tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// The group.
    #[serde(flatten)]
    pub group: FailureGroup,
    /// What its members tell.
    #[serde(flatten)]
    pub members: Members,
    /// Whether all of them were looked at.
    pub is_complete: bool,
}
