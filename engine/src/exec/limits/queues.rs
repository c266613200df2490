//! Queues as people see and steer them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Clock, Head, Kind, Name, Payload, Query, Record, RunKey, Status, Timestamp};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::engine::Engine;
use crate::exec::limits::gate::{Change, Gate};
use crate::exec::limits::queue::QueueLimits;
use crate::exec::limits::system::{self, Sort};
use crate::exec::limits::{LOOK_EVERY_MS, admission, heads_of, line};
use crate::exec::{load, requests};
use crate::run::actor::Actor;
use crate::run::summary::Summary;

pub use crate::exec::limits::roster::QueuePause;

/// How often is looked whether a queue is drained.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Most heads that are read to find what is advanced, and for each queue what is parked.
const HEADS_MAX: usize = 10_000;
/// Most looks of the store for these.
const LOOKS_MAX: usize = 40;

/// A queue as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueView {
    /// Its name.
    pub name: Name,
    /// Its limits.
    pub limits: QueueLimits,
    /// Who paused it and why, while it is paused.
    pub paused: Option<QueuePause>,
    /// Runs that a worker advances now.
    pub running: usize,
    /// Runs that could begin or go on, and wait for a limit, for their turn or for the paused queue.
    pub parked: usize,
    /// Runs that have not begun and are not parked: for a free worker, or for the time that they were started for.
    pub queued: usize,
    /// How many runs count for the limits, by limit key; room that is kept for a run counts too.
    pub counted: BTreeMap<String, usize>,
    /// Whether all runs were looked at that could be advanced or parked; if not, there may be more of both, and as many fewer
    /// that are queued.
    pub is_complete: bool,
}

impl QueueView {
    fn new(name: Name) -> Self {
        Self {
            name,
            limits: QueueLimits::default(),
            paused: None,
            running: 0,
            parked: 0,
            queued: 0,
            counted: BTreeMap::new(),
            is_complete: true,
        }
    }

    /// Counts a run that is advanced or parked; among the queued ones it was counted as any other.
    fn add(&mut self, head: &Head, now: Timestamp) {
        let is_advanced = head.live_lease(now).is_some();
        let is_parked = || head.summary.decode::<Summary>().is_ok_and(|summary| summary.parked.is_some());
        let counted = match is_advanced {
            true => &mut self.running,
            false if is_parked() => &mut self.parked,
            false => return,
        };
        *counted += 1;
        if head.status == Status::Queued {
            self.queued = self.queued.saturating_sub(1);
        }
    }
}

/// Makes these the limits of a queue.
pub(super) async fn set_limits(core: &Arc<Core>, queue: &Name, limits: QueueLimits) -> Result<(), Error> {
    let gate = core.limits.gate(queue)?;
    let said = Payload::encode(&json!({ "limits": limits, "worker": core.worker }))?;
    let changed = change(core, &gate, Kind::of("queue_limits_set"), said, |roster| {
        let is_other = roster.limits != limits;
        roster.limits = limits;
        is_other
    });
    if changed.await? {
        // There may be more room now.
        line::serve(core, &gate, None).await?;
    }
    Ok(())
}

/// Changes the state of a queue, with a record of it. Returns whether it was another one before.
async fn change(
    core: &Core,
    gate: &Gate,
    kind: Kind,
    said: Payload,
    mut change: impl FnMut(&mut super::roster::Roster) -> bool,
) -> Result<bool, Error> {
    let changed = gate.state.change(core, |roster, _| match change(roster) {
        true => {
            gate.note(roster);
            Change::Write(true, Some((kind.clone(), said.clone())))
        }
        false => Change::Refuse(false),
    });
    let changed = changed.await?;
    let roster = gate.state.read(core).await?;
    gate.note(&roster);
    Ok(changed)
}

impl Engine {
    /// The queues that have runs that have not ended, limits, or a pause. How many runs are queued the store has counted; to
    /// find those that are advanced and those that are parked at most 10 000 heads are read for all queues and for each queue
    /// that has limits or a pause: see [`is_complete`](QueueView::is_complete).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn queues(&self) -> Result<Vec<QueueView>, Error> {
        let core = self.core();
        let mut views: BTreeMap<Name, QueueView> = BTreeMap::new();
        for head in heads_of(core, Sort::Queue).await? {
            let roster: super::roster::Roster = head.summary.decode()?;
            let view = QueueView {
                limits: roster.limits,
                counted: roster.by_key(),
                paused: roster.paused,
                ..QueueView::new(head.queue.clone())
            };
            views.insert(head.queue, view);
        }
        for counted in self.tally().await?.into_iter().filter(|counted| !counted.status.is_finished()) {
            let empty = || QueueView::new(counted.queue.clone());
            let view = views.entry(counted.queue.clone()).or_insert_with(empty);
            if counted.status == Status::Queued {
                view.queued += usize::try_from(counted.runs).unwrap_or(usize::MAX);
            }
        }
        let advanced = Query { statuses: vec![Status::Running, Status::Cancelling], ..Query::default() };
        let is_complete = self
            .look(&advanced, |head| {
                if let Some(view) = views.get_mut(&head.queue) {
                    view.add(head, core.time.now());
                }
            })
            .await?;
        for view in views.values_mut() {
            view.is_complete = is_complete;
            // Nowhere else is anything parked.
            if view.limits != QueueLimits::default() || view.paused.is_some() {
                let statuses = vec![Status::Queued, Status::Waiting];
                let resting = Query { queue: Some(view.name.clone()), statuses, ..Query::default() };
                view.is_complete &= self.look(&resting, |head| view.add(head, core.time.now())).await?;
            }
        }
        Ok(views.into_values().collect())
    }

    /// Shows the newest heads that fit, as far as some looks of the store go. Returns whether that were all.
    async fn look(&self, query: &Query, mut show: impl FnMut(&Head)) -> Result<bool, Error> {
        let (mut after, mut shown) = (None, 0);
        for _ in 0..LOOKS_MAX {
            let page = self.list_part(query, after, PAGE_ITEMS_MAX.min(HEADS_MAX - shown)).await?;
            shown += page.items.len();
            page.items.iter().for_each(&mut show);
            after = page.next;
            if after.is_none() {
                return Ok(true);
            }
            if shown == HEADS_MAX {
                break;
            }
        }
        Ok(false)
    }

    /// Keeps all workers from taking runs of a queue: none begins or goes on from a sleep or a wait; those that are being
    /// cancelled end all the same. Workers notice within about a second; what is being advanced is not stopped, see
    /// [`drain_queue`](Self::drain_queue). Pausing a paused queue changes nothing.
    ///
    /// # Errors
    /// [`Error::Id`] when it is not a name; [`Error::Store`], after which the queue may be paused: pause it again.
    pub async fn pause_queue(&self, queue: &str, actor: Actor, message: &str) -> Result<(), Error> {
        let core = self.core();
        let (queue, message) = (Name::new(queue)?, requests::reason(message.to_owned()));
        let gate = core.limits.gate(&queue)?;
        let said = Payload::encode(&json!({ "actor": actor, "message": message }))?;
        let pause = QueuePause::new(actor, &message, core.time.now());
        change(core, &gate, Kind::of("queue_paused"), said, |roster| {
            let is_other = roster.paused.is_none();
            roster.paused.get_or_insert_with(|| pause.clone());
            is_other
        })
        .await?;
        Ok(())
    }

    /// Lets a paused queue go on, and returns how many parked runs were woken.
    ///
    /// # Errors
    /// As for [`pause_queue`](Self::pause_queue).
    pub async fn resume_queue(&self, queue: &str, actor: Actor, message: &str) -> Result<usize, Error> {
        let core = self.core();
        let queue = Name::new(queue)?;
        let gate = core.limits.gate(&queue)?;
        let message = requests::reason(message.to_owned());
        let said = Payload::encode(&json!({ "actor": actor, "message": message }))?;
        change(core, &gate, Kind::of("queue_resumed"), said, |roster| roster.paused.take().is_some()).await?;
        let woken = line::wake_paused(core, &queue).await?;
        line::serve(core, &gate, None).await?;
        Ok(woken)
    }

    /// Pauses a queue and returns once no worker advances a run of it. Runs are not told to stop: they go on until they end,
    /// sleep, wait or are paused.
    ///
    /// # Errors
    /// As for [`pause_queue`](Self::pause_queue).
    ///
    /// # Cancellation
    /// Dropping the future leaves the queue paused.
    pub async fn drain_queue(&self, queue: &str, actor: Actor, message: &str) -> Result<(), Error> {
        self.pause_queue(queue, actor, message).await?;
        let core = self.core();
        if !core.store.exclusive {
            // Until then another worker may not have noticed.
            core.time.sleep(2 * LOOK_EVERY_MS).await;
        }
        let statuses = vec![Status::Queued, Status::Running, Status::Waiting, Status::Cancelling];
        let query = Query { queue: Some(Name::new(queue)?), statuses, ..Query::default() };
        let mut after = None;
        loop {
            let page = self.list(&query, after, PAGE_ITEMS_MAX).await?;
            let is_busy = page.items.iter().any(|head| head.live_lease(core.time.now()).is_some());
            after = if is_busy { None } else { page.next };
            if !is_busy && after.is_none() {
                return Ok(());
            }
            if is_busy {
                core.time.pause(DRAIN_LOOK).await;
            }
        }
    }

    /// What was done to a queue, oldest first: its limits, pauses and resumptions, with who, why and when.
    ///
    /// # Errors
    /// [`Error::Id`]; [`Error::Store`].
    pub async fn queue_history(&self, queue: &str) -> Result<Vec<Record>, Error> {
        let gate = self.core().limits.gate(&Name::new(queue)?)?;
        Ok(load::records(self.core().backend.as_ref(), gate.key()).await?)
    }

    /// The runs that count for the limits of a queue.
    pub(crate) async fn counted(&self, queue: &Name) -> Result<Vec<stepwell_contract::RunKey>, Error> {
        let roster = self.core().limits.gate(queue)?.state.read(self.core()).await?;
        Ok(roster.held.into_iter().map(|holder| holder.run).filter(|run| !system::is_own(run)).collect())
    }

    /// The runs that count beside a parked one, and whether it would be let in now.
    pub(crate) async fn counted_beside(
        &self,
        parked: &Head,
        queue: &Name,
    ) -> Result<(Vec<RunKey>, bool), Error> {
        let mut roster = self.core().limits.gate(queue)?.state.read(self.core()).await?;
        roster.lapse(self.core().time.now());
        let summary = parked.summary.decode().unwrap_or_default();
        let key = admission::key_of(parked, &summary)?;
        let has_room =
            roster.holds(&parked.key) || roster.clone().take(&parked.key, parked.fence, &key).is_ok();
        let holders = roster.held.into_iter().map(|holder| holder.run).filter(|run| !system::is_own(run));
        Ok((holders.collect(), has_room))
    }

    /// The pause of a queue.
    pub(crate) async fn queue_pause(&self, queue: &Name) -> Result<Option<QueuePause>, Error> {
        Ok(self.core().limits.gate(queue)?.state.read(self.core()).await?.paused)
    }
}
