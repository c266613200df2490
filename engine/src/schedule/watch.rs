//! What the integrity check asks of a schedule, and says to one.

use stepwell_contract::{Name, Payload, Timestamp};

use crate::error::Error;
use crate::run::actor::Actor;
use crate::run::place::Place;
use crate::run::request::SentSignal;
use crate::run::state::State;
use crate::schedule::keeper::{STEP, answer_of};
use crate::schedule::ledger::{Book, Term};
use crate::schedule::said::{SIGNAL, Said, What};
use crate::workflow::finite;

/// When a schedule has to look at its times again, by what its run has recorded; `None` when it is paused, deleted or has no
/// times left, or when that cannot be read.
pub(crate) fn wakes_at(state: &State, now: Timestamp) -> Option<Timestamp> {
    let term: Term = state.created.input.decode().ok()?;
    let step = state.step(&Place::of(Name::new(STEP).ok()?));
    let ledger = match step.and_then(|step| step.cursor.as_ref()) {
        Some(cursor) => cursor.decode().ok()?,
        None => term.ledger.clone(),
    };
    let mut book = Book::new(&term.name, &term.schedule, ledger).ok()?;
    if let Some(said) = step.and_then(|step| answer_of(step, book.ledger.turn)) {
        book.hear(said, now).ok()?;
    }
    if book.ledger.deleted.is_some() { None } else { book.wakes_at(now) }
}

/// What makes a schedule that is not paused look at its times again, and changes nothing else.
///
/// # Errors
/// Never, but by a fault in the engine.
pub(crate) fn nudge(by: &Actor, reason: &str, at: Timestamp) -> Result<Payload, Error> {
    let said = Said { what: What::Resume, by: by.clone(), reason: reason.to_owned(), at };
    let (signal, payload, actor) = (Name::new(SIGNAL)?, finite::encode(&said)?, by.clone());
    Ok(Payload::encode(&SentSignal { signal, payload, actor })?)
}
