//! What people ask of a run, and which answer its state gives: one table.

use serde::{Deserialize, Serialize};
use stepwell_contract::{Fence, Kind, MessageId, Name, Payload, Status, Timestamp, WorkerId};

use crate::run::actor::Actor;
use crate::run::event::{
    CancelRequested, Event, PauseReason, PauseRequested, RequestRefused, RunCancelled, RunPaused, RunResumed,
};
use crate::run::state::{IllegalTransition, Request, State};
use crate::run::takeover::takeover;

/// What can be asked of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Hold the run once its running attempts have ended.
    Pause,
    /// Stop running attempts and hold the run.
    Interrupt,
    /// Let a held run go on where it was, or take back a pause that it has not carried out yet.
    Resume,
    /// Let a held or failed run go on, with a fresh budget of attempts for every step that has no result.
    Retry,
    /// Stop running attempts and end the run.
    Cancel,
    /// Stop running attempts, undo what its steps did where the definition says how, and end the run.
    Undo,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 6] =
        [Self::Pause, Self::Interrupt, Self::Resume, Self::Retry, Self::Cancel, Self::Undo];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Interrupt => "interrupt",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Undo => "undo",
        }
    }

    /// Whether the verb is allowed in a status, and if not, why. One thing more the status does not tell: `resume` takes
    /// back a `pause` that a running run has not carried out yet.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn allowed(self, status: Status) -> Result<(), &'static str> {
        use Status::{Cancelled, Cancelling, Failed, Paused, Queued, Running, Succeeded, Waiting};
        match (self, status) {
            (Self::Pause | Self::Interrupt, Queued | Running | Waiting)
            | (Self::Resume, Paused | Waiting)
            | (Self::Retry, Paused | Waiting | Failed)
            | (Self::Cancel | Self::Undo, Queued | Running | Waiting | Paused) => Ok(()),
            (Self::Pause | Self::Interrupt, Paused) => Err("it is paused already"),
            (Self::Resume | Self::Retry, Queued | Running) => Err(ON_ITS_WAY),
            (Self::Resume, Failed) => Err("it has failed; `retry` lets its failed steps be tried again"),
            (_, Cancelling) => Err("it is being cancelled"),
            (_, Succeeded) => Err("it has succeeded"),
            (_, Cancelled) => Err("it was cancelled; start a new run"),
            (Self::Pause | Self::Interrupt | Self::Cancel | Self::Undo, Failed) => Err("it has failed"),
        }
    }
}

const ON_ITS_WAY: &str = "it is on its way already";

/// A request as it travels to the run's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// What is asked.
    pub verb: Verb,
    /// Who asks.
    pub actor: Actor,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The kind of a message that carries a signal.
pub const SIGNAL: Kind = Kind::of("signal");

/// A signal as it travels to its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SentSignal {
    /// Its name.
    pub signal: Name,
    /// What it says.
    pub payload: Payload,
    /// Who sends it.
    pub actor: Actor,
}

impl Ask {
    /// The event that answers the request in this state.
    #[must_use]
    pub fn answer(&self, id: &MessageId, state: &State) -> Event {
        if self.verb == Verb::Resume && state.status == Status::Running {
            return match state.request {
                Some(Request::Pause) => self.resumed(false),
                Some(_) => self.refused(id, "its steps are being stopped; resume it once it is paused"),
                None => self.refused(id, ON_ITS_WAY),
            };
        }
        if let Err(why) = self.verb.allowed(state.status) {
            return self.refused(id, why);
        }
        if state.undoing.is_some() {
            match self.verb {
                Verb::Cancel | Verb::Undo => return self.refused(id, "what it did is being undone already"),
                Verb::Retry if state.status == Status::Failed => {
                    return self.refused(id, "what it did was undone; start a new run");
                }
                _ => {}
            }
        }
        if let (Verb::Resume, Some(pause)) = (self.verb, &state.pause)
            && pause.reason.needs_retry()
        {
            return self.refused(id, "it would pause again at once: mend the cause, then `retry`");
        }
        let (actor, message) = (self.actor.clone(), self.message.clone());
        match (self.verb, state.status) {
            (Verb::Pause | Verb::Interrupt, Status::Running) => {
                PauseRequested { actor, message, interrupt: self.verb == Verb::Interrupt }.into()
            }
            (Verb::Pause | Verb::Interrupt, _) => paused(self.verb == Verb::Interrupt, actor, message),
            (Verb::Resume | Verb::Retry, _) => self.resumed(self.verb == Verb::Retry),
            (Verb::Cancel | Verb::Undo, _) => {
                CancelRequested { actor, message, undo: self.verb == Verb::Undo }.into()
            }
        }
    }

    fn resumed(&self, retry: bool) -> Event {
        RunResumed { actor: self.actor.clone(), message: self.message.clone(), retry }.into()
    }

    /// The event that refuses the request.
    #[must_use]
    pub fn refused(&self, id: &MessageId, why: &str) -> Event {
        let verb = self.verb.as_str().to_owned();
        RequestRefused { request: id.clone(), verb, actor: self.actor.clone(), message: why.to_owned() }
            .into()
    }
}

fn paused(interrupt: bool, actor: Actor, message: String) -> Event {
    let reason = if interrupt { PauseReason::Interrupted } else { PauseReason::Requested };
    RunPaused { reason, actor, message, place: None, failure: None }.into()
}

/// Carries out what is asked of a run that nobody advances, so that it need not wait for a worker that can run it:
/// whoever asks takes it, accounts for attempts that a dead owner left behind, and puts it to rest. Returns the events,
/// which the state has taken in already; none when there is nothing to carry out.
///
/// # Errors
/// [`IllegalTransition`] is a fault in the tables here.
pub fn put_to_rest(
    state: &mut State,
    worker: &WorkerId,
    fence: Fence,
    now: Timestamp,
) -> Result<Vec<Event>, IllegalTransition> {
    // What a run did only a worker can undo that has its definition; one that did nothing has nothing to undo.
    let request = state.request.filter(|request| *request != Request::Undo || state.completed.is_empty());
    let Some(request) = request else { return Ok(Vec::new()) };
    let mut events = takeover(state, worker, fence);
    events.push(match request {
        Request::Cancel | Request::Undo => RunCancelled {}.into(),
        Request::Pause | Request::Interrupt => paused(
            request == Request::Interrupt,
            Actor::Engine,
            "carried out after the worker was lost".to_owned(),
        ),
    });
    for event in &events {
        state.apply(event, now)?;
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_an_answer_in_every_status() {
        let allowed = |verb: Verb| {
            Status::ALL.into_iter().filter(|status| verb.allowed(*status).is_ok()).collect::<Vec<_>>()
        };
        use Status::{Failed, Paused, Queued, Running, Waiting};
        assert_eq!(allowed(Verb::Pause), [Queued, Running, Waiting]);
        assert_eq!(allowed(Verb::Interrupt), [Queued, Running, Waiting]);
        assert_eq!(allowed(Verb::Resume), [Waiting, Paused]);
        assert_eq!(allowed(Verb::Retry), [Waiting, Paused, Failed]);
        assert_eq!(allowed(Verb::Cancel), [Queued, Running, Waiting, Paused]);
        assert_eq!(allowed(Verb::Undo), [Queued, Running, Waiting, Paused]);
    }
}
