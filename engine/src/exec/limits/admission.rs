//! What becomes of a run that was claimed from a queue with limits: it is let in, or it is parked.
//!
//! A run that is refused parks first and then looks once more: whoever makes room in between either finds it parked or
//! is seen by it.

use std::sync::{Arc, Weak};

use futures_util::StreamExt;
use futures_util::stream;
use stepwell_contract::{Clock, Fence, Head, Lease, Name, Payload, RunKey, Status, Timestamp};

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::limits::gate::{Change, Gate};
use crate::exec::limits::line;
use crate::exec::limits::rate::Turn;
use crate::exec::limits::system;
use crate::exec::requests;
use crate::exec::runner::Left;
use crate::exec::slot::Slot;
use crate::run::parked::{Parked, ParkedFor};
use crate::run::summary::Summary;

/// How long runs of a paused queue rest before they are looked at again, in milliseconds. Who lets the queue go on wakes them.
const PAUSE_REST_MS: u64 = 60_000;
/// Holders that are looked at side by side.
const LOOKS_AT_ONCE: usize = 16;

/// The right of a run to count among those of its queue. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Place {
    core: Weak<Core>,
    gate: Arc<Gate>,
    run: RunKey,
    fence: Fence,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Without an engine the room is found to be free when the run's lease is.
        let Some(core) = self.core.upgrade() else { return };
        let (gate, run, fence) = (Arc::clone(&self.gate), self.run.clone(), self.fence);
        let own = Arc::clone(&core);
        let freed = core.runners.track_future(async move {
            if let Err(error) = line::serve(&own, &gate, Some((run, fence))).await {
                tracing::warn!(queue = %gate.queue, %error, "room was not handed on; whoever waits finds it");
            }
        });
        core.runtime.spawn(freed);
    }
}

/// What becomes of a claimed run.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It goes on, at this time at the earliest; it counts as long as the place is kept.
    Granted { place: Option<Place>, at: Option<Timestamp> },
    /// It was put back, and comes again.
    Parked,
}

/// What the limits say to a run.
enum Answer {
    Granted { counts: bool, at: Option<Timestamp> },
    Refused { reason: ParkedFor, turn: Option<Timestamp> },
}

impl Answer {
    fn refused(reason: ParkedFor) -> Self {
        Self::Refused { reason, turn: None }
    }
}

/// A run that asks to be let in.
struct Asking {
    run: RunKey,
    fence: Fence,
    key: Name,
    summary: Summary,
}

impl Asking {
    fn turn(&self) -> Option<Timestamp> {
        self.summary.parked.as_ref().and_then(|parked| parked.turn)
    }
}

/// The limit key of a run.
///
/// # Errors
/// Never: a tenant's id is a name.
pub(super) fn key_of(head: &Head, summary: &Summary) -> Result<Name, stepwell_contract::IdError> {
    summary.limit_key.clone().map_or_else(|| Name::new(head.key.tenant.as_str()), Ok)
}

/// Lets a claimed run in, or parks it. One that is being cancelled or whose end is decided always goes in, and does not count.
///
/// # Errors
/// The run must be left alone.
pub(crate) async fn admit(
    core: &Arc<Core>,
    gate: &Arc<Gate>,
    slot: &Arc<Slot>,
    head: &Head,
) -> Result<Admission, Left> {
    let summary: Summary = head.summary.decode().unwrap_or_default();
    if head.status == Status::Cancelling || summary.ending {
        // Whoever holds up the work of a queue does not keep runs from ending, nor those who wait to hear of it.
        return Ok(Admission::Granted { place: None, at: None });
    }
    let key = key_of(head, &summary).map_err(|error| Left::from_error(error.into()))?;
    let asking = Asking { run: head.key.clone(), fence: head.fence, key, summary };
    let mut answer = ask(core, gate, &asking).await.map_err(Left::from_error)?;
    if let Answer::Refused { reason: ParkedFor::Concurrency(_) | ParkedFor::PerKey(_), .. } = answer
        && gate.may_look(core)
        && evict(core, gate).await.map_err(Left::from_error)? > 0
    {
        answer = ask(core, gate, &asking).await.map_err(Left::from_error)?;
        line::serve(core, gate, None).await.map_err(Left::from_error)?;
    }
    match answer {
        Answer::Granted { counts, at } => {
            let place = || Place {
                core: Arc::downgrade(core),
                gate: Arc::clone(gate),
                run: asking.run.clone(),
                fence: asking.fence,
            };
            Ok(Admission::Granted { place: counts.then(place), at })
        }
        Answer::Refused { reason, turn } => {
            park(core, gate, slot, &asking, reason, turn).await?;
            Ok(Admission::Parked)
        }
    }
}

/// Asks the limits, in this order: the pause, the rate of the key, and in one move room and the rate of the queue.
async fn ask(core: &Core, gate: &Gate, asking: &Asking) -> Result<Answer, Error> {
    let begins = !asking.summary.begun;
    let (turn, key) = (asking.turn(), &asking.key);
    let mut of_key = None;
    let first = gate.state.change(core, |roster, now| {
        if roster.paused.is_some() {
            return Change::Refuse(Err(ParkedFor::Paused));
        }
        // The key's rate is asked only where nothing else stands in the way: what it grants is counted.
        let is_free =
            roster.holds(&asking.run) || roster.clone().take(&asking.run, asking.fence, key).is_ok();
        let is_turn = roster
            .limits
            .rate
            .is_none_or(|rate| matches!(roster.meter.look(rate, turn, now), Turn::Granted(_)));
        Change::Keep(Ok(roster.limits.rate_per_key.filter(|_| begins && is_free && is_turn)))
    });
    match first.await? {
        Err(reason) => return Ok(Answer::refused(reason)),
        Ok(None) => {}
        Ok(Some(rate)) => {
            let meter = gate.meter_of(key)?;
            let told = meter.change(core, |meter, now| Change::write(meter.ask(rate, turn, now)));
            match told.await? {
                Turn::Granted(at) => of_key = Some((rate, at)),
                Turn::At(turn) => return Ok(Answer::Refused { reason: ParkedFor::Rate, turn: Some(turn) }),
            }
        }
    }
    let lease_ms = core.options.lease_ms;
    let begin_at = of_key.map(|(_, at)| at);
    let decided = gate.state.change(core, |roster, now| {
        if roster.paused.is_some() {
            return Change::Refuse(Answer::refused(ParkedFor::Paused));
        }
        let lapsed = roster.lapse(now);
        let counts = roster.limits.counted().is_some();
        if counts && let Err(reason) = roster.take(&asking.run, asking.fence, key) {
            let is_new = roster.wait(key);
            let answer = Answer::refused(reason);
            return if lapsed || is_new { Change::write(answer) } else { Change::Refuse(answer) };
        }
        let Some(rate) = roster.limits.rate.filter(|_| begins) else {
            let answer = Answer::Granted { counts, at: begin_at };
            return if counts { Change::write(answer) } else { Change::Keep(answer) };
        };
        match roster.meter.ask(rate, turn, now) {
            Turn::Granted(at) => Change::write(Answer::Granted {
                counts,
                at: Some(begin_at.map_or(at, |begin| begin.max(at))),
            }),
            Turn::At(turn) => {
                // The room is kept: a run that is let in at its turn must not find it taken.
                roster.keep(&asking.run, turn.plus_ms(lease_ms));
                Change::write(Answer::Refused { reason: ParkedFor::Rate, turn: Some(turn) })
            }
        }
    });
    let decided = decided.await?;
    if let (Some((rate, at)), Answer::Refused { .. }) = (of_key, &decided) {
        // Others came in between. The start of the key is its next run's, which may be this one: else that would wait for
        // as long as if it had begun.
        let meter = gate.meter_of(key)?;
        let given_back = meter.change(core, |meter, _| match meter.take_back(rate, at) {
            true => Change::write(()),
            false => Change::Refuse(()),
        });
        given_back.await?;
    }
    Ok(decided)
}

/// Gives the run up with a word in its head on what it waits for, and looks once more.
async fn park(
    core: &Arc<Core>,
    gate: &Arc<Gate>,
    slot: &Slot,
    asking: &Asking,
    reason: ParkedFor,
    turn: Option<Timestamp>,
) -> Result<(), Left> {
    let now = core.time.now();
    let before = asking.summary.parked.as_ref();
    let since = before.filter(|before| before.reason != ParkedFor::Paused || reason == ParkedFor::Paused);
    let parked = Parked {
        reason,
        key: asking.key.clone(),
        since: since.map_or(now, |before| before.since),
        turn: turn.or(asking.turn()),
    };
    let jittered = |ms: u64| ms.saturating_add(fastrand::u64(0..=ms / 2));
    let (wake_at, line) = match reason {
        ParkedFor::Rate => (turn.unwrap_or(now), None),
        ParkedFor::Paused => (now.plus_ms(jittered(PAUSE_REST_MS)), Some(line::of_paused(&gate.queue))),
        ParkedFor::Concurrency(limit) | ParkedFor::PerKey(limit) => {
            let rest_ms = core.options.lease_ms.saturating_mul(gate.place_in_line(core, limit));
            (now.plus_ms(jittered(rest_ms)), Some(line::of_key(&gate.queue, &asking.key)))
        }
    };
    let line = line.transpose().map_err(|error| Left::from_error(error.into()))?;
    let lease = line.map(|worker| Lease { worker, ttl_ms: 0, expires_at: now });
    let rest = Rest { parked, wake_at, lease };
    slot.park(&core.committer, &core.time, &rest).await?;
    slot.end();
    if !core.backend.inbox(&asking.run, 1).await?.is_empty() {
        // A run with mail is due all the time: the mail is answered while it stays parked.
        let answered = async {
            let head = requests::head_of(core, &asking.run).await?;
            requests::answer_parked(core, &head, &rest).await
        };
        if let Err(error) = answered.await {
            tracing::debug!(run = %asking.run, %error, "the mail of a parked run was not answered");
        }
    }
    line::look_once_more(core, gate, &asking.run, &rest.parked).await.map_err(Left::from_error)
}

/// How a run rests that had to be put back.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) parked: Parked,
    wake_at: Timestamp,
    /// Names the line that it stands in; nobody holds it.
    lease: Option<Lease>,
}

impl Rest {
    /// Makes the head say that the run is parked.
    pub(crate) fn write_into(&self, head: &mut Head) {
        let summary =
            Summary { parked: Some(self.parked.clone()), ..head.summary.decode().unwrap_or_default() };
        if let Ok(summary) = Payload::encode(&summary) {
            head.summary = summary;
        }
        head.wake_at = Some(self.wake_at);
        head.lease.clone_from(&self.lease);
    }
}

/// Makes room that dead workers left taken: that of runs which have ended, and of those that nobody advances. Returns how
/// many no longer count.
async fn evict(core: &Core, gate: &Gate) -> Result<usize, Error> {
    let roster = gate.state.read(core).await?;
    let held: Vec<_> = roster.held.into_iter().filter(|holder| holder.until.is_none()).collect();
    let looks = stream::iter(held).map(async |holder| {
        let head = core.backend.head(&holder.run).await?;
        let is_alive = head.is_some_and(|head| {
            !head.status.is_finished()
                && head.live_lease(core.time.now()).is_some()
                && !system::is_own(&head.key)
        });
        Ok::<_, Error>((!is_alive).then_some(holder))
    });
    let looked: Vec<_> = looks.buffer_unordered(LOOKS_AT_ONCE).collect().await;
    let mut dead = Vec::new();
    for holder in looked {
        dead.extend(holder?);
    }
    if dead.is_empty() {
        return Ok(0);
    }
    let evicted = gate.state.change(core, |roster, _| {
        let before = roster.held.len();
        // One that was taken over since then counts under another fence.
        roster.held.retain(|holder| !dead.contains(holder));
        match before - roster.held.len() {
            0 => Change::Refuse(0),
            evicted => Change::write(evicted),
        }
    });
    let evicted = evicted.await?;
    if evicted > 0 {
        tracing::info!(queue = %gate.queue, evicted, "room that dead workers had taken is free");
    }
    Ok(evicted)
}
