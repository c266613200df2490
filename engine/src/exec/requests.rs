//! What people ask of a run: one path for every verb. The request is posted as a message, durably; then the run's
//! owner answers it, or, when nobody owns the run, whoever asked does. Nobody ever looks for the mail of a run that has ended: there
//! request and answer are one write.

use std::sync::Arc;
use std::time::Duration;

use stepwell_contract::{
    Batch, Clock, Fence, Head, Message, MessageId, Payload, RunKey, Seq, Status, Verdict,
};
use uuid::Uuid;

use crate::error::Error;
use crate::exec::core::{Core, Registered};
use crate::exec::limits::admission::Rest;
use crate::exec::outcome::Outcome;
use crate::exec::runner::WRITE_BYTES;
use crate::exec::slot::Slot;
use crate::exec::{family, heads, held, load, outlines};
use crate::run::actor::Actor;
use crate::run::event::{Event, LostReason, PauseReason, RunPaused};
use crate::run::mail::{answer, needs_definition};
use crate::run::notes::within;
use crate::run::preview::{Preview, preview};
use crate::run::request::{Ask, GONE_ON, NOT_OF_GROUP, REQUEST, Verb, put_to_rest};
use crate::run::said::FAILURE_TAG;
use crate::run::state::State;
use crate::run::summary::Summary;
use crate::run::takeover::{lost_attempts, takeover};

/// How often the caller looks whether the owner has answered, and how many times: half a minute in all.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 1_500;
/// How many times the owner of a run is asked to end it before that is done over its head: a second in all.
const TERMINATE_LOOKS: u32 = 50;
/// Why nobody answers what only an engine could that knows the workflow.
const NOT_HERE: &str = "it has ended, and no engine on this store has told of its workflow: start a worker that has it, or `retry` it first";
/// Longest reason kept with a request, in bytes.
const REASON_BYTES_MAX: usize = 4 << 10;
/// Most messages answered with one write.
pub(crate) const MAIL_MAX: usize = 100;

/// Asks something of a run, and returns its head once the request was answered.
///
/// # Errors
/// [`Error::Refused`] when the run's state does not allow it; nothing changed. [`Error::NoAnswerYet`] when the owner
/// has not answered in time: the request stays.
pub(crate) async fn ask(core: &Arc<Core>, key: &RunKey, ask: Ask) -> Result<Head, Error> {
    let id = MessageId::new(Uuid::now_v7().simple().to_string())?;
    ask_as(core, key, ask, id, false).await
}

/// Like [`ask`], under an id: a run that was asked under it before has it once.
pub(crate) async fn ask_as(
    core: &Arc<Core>,
    key: &RunKey,
    ask: Ask,
    id: MessageId,
    may_be_repeated: bool,
) -> Result<Head, Error> {
    match send(core, key, ask, id, may_be_repeated).await? {
        Sent::Answered(head) => Ok(head),
        Sent::Posted(posted) => posted.answered(core).await,
    }
}

/// What came of sending a request.
pub(crate) enum Sent {
    /// It was answered as it was sent.
    Answered(Head),
    /// It is in the run's inbox, durably.
    Posted(Posted),
}

/// A request that a run has in its inbox.
pub(crate) struct Posted {
    key: RunKey,
    ask: Ask,
    id: MessageId,
    /// Its answer is written from here on.
    from: Seq,
}

/// Sends a request: returns once the run has it.
pub(crate) async fn send(
    core: &Arc<Core>,
    key: &RunKey,
    ask: Ask,
    id: MessageId,
    may_be_repeated: bool,
) -> Result<Sent, Error> {
    let head = head_of(core, key).await?;
    let ask = Ask { message: reason(ask.message), ..ask };
    if !may_be_repeated {
        unchanged(&head, ask.seen, ask.verb.as_str())?;
    }
    if let Some(why) = foreseen(core, &head, &id, &ask).await? {
        return Err(refusal(key.clone(), &ask, head.status, why));
    }
    let message = Message::new(id.clone(), REQUEST, core.time.now(), Payload::encode(&ask)?);
    // The answer is written behind what is there now, unless it was given before.
    let from = if may_be_repeated { Seq::FIRST } else { head.next_seq };
    // Whoever may ask again under the same id does so after a crash; only a message shows then that it was asked before.
    if !may_be_repeated && let Some(head) = ask_ended(core, head, &message).await? {
        return told(core, &id, from, &ask, head).await.map(Sent::Answered);
    }
    if let Verdict::Rejected { .. } = core.committer.commit(Batch::post(key.clone(), message)).await? {
        return Err(Error::NoSuchRun(key.clone()));
    }
    Ok(Sent::Posted(Posted { key: key.clone(), ask, id, from }))
}

impl Posted {
    /// Waits for the answer, and returns the run's head then.
    ///
    /// # Errors
    /// As for [`ask`].
    pub(crate) async fn answered(self, core: &Arc<Core>) -> Result<Head, Error> {
        let Self { key, ask, id, from } = &self;
        let mut looks = 0;
        loop {
            let head = head_of(core, key).await?;
            let slot = core.registry.slot(key);
            if let Some(slot) = &slot {
                slot.tell_mail();
            }
            let is_unowned = slot.is_none() && head.live_lease(core.time.now()).is_none();
            // The write takes the run from an owner that hangs: whatever that one writes afterwards is refused.
            let is_forced = ask.verb == Verb::Terminate && looks >= TERMINATE_LOOKS;
            if (is_unowned || is_forced)
                && let Some((head, answered)) = answer_unowned(core, &head).await?
                && answered.contains(id)
            {
                if let Some(slot) = slot {
                    slot.lost.cancel();
                }
                return told(core, id, *from, ask, head).await;
            }
            let waiting = core.backend.inbox(key, usize::MAX).await?;
            if !waiting.iter().any(|message| message.id == *id) {
                let head = head_of(core, key).await?;
                return told(core, id, *from, ask, head).await;
            }
            if looks == LOOKS_MAX {
                return Err(Error::NoAnswerYet { key: key.clone() });
            }
            looks += 1;
            core.time.pause(LOOK).await;
        }
    }
}

/// Asks something of a run that has ended, and returns its head once that was answered; `None` when it has not ended, or has
/// gone on meanwhile: nothing was asked then.
async fn ask_ended(core: &Core, mut head: Head, ask: &Message) -> Result<Option<Head>, Error> {
    for _ in 0..LOOKS_MAX {
        if !head.status.is_finished() {
            return Ok(None);
        }
        // Whoever brought it to its end here has to tell of that first.
        if core.registry.slot(&head.key).is_some() {
            core.time.pause(LOOK).await;
        } else if let Some((head, answered)) = answer_as_it_is(core, &head, None, Some(ask)).await?
            && answered.contains(&ask.id)
        {
            return Ok(Some(head));
        }
        head = head_of(core, &head.key).await?;
    }
    Err(Error::NoAnswerYet { key: head.key })
}

/// A reason as it is kept.
pub(crate) fn reason(message: String) -> String {
    within(message, REASON_BYTES_MAX)
}

/// What a request would do. Nothing is written.
pub(crate) async fn dry_run(core: &Core, key: &RunKey, ask: &Ask) -> Result<Preview, Error> {
    let head = head_of(core, key).await?;
    let registered = outlines::definition_of(core, &head).await?;
    let known = registered.as_ref().map(|registered| registered.known());
    Ok(preview(ask, &load_state(core, key).await?, known, core.time.now())?)
}

/// Looks whether the run has recorded nothing that whoever asks has not seen: then what would be refused leaves no trace.
pub(crate) fn unchanged(head: &Head, seen: Option<Seq>, verb: &'static str) -> Result<(), Error> {
    match seen {
        Some(seen) if head.next_seq > seen.plus(1) => Err(Error::Changed { key: head.key.clone(), verb }),
        _ => Ok(()),
    }
}

fn refusal(key: RunKey, ask: &Ask, status: Status, why: String) -> Error {
    let verb = ask.verb.as_str();
    if why == GONE_ON { Error::Changed { key, verb } } else { Error::Refused { key, verb, status, why } }
}

/// The definition by which a run is answered: of one that has ended there is no owner who would have it, so that what others told
/// of it has to do.
async fn answering(core: &Core, head: &Head) -> Result<Option<Arc<Registered>>, Error> {
    match core.definition_of(head) {
        None if head.status.is_finished() => outlines::definition_of(core, head).await,
        registered => Ok(registered),
    }
}

/// Why the request will be refused, if that can be told before it is sent: then it leaves no trace.
async fn foreseen(core: &Core, head: &Head, id: &MessageId, ask: &Ask) -> Result<Option<String>, Error> {
    if let Some(group) = &ask.group
        && head.tags.get(&*FAILURE_TAG) != Some(group)
    {
        return Ok(Some(NOT_OF_GROUP.to_owned()));
    }
    let by_status = ask.verb.allowed(head.status).err();
    let registered = answering(core, head).await?;
    if by_status.is_none() && head.status.is_finished() && ask.verb.is_about_a_step() && registered.is_none()
    {
        return Ok(Some(NOT_HERE.to_owned()));
    }
    let needs_journal = match by_status {
        // Only the journal tells whether there is a pause to take back.
        Some(_) => ask.verb == Verb::Resume && head.status == Status::Running,
        // What is recorded of a run that is under way may be another thing by the time it has the request.
        None => {
            head.status != Status::Running
                && (ask.verb == Verb::EditInput || ask.verb.is_about_a_step() && registered.is_some())
        }
    };
    if !needs_journal {
        return Ok(by_status.map(str::to_owned));
    }
    let known = registered.as_ref().map(|registered| registered.known());
    Ok(match ask.answer(id, &load_state(core, &head.key).await?, known, core.time.now()) {
        Event::RequestRefused(refused) => Some(refused.message),
        _ => None,
    })
}

/// The head after the request was taken, or the refusal that the run's state gave when it was.
async fn told(core: &Core, id: &MessageId, from: Seq, ask: &Ask, head: Head) -> Result<Head, Error> {
    let mut pages = load::Pages::new(core.backend.as_ref(), &head.key, from);
    while let Some(page) = pages.next().await? {
        for record in page.iter().filter(|record| record.kind.as_str() == "request_refused") {
            if let Ok(Event::RequestRefused(refused)) = Event::read(record)
                && refused.request == *id
            {
                return Err(refusal(head.key, ask, head.status, refused.message));
            }
        }
    }
    Ok(head)
}

/// Answers the mail of a run that nobody owns; what needs a definition that is not here is left to an engine that has it.
/// Returns its head then, and which messages were answered; `None` when the run has changed before the first was, or when
/// there is nothing to answer here.
pub(crate) async fn answer_unowned(
    core: &Core,
    head: &Head,
) -> Result<Option<(Head, Vec<MessageId>)>, Error> {
    answer_as_it_is(core, head, None, None).await
}

/// Answers the mail of a run that waits for others of its queue, and leaves it where it waits if it still can go on.
pub(crate) async fn answer_parked(core: &Core, head: &Head, rest: &Rest) -> Result<(), Error> {
    answer_as_it_is(core, head, Some(rest), None).await.map(|_| ())
}

async fn answer_as_it_is(
    core: &Core,
    head: &Head,
    rest: Option<&Rest>,
    unposted: Option<&Message>,
) -> Result<Option<(Head, Vec<MessageId>)>, Error> {
    let mut state = load_state(core, &head.key).await?;
    let Some(mut last) = answer_some(core, head, &mut state, rest, unposted).await? else { return Ok(None) };
    let mut answered = std::mem::take(&mut last.took);
    while last.is_more {
        // What the state has taken in and is not written must not be acted on.
        let Some(next) = answer_some(core, &last.head, &mut state, rest, unposted).await? else {
            return Ok(Some((last.head, answered)));
        };
        last = next;
        answered.append(&mut last.took);
    }
    let head = match state.ending.is_some() && state.owner.is_none() {
        // What is left of it nobody need wait for a worker for.
        true => finish(core, &last.head, &mut state).await?.unwrap_or(last.head),
        false => last.head,
    };
    Ok(Some((head, answered)))
}

/// What one write has answered of a run's mail.
struct Answered {
    /// The head as written.
    head: Head,
    took: Vec<MessageId>,
    /// Whether there may be more to answer.
    is_more: bool,
}

/// Answers as much of the mail as fits one write, and behind all of it what was not posted; carries out what was asked of the run;
/// `None` when the run has changed meanwhile, or when there is nothing to do.
async fn answer_some(
    core: &Core,
    head: &Head,
    state: &mut State,
    rest: Option<&Rest>,
    unposted: Option<&Message>,
) -> Result<Option<Answered>, Error> {
    let registered = answering(core, head).await?;
    let known = registered.as_ref().map(|registered| registered.known());
    let mail = core.backend.inbox(&head.key, MAIL_MAX).await?;
    let mut is_more = mail.len() == MAIL_MAX;
    let (mut events, mut take, mut bytes) = (Vec::new(), Vec::new(), 0);
    let now = core.time.now();
    for message in mail {
        if bytes >= WRITE_BYTES {
            is_more = true;
            break;
        }
        if known.is_none() && needs_definition(&message) {
            continue;
        }
        let event = answer(&message, state, known, now);
        state.apply(&event, now)?;
        bytes += event.payload()?.text().len();
        events.push(event);
        take.push(message.id);
    }
    if let Some(message) = unposted.filter(|_| !is_more) {
        let event = answer(message, state, known, now);
        state.apply(&event, now)?;
        events.push(event);
        // What is not there is not taken either.
        take.push(message.id.clone());
    }
    let fence = Fence(head.fence.0 + 1);
    let resting = put_to_rest(state, &core.worker, fence, now)?;
    let taken_over = !resting.is_empty();
    events.extend(resting);
    if events.is_empty() {
        return Ok(None);
    }
    let fence = if taken_over { fence } else { head.fence };
    let head = write(core, head, state, &events, take.clone(), fence, rest).await?;
    Ok(head.map(|head| Answered { head, took: take, is_more }))
}

/// Makes the end of a run final that is decided and that nobody owns, once all whom it concerns are told.
async fn finish(core: &Core, head: &Head, state: &mut State) -> Result<Option<Head>, Error> {
    let Some(end) = state.ending.as_ref().map(|ending| ending.end.clone()) else { return Ok(None) };
    family::tell(core, &head.key, state).await?;
    let fence = Fence(head.fence.0 + 1);
    let mut events = takeover(state, &core.worker, fence, core.witness.code_version());
    events.push(end.into());
    for event in &events {
        state.apply(event, core.time.now())?;
    }
    write(core, head, state, &events, Vec::new(), fence, None).await
}

/// Pauses a run that no worker took in time.
pub(crate) async fn pause_unclaimed(core: &Core, head: &Head) -> Result<(), Error> {
    let mut state = load_state(core, &head.key).await?;
    if state.status != Status::Queued {
        return Ok(());
    }
    let parked = head.summary.decode::<Summary>().ok().and_then(|summary| summary.parked);
    let message = match parked {
        Some(_) => format!(
            "the run did not begin in time: queue {} has been full or paused. See to that, then `resume`",
            head.queue
        ),
        None => format!(
            "no worker took the run in time: none reads queue {} for {} version {}. Start one, then `resume`",
            head.queue, head.workflow, head.workflow_version
        ),
    };
    let why = held::unclaimed(core, head, &state, &message);
    let reason = PauseReason::QueueWait;
    let pause = RunPaused { reason, actor: Actor::Engine, message, place: None, failure: None, code: None };
    let events = [why, pause.into()];
    for event in &events {
        state.apply(event, core.time.now())?;
    }
    write(core, head, &state, &events, Vec::new(), head.fence, None).await?;
    Ok(())
}

/// Adds an event to a run that nobody owns. Returns `false` when its state does not allow it, or it has changed meanwhile.
pub(crate) async fn amend(core: &Core, head: &Head, event: Event) -> Result<bool, Error> {
    let mut state = load_state(core, &head.key).await?;
    if state.last_seq.plus(1) != head.next_seq || state.apply(&event, core.time.now()).is_err() {
        return Ok(false);
    }
    let written = write(core, head, &state, &[event], Vec::new(), head.fence, None).await?;
    Ok(written.is_some())
}

/// Writes events to a run that nobody owns. Returns its head then; `None` when it has changed meanwhile.
async fn write(
    core: &Core,
    from: &Head,
    state: &State,
    events: &[Event],
    take: Vec<MessageId>,
    fence: Fence,
    rest: Option<&Rest>,
) -> Result<Option<Head>, Error> {
    let now = core.time.now();
    let mut records = Vec::with_capacity(events.len());
    for event in events {
        records.push(event.record(from.next_seq.plus(records.len()), now)?);
    }
    let mut head = from.clone();
    head.version = from.version.next(fastrand::u64(..));
    let before: Summary = from.summary.decode().unwrap_or_default();
    heads::follow(&mut head, state, before.with_trouble_of(state).payload()?, now);
    // Whoever writes here does not go on with the run.
    head.lease = None;
    if let Some(rest) = rest
        && matches!(head.status, Status::Queued | Status::Waiting)
    {
        rest.write_into(&mut head);
    }
    head.fence = fence;
    head.next_seq = from.next_seq.plus(records.len());
    head.updated_at = now;
    let mut batch = Batch::replace(from.version, head.clone(), records);
    batch.take = take;
    match core.committer.commit(batch).await? {
        Verdict::Rejected { .. } => Ok(None),
        Verdict::Accepted => {
            if events.iter().any(|event| matches!(event, Event::Diagnosed(told) if told.late_by.is_none())) {
                core.groups.note(&head.key, state, core.time.own_now());
            }
            if let Ok(outcome) = Outcome::of(state) {
                core.registry.tell(&head.key, &outcome);
            }
            Ok(Some(head))
        }
    }
}

pub(crate) async fn head_of(core: &Core, key: &RunKey) -> Result<Head, Error> {
    core.backend.head(key).await?.ok_or_else(|| Error::NoSuchRun(key.clone()))
}

pub(crate) async fn load_state(core: &Core, key: &RunKey) -> Result<State, Error> {
    load::state(core.backend.as_ref(), key).await.map_err(|left| left.into_error(key))
}

/// Holds a run whose next events cannot be stored: it would come to the same point again at each takeover.
pub(crate) async fn hold_unrecordable(core: &Core, slot: &Slot, why: &str) {
    let held = async {
        let head = head_of(core, &slot.key).await?;
        if !slot.has_written(&head).await || head.status.is_finished() {
            return Ok(());
        }
        let mut state = load_state(core, &slot.key).await?;
        let mut events: Vec<Event> = lost_attempts(&state, LostReason::Stopped).collect();
        let message = format!(
            "what the run did could not be recorded: {}. Mend the step, then `retry`",
            within(why.to_owned(), 1 << 10)
        );
        events.push(held::unrecordable(core, &head, &state, &message));
        let reason = PauseReason::NeedsAttention;
        events.push(
            RunPaused { reason, actor: Actor::Engine, message, place: None, failure: None, code: None }
                .into(),
        );
        let now = core.time.now();
        for event in &events {
            state.apply(event, now)?;
        }
        write(core, &head, &state, &events, Vec::new(), head.fence, None).await.map(|_| ())
    };
    let held: Result<(), Error> = held.await;
    if let Err(error) = held {
        tracing::error!(run = %slot.key, %error, why, "a run that cannot be recorded was not held");
    }
}
