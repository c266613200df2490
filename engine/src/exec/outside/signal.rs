//! A signal to a run, with what it would do.

use serde::Serialize;
use stepwell_contract::{
    Batch, Clock as _, Head, Message, MessageId, Name, Payload, RunKey, Seq, Status, Verdict,
};

use crate::error::Error;
use crate::exec::core::{Core, is_built_in};
use crate::exec::engine::{Engine, value_of};
use crate::exec::{load, requests};
use crate::run::actor::Actor;
use crate::run::event::Event;
use crate::run::place::Place;
use crate::run::request::{SIGNAL, SentSignal};

/// A signal to a run.
#[derive(Debug, Clone)]
#[must_use]
pub struct SignalRun {
    signal: String,
    id: String,
    payload: Payload,
    actor: Actor,
    seen: Option<Seq>,
}

/// What a signal would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalPreview {
    /// Why it would be refused; `None` when it would not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Where the run is.
    pub status: Status,
    /// The steps that wait for it now: the first of them gets it. With none it stays with the run until one comes to wait for it.
    pub heard_by: Vec<Place>,
    /// Whether the run has had one under this id: then nothing would happen.
    pub is_repeat: bool,
    /// The last record of the run that this was worked out from.
    pub seen: Seq,
}

impl SignalRun {
    /// A signal of this name that says this, by the program. The same `id` again has no effect.
    ///
    /// # Errors
    /// [`Error::Payload`] when what it says has no JSON form or is over
    /// [`VALUE_BYTES_MAX`](crate::workflow::step::VALUE_BYTES_MAX) bytes of it.
    pub fn new<T: Serialize + ?Sized>(signal: &str, id: &str, says: &T) -> Result<Self, Error> {
        let payload = value_of(says)?;
        Ok(Self { signal: signal.to_owned(), id: id.to_owned(), payload, actor: Actor::Program, seen: None })
    }

    /// Says who sends it.
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// Only if the run has recorded nothing after `seen`: that and the sending are one move. A run that a worker advances cannot be
    /// held to what was seen of it, and refuses.
    pub fn if_unchanged_since(self, seen: Seq) -> Self {
        Self { seen: Some(seen), ..self }
    }

    fn sent(self) -> Result<(MessageId, SentSignal, Option<Seq>), Error> {
        let Self { signal, id, payload, actor, seen } = self;
        Ok((MessageId::new(id)?, SentSignal { signal: Name::new(signal)?, payload, actor }, seen))
    }
}

impl Engine {
    /// Sends a signal to a run, which has it once this returns.
    ///
    /// # Errors
    /// As for [`signal`](Self::signal). For one that is only for a run that has [not gone on](SignalRun::if_unchanged_since) also
    /// [`Error::Changed`] when it has: it was not sent then, and can be under the same id; and [`Error::Refused`] while a worker
    /// advances the run: send it without that condition, or when the run waits.
    ///
    /// # Cancellation
    /// As for [`signal`](Self::signal).
    pub async fn send_signal(&self, key: &RunKey, signal: SignalRun) -> Result<(), Error> {
        let (id, sent, seen) = signal.sent()?;
        match send(self.core(), key, id.clone(), &sent, seen).await {
            // What has made it go on may be this very signal, sent before.
            Err(changed @ Error::Changed { .. }) => match self.has_had(key, &id).await? {
                true => Ok(()),
                false => Err(changed),
            },
            sent => sent,
        }
    }

    /// What a signal would do. Nothing is written.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`]; [`Error::Id`]; [`Error::Journal`]; [`Error::Store`]. What would be refused is no error.
    pub async fn dry_run_signal(&self, key: &RunKey, signal: SignalRun) -> Result<SignalPreview, Error> {
        let (id, sent, seen) = signal.sent()?;
        let head = requests::head_of(self.core(), key).await?;
        let state = requests::load_state(self.core(), key).await?;
        let is_repeat = self.has_had(key, &id).await?;
        let refused = match seen.filter(|seen| state.last_seq > *seen && !is_repeat) {
            Some(_) => return Err(Error::Changed { key: key.clone(), verb: VERB }),
            None if is_built_in(&head.workflow) => Some(OF_THE_ENGINE),
            None => refused_by(&head, seen),
        };
        let waits = state.places().filter(|(_, step)| {
            step.waiting.as_ref().is_some_and(|waiting| waiting.signals.contains(&sent.signal))
        });
        Ok(SignalPreview {
            refused: refused.map(str::to_owned),
            status: state.status,
            heard_by: waits.map(|(place, _)| place).collect(),
            is_repeat,
            seen: state.last_seq,
        })
    }

    /// Whether the run has a signal under this id, taken or not.
    async fn has_had(&self, key: &RunKey, id: &MessageId) -> Result<bool, Error> {
        let backend = self.core().backend.as_ref();
        // Before the journal: what is taken from the inbox meanwhile is in one of the two.
        if backend.inbox(key, usize::MAX).await?.iter().any(|message| message.id == *id) {
            return Ok(true);
        }
        let mut pages = load::Pages::new(backend, key, Seq::FIRST);
        while let Some(page) = pages.next().await? {
            let is_it = page.iter().filter(|record| record.kind.as_str() == "signal_received").any(
                |record| matches!(Event::read(record), Ok(Event::SignalReceived(signal)) if signal.id == *id),
            );
            if is_it {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What it is called to send one.
const VERB: &str = "signal";
/// How often one that is only for a run that has not gone on is tried again where the head was written and nothing recorded.
const TRIES: u32 = 20;

/// Why a run does not take a signal.
fn refused_by(head: &Head, seen: Option<Seq>) -> Option<&'static str> {
    match head.status {
        Status::Succeeded | Status::Cancelled => Some("it has ended: nothing waits for signals there"),
        _ if seen.is_some() && head.lease.is_some() => Some(
            "a worker advances it, so that it cannot be held to what was seen of it: send it without that condition, \
             or when the run waits",
        ),
        _ => None,
    }
}

/// What says who steers a schedule stands in its signal: nobody else may write one.
const OF_THE_ENGINE: &str = "the engine itself keeps it: steer the schedule, or whatever it keeps, instead";

/// Sends a signal of somebody outside: returns once it is durable in the run's inbox. With `seen`, only if nothing was recorded behind
/// that.
pub(crate) async fn send(
    core: &Core,
    key: &RunKey,
    id: MessageId,
    sent: &SentSignal,
    seen: Option<Seq>,
) -> Result<(), Error> {
    post(core, key, id, sent, seen, is_built_in).await
}

/// The same for what the engine itself says to a run of one of its own workflows.
pub(crate) async fn send_own(
    core: &Core,
    key: &RunKey,
    id: MessageId,
    sent: &SentSignal,
) -> Result<(), Error> {
    post(core, key, id, sent, None, |_| false).await
}

async fn post(
    core: &Core,
    key: &RunKey,
    id: MessageId,
    sent: &SentSignal,
    seen: Option<Seq>,
    is_closed: impl Fn(&Name) -> bool,
) -> Result<(), Error> {
    let message = Message::new(id, SIGNAL, core.time.now(), Payload::encode(sent)?);
    for _ in 0..TRIES {
        let head = requests::head_of(core, key).await?;
        requests::unchanged(&head, seen, VERB)?;
        let closed = is_closed(&head.workflow).then_some(OF_THE_ENGINE);
        if let Some(why) = closed.or_else(|| refused_by(&head, seen)) {
            let why = why.to_owned();
            return Err(Error::Refused { key: key.clone(), verb: VERB, status: head.status, why });
        }
        let batch = match seen {
            None => Batch::post(key.clone(), message.clone()),
            // A new version and no record: whoever has written meanwhile makes this one refused.
            Some(_) => {
                let version = head.version.next(fastrand::u64(..));
                let next = Head { version, ..head.clone() };
                Batch { post: vec![message.clone()], ..Batch::replace(head.version, next, Vec::new()) }
            }
        };
        match core.committer.commit(batch).await? {
            Verdict::Accepted => {
                if let Some(slot) = core.registry.slot(key) {
                    slot.tell_mail();
                }
                return Ok(());
            }
            Verdict::Rejected { .. } if seen.is_none() => return Err(Error::NoSuchRun(key.clone())),
            Verdict::Rejected { .. } => {}
        }
    }
    Err(Error::Changed { key: key.clone(), verb: VERB })
}
