//! Failure groups, as they are shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use stepwell::{FailureGroup, GroupEntry, GroupMember, GroupView};
use utoipa::ToSchema;

use crate::view::run::{RunSaid, RunStatus};
use crate::view::{Time, count, time, word};

/// A failure group in a list: failures of one cause, as far as their texts tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// What all its failures share; it names the group.
    pub group: String,
    /// The code of their diagnosis.
    #[schema(example = "SW1203")]
    pub code: String,
    /// What happened, in the words of the run that was the first.
    pub summary: String,
    /// The workflow.
    pub workflow: String,
    /// The step; missing when the failures are about runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The run that was the first.
    pub sample: RunName,
    /// When that was.
    pub first_seen: Time,
    /// When it was last recorded of one that is failed or held now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Time>,
    /// How many runs are failed for it now.
    pub failed: u64,
    /// How many are held for it now.
    pub held: u64,
    /// Whether all runs were looked at that could be counted; if not, there may be more than the figures tell.
    pub is_complete: bool,
}

/// Which run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct RunName {
    /// Whose it is.
    pub tenant: String,
    /// Its id.
    pub run: String,
}

impl RunName {
    /// The name of a key.
    #[must_use]
    pub fn of(key: &stepwell::contract::RunKey) -> Self {
        Self { tenant: key.tenant.to_string(), run: key.run.to_string() }
    }
}

/// A failure group with what became of its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupDetail {
    /// What lists show of it.
    #[serde(flatten)]
    pub group: Group,
    /// How many go on after it, or are held by a person.
    pub open: u64,
    /// How many succeeded after it.
    pub recovered: u64,
    /// How many were cancelled after it.
    pub cancelled: u64,
    /// How many are whose.
    pub tenants: BTreeMap<String, u64>,
    /// How many failed on which worker.
    pub workers: BTreeMap<String, u64>,
    /// How many failed as runs of which version of the workflow.
    pub versions: BTreeMap<String, u64>,
    /// How many failed with which version of the code, where programs name it.
    pub code_versions: BTreeMap<String, u64>,
}

/// A run of a failure group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its id.
    pub run: String,
    /// Whose it is.
    pub tenant: String,
    /// Its workflow.
    pub workflow: String,
    /// The version of that workflow.
    pub version: u32,
    /// Where it is.
    pub status: RunStatus,
    /// How it stands: `failed`, `held`, `open`, `recovered` or `cancelled`.
    pub standing: String,
    /// What was said of it; missing when it met with something else since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<RunSaid>,
    /// When it was made.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

impl Group {
    /// The view of a group in a list.
    #[must_use]
    pub fn of(entry: GroupEntry) -> Self {
        let GroupEntry { group, failed, held, last_seen, is_complete } = entry;
        Self {
            last_seen: last_seen.map(time),
            failed: count(failed),
            held: count(held),
            is_complete,
            ..Self::named(group)
        }
    }

    fn named(group: FailureGroup) -> Self {
        Self {
            group: group.fingerprint,
            code: group.code,
            summary: group.summary,
            workflow: group.workflow.to_string(),
            step: group.step.map(|step| step.to_string()),
            sample: RunName::of(&group.sample),
            first_seen: time(group.first_seen),
            last_seen: None,
            failed: 0,
            held: 0,
            is_complete: false,
        }
    }
}

impl GroupDetail {
    /// The view of a group by itself.
    #[must_use]
    pub fn of(view: GroupView) -> Self {
        fn counts<K: fmt::Display>(counted: BTreeMap<K, usize>) -> BTreeMap<String, u64> {
            counted.into_iter().map(|(name, runs)| (name.to_string(), count(runs))).collect()
        }
        let GroupView { group, members, is_complete } = view;
        let standings = members.standings;
        let group = Group {
            last_seen: members.last_seen.map(time),
            failed: count(standings.failed),
            held: count(standings.held),
            is_complete,
            ..Group::named(group)
        };
        Self {
            group,
            open: count(standings.open),
            recovered: count(standings.recovered),
            cancelled: count(standings.cancelled),
            tenants: counts(members.tenants),
            workers: counts(members.workers),
            versions: counts(members.versions),
            code_versions: counts(members.code_versions),
        }
    }
}

impl Member {
    /// The view of a run of a group.
    #[must_use]
    pub fn of(member: GroupMember) -> Self {
        Self {
            run: member.run.run.to_string(),
            tenant: member.run.tenant.to_string(),
            workflow: member.workflow.to_string(),
            version: member.version,
            status: member.status.into(),
            standing: word(&member.standing).unwrap_or_default(),
            said: member.said.map(RunSaid::of),
            created_at: time(member.created_at),
            updated_at: time(member.updated_at),
        }
    }
}
