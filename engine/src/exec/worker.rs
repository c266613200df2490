//! Takes due runs and hands each to a runner.

use std::sync::Arc;
use std::time::Duration;

use stepwell_contract::{Claim, Head};

use crate::exec::core::Core;
use crate::exec::runner::{Left, Runner};
use crate::exec::slot::Slot;

/// Most runs taken with one claim.
const CLAIM_MAX: usize = 128;
/// Shortest time between two claims when the first found nothing: a busy store says all the time that something changed.
const REST_MIN: Duration = Duration::from_millis(10);
/// Longest wait after a failed claim, in milliseconds.
const RETRY_MAX_MS: u64 = 5_000;

/// Takes due runs until the engine stops.
pub(crate) async fn work(core: Arc<Core>) {
    let mut retry_ms = 50;
    while !core.is_stopping() {
        // Back-pressure: no room, no claim.
        let room = tokio::select! {
            permit = Arc::clone(&core.permits).acquire_owned() => permit,
            () = core.stopping.cancelled() => return,
        };
        let Ok(permit) = room else { return };
        let wanted = (core.permits.available_permits() + 1).min(CLAIM_MAX);
        drop(permit);
        match claim(&core, wanted).await {
            Ok(heads) if heads.is_empty() => {
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
                    take(&core, head).await;
                }
            }
            Err(error) => {
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

async fn claim(core: &Core, limit: usize) -> Result<Vec<Head>, stepwell_contract::BackendError> {
    let claim = Claim {
        worker: core.worker.clone(),
        ttl_ms: core.options.lease_ms,
        queues: core.options.queues.clone(),
        workflows: core.definitions.keys().cloned().collect(),
        tenant: None,
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

/// Takes over a claimed run in the background.
async fn take(core: &Arc<Core>, head: Head) {
    let Some(registered) = core.definition_of(&head) else {
        tracing::error!(run = %head.key, "the store gave a run that was not asked for");
        return;
    };
    let Ok(permit) = Arc::clone(&core.permits).acquire_owned().await else { return };
    let slot = Arc::new(Slot::claimed(head, core.time.own_now()));
    let (own_core, own_slot) = (Arc::clone(core), Arc::clone(&slot));
    let driven = async move {
        match Runner::resume(&own_core, registered, Arc::clone(&own_slot), permit).await {
            Ok(runner) => runner.drive().await,
            Err(error) => {
                tell_unreadable(&error, &own_slot);
                Err(error)
            }
        }
    };
    core.spawn(slot, driven);
}

fn tell_unreadable(error: &Left, slot: &Slot) {
    if matches!(error, Left::Fold(_)) {
        tracing::error!(run = %slot.key, %error, "the run cannot be advanced by this version; nothing was touched");
    }
}
