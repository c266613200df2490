//! Runs that wait for room: found oldest first by the line that their leases name, and woken one for each room that is free.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Batch, Clock, Fence, Head, IdError, Name, Order, Query, RunKey, Status, Verdict, WorkerId,
};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::gate::{Change, Gate};
use crate::exec::limits::roster::Roster;
use crate::exec::limits::system;
use crate::exec::worker;
use crate::run::parked::{Parked, ParkedFor};

/// How often a head that others write too is written again.
const TRIES_MAX: usize = 8;

/// The line of the runs of one key.
pub(super) fn of_key(queue: &Name, key: &Name) -> Result<WorkerId, IdError> {
    system::line(queue, &format!("key {key}"))
}

/// The line of the runs that wait for a paused queue.
pub(super) fn of_paused(queue: &Name) -> Result<WorkerId, IdError> {
    system::line(queue, "paused")
}

fn in_line(line: WorkerId) -> Query {
    let statuses =
        Status::ALL.into_iter().filter(|status| !status.is_finished() && *status != Status::Paused).collect();
    Query { leased_by: Some(line), statuses, order: Order::Oldest, ..Query::default() }
}

/// The oldest run of a key that waits and for which no room is kept.
async fn first_of(core: &Core, gate: &Gate, key: &Name, roster: &Roster) -> Result<Option<Head>, Error> {
    let query = in_line(of_key(&gate.queue, key)?);
    // At most as many as count are passed over.
    let page = core.backend.scan(&query, None, roster.held.len() + 1).await?;
    Ok(page.items.into_iter().find(|head| !roster.holds(&head.key)))
}

/// Lets the room of `freed` go and keeps it, and all other room that is free, for those who wait.
///
/// # Cancellation
/// Dropping the future leaves some who wait to look again by themselves.
pub(super) fn serve<'a>(
    core: &'a Arc<Core>,
    gate: &'a Gate,
    freed: Option<(RunKey, Fence)>,
) -> BoxFuture<'a, Result<(), Error>> {
    // Named, since what is handed on may itself hand on.
    hand_on(core, gate, freed).boxed()
}

async fn hand_on(core: &Arc<Core>, gate: &Gate, mut freed: Option<(RunKey, Fence)>) -> Result<(), Error> {
    let mut misses = 0;
    while misses < TRIES_MAX {
        let next = gate.state.change(core, |roster, now| {
            let mut then = roster.clone();
            then.lapse(now);
            if let Some((run, fence)) = &freed {
                then.free(run, *fence);
            }
            if roster.paused.is_none()
                && let Some(key) = then.next_key()
            {
                return Change::Keep(Some((key, then)));
            }
            match freed {
                Some(_) if then.held.len() < roster.held.len() => {
                    *roster = then;
                    Change::write(None)
                }
                // What is not known here cannot be let go either.
                _ => Change::Refuse(None),
            }
        });
        let Some((key, then)) = next.await? else { return Ok(()) };
        let Some(first) = first_of(core, gate, &key, &then).await? else {
            nobody_waits(core, gate, &key, &then).await?;
            continue;
        };
        let until = core.time.now().plus_ms(core.options.lease_ms);
        let reserved = gate.state.change(core, |roster, now| {
            let mut changed = roster.lapse(now);
            if let Some((run, fence)) = &freed {
                changed |= roster.free(run, *fence);
            }
            if !roster.holds(&first.key) && roster.reserve(&first.key, first.fence, &key, until).is_ok() {
                roster.served(&key);
                return Change::write(true);
            }
            if changed { Change::write(false) } else { Change::Refuse(false) }
        });
        let is_reserved = reserved.await?;
        freed = None;
        // Others were faster, or it does not fit.
        misses += usize::from(!is_reserved);
        if !is_reserved {
            continue;
        }
        let run = first.key.clone();
        // Whoever hands room on goes on with the next run itself where it can: nobody has to be told and to ask.
        if !worker::take_over(core, first).await? && !wake(core, &run).await? {
            // It has ended or is held: the room is for another.
            let let_go = gate.state.change(core, |roster, _| match roster.unreserve(&run) {
                true => Change::write(()),
                false => Change::Refuse(()),
            });
            let_go.await?;
        }
    }
    Ok(())
}

/// Forgets that runs of a key wait, unless one came meanwhile: a run parks before it looks whether its key is known.
async fn nobody_waits(core: &Core, gate: &Gate, key: &Name, then: &Roster) -> Result<(), Error> {
    let forget = |roster: &mut Roster, _| match roster.wait_no_more(key) {
        true => Change::write(()),
        false => Change::Refuse(()),
    };
    gate.state.change(core, forget).await?;
    if first_of(core, gate, key, then).await?.is_some() {
        remember(core, gate, key).await?;
    }
    Ok(())
}

async fn remember(core: &Core, gate: &Gate, key: &Name) -> Result<(), Error> {
    let remember = |roster: &mut Roster, _| match roster.wait(key) {
        true => Change::write(()),
        false => Change::Keep(()),
    };
    gate.state.change(core, remember).await
}

/// What a run does that has just parked: whoever made room before it stood in line has not seen it.
pub(super) async fn look_once_more(
    core: &Arc<Core>,
    gate: &Gate,
    run: &RunKey,
    parked: &Parked,
) -> Result<(), Error> {
    match parked.reason {
        ParkedFor::Rate => Ok(()),
        ParkedFor::Paused => {
            if gate.state.read(core).await?.paused.is_none() {
                wake(core, run).await?;
            }
            Ok(())
        }
        ParkedFor::Concurrency(_) | ParkedFor::PerKey(_) => {
            let mut roster = gate.state.read(core).await?;
            if roster.wait(&parked.key) {
                remember(core, gate, &parked.key).await?;
            }
            if roster.next_key().is_some() { serve(core, gate, None).await } else { Ok(()) }
        }
    }
}

/// Makes a parked run due. Returns `false` when it has ended or is held, so that it does not come.
pub(super) async fn wake(core: &Core, run: &RunKey) -> Result<bool, Error> {
    for _ in 0..TRIES_MAX {
        let Some(head) = core.backend.head(run).await? else { return Ok(false) };
        let now = core.time.now();
        if head.status.is_finished() || head.status == Status::Paused {
            return Ok(false);
        }
        // It has an owner, or will have one in a moment.
        if head.live_lease(now).is_some() || head.wake_at.is_some_and(|at| at <= now) {
            return Ok(true);
        }
        let mut woken = head.clone();
        woken.version = head.version.next(fastrand::u64(..));
        woken.wake_at = Some(now);
        woken.updated_at = now;
        if core.committer.commit(Batch::replace(head.version, woken, Vec::new())).await? == Verdict::Accepted
        {
            return Ok(true);
        }
    }
    // Written by others all the time: it looks again by itself.
    Ok(true)
}

/// Wakes all runs that wait for the paused queue.
pub(super) async fn wake_paused(core: &Core, queue: &Name) -> Result<usize, Error> {
    let query = in_line(of_paused(queue)?);
    let (mut woken, mut after) = (0, None);
    loop {
        let page = core.backend.scan(&query, after, PAGE_ITEMS_MAX).await?;
        for head in &page.items {
            woken += usize::from(wake(core, &head.key).await?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(woken);
        }
    }
}
