//! The workers of a store, as people see them.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Clock, Head, Name, Query, RunKey, Seq, Status, Timestamp, WorkerId, WorkflowRef};

use crate::diagnosis::evidence::{Heartbeat, WorkerFacts};
use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::exec::limits::heads_of;
use crate::exec::limits::system::{self, Sort};
use crate::exec::workers::autopsy;
use crate::exec::workers::presence::{Presence, Takes};

pub use crate::exec::workers::presence::WorkerLeft;

/// Journals that are read side by side.
pub(crate) const READS_AT_ONCE: usize = 16;

/// A worker that takes runs, or did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerView {
    /// Its name.
    pub worker: WorkerId,
    /// Whether it is there: it has told so in time, by the store's clock, has not left, and its process is not known to be gone.
    pub alive: bool,
    /// The queues it takes runs from; empty for all.
    pub queues: Vec<Name>,
    /// The workflows whose runs it goes on with, each version of its own.
    pub workflows: Vec<WorkflowRef>,
    /// When it began.
    pub started_at: Timestamp,
    /// How it did when it last told.
    pub heartbeat: Heartbeat,
    /// How many runs it advances at most.
    pub concurrency: usize,
    /// How many runs it advanced when it last told.
    pub running: usize,
    /// How many unfinished runs name it as their owner now, those that it lost and nobody has taken since among them.
    /// [`Query::leased_by`](stepwell_contract::Query::leased_by) lists them.
    pub held: usize,
    /// Where it runs.
    pub host: Option<String>,
    /// Its process there.
    pub pid: u32,
    /// The version of its code, if the program names one.
    pub code_version: Option<String>,
    /// When and how it left, if it said so.
    pub left: Option<WorkerLeft>,
}

impl Engine {
    /// The workers of the store, those that are alive first, then by name: also those that are gone, for a week. Reads a head and a
    /// record of each, and the heads of the runs that they hold.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn workers(&self) -> Result<Vec<WorkerView>, Error> {
        let core = self.core();
        let mut views: Vec<WorkerView> = stream::iter(read(core).await?)
            .map(async |(head, presence, takes)| {
                let worker = WorkerId::new(&presence.worker)?;
                let held = held(core, &worker).await?;
                Ok::<_, Error>(view(core, worker, &head, presence, takes, held))
            })
            .buffer_unordered(READS_AT_ONCE)
            .try_collect()
            .await?;
        views.sort_by(|a, b| b.alive.cmp(&a.alive).then_with(|| a.worker.cmp(&b.worker)));
        Ok(views)
    }
}

/// What the rules and explanations need to know of the workers of a store: all that have told of themselves, and this one.
pub(crate) async fn facts(core: &Core) -> Result<Vec<WorkerFacts>, Error> {
    let mut facts: Vec<WorkerFacts> = read(core)
        .await?
        .into_iter()
        .map(|(head, presence, takes)| WorkerFacts {
            alive: is_alive(core, &head, &presence),
            heartbeat_at: Some(presence.heartbeat.at),
            room: Some(
                u32::try_from(presence.concurrency.saturating_sub(presence.running)).unwrap_or(u32::MAX),
            ),
            ..takes_of(presence.worker, takes)
        })
        .collect();
    facts.retain(|facts| facts.worker != core.worker.as_str());
    if core.is_working() {
        let takes = Takes { queues: core.options.queues.clone(), workflows: core.claimable() };
        facts.push(WorkerFacts {
            alive: true,
            heartbeat_at: Some(core.time.now()),
            room: Some(u32::try_from(core.permits.available_permits()).unwrap_or(u32::MAX)),
            ..takes_of(core.worker.to_string(), takes)
        });
    }
    Ok(facts)
}

/// When a worker last told of itself, and whether it is there; `None` when it never did.
pub(crate) async fn sign_of(core: &Core, worker: &WorkerId) -> Result<Option<(Timestamp, bool)>, Error> {
    if *worker == core.worker && core.is_working() {
        return Ok(Some((core.time.now(), true)));
    }
    let head = core.backend.head(&Sort::Worker.key(&[worker.as_str()])?).await?;
    let told = head.and_then(|head| head.summary.decode::<Presence>().ok().map(|presence| (head, presence)));
    Ok(told.map(|(head, presence)| (presence.heartbeat.at, is_alive(core, &head, &presence))))
}

fn is_alive(core: &Core, head: &Head, presence: &Presence) -> bool {
    head.live_lease(core.time.now()).is_some() && !autopsy::is_gone(core, presence)
}

fn takes_of(worker: String, takes: Takes) -> WorkerFacts {
    let queues = takes.queues.into_iter().map(|queue| queue.to_string()).collect();
    let workflows =
        takes.workflows.into_iter().map(|known| (known.name.to_string(), known.version)).collect();
    WorkerFacts { worker, queues, workflows, ..WorkerFacts::default() }
}

fn view(
    core: &Core,
    worker: WorkerId,
    head: &Head,
    presence: Presence,
    takes: Takes,
    held: usize,
) -> WorkerView {
    WorkerView {
        alive: is_alive(core, head, &presence),
        worker,
        queues: takes.queues,
        workflows: takes.workflows,
        started_at: presence.started_at,
        heartbeat: presence.heartbeat,
        concurrency: presence.concurrency,
        running: presence.running,
        held,
        host: presence.host,
        pid: presence.pid,
        code_version: presence.code_version,
        left: presence.left,
    }
}

/// What every worker has told last. One that this version cannot read is passed over.
async fn read(core: &Core) -> Result<Vec<(Head, Presence, Takes)>, Error> {
    let heads = heads_of(core, Sort::Worker).await?;
    stream::iter(heads)
        .map(async |head| {
            let Ok(presence) = head.summary.decode::<Presence>() else { return Ok(None) };
            let said = core.backend.journal(&head.key, Seq(presence.takes), 1).await?;
            let takes = said.first().and_then(|record| record.payload.decode::<Takes>().ok());
            Ok(takes.map(|takes| (head, presence, takes)))
        })
        .buffered(READS_AT_ONCE)
        .try_filter_map(async |read| Ok(read))
        .try_collect()
        .await
}

/// Runs that have not ended.
pub(super) fn unfinished() -> Query {
    let statuses = Status::ALL.into_iter().filter(|status| !status.is_finished()).collect();
    Query { statuses, ..Query::default() }
}

async fn held(core: &Core, worker: &WorkerId) -> Result<usize, Error> {
    let query = Query { leased_by: Some(worker.clone()), ..unfinished() };
    let (mut held, mut after) = (0, None);
    loop {
        let page = core.backend.scan(&query, after, PAGE_ITEMS_MAX).await?;
        let is_run = |key: &RunKey| !system::is_own(key);
        held += page.items.iter().filter(|head| is_run(&head.key)).count();
        after = page.next;
        if after.is_none() {
            return Ok(held);
        }
    }
}
