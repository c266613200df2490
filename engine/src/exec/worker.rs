//! Takes due runs and hands each to a runner.

use std::sync::Arc;
use std::time::Duration;

use stepwell_contract::{Batch, Claim, Clock, Head, Status, TenantId, Timestamp, Verdict};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::admission::{Admission, admit};
use crate::exec::limits::tenants::Rounds;
use crate::exec::outcome::Outcome;
use crate::exec::requests;
use crate::exec::runner::{Left, Runner};
use crate::exec::slot::{Slot, WriteError};
use crate::run::summary::Summary;

/// Most runs taken with one claim.
const CLAIM_MAX: usize = 128;
/// Shortest time between two claims when the first found nothing: a busy store says all the time that something changed.
const REST_MIN: Duration = Duration::from_millis(10);
/// How long a run that this version cannot read is left to workers that can, in milliseconds.
const UNREADABLE_REST_MS: u64 = 60_000;
/// Longest wait after a failed claim, in milliseconds.
const RETRY_MAX_MS: u64 = 5_000;

/// Takes due runs until the engine stops.
pub(crate) async fn work(core: Arc<Core>) {
    let mut retry_ms = 50;
    let mut rounds = Rounds::default();
    while !core.is_stopping() {
        tokio::select! {
            () = core.definitions.any() => {}
            () = core.stopping.cancelled() => return,
        }
        // Back-pressure: no room, no claim. The room is kept until the claim is answered.
        let room = tokio::select! {
            room = Arc::clone(&core.permits).acquire_owned() => room,
            () = core.stopping.cancelled() => return,
        };
        let Ok(mut room) = room else { return };
        let more = core.permits.available_permits().min(CLAIM_MAX - 1);
        if let Ok(more) = Arc::clone(&core.permits).try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
            room.merge(more);
        }
        let (tenant, share) = rounds.next(&core, room.num_permits()).await;
        let claimed = claim(&core, tenant.clone(), share).await;
        rounds.note(tenant.as_ref(), share, claimed.as_ref().map_or(0, Vec::len));
        match claimed {
            Ok(heads) if heads.is_empty() && tenant.is_some() => {}
            Ok(heads) if heads.is_empty() => {
                drop(room);
                retry_ms = 50;
                let least = tokio::time::sleep(REST_MIN);
                let rest = core.backend.changed(Duration::from_millis(core.options.poll_ms));
                tokio::select! {
                    _ = futures_util::future::join(least, rest) => {}
                    () = core.stopping.cancelled() => return,
                }
            }
            Ok(heads) => {
                retry_ms = 50;
                for head in heads {
                    take(&core, head, room.split(1)).await;
                }
            }
            Err(error) => {
                drop(room);
                tracing::warn!(%error, retry_ms, "the store gives no runs");
                tokio::select! {
                    () = core.time.sleep(retry_ms) => {}
                    () = core.stopping.cancelled() => return,
                }
                retry_ms = (retry_ms * 2).min(RETRY_MAX_MS);
            }
        }
    }
}

async fn claim(
    core: &Core,
    tenant: Option<TenantId>,
    limit: usize,
) -> Result<Vec<Head>, stepwell_contract::BackendError> {
    let claim = Claim {
        worker: core.worker.clone(),
        ttl_ms: core.options.lease_ms,
        queues: core.options.queues.clone(),
        workflows: core.claimable(),
        tenant,
        limit,
        nonce: fastrand::u64(..),
    };
    let asked_at = core.time.own_now();
    let heads = core.backend.claim(&claim).await?;
    if let Some(lease) = heads.first().and_then(|head| head.lease.as_ref()) {
        // The end of a lease tells the store's clock.
        core.time.correct(
            asked_at,
            stepwell_contract::Timestamp(lease.expires_at.0 - i64::try_from(lease.ttl_ms).unwrap_or(0)),
        );
    }
    Ok(heads)
}

/// Claims one run that is known to have room, as a claim would, and goes on with it in the background. Returns `false` when
/// this worker cannot, or somebody else has it.
pub(crate) async fn take_over(core: &Arc<Core>, head: Head) -> Result<bool, Error> {
    let now = core.time.now();
    let is_ours = core.is_working() && core.reads_queue(&head.queue) && core.definition_of(&head).is_some();
    let is_free = head.live_lease(now).is_none() && core.registry.slot(&head.key).is_none();
    let Ok(permit) = Arc::clone(&core.permits).try_acquire_owned() else { return Ok(false) };
    if !is_ours || !is_free || head.status.is_finished() || head.status == Status::Paused {
        return Ok(false);
    }
    let mut taken = head.clone();
    taken.fence.0 += 1;
    taken.version = head.version.next(fastrand::u64(..));
    taken.lease = Some(core.lease());
    let batch = Batch::replace(head.version, taken.clone(), Vec::new());
    if core.committer.commit(batch).await? != Verdict::Accepted {
        return Ok(false);
    }
    take(core, taken, Some(permit)).await;
    Ok(true)
}

/// Takes over a claimed run in the background.
async fn take(core: &Arc<Core>, head: Head, permit: Option<OwnedSemaphorePermit>) {
    let (Some(registered), Some(permit)) = (core.definition_of(&head), permit) else {
        tracing::error!(run = %head.key, "the store gave a run that was not asked for");
        return;
    };
    let now = core.time.own_now();
    if let Some(present) = core.registry.slot(&head.key)
        && present.adopt(&head, now).await
    {
        // The clock jumped, and this process claimed what it was driving: nothing has to begin again.
        return;
    }
    let slot = Arc::new(Slot::claimed(head.clone(), now));
    core.registry.add_slot(&slot);
    let (own_core, own_slot) = (Arc::clone(core), Arc::clone(&slot));
    let gate = core.limits.shut_gate(&head.queue);
    core.spawn(slot, async move {
        if let Some(at) = not_before(&head).filter(|at| *at > own_core.time.now()) {
            return leave_until(&own_core, &own_slot, &head, at).await;
        }
        let _place = match gate {
            Some(gate) => match admit(&own_core, &gate, &own_slot, &head).await? {
                Admission::Granted { place, at } => {
                    wait_for_turn(&own_core, &own_slot, at).await?;
                    place
                }
                Admission::Parked => return Ok(Outcome::Released),
            },
            None => None,
        };
        match Runner::resume(&own_core, registered, Arc::clone(&own_slot), permit).await {
            Ok(runner) => runner.drive().await,
            Err(Left::Fold(error)) => {
                tracing::error!(run = %own_slot.key, %error, "this version cannot read the run; nothing was touched");
                own_slot.put_back(&own_core.committer, &own_core.time, UNREADABLE_REST_MS).await?;
                Err(Left::Fold(error))
            }
            Err(error) => Err(error),
        }
    });
}

/// When the run begins at the earliest that a worker has claimed, if it has not begun.
fn not_before(head: &Head) -> Option<Timestamp> {
    head.summary.decode::<Summary>().ok().and_then(|summary| summary.not_before)
}

/// Answers the mail of a run that was claimed for nothing else, without beginning it, and gives it up until its time has come.
async fn leave_until(core: &Core, slot: &Slot, head: &Head, at: Timestamp) -> Result<Outcome, Left> {
    // The answers are written with a head that nobody holds.
    if requests::answer_unowned(core, head).await.map_err(Left::from_error)?.is_none() {
        let rest_ms = at.since_ms(core.time.now());
        slot.put_back(&core.committer, &core.time, rest_ms).await?;
    }
    slot.end();
    Ok(Outcome::Released)
}

/// Waits for the moment at which the rate lets the run begin.
async fn wait_for_turn(core: &Core, slot: &Slot, at: Option<Timestamp>) -> Result<(), Left> {
    let Some(at) = at.filter(|at| *at > core.time.now()) else { return Ok(()) };
    tokio::select! {
        () = core.time.sleep_until(at) => Ok(()),
        () = slot.lost.cancelled() => Err(WriteError::Lost.into()),
    }
}
