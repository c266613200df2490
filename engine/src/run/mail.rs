//! What comes to a run from outside, and which event answers it.

use stepwell_contract::{Kind, Message, MessageId, Status, Timestamp};

use crate::run::actor::Actor;
use crate::run::event::{ChildEnded, Diagnosed, Event, RequestRefused, SignalReceived};
use crate::run::preview::Known;
use crate::run::request::{Ask, SIGNAL, SentSignal};
use crate::run::state::State;

/// The kind of a message by which a child tells how it ended; it carries the fields of a [`ChildEnded`].
pub const CHILD_ENDED: Kind = Kind::of("child_ended");

/// The kind of a message by which a worker tells what it had in hand of a run that another one has; it carries the fields of a
/// [`Diagnosed`].
pub const STALE_OWNER: Kind = Kind::of("stale_owner");

/// Whether only an engine that has the run's definition can answer a message.
pub(crate) fn needs_definition(message: &Message) -> bool {
    !is_news(message) && message.payload.decode::<Ask>().is_ok_and(|ask| ask.verb.is_about_a_step())
}

/// Whether the message asks for something.
pub(crate) fn is_request(message: &Message) -> bool {
    !is_news(message)
}

/// Whether the message tells of something that has happened, and asks for nothing.
fn is_news(message: &Message) -> bool {
    [SIGNAL, CHILD_ENDED, STALE_OWNER].iter().any(|kind| kind.as_str() == message.kind.as_str())
}

/// The event that answers a message: one that can be recorded, whatever the message says.
pub(crate) fn answer(message: &Message, state: &State, known: Option<Known<'_>>, now: Timestamp) -> Event {
    let (verb, event) = match message.kind.as_str() {
        kind if kind == SIGNAL.as_str() => ("signal", received(message, state)),
        kind if kind == CHILD_ENDED.as_str() => ("child_ended", child_ended(message, state)),
        kind if kind == STALE_OWNER.as_str() => ("stale_owner", told_late(message)),
        kind => match message.payload.decode::<Ask>() {
            Ok(ask) => (ask.verb.as_str(), ask.answer(&message.id, state, known, now)),
            Err(error) => {
                let why = format!("a message of kind {kind} is not a request: {error}");
                ("unknown", refused(&message.id, "unknown", why))
            }
        },
    };
    // Otherwise it would stand in the way of all mail behind it, and of the run.
    match event.payload() {
        Ok(_) => event,
        Err(error) => refused(&message.id, verb, format!("it cannot be recorded: {error}")),
    }
}

fn refused(id: &MessageId, verb: &str, why: String) -> Event {
    let (request, verb) = (id.clone(), verb.to_owned());
    RequestRefused { request, verb, actor: Actor::Engine, message: why }.into()
}

/// The event that a signal makes.
fn received(message: &Message, state: &State) -> Event {
    match message.payload.decode::<SentSignal>() {
        Ok(_) if matches!(state.status, Status::Succeeded | Status::Cancelled) => {
            refused(&message.id, "signal", "the run has ended".to_owned())
        }
        Ok(sent) => {
            let (name, payload, actor) = (sent.signal, sent.payload, sent.actor);
            SignalReceived { id: message.id.clone(), name, payload, actor }.into()
        }
        Err(error) => refused(&message.id, "signal", format!("it is not a signal: {error}")),
    }
}

/// The event that the word of a child makes. The step may have been set aside since, or the child begun anew.
fn child_ended(message: &Message, state: &State) -> Event {
    let verb = "child_ended";
    match message.payload.decode::<ChildEnded>() {
        Ok(ended) => {
            let event = Event::from(ended);
            match state.permit(&event) {
                Ok(()) => event,
                Err(error) => refused(&message.id, verb, format!("nothing waits for it any more: {error}")),
            }
        }
        Err(error) => refused(&message.id, verb, format!("it does not tell of a child: {error}")),
    }
}

/// The event that the word of a worker makes that came too late.
fn told_late(message: &Message) -> Event {
    match message.payload.decode::<Diagnosed>() {
        Ok(told) if told.late_by.is_some() => told.into(),
        Ok(_) => refused(&message.id, "stale_owner", "it does not say whose word it is".to_owned()),
        Err(error) => refused(&message.id, "stale_owner", format!("it is no word of a worker: {error}")),
    }
}
