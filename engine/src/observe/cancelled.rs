//! Why a run was cancelled, which is no failure and has no diagnosis in its journal: that follows from who asked for it.

use stepwell_contract::{Record, RunKey, Timestamp};

use crate::diagnosis::evidence::{Case, Relation, Relative, RunFacts};
use crate::diagnosis::{Diagnosis, Rules, diagnose};
use crate::run::actor::Actor;
use crate::run::event::Event;
use crate::run::spent::Spent;

/// Who cancelled the run of this journal and why, as a diagnosis; `None` when it is not cancelled.
pub(crate) fn why_cancelled(key: &RunKey, records: &[Record], now: Timestamp) -> Option<Diagnosis> {
    let ended = records.iter().rev().find(|record| record.kind.as_str().starts_with("run_"))?;
    if ended.kind.as_str() != "run_cancelled" {
        return None;
    }
    let mut spent = Spent::default();
    spent.add(records);
    let cancelled = spent.cancelled().cloned()?;
    let created = records.iter().find_map(|record| match Event::read(record) {
        Ok(Event::RunCreated(created)) => Some((created, record.at)),
        _ => None,
    });
    let (created, created_at) = created?;
    // A parent that asked for it has ended, or was asked itself.
    let relatives = match &cancelled.actor {
        Actor::Run(parent) => vec![Relative {
            relation: Relation::Parent,
            run: parent.run.to_string(),
            step: None,
            ended: "ended".to_owned(),
            ended_at: Some(cancelled.at),
            class: None,
            code: None,
            summary: cancelled.message.clone(),
        }],
        _ => Vec::new(),
    };
    let run = RunFacts {
        tenant: key.tenant.to_string(),
        run: key.run.to_string(),
        workflow: created.workflow.to_string(),
        version: created.workflow_version,
        created_at,
        spent: spent.steps(),
        cancelled: Some(cancelled),
        relatives,
        ..RunFacts::default()
    };
    Some(diagnose(&Case::new(&run, now), &Rules::none()))
}
