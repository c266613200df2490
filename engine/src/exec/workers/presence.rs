//! What this worker tells of itself: that it began, how it does, that it left.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_contract::limits::SUMMARY_BYTES_MAX;
use stepwell_contract::{
    Batch, Clock, Head, Kind, Lease, Name, Payload, Query, Record, Seq, Timestamp, Verdict, Version,
    WorkflowRef,
};
use tokio::sync::Mutex;

use crate::diagnosis::evidence::Heartbeat;
use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::groups;
use crate::exec::limits::system::Sort;
use crate::exec::limits::{forget, heads_of};
use crate::exec::process::{self, Group};
use crate::exec::workers::autopsy::Hosts;

/// So many heartbeats may fail to come before a worker counts as gone.
const BEATS_MISSED: u64 = 3;
/// How long is kept what a worker left that is gone, in milliseconds: a week.
const KEPT_MS: u64 = 7 * 24 * 3_600_000;
/// Of how many workers that are gone something is kept.
const GONE_MAX: usize = 1_000;
/// How often is looked for what may be forgotten, in milliseconds; and once by each worker that leaves, since of those that never stay
/// so long there are the most.
const TIDY_EVERY_MS: u64 = 3_600_000;
/// Records of a worker from which on its journal begins anew.
const RECORDS_MAX: u64 = 200;
/// Longest name of a control group kept, in bytes.
const GROUP_BYTES_MAX: usize = 512;
/// How long a shutdown waits for its own mark.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// What a worker takes, in its journal: when it began, and when there was more.
const BEGAN: Kind = Kind::of("worker_began");
const TAKES: Kind = Kind::of("worker_takes");

/// What a worker says of itself with each heartbeat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Presence {
    pub(super) worker: String,
    /// Tells engines apart that have had the same name.
    pub(super) instance: u64,
    /// When it began, by the store's clock.
    pub(super) started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    pub(super) pid: u32,
    /// Tells its process from a later one of the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<u64>,
    /// Tells whose numbers of processes these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pid_space: Option<u64>,
    /// Tells this start of the machine from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<String>,
    /// Tells the machine from others of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) machine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Group>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code_version: Option<String>,
    pub(super) lease_ms: u64,
    pub(super) concurrency: usize,
    /// How many runs it advances.
    pub(super) running: usize,
    pub(super) heartbeat: Heartbeat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<WorkerLeft>,
    /// The place of the record that says what it takes.
    pub(super) takes: u64,
    /// The one of the same name before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Box<Presence>>,
}

/// How a worker left that said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLeft {
    /// When.
    pub at: Timestamp,
    /// Runs that it could not give up, because steps did not stop: others take them when the leases end.
    pub runs_left: usize,
}

/// What a worker takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Takes {
    /// Empty for all.
    pub(super) queues: Vec<Name>,
    pub(super) workflows: Vec<WorkflowRef>,
}

/// What this worker tells of itself.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(super) instance: u64,
    started_at: Timestamp,
    told: Mutex<Told>,
    pub(super) hosts: Hosts,
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    head: Option<(Head, Presence)>,
    /// Processor time at that moment, by the process's own clock, both in milliseconds.
    cpu: Option<(u64, u64)>,
    /// How many workflows it had.
    workflows: usize,
    /// Whether anything was ever told.
    has_begun: bool,
    has_left: bool,
}

impl Telling {
    pub(crate) fn at(now: Timestamp) -> Self {
        let (told, hosts) = (Mutex::default(), Hosts::default());
        Self { instance: fastrand::u64(..), started_at: now, told, hosts }
    }
}

/// Tells of this worker until it has left. A store that does not take it is tried again the next time.
pub(crate) async fn attend(core: Arc<Core>) {
    let every_ms = core.options.heartbeat_ms;
    let mut tidied_at = core.time.own_now();
    if every_ms == 0 {
        return;
    }
    loop {
        match tell(&core, None).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::debug!(%error, "the worker could not tell how it does"),
        }
        if core.time.own_now().since_ms(tidied_at) >= TIDY_EVERY_MS {
            tidied_at = core.time.own_now();
            let tidied = async {
                tidy(&core).await?;
                groups::tidy(&core).await
            };
            if let Err(error) = tidied.await {
                tracing::debug!(%error, "what is old could not be forgotten");
            }
        }
        core.time.sleep(every_ms).await;
    }
}

/// Says that this worker leaves of its own will, if it has ever said that it is there.
pub(crate) async fn leave(core: &Core) {
    if core.options.heartbeat_ms == 0 || !core.working.load(Ordering::Acquire) {
        return;
    }
    let left = WorkerLeft { at: core.time.now(), runs_left: core.runners.len() };
    let leaving = async {
        tell(core, Some(left)).await?;
        tidy(core).await
    };
    match tokio::time::timeout(LEAVE_WITHIN, leaving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the worker could not say that it leaves, or tidy up"),
        Err(_) => tracing::debug!("the store did not take in time that the worker leaves"),
    }
}

/// Tells how this worker does. Returns `false` when it has left already.
async fn tell(core: &Core, left: Option<WorkerLeft>) -> Result<bool, Error> {
    let mut told = core.telling.told.lock().await;
    if told.has_left || (left.is_some() && !told.has_begun) {
        return Ok(false);
    }
    told.has_left = left.is_some();
    let (cpu, cpu_before) = (cpu_now(core), told.cpu);
    told.cpu = cpu;
    let heartbeat = heartbeat(core, cpu.zip(cpu_before));
    let workflows = core.definitions.len();
    let (head, mut presence, takes) = match told.head.take() {
        Some((head, presence)) if workflows == told.workflows => (head, presence, None),
        Some((head, presence)) => {
            let presence = Presence { takes: head.next_seq.0, ..presence };
            (head, presence, Some((TAKES, takes(core)?)))
        }
        None => {
            let (head, presence, takes) = begin(core).await?;
            (head, presence, Some((BEGAN, takes)))
        }
    };
    presence.heartbeat = heartbeat;
    presence.running = core.runners.len();
    presence.left = left;
    let (before, now) = (head.version, core.time.now());
    let ttl_ms = if left.is_some() { 0 } else { core.options.heartbeat_ms.saturating_mul(BEATS_MISSED) };
    let takes = takes.map(|(kind, takes)| Record::new(Seq(presence.takes), kind, now, 1, takes));
    let head = Head {
        version: before.next(fastrand::u64(..)),
        lease: head.lease.map(|lease| Lease { ttl_ms, expires_at: now.plus_ms(ttl_ms), ..lease }),
        next_seq: head.next_seq.plus(usize::from(takes.is_some())),
        updated_at: now,
        summary: summary(&mut presence)?,
        ..head
    };
    let append = takes.into_iter().collect();
    let batch = match before {
        Version { counter: 0, .. } => Batch::create(head.clone(), append),
        before => Batch::replace(before, head.clone(), append),
    };
    match core.committer.commit(batch).await? {
        Verdict::Accepted => {
            told.head = Some((head, presence));
            told.workflows = workflows;
            told.has_begun = true;
            Ok(true)
        }
        // Another process has the same name, or somebody has removed the head: the next time it is read again.
        Verdict::Rejected { .. } => {
            Err(Error::Internal(format!("something else wrote the head of worker {}", core.worker)))
        }
    }
}

/// The head to write first, which may be that of an earlier worker of the name, and what this one takes.
async fn begin(core: &Core) -> Result<(Head, Presence, Payload), Error> {
    let key = Sort::Worker.key(&[core.worker.as_str()])?;
    let mut stored = core.backend.head(&key).await?;
    let before = stored.as_ref().and_then(|head| head.summary.decode::<Presence>().ok());
    let before = match before {
        // It was written, and this process did not hear of it.
        Some(same) if same.instance == core.telling.instance => same.before,
        // Only the last one of the name is of use.
        Some(other) => Some(Box::new(Presence { before: None, ..other })),
        None => None,
    };
    if let Some(long) = stored.as_ref().filter(|head| head.next_seq.0 > RECORDS_MAX) {
        forget(core, long).await?;
        stored = core.backend.head(&key).await?;
    }
    let head = match stored {
        Some(head) => head,
        None => Sort::Worker.head(key, &Name::new("default")?, core.time.now())?,
    };
    let presence = Presence {
        worker: core.worker.to_string(),
        instance: core.telling.instance,
        started_at: core.telling.started_at,
        code_version: core.witness.code_version().map(str::to_owned),
        lease_ms: core.options.lease_ms,
        concurrency: core.options.concurrency,
        takes: head.next_seq.0,
        before,
        ..here(core)
    };
    Ok((head, presence, takes(core)?))
}

/// What this worker takes.
fn takes(core: &Core) -> Result<Payload, Error> {
    let takes = Takes { queues: core.options.queues.clone(), workflows: core.claimable() };
    Ok(Payload::encode(&takes)?)
}

/// What tells where this process is.
pub(super) fn here(core: &Core) -> Presence {
    let pid = std::process::id();
    Presence {
        host: core.witness.host().map(str::to_owned),
        pid,
        began: process::began(pid),
        pid_space: process::pid_space(),
        boot: process::boot(),
        machine: process::machine(),
        group: process::group().filter(|group| group.name_bytes() <= GROUP_BYTES_MAX),
        ..Presence::default()
    }
}

/// A summary that a head can hold. What is said of an earlier worker of the name is left out before all else.
fn summary(presence: &mut Presence) -> Result<Payload, Error> {
    let mut summary = Payload::encode(&presence)?;
    if summary.text().len() > SUMMARY_BYTES_MAX {
        presence.before = None;
        summary = Payload::encode(&presence)?;
    }
    Ok(summary)
}

fn cpu_now(core: &Core) -> Option<(u64, u64)> {
    Some((u64::try_from(core.time.own_now().0).ok()?, process::cpu_ms()?))
}

fn heartbeat(core: &Core, cpu: Option<((u64, u64), (u64, u64))>) -> Heartbeat {
    let group = process::cgroup();
    let files = process::open_files();
    let cpu_percent = cpu.and_then(|((now, used), (then, used_before))| {
        let elapsed_ms = now.checked_sub(then).filter(|ms| *ms > 0)?;
        Some((used.saturating_sub(used_before) as f64 * 100.0 / elapsed_ms as f64).round())
    });
    Heartbeat {
        at: core.time.now(),
        rss_bytes: process::memory().0,
        memory_limit_bytes: group.memory_max_bytes.or_else(process::memory_of_machine),
        cpu_percent,
        open_files: files.map(|(count, _)| count),
        open_files_max: files.map(|(_, limit)| limit),
        oom_kills: group.oom_kills,
    }
}

/// Forgets workers that are long gone, unless runs are still theirs.
async fn tidy(core: &Core) -> Result<(), Error> {
    let now = core.time.now();
    let mut gone: Vec<Head> = heads_of(core, Sort::Worker).await?;
    let own = Sort::Worker.key(&[core.worker.as_str()])?;
    gone.retain(|head| head.live_lease(now).is_none() && head.key != own);
    gone.sort_by_key(|head| Reverse(head.updated_at));
    for (nth, head) in gone.iter().enumerate() {
        if nth < GONE_MAX && now.since_ms(head.updated_at) < KEPT_MS {
            continue;
        }
        let Ok(presence) = head.summary.decode::<Presence>() else { continue };
        let query = Query { leased_by: presence.worker.parse().ok(), ..super::view::unfinished() };
        if core.backend.scan(&query, None, 1).await?.items.is_empty() {
            forget(core, head).await?;
        }
    }
    Ok(())
}
