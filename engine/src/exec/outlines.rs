//! What engines know of workflows that only others have registered: each of those keeps its [`Outline`] in the store, as a head of
//! the engine's own whose latest record is the outline.

pub(crate) mod keep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use stepwell_contract::{Head, Name, RunKey, Seq, Timestamp, Version, WorkerId, WorkflowRef};

use crate::diagnosis::evidence::WorkerFacts;
use crate::error::Error;
use crate::exec::core::{Core, Registered, built_in};
use crate::exec::engine::Engine;
use crate::exec::limits::heads_of;
use crate::exec::limits::system::Sort;
use crate::exec::posted;
use crate::exec::workers::view::{READS_AT_ONCE, facts};
use crate::lock::lock;
use crate::workflow::definition::Definition;
use crate::workflow::outline::Outline;

/// A workflow that an engine has registered, as it told of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutlineView {
    /// The workflow.
    pub outline: Outline,
    /// The worker that told of it as it is.
    pub worker: WorkerId,
    /// When it did, by the store's clock: what has not changed since is not told again.
    pub at: Timestamp,
}

/// What the head of an outline says.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    workflow: WorkflowRef,
    /// The place of the record that holds it.
    record: Seq,
    /// Tells one outline from another.
    digest: String,
    worker: WorkerId,
    at: Timestamp,
}

/// An outline, and what the engine makes of it.
#[derive(Debug)]
pub(crate) struct Known {
    view: OutlineView,
    /// The definition without code, and the limits of its steps.
    pub(crate) registered: Arc<Registered>,
}

/// The outlines that this process has read, each as of a version of its head.
#[derive(Debug, Default)]
pub(crate) struct Outlines(Mutex<HashMap<WorkflowRef, (Version, Arc<Known>)>>);

impl Engine {
    /// What engines that have worked on the store told of a workflow and version that they have registered: the last of them, which
    /// may be gone. `None` when none told of it, when its definition is too large to be kept (1 MiB of JSON), or when this version
    /// cannot read it. An engine tells soon after it begins to [`work`](Self::work).
    ///
    /// # Errors
    /// [`Error::Id`] when the name is none; [`Error::Store`].
    pub async fn outline(&self, workflow: &str, version: u32) -> Result<Option<OutlineView>, Error> {
        let known = of(self.core(), &WorkflowRef { name: Name::new(workflow)?, version }).await?;
        Ok(known.map(|known| known.view.clone()))
    }

    /// All [outlines](Self::outline), by name and version. Reads a record of each that has changed since it last looked. Which workers
    /// have them now [`workers`](Self::workers) tells.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn outlines(&self) -> Result<Vec<OutlineView>, Error> {
        let core = self.core();
        let mut views: Vec<OutlineView> = stream::iter(heads_of(core, Sort::Outline).await?)
            .map(async |head| read(core, &head).await)
            .buffered(READS_AT_ONCE)
            .try_filter_map(async |known| Ok(known.map(|known| known.view.clone())))
            .try_collect()
            .await?;
        views.sort_by(|a, b| (&a.outline.name, a.outline.version).cmp(&(&b.outline.name, b.outline.version)));
        Ok(views)
    }
}

fn key(workflow: &WorkflowRef) -> Result<RunKey, Error> {
    Ok(Sort::Outline.key(&[workflow.name.as_str(), &workflow.version.to_string()])?)
}

/// What is known of a workflow and version.
pub(crate) async fn of(core: &Core, workflow: &WorkflowRef) -> Result<Option<Arc<Known>>, Error> {
    match core.backend.head(&key(workflow)?).await? {
        Some(head) => read(core, &head).await,
        None => Ok(None),
    }
}

/// The outline that a head is of; `None` where this version cannot read it.
async fn read(core: &Core, head: &Head) -> Result<Option<Arc<Known>>, Error> {
    let Ok(told) = head.summary.decode::<Told>() else { return Ok(None) };
    if let Some((version, known)) = lock(&core.outlines.0).get(&told.workflow)
        && *version == head.version
    {
        return Ok(Some(Arc::clone(known)));
    }
    let records = core.backend.journal(&head.key, told.record, 1).await?;
    let Some(record) = records.first() else { return Ok(None) };
    let outline: Outline = match record.payload.decode() {
        Ok(outline) => outline,
        Err(error) => {
            let WorkflowRef { name, version } = &told.workflow;
            tracing::debug!(workflow = %name, version, %error, "an outline cannot be read by this version");
            return Ok(None);
        }
    };
    let registered = Arc::new(Registered::new(outline.definition(), &outline.engine));
    let view = OutlineView { outline, worker: told.worker, at: told.at };
    let known = Arc::new(Known { view, registered });
    lock(&core.outlines.0).insert(told.workflow, (head.version, Arc::clone(&known)));
    Ok(Some(known))
}

/// The workflows of which there is an outline, with when they were told.
async fn told(core: &Core) -> Result<Vec<(WorkflowRef, Timestamp)>, Error> {
    let heads = heads_of(core, Sort::Outline).await?;
    let told = heads.iter().filter_map(|head| head.summary.decode::<Told>().ok());
    Ok(told.map(|told| (told.workflow, told.at)).collect())
}

/// A workflow to start a run of that is not registered here: in that version, else in the one that [`newest`] says.
///
/// # Errors
/// [`Error::UnknownWorkflow`] names the nearest of what is known here and elsewhere.
pub(crate) async fn find(core: &Core, name: &str, version: Option<u32>) -> Result<Arc<Registered>, Error> {
    if let Some(known) = of_the_engine(core, name, version) {
        return Ok(known);
    }
    let told = told(core).await?;
    let versions: Vec<(u32, Timestamp)> = told
        .iter()
        .filter(|(workflow, _)| workflow.name.as_str() == name)
        .filter(|(workflow, _)| version.is_none_or(|version| version == workflow.version))
        .map(|(workflow, at)| (workflow.version, *at))
        .collect();
    let wanted = match versions.as_slice() {
        [] => None,
        [(only, _)] => Some(*only),
        several => newest(name, several, &facts(core).await?),
    };
    if let Some(version) = wanted
        && let Some(known) = of(core, &WorkflowRef { name: Name::new(name)?, version }).await?
    {
        return Ok(Arc::clone(&known.registered));
    }
    let elsewhere: Vec<WorkflowRef> = told.into_iter().map(|(workflow, _)| workflow).collect();
    Err(core.unknown(name, version, &elsewhere))
}

/// A workflow that every engine brings along: those that keep schedules go on with its runs, also where this one does not.
fn of_the_engine(core: &Core, name: &str, version: Option<u32>) -> Option<Arc<Registered>> {
    let is_it = |definition: &Definition| {
        definition.name().as_str() == name && version.is_none_or(|version| version == definition.version())
    };
    let found = built_in().into_iter().find(is_it)?;
    Some(Arc::new(Registered::new(found, &core.options.step)))
}

/// The newest version that a worker goes on with which is there; where there is none, the version that was seen last, the newer one
/// of two.
fn newest(name: &str, versions: &[(u32, Timestamp)], workers: &[WorkerFacts]) -> Option<u32> {
    let rank = |(version, told_at): &(u32, Timestamp)| {
        let having = workers
            .iter()
            .filter(|worker| worker.workflows.iter().any(|has| *has == (name.to_owned(), *version)));
        let is_there = having.clone().any(|worker| worker.alive);
        let seen_at = having.filter_map(|worker| worker.heartbeat_at).max().max(Some(*told_at));
        (is_there, seen_at.filter(|_| !is_there), *version)
    };
    versions.iter().max_by_key(|version| rank(version)).map(|(version, _)| *version)
}

/// What is known here of the definition that goes on with a run: what is registered or posted, else the outline of its version,
/// else the newest that takes it over. There is no code behind the steps of an outline.
pub(crate) async fn definition_of(core: &Core, head: &Head) -> Result<Option<Arc<Registered>>, Error> {
    if let Some(registered) = posted::definition_of(core, head).await? {
        return Ok(Some(registered));
    }
    if let Some(known) = of_the_engine(core, head.workflow.as_str(), Some(head.workflow_version)) {
        return Ok(Some(known));
    }
    let reference = WorkflowRef { name: head.workflow.clone(), version: head.workflow_version };
    if let Some(known) = of(core, &reference).await? {
        return Ok(Some(Arc::clone(&known.registered)));
    }
    let mut newer: Vec<WorkflowRef> = told(core).await?.into_iter().map(|(workflow, _)| workflow).collect();
    newer.retain(|workflow| workflow.name == reference.name && workflow.version > reference.version);
    newer.sort_by_key(|workflow| std::cmp::Reverse(workflow.version));
    for workflow in newer {
        if let Some(known) = of(core, &workflow).await?
            && known.view.outline.takes_over.contains(&reference.version)
        {
            return Ok(Some(Arc::clone(&known.registered)));
        }
    }
    Ok(None)
}

/// A worker that is there and goes on with a run, whatever this engine has registered.
pub(crate) async fn worker_of(core: &Core, head: &Head) -> Result<Option<String>, Error> {
    let wanted = (head.workflow.to_string(), head.workflow_version);
    let workers = facts(core).await?;
    let mut having = workers.into_iter().filter(|worker| worker.alive && worker.workflows.contains(&wanted));
    Ok(having.next().map(|worker| worker.worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_a_living_worker_has_is_started_and_else_the_one_seen_last() {
        let worker = |name: &str, versions: &[u32], alive, seen_at| WorkerFacts {
            worker: name.to_owned(),
            workflows: versions.iter().map(|version| ("order".to_owned(), *version)).collect(),
            alive,
            heartbeat_at: Some(Timestamp(seen_at)),
            ..WorkerFacts::default()
        };
        let told = [(1, Timestamp(5)), (2, Timestamp(6)), (3, Timestamp(7))];
        let living = |alive: [bool; 3]| {
            let [first, second, third] = alive;
            [worker("a", &[1], first, 90), worker("b", &[2, 1], second, 80), worker("c", &[3], third, 70)]
        };
        for (alive, expected) in [
            ([true, true, true], 3),
            ([true, true, false], 2),
            ([true, false, false], 1),
            ([false, true, false], 2),
            // Worker a was seen last.
            ([false, false, false], 1),
        ] {
            assert_eq!(newest("order", &told, &living(alive)), Some(expected), "{alive:?}");
        }
        // Workers that are long gone are forgotten, and what they told last is not.
        assert_eq!(newest("order", &told, &[]), Some(3));
        assert_eq!(newest("order", &[(2, Timestamp(9)), (3, Timestamp(7))], &[]), Some(2));
        assert_eq!(newest("order", &[], &[]), None);
    }
}
