//! What runs tell each other: a child its parent how it ended, a parent its children that it leaves them.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use stepwell_contract::{
    BackendError, Batch, Clock, Fence, Message, MessageId, Payload, PayloadError, RunKey, Status, Timestamp,
    Verdict,
};
use uuid::Uuid;

use crate::error::Error;
use crate::exec::core::Core;
use crate::exec::requests;
use crate::run::actor::Actor;
use crate::run::event::ChildEnded;
use crate::run::mail::CHILD_ENDED;
use crate::run::request::{Ask, REQUEST, Verb};
use crate::run::state::State;
use crate::run::waiting::{ChildEnd, Ending, OnClose, Parent, RunEnd};

/// Tells of the decided end of a run whom it concerns: each has it in its inbox once this returns. Telling again changes
/// nothing.
///
/// # Errors
/// The store did not take a message, or may not have: tell again.
pub(crate) async fn tell(core: &Core, key: &RunKey, state: &State) -> Result<(), Arc<BackendError>> {
    let Some(ending) = &state.ending else { return Ok(()) };
    for child in state.left_children() {
        let why = format!("its parent {key} has ended");
        let ask = Ask::new(Verb::Cancel, Actor::Run(key.clone()), why);
        let ask = Payload::encode(&ask).map_err(unwritable)?;
        post(core, child, Message::new(id_of("left-by", key, ending), REQUEST, core.time.now(), ask)).await?;
        take_in(core, child).await?;
    }
    let Some(parent) = &state.created.parent else { return Ok(()) };
    let word = word(parent, key, &ending.end, state).map_err(unwritable)?;
    let word = Message::new(id_of("child", key, ending), CHILD_ENDED, core.time.now(), word);
    post(core, &parent.run, word).await?;
    take_in(core, &parent.run).await
}

/// Sees to it that a run takes in what it was told although it is never due by itself: a child that is held, a parent that
/// has failed for this child.
///
/// # Errors
/// The store did not answer: what it was told stays in its inbox.
pub(crate) async fn take_in(core: &Core, key: &RunKey) -> Result<(), Arc<BackendError>> {
    loop {
        let Some(head) = core.backend.head(key).await? else { return Ok(()) };
        let now = core.time.now();
        let has_none = core.backend.inbox(key, 1).await?.is_empty();
        // Whoever has it or is to take it reads its mail.
        if has_none || head.live_lease(now).is_some() || head.is_due(true, now) {
            return Ok(());
        }
        match Box::pin(requests::answer_unowned(core, &head)).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) if core.backend.head(key).await?.is_none_or(|now| now.version == head.version) => {
                return Ok(());
            }
            // It has changed meanwhile.
            Ok(None) => {}
            Err(Error::Store(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(run = %key, %error, "what the run was told waits in its inbox");
                return Ok(());
            }
        }
    }
}

/// Cancels a child that was made after its parent had ended: whoever ended that found nothing to cancel. A worker that was
/// taken for dead may be so late.
///
/// # Errors
/// [`Error::Store`], [`Error::Journal`]: the child may be left alone.
pub(crate) async fn cancel_if_orphaned(
    core: &Core,
    (parent, fence): (&RunKey, Fence),
    child: &RunKey,
    on_close: OnClose,
) -> Result<(), Error> {
    let head = core.backend.head(parent).await?;
    let is_ours = head.as_ref().is_some_and(|head| head.fence == fence && !head.status.is_finished());
    if is_ours || on_close == OnClose::Abandon {
        return Ok(());
    }
    let has_ended = match head {
        None => true,
        Some(head) if head.status.is_finished() => true,
        Some(_) => requests::load_state(core, parent).await?.ending.is_some(),
    };
    if has_ended {
        let ask =
            Ask::new(Verb::Cancel, Actor::Run(parent.clone()), format!("its parent {parent} has ended"));
        let id = MessageId::new("orphaned")?;
        post(core, child, Message::new(id, REQUEST, core.time.now(), Payload::encode(&ask)?)).await?;
    }
    Ok(())
}

/// Tells the parent of a run that has ended how it did, in case it asks for it anew.
///
/// # Errors
/// [`Error::Store`], [`Error::Journal`]: ask again.
pub(crate) async fn tell_again(core: &Core, key: &RunKey) -> Result<(), Error> {
    if !requests::head_of(core, key).await?.status.is_finished() {
        return Ok(());
    }
    let state = requests::load_state(core, key).await?;
    let id = MessageId::new(format!("again-{}", Uuid::now_v7().simple()))?;
    match end_told(key, &state, id, core.time.now())? {
        Some((parent, message)) => Ok(post(core, &parent, message).await?),
        None => Ok(()),
    }
}

/// What a run that has ended tells its parent, under an id; `None` when it has not ended or nobody started it.
///
/// # Errors
/// The end has no stored form.
pub(crate) fn end_told(
    key: &RunKey,
    state: &State,
    id: MessageId,
    now: Timestamp,
) -> Result<Option<(RunKey, Message)>, PayloadError> {
    let (Some(parent), Some(end)) = (&state.created.parent, end_of(state)) else { return Ok(None) };
    let word = word(parent, key, &end, state)?;
    Ok(Some((parent.run.clone(), Message::new(id, CHILD_ENDED, now, word))))
}

/// How a run has ended.
fn end_of(state: &State) -> Option<RunEnd> {
    match (state.status, &state.result, &state.failure) {
        (Status::Succeeded, Some(result), _) => Some(RunEnd::Succeeded { result: result.clone() }),
        (Status::Failed, _, Some((place, failure))) => {
            Some(RunEnd::Failed { place: place.clone(), failure: Box::new(failure.clone()) })
        }
        (Status::Cancelled, ..) => Some(RunEnd::Cancelled),
        _ => None,
    }
}

/// What a parent is told of the end of its child.
fn word(parent: &Parent, child: &RunKey, end: &RunEnd, state: &State) -> Result<Payload, PayloadError> {
    let ended = match end {
        RunEnd::Succeeded { .. } if parent.without_result => ChildEnd::Succeeded { output: Payload::null() },
        RunEnd::Succeeded { result } => {
            ChildEnd::Succeeded { output: result.result(state)?.unwrap_or_else(Payload::null) }
        }
        RunEnd::Failed { failure, .. } => ChildEnd::Failed { failure: failure.clone() },
        RunEnd::Cancelled => ChildEnd::Cancelled,
    };
    let (place, part) = (parent.place.clone(), parent.part.clone());
    Payload::encode(&ChildEnded { place, part, run: child.clone(), ended })
}

/// Puts a message into the inbox of a run, and tells whoever has it here. Where the run is gone nothing happens.
pub(crate) async fn post(core: &Core, to: &RunKey, message: Message) -> Result<(), Arc<BackendError>> {
    if let Verdict::Rejected { .. } = core.committer.commit(Batch::post(to.clone(), message)).await? {
        tracing::debug!(run = %to, "whoever was to be told is gone");
    }
    if let Some(slot) = core.registry.slot(to) {
        slot.tell_mail();
    }
    Ok(())
}

fn unwritable(error: PayloadError) -> Arc<BackendError> {
    use stepwell_contract::{Fault, FaultKind};
    Arc::new(BackendError::Definite(Fault::new(FaultKind::Invalid, error.to_string())))
}

/// The same for the same end of the same run, told by whomever.
fn id_of(what: &str, key: &RunKey, ending: &Ending) -> MessageId {
    let hash = Sha256::digest(format!("{what}/{key}/{}", ending.seq));
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    MessageId::new(format!("{what}-{hex}")).expect("letters, digits and dashes")
}
