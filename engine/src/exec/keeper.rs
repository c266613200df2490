//! Keeps what user code must not be able to starve: leases, the watch over blocked threads, mail from other
//! processes, runs that nobody takes. The first two live on a thread of their own.

use std::sync::{Arc, Weak};

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{BackendError, Clock, Head, Order, Query, Status};

use crate::exec::core::Core;
use crate::exec::pool::LOOK_EVERY;
use crate::exec::requests;
use crate::exec::slot::Care;
use crate::run::summary::Summary;

/// How often mail from other processes is looked for, in milliseconds.
const MAIL_EVERY_MS: u64 = 500;
/// How often runs that nobody advances are looked through, in milliseconds.
const UNOWNED_EVERY_MS: u64 = 5_000;

/// Starts the keeper's thread. It ends when the engine is gone.
pub(crate) fn start(core: &Arc<Core>) -> std::io::Result<()> {
    let core = Arc::downgrade(core);
    std::thread::Builder::new().name("stepwell-keeper".to_owned()).spawn(move || keep(&core))?;
    Ok(())
}

fn keep(core: &Weak<Core>) {
    let mut looks: u64 = 0;
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(core) = core.upgrade() else { return };
        core.pool.look();
        looks += 1;
        // Leases are renewed after a third of their time: looking a few times in that third is enough.
        if looks.is_multiple_of(5) {
            core.witness.look(&core.time);
            care_for_leases(&core);
        }
    }
}

fn care_for_leases(core: &Arc<Core>) {
    let now = core.time.own_now();
    for slot in core.registry.slots() {
        match slot.care(core.options.lease_ms, core.store.exclusive, now) {
            Care::Nothing => {}
            Care::Renew => {
                core.runtime.spawn(slot.renew(core.committer.clone(), Arc::clone(&core.time)));
            }
            Care::Fence => {
                tracing::warn!(run = %slot.key, "the lease was not renewed in time; its steps are stopped");
                slot.lost.cancel();
            }
        }
    }
}

/// Looks for mail that other processes posted to runs of this worker, until the engine stops.
pub(crate) async fn fetch_mail(core: Arc<Core>) {
    let query = Query { leased_by: Some(core.worker.clone()), with_mail: true, ..Query::default() };
    while !core.grace_over.is_cancelled() {
        let asked_at = core.time.own_now();
        match core.backend.scan(&query, None, PAGE_ITEMS_MAX).await {
            Ok(page) => {
                for slot in page.items.iter().filter_map(|head| core.registry.slot(&head.key)) {
                    slot.tell_mail();
                }
            }
            Err(error) => tracing::debug!(%error, "mail could not be looked for"),
        }
        if let Ok(info) = core.backend.info().await {
            core.time.correct(asked_at, info.now);
        }
        tokio::select! {
            () = core.time.sleep(MAIL_EVERY_MS) => {}
            () = core.grace_over.cancelled() => return,
        }
    }
}

/// Looks after runs that nobody advances, until the engine stops: those that no worker took in time, and those that
/// are held and whose mail nobody has answered.
pub(crate) async fn watch_unowned(core: Arc<Core>) {
    while !core.is_stopping() {
        let definitions = core.definitions.all();
        let waits = definitions.values().any(|known| known.definition.policy().queue_wait_ms.is_some());
        let late = if waits { pause_unclaimed(&core).await } else { Ok(()) };
        if let Err(error) = late.and(answer_held(&core).await) {
            tracing::debug!(%error, "runs that nobody advances could not be looked through");
        }
        tokio::select! {
            () = core.time.sleep(UNOWNED_EVERY_MS) => {}
            () = core.stopping.cancelled() => return,
        }
    }
}

async fn pause_unclaimed(core: &Arc<Core>) -> Result<(), BackendError> {
    let query = Query { statuses: vec![Status::Queued], order: Order::Oldest, ..Query::default() };
    let mut after = None;
    loop {
        let page = core.backend.scan(&query, after, PAGE_ITEMS_MAX).await?;
        let late = |head: &&Head| {
            let summary = head.summary.decode::<Summary>().ok();
            let until = summary.and_then(|summary| summary.queue_until);
            // A run that was just claimed is still queued by its head; its worker is about to write.
            until.is_some_and(|until| until <= core.time.now()) && head.live_lease(core.time.now()).is_none()
        };
        for head in page.items.iter().filter(late) {
            if let Err(error) = requests::pause_unclaimed(core, head).await {
                tracing::debug!(run = %head.key, %error, "the run was not paused");
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// A run that is held is never due, so that its mail would lie there if whoever posted it has gone.
async fn answer_held(core: &Arc<Core>) -> Result<(), BackendError> {
    let query = Query { statuses: vec![Status::Paused], with_mail: true, ..Query::default() };
    for head in core.backend.scan(&query, None, PAGE_ITEMS_MAX).await?.items {
        if let Err(error) = requests::answer_unowned(core, &head).await {
            tracing::debug!(run = %head.key, %error, "mail of a held run was not answered");
        }
    }
    Ok(())
}
