//! Workflows that were posted as data: each is a head of the engine's own, with a record that says who posted what. Engines learn
//! those that are there when they are made, and while they work soon after they are posted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stepwell_contract::{
    Batch, Clock, Head, Kind, Name, Payload, Record, RunKey, Seq, Timestamp, Verdict, Version, WorkflowRef,
};

use crate::error::Error;
use crate::exec::core::{Core, Registered};
use crate::exec::engine::Engine;
use crate::exec::limits::heads_of;
use crate::exec::limits::system::Sort;
use crate::exec::workers::view;
use crate::run::actor::Actor;
use crate::workflow::posted::{PostedWorkflow, Unpostable};

/// How often is looked at what other processes posted, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;
/// The kind of the record that holds a posted workflow.
const POSTED: Kind = Kind::of("workflow_posted");

/// A workflow that was posted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PostedView {
    /// What was posted.
    pub workflow: PostedWorkflow,
    /// Who posted it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// Whether this engine goes on with its runs as it was posted: not where the program has registered one of its name and
    /// version.
    pub in_use: bool,
}

/// What the record says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    actor: Actor,
    workflow: PostedWorkflow,
}

impl Engine {
    /// Keeps a workflow whose steps run outside, for all engines on the store. Once this returns it is durable and this engine
    /// has it; others that work have it within about a second, or when a run of it is started or reported on there. The same
    /// again changes nothing, and returns what was posted first.
    ///
    /// # Errors
    /// [`Error::Unpostable`] when it is none, when another one of that name and version was posted, or when this program or
    /// another one that is there has registered one: give it a new version. [`Error::Store`], after which it may have been
    /// posted: post it again.
    ///
    /// # Cancellation
    /// Dropping the future leaves it posted or not: post it again.
    pub async fn post_workflow(&self, posted: PostedWorkflow, actor: Actor) -> Result<PostedView, Error> {
        let core = self.core();
        let (registered, stored) = postable(core, &posted).await?;
        let (said, at) = match stored {
            Some(stored) => stored,
            None => {
                let reference = registered.reference();
                let said = Said { actor, workflow: posted.clone() };
                let stored = create(core, &key(&reference)?, &reference, said).await?;
                agrees(&stored.0, &posted)?;
                stored
            }
        };
        core.definitions.add(Arc::new(registered));
        Ok(view_of(core, said, at))
    }

    /// What posting it would find there: what was posted before, just the same, or nothing yet. Nothing is written.
    ///
    /// # Errors
    /// As for [`post_workflow`](Self::post_workflow).
    pub async fn dry_run_post_workflow(&self, posted: &PostedWorkflow) -> Result<Option<PostedView>, Error> {
        let (_, stored) = postable(self.core(), posted).await?;
        Ok(stored.map(|(said, at)| view_of(self.core(), said, at)))
    }

    /// The workflows that were posted, by name and version. Reads a record of each.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn posted_workflows(&self) -> Result<Vec<PostedView>, Error> {
        let core = self.core();
        let mut views = Vec::new();
        for head in heads_of(core, Sort::Posted).await? {
            match stored(core, &head.key).await {
                Ok(Some((said, at))) => views.push(view_of(core, said, at)),
                Ok(None) => {}
                Err(Error::Payload(error)) => unreadable(&head, &error),
                Err(error) => return Err(error),
            }
        }
        views.sort_by(|a, b| {
            (&a.workflow.name, a.workflow.version).cmp(&(&b.workflow.name, b.workflow.version))
        });
        Ok(views)
    }
}

fn unpostable(posted: &PostedWorkflow, why: Unpostable) -> Error {
    Error::Unpostable { name: posted.name.to_string(), version: posted.version, why }
}

/// What would be registered, with what is posted of that name and version already and is the same.
async fn postable(
    core: &Core,
    posted: &PostedWorkflow,
) -> Result<(Registered, Option<(Said, Timestamp)>), Error> {
    let registered = Registered::posted(posted.clone(), &core.options.step);
    let registered = registered.map_err(|why| unpostable(posted, why.into()))?;
    let reference = registered.reference();
    if core.definitions.get(&reference).is_some_and(|known| known.posted.is_none()) {
        return Err(unpostable(posted, Unpostable::Registered));
    }
    let stored = stored(core, &key(&reference)?).await?;
    match &stored {
        Some((said, _)) => agrees(said, posted)?,
        None if is_registered_elsewhere(core, &reference).await? => {
            return Err(unpostable(posted, Unpostable::RegisteredElsewhere));
        }
        None => {}
    }
    Ok((registered, stored))
}

/// Looks whether what was posted before is the same.
fn agrees(said: &Said, posted: &PostedWorkflow) -> Result<(), Error> {
    match said.workflow.difference(posted) {
        Some(what) => Err(unpostable(posted, Unpostable::Other { what, by: said.actor.to_string() })),
        None => Ok(()),
    }
}

fn view_of(core: &Core, said: Said, at: Timestamp) -> PostedView {
    let Said { actor, workflow } = said;
    let reference = WorkflowRef { name: workflow.name.clone(), version: workflow.version };
    let in_use =
        core.definitions.get(&reference).is_some_and(|known| known.posted.as_ref() == Some(&workflow));
    PostedView { workflow, actor, at, in_use }
}

fn key(reference: &WorkflowRef) -> Result<RunKey, Error> {
    Ok(Sort::Posted.key(&[reference.name.as_str(), &reference.version.to_string()])?)
}

/// What was posted under a key, and when.
async fn stored(core: &Core, key: &RunKey) -> Result<Option<(Said, Timestamp)>, Error> {
    let first = core.backend.journal(key, Seq::FIRST, 1).await?;
    let Some(record) = first.first() else { return Ok(None) };
    Ok(Some((record.payload.decode()?, record.at)))
}

/// Writes it. Whoever was first has written what is returned.
async fn create(
    core: &Core,
    key: &RunKey,
    reference: &WorkflowRef,
    said: Said,
) -> Result<(Said, Timestamp), Error> {
    let now = core.time.now();
    let mut head = Sort::Posted.head(key.clone(), &Name::new("default")?, now)?;
    head.version = Version { counter: 0, nonce: 0 }.next(fastrand::u64(..));
    head.summary = Payload::encode(reference)?;
    let record = Record::new(head.next_seq, POSTED, now, 1, Payload::encode(&said)?);
    head.next_seq = head.next_seq.plus(1);
    match core.committer.commit(Batch::create(head, vec![record])).await? {
        Verdict::Accepted => Ok((said, now)),
        Verdict::Rejected { .. } => {
            let first = stored(core, key).await?;
            first.ok_or_else(|| Error::Internal(format!("{key} is there without what it is for")))
        }
    }
}

/// Whether a worker that is there has a workflow which was not posted: then its program has registered it.
async fn is_registered_elsewhere(core: &Core, reference: &WorkflowRef) -> Result<bool, Error> {
    let has_it =
        |(name, version): &(String, u32)| name == reference.name.as_str() && *version == reference.version;
    let workers = view::facts(core).await?;
    Ok(workers.iter().any(|worker| worker.alive && worker.workflows.iter().any(has_it)))
}

/// Learns which workflows were posted. One that this version cannot read is left to those that can.
pub(crate) async fn learn(core: &Core) -> Result<(), Error> {
    for head in heads_of(core, Sort::Posted).await? {
        let Ok(reference) = head.summary.decode::<WorkflowRef>() else { continue };
        if core.definitions.get(&reference).is_some() {
            continue;
        }
        match stored(core, &head.key).await {
            Ok(None) => {}
            Ok(Some((said, _))) => match Registered::posted(said.workflow, &core.options.step) {
                Ok(registered) => core.definitions.add(Arc::new(registered)),
                Err(error) => unreadable(&head, &error),
            },
            Err(Error::Payload(error)) => unreadable(&head, &error),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn unreadable(head: &Head, error: &dyn std::error::Error) {
    tracing::warn!(workflow = head.summary.text(), %error, "a posted workflow cannot be read by this version");
}

/// Looks at what other processes posted, until the engine stops.
pub(crate) async fn follow(core: Arc<Core>) {
    // Nobody else writes to a store that one process owns.
    while !core.store.exclusive && !core.is_stopping() {
        if let Err(error) = learn(&core).await {
            tracing::debug!(%error, "posted workflows could not be looked at");
        }
        tokio::select! {
            () = core.time.sleep(LOOK_EVERY_MS) => {}
            () = core.stopping.cancelled() => return,
        }
    }
}

/// The definition that goes on with a run, also if it was posted since this engine last looked.
pub(crate) async fn definition_of(core: &Core, head: &Head) -> Result<Option<Arc<Registered>>, Error> {
    match core.definition_of(head) {
        Some(known) => Ok(Some(known)),
        None => {
            learn(core).await?;
            Ok(core.definition_of(head))
        }
    }
}
