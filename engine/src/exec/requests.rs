//! What people ask of a run: one path for every verb. The request is posted as a message, durably; then the run's
//! owner answers it, or, when nobody owns the run, whoever asked does.

use std::sync::Arc;
use std::time::Duration;

use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Batch, Clock, Fence, Head, Kind, Message, MessageId, Payload, RunKey, Seq, Status, Verdict,
};
use uuid::Uuid;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::load;
use crate::exec::outcome::Outcome;
use crate::exec::runner::{Left, answer};
use crate::run::actor::Actor;
use crate::run::event::{Event, PauseReason, RunPaused};
use crate::run::request::{Ask, put_to_rest};
use crate::run::state::State;
use crate::run::summary::Summary;

/// The kind of a message that carries a request.
const REQUEST: Kind = Kind::of("request");
/// How long the owner of a run may take to answer before the caller is told that it has not.
const ANSWER_MS: u64 = 30_000;
/// How often the caller looks whether the owner has answered.
const LOOK: Duration = Duration::from_millis(20);

/// Asks something of a run, and returns its head once the request was answered.
///
/// # Errors
/// [`Error::Refused`] when the run's state does not allow it; nothing changed. [`Error::NoAnswerYet`] when the owner
/// has not answered in time: the request stays.
pub(crate) async fn ask(core: &Arc<Core>, key: &RunKey, ask: Ask) -> Result<Head, Error> {
    let head = head_of(core, key).await?;
    if let Err(why) = ask.verb.allowed(head.status) {
        return Err(Error::Refused {
            key: key.clone(),
            verb: ask.verb.as_str(),
            status: head.status,
            why: why.to_owned(),
        });
    }
    let id = MessageId::new(Uuid::now_v7().simple().to_string())?;
    let message = Message::new(id.clone(), REQUEST, core.time.now(), Payload::encode(&ask)?);
    if let Verdict::Rejected { .. } = core.committer.commit(Batch::post(key.clone(), message)).await? {
        return Err(Error::NoSuchRun(key.clone()));
    }
    let asked_at = core.time.own_now();
    loop {
        let head = head_of(core, key).await?;
        if core.slot(key).is_none() && head.live_lease(core.time.now()).is_none() {
            if let Some(head) = answer_unowned(core, &head).await? {
                return told(core, key, &id, &ask, head).await;
            }
            continue;
        }
        if let Some(slot) = core.slot(key) {
            slot.tell_mail();
        }
        let waiting = core.backend.inbox(key, usize::MAX).await?;
        if !waiting.iter().any(|message| message.id == id) {
            let head = head_of(core, key).await?;
            return told(core, key, &id, &ask, head).await;
        }
        if core.time.own_now().since_ms(asked_at) >= ANSWER_MS {
            return Err(Error::NoAnswerYet { key: key.clone() });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The head after the request was taken, or the refusal that the run's state gave when it was.
async fn told(core: &Core, key: &RunKey, id: &MessageId, ask: &Ask, head: Head) -> Result<Head, Error> {
    // The answer is among the latest records: the request was taken a moment ago.
    let from = Seq(head.next_seq.0.saturating_sub(PAGE_ITEMS_MAX as u64).max(1));
    let tail = core.backend.journal(key, from, PAGE_ITEMS_MAX).await?;
    let refusals = tail.iter().rev().filter(|record| record.kind.as_str() == "request_refused");
    for record in refusals {
        if let Ok(Event::RequestRefused(refused)) = Event::read(record)
            && refused.request == *id
        {
            let why = refused.message;
            return Err(Error::Refused {
                key: key.clone(),
                verb: ask.verb.as_str(),
                status: head.status,
                why,
            });
        }
    }
    Ok(head)
}

/// Answers all mail of a run that nobody owns. Returns its head then; `None` when the run has changed meanwhile.
async fn answer_unowned(core: &Core, head: &Head) -> Result<Option<Head>, Error> {
    let mut state = load_state(core, &head.key).await?;
    let mail = core.backend.inbox(&head.key, usize::MAX).await?;
    let mut events = Vec::new();
    let now = core.time.now();
    for message in &mail {
        let event = answer(message, &state);
        state.apply(&event, now)?;
        events.push(event);
    }
    let fence = Fence(head.fence.0 + 1);
    let resting = put_to_rest(&mut state, &core.worker, fence, now)?;
    let taken_over = !resting.is_empty();
    events.extend(resting);
    let take = mail.into_iter().map(|message| message.id).collect();
    write(core, head, &state, &events, take, if taken_over { fence } else { head.fence }).await
}

/// Pauses a run that no worker took in time.
pub(crate) async fn pause_unclaimed(core: &Core, head: &Head) -> Result<(), Error> {
    let mut state = load_state(core, &head.key).await?;
    if state.status != Status::Queued {
        return Ok(());
    }
    let message = format!(
        "no worker took the run in time: none reads queue {} for {} version {}. Start one, then `resume`",
        head.queue, head.workflow, head.workflow_version
    );
    let event: Event = RunPaused {
        reason: PauseReason::QueueWait,
        actor: Actor::Engine,
        message,
        place: None,
        failure: None,
    }
    .into();
    state.apply(&event, core.time.now())?;
    write(core, head, &state, &[event], Vec::new(), head.fence).await?;
    Ok(())
}

/// Writes events to a run that nobody owns. Returns its head then; `None` when it has changed meanwhile.
async fn write(
    core: &Core,
    from: &Head,
    state: &State,
    events: &[Event],
    take: Vec<MessageId>,
    fence: Fence,
) -> Result<Option<Head>, Error> {
    let now = core.time.now();
    let mut records = Vec::with_capacity(events.len());
    for event in events {
        records.push(event.record(from.next_seq.plus(records.len()), now)?);
    }
    let mut head = from.clone();
    head.version = from.version.next(fastrand::u64(..));
    head.status = state.status;
    head.wake_at = if state.owner.is_some() { Some(now) } else { state.wake_at };
    head.lease = None;
    head.fence = fence;
    head.next_seq = from.next_seq.plus(records.len());
    head.updated_at = now;
    head.finished_at = state.status.is_finished().then_some(now);
    let before: Summary = from.summary.decode().unwrap_or_default();
    head.summary = Payload::encode(&before.with_trouble_of(state))?;
    let mut batch = Batch::replace(from.version, head.clone(), records);
    batch.take = take;
    match core.committer.commit(batch).await? {
        Verdict::Rejected { .. } => Ok(None),
        Verdict::Accepted => {
            if let Ok(outcome) = Outcome::of(state) {
                core.tell(&head.key, &outcome);
            }
            Ok(Some(head))
        }
    }
}

pub(crate) async fn head_of(core: &Core, key: &RunKey) -> Result<Head, Error> {
    core.backend.head(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))
}

pub(crate) async fn load_state(core: &Core, key: &RunKey) -> Result<State, Error> {
    load::state(core.backend.as_ref(), key).await.map_err(|left| match left {
        Left::Store(error) => error.into(),
        Left::Fold(source) => Error::Journal { key: key.clone(), source },
        Left::Payload(error) => error.into(),
        Left::Illegal(error) => error.into(),
        Left::Write(_) | Left::Panic(_) => Error::Options(left.to_string()),
    })
}
