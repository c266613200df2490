//! Failure groups as the store keeps them: for each fingerprint a head of the engine's own, which tells how the group was first
//! seen. Who belongs to a group the tags of the runs tell; so what is not written here is made up for later.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use stepwell_contract::{
    Batch, Clock, Cursor, Head, Kind, Name, Page, Payload, Record, RunKey, Status, Timestamp, Verdict,
};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::heads_of;
use crate::exec::limits::system::Sort;
use crate::lock::lock;
use crate::run::said::{FirstSeen, Said};
use crate::run::state::State;

/// How many groups a store keeps.
const KEPT_MAX: usize = 10_000;
/// How many fingerprints a process remembers to have seen; then it begins anew.
const SEEN_MAX: usize = 4_096;
/// For how long it believes that the group of one is in the store, in milliseconds: somebody may have removed it.
const SEEN_MS: u64 = 600_000;
/// How many groups wait to be written; what comes when there are more is written when it is seen again.
const WAITING_MAX: usize = 256;
/// Rests between tries of a write that fails, in milliseconds: the first, and the longest, to which it doubles.
const RETRY_MS: u64 = 500;
const RETRY_MAX_MS: u64 = 60_000;

/// What this process knows of failure groups.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By fingerprint, when its group was last made sure of, by the own clock.
    seen: Mutex<HashMap<String, Timestamp>>,
    waiting: mpsc::Sender<FirstSeen>,
    /// Taken by whoever writes them.
    taken: Mutex<Option<mpsc::Receiver<FirstSeen>>>,
}

impl Default for Groups {
    fn default() -> Self {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        Self { seen: Mutex::default(), waiting, taken: Mutex::new(Some(taken)) }
    }
}

impl Groups {
    /// Takes note of a failure that was just recorded. Waits for nothing.
    pub(crate) fn note(&self, run: &RunKey, state: &State, now: Timestamp) {
        let Some(said) = state.diagnoses.latest() else { return };
        if !self.is_new(&said.fingerprint, now) {
            return;
        }
        let workflow = state.created.workflow.clone();
        let first = FirstSeen { run: run.clone(), workflow, said: Said::clone(said) };
        if self.waiting.try_send(first).is_err() {
            self.forget(&said.fingerprint);
        }
    }

    /// Whether the group may not be in the store yet; the next who asks need not look.
    pub(crate) fn is_new(&self, fingerprint: &str, now: Timestamp) -> bool {
        let mut seen = lock(&self.seen);
        let is_fresh = |at: &Timestamp| *at <= now && now.since_ms(*at) < SEEN_MS;
        if seen.get(fingerprint).is_some_and(is_fresh) {
            return false;
        }
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert(fingerprint.to_owned(), now);
        true
    }

    pub(crate) fn forget(&self, fingerprint: &str) {
        lock(&self.seen).remove(fingerprint);
    }
}

/// Writes the groups that were first seen by this process, until the engine stops. One whose write fails is tried again.
pub(crate) async fn keep(core: Arc<Core>) {
    let Some(mut waiting) = lock(&core.groups.taken).take() else { return };
    let (mut failed, mut retry_ms) = (None, RETRY_MS);
    loop {
        let first = match failed.take() {
            Some(first) => first,
            None => tokio::select! {
                first = waiting.recv() => match first { Some(first) => first, None => return },
                () = core.stopping.cancelled() => return,
            },
        };
        match make(&core, &first).await {
            Ok(()) => retry_ms = RETRY_MS,
            Err(error) => {
                tracing::debug!(fingerprint = first.said.fingerprint, %error, "a failure group is not written yet");
                failed = Some(first);
                tokio::select! {
                    () = core.time.sleep(retry_ms) => {}
                    () = core.stopping.cancelled() => return,
                }
                retry_ms = (retry_ms * 2).min(RETRY_MAX_MS);
            }
        }
    }
}

/// Makes the group unless it is there.
pub(crate) async fn make(core: &Core, first: &FirstSeen) -> Result<(), Error> {
    let key = Sort::Failure.key(&[&first.said.fingerprint])?;
    if core.backend.head(&key).await?.is_some() {
        return Ok(());
    }
    let told = Payload::encode(first)?;
    let mut head = Sort::Failure.head(key, &Name::new("default")?, first.said.at)?;
    let record = Record::new(head.next_seq, Kind::of("failure_first_seen"), core.time.now(), 1, told.clone());
    head.version = head.version.next(fastrand::u64(..));
    head.next_seq = head.next_seq.plus(1);
    head.summary = told;
    // Whoever made it meanwhile saw it as well.
    core.committer.commit(Batch::create(head, vec![record])).await?;
    Ok(())
}

/// How the group of a fingerprint was first seen; `None` where that is not in the store.
pub(crate) async fn first_seen(core: &Core, fingerprint: &str) -> Result<Option<FirstSeen>, Error> {
    let head = core.backend.head(&Sort::Failure.key(&[fingerprint])?).await?;
    Ok(head.map(|head| head.summary.decode()).transpose()?)
}

/// A page of the groups, the last that came up first.
pub(crate) async fn page(core: &Core, after: Option<Cursor>, limit: usize) -> Result<Page<FirstSeen>, Error> {
    let page = core.backend.scan(&Sort::Failure.query()?, after, limit).await?;
    let items = page.items.iter().map(|head| head.summary.decode()).collect::<Result<_, _>>()?;
    Ok(Page { items, next: page.next })
}

/// Forgets the groups that came up first, where there are too many. Those whose runs are failed or held come back with the next
/// listing.
pub(crate) async fn tidy(core: &Core) -> Result<(), Error> {
    let mut kept = heads_of(core, Sort::Failure).await?;
    kept.sort_by_key(|head| Reverse(head.created_at));
    for head in kept.drain(..).skip(KEPT_MAX) {
        let first: FirstSeen = head.summary.decode()?;
        remove(core, &first.said.fingerprint).await?;
    }
    Ok(())
}

/// Removes what the store keeps of a group. Returns whether it was there.
pub(crate) async fn remove(core: &Core, fingerprint: &str) -> Result<bool, Error> {
    let key = Sort::Failure.key(&[fingerprint])?;
    loop {
        let Some(head) = core.backend.head(&key).await? else { return Ok(false) };
        let now = core.time.now();
        // Only what has ended can be removed.
        let ended = Head {
            version: head.version.next(fastrand::u64(..)),
            status: Status::Succeeded,
            finished_at: Some(now),
            lease: None,
            updated_at: now,
            ..head.clone()
        };
        let verdict = match head.status.is_finished() {
            true => Verdict::Accepted,
            false => core.committer.commit(Batch::replace(head.version, ended, Vec::new())).await?,
        };
        if verdict.is_accepted() {
            core.groups.forget(fingerprint);
            return Ok(core.backend.remove(&[key]).await? > 0);
        }
    }
}
