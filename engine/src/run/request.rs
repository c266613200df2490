//! What people ask of a run, and which answer its state gives: one table.

use serde::{Deserialize, Serialize};
use stepwell_contract::{Fence, Kind, MessageId, Name, Payload, Seq, Status, Timestamp, WorkerId};

use crate::run::actor::Actor;
use crate::run::code::OwnCode;
use crate::run::edit::edit;
use crate::run::event::{
    CancelRequested, ContextMerged, Event, PauseReason, PauseRequested, RequestRefused, RunCancelled,
    RunPaused, RunResumed, RunTerminated, present,
};
use crate::run::place::Place;
use crate::run::preview::Known;
use crate::run::report::report;
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
    /// Pass over a step that stands in the way or has not begun: it gives what would have flowed in, or a given output.
    Skip,
    /// Say what the result of a step is that has begun and has none.
    SetOutput,
    /// Set aside what is recorded of a step and of all that comes after it, and go on from there with fresh budgets.
    Restart,
    /// Change the workflow's input before anything was made of it.
    EditInput,
    /// Say how an attempt of a step ended, or how far it is, that was left to someone outside.
    Report,
    /// Change the document that all steps of the run share, by a JSON merge patch.
    MergeContext,
    /// End the run at once, without letting anything stop in good order, even when its owner hangs or is gone.
    Terminate,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 13] = [
        Self::Pause,
        Self::Interrupt,
        Self::Resume,
        Self::Retry,
        Self::Cancel,
        Self::Undo,
        Self::Skip,
        Self::SetOutput,
        Self::Restart,
        Self::EditInput,
        Self::Report,
        Self::MergeContext,
        Self::Terminate,
    ];

    /// Whether it changes what is recorded: such a request says more than the verb.
    #[must_use]
    pub fn is_edit(self) -> bool {
        matches!(self, Self::EditInput | Self::MergeContext) || self.is_about_a_step()
    }

    /// Whether it is about a step, so that only an engine that has the workflow can answer it.
    #[must_use]
    pub fn is_about_a_step(self) -> bool {
        matches!(self, Self::Skip | Self::SetOutput | Self::Restart | Self::Report)
    }

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
            Self::Skip => "skip",
            Self::SetOutput => "set_output",
            Self::Restart => "restart",
            Self::EditInput => "edit_input",
            Self::Report => "report",
            Self::MergeContext => "merge_context",
            Self::Terminate => "terminate",
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
            | (Self::Cancel | Self::Undo, Queued | Running | Waiting | Paused)
            | (Self::Skip | Self::SetOutput, Queued | Running | Waiting | Paused | Failed)
            | (Self::Restart | Self::EditInput, Queued | Waiting | Paused | Failed)
            | (Self::Report, Queued | Running | Waiting | Paused | Cancelling)
            | (Self::MergeContext, Queued | Running | Waiting | Paused | Cancelling | Failed)
            | (Self::Terminate, Queued | Running | Waiting | Paused | Cancelling) => Ok(()),
            (Self::Pause | Self::Interrupt, Paused) => Err("it is paused already"),
            (Self::Resume | Self::Retry, Queued | Running) => Err(ON_ITS_WAY),
            (Self::Resume, Failed) => Err("it has failed; `retry` lets its failed steps be tried again"),
            (Self::Restart, Running) => Err("it is running; `interrupt` it first"),
            (Self::EditInput, Running) => Err("it is running; `pause` it first"),
            // Others have seen how it ended: that stays as it is.
            (Self::Restart, Succeeded) => {
                Err("it has succeeded and its result may be in use; `fork` it from that step as a new run")
            }
            (Self::Restart, Cancelled) => Err("it was cancelled; `fork` it from that step as a new run"),
            (_, Cancelling) => Err("it is being cancelled"),
            (_, Succeeded) => Err("it has succeeded"),
            (_, Cancelled) => Err("it was cancelled; start a new run"),
            (
                Self::Pause | Self::Interrupt | Self::Cancel | Self::Undo | Self::Report | Self::Terminate,
                Failed,
            ) => Err("it has failed"),
        }
    }
}

/// The run went on, or has met with something else.
pub(crate) const NOT_OF_GROUP: &str = "it is no longer held or failed for a failure of that group";
/// The run has recorded something that whoever asks has not seen.
pub(crate) const GONE_ON: &str = "it has gone on since it was looked at";
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
    /// Which step it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The output or input that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Payload>,
    /// The last record that whoever asks has seen: the request is refused when the run has gone on since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seq>,
    /// What whoever asks calls it: for a [`Pause`](Verb::Pause) or an [`Interrupt`](Verb::Interrupt).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<OwnCode>,
    /// The failure group that it is about, by fingerprint: the request is refused when the run belongs to another by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// The kind of a message that carries a request.
pub const REQUEST: Kind = Kind::of("request");
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
    /// A request that says nothing but the verb.
    #[must_use]
    pub fn new(verb: Verb, actor: Actor, message: impl Into<String>) -> Self {
        let (place, value, seen, code, group) = (None, None, None, None, None);
        Self { verb, actor, message: message.into(), place, value, seen, code, group }
    }

    /// About this step.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// With this output or input.
    #[must_use]
    pub fn with(self, value: Payload) -> Self {
        Self { value: Some(value), ..self }
    }

    /// With a code that whoever looks at the run, the audit log or an alert knows it by. For other verbs than a
    /// [`Pause`](Verb::Pause) or an [`Interrupt`](Verb::Interrupt) it has no effect.
    #[must_use]
    pub fn called(self, code: OwnCode) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Only if nothing was recorded after `seen`.
    #[must_use]
    pub fn if_unchanged_since(self, seen: Seq) -> Self {
        Self { seen: Some(seen), ..self }
    }

    /// Only if the run is held or has failed for a failure of this group. A [`Skip`](Verb::Skip), [`SetOutput`](Verb::SetOutput)
    /// or [`Restart`](Verb::Restart) that names no step is then about the step of that failure.
    #[must_use]
    pub fn of_group(self, fingerprint: impl Into<String>) -> Self {
        Self { group: Some(fingerprint.into()), ..self }
    }

    /// The step that it is about.
    pub(crate) fn step<'a>(&'a self, state: &'a State) -> Option<&'a Place> {
        let of_group = || self.group.as_ref().and_then(|_| state.trouble());
        self.place.as_ref().or_else(of_group)
    }

    /// The event that answers the request in this state. One about a step needs the run's definition.
    #[must_use]
    pub fn answer(&self, id: &MessageId, state: &State, known: Option<Known<'_>>, now: Timestamp) -> Event {
        if self.seen.is_some_and(|seen| state.last_seq > seen) {
            return self.refused(id, GONE_ON);
        }
        if let Some(group) = &self.group
            && state.diagnoses.resting().is_none_or(|said| said.fingerprint != *group)
        {
            return self.refused(id, NOT_OF_GROUP);
        }
        if self.verb == Verb::Resume && state.status == Status::Running {
            return match state.request {
                Some(Request::Pause) => self.resumed(false),
                Some(_) => self.refused(id, "its steps are being stopped; resume it once it is paused"),
                None => self.refused(id, ON_ITS_WAY),
            };
        }
        if state.ending.is_some() && self.verb != Verb::MergeContext {
            return self.refused(id, "its end is decided, and those whom it concerns are being told");
        }
        if let Err(why) = self.verb.allowed(state.status) {
            return self.refused(id, why);
        }
        if state.undoing.is_some() {
            match self.verb {
                Verb::Cancel | Verb::Undo => return self.refused(id, "what it did is being undone already"),
                Verb::Retry | Verb::Skip | Verb::SetOutput if state.status == Status::Failed => {
                    return self.refused(id, "what it did was undone; start a new run, or `fork` it");
                }
                Verb::Restart | Verb::EditInput => {
                    return self.refused(id, "what it did is undone; `fork` it");
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
        let (interrupt, code) = (self.verb == Verb::Interrupt, self.code.clone());
        match (self.verb, state.status) {
            (Verb::Pause | Verb::Interrupt, Status::Running) => {
                PauseRequested { actor, message, interrupt, code }.into()
            }
            (Verb::Pause | Verb::Interrupt, _) => {
                let reason = if interrupt { PauseReason::Interrupted } else { PauseReason::Requested };
                RunPaused { reason, actor, message, place: None, failure: None, code }.into()
            }
            (Verb::Resume | Verb::Retry, _) => self.resumed(self.verb == Verb::Retry),
            (Verb::Cancel | Verb::Undo, _) => {
                CancelRequested { actor, message, undo: self.verb == Verb::Undo }.into()
            }
            (Verb::Skip | Verb::SetOutput | Verb::Restart | Verb::EditInput, _) => {
                let graph = known.map(|(graph, _)| graph);
                edit(self, state, graph).unwrap_or_else(|why| self.refused(id, &why))
            }
            (Verb::Report, _) => {
                report(self, id, state, known, now).unwrap_or_else(|why| self.refused(id, &why))
            }
            (Verb::MergeContext, _) => match merged(self) {
                Ok(event) => event,
                Err(why) => self.refused(id, why),
            },
            (Verb::Terminate, _) => RunTerminated { actor, message }.into(),
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

/// The event that changes the document that all steps share.
fn merged(ask: &Ask) -> Result<Event, &'static str> {
    let patch = ask.value.clone().ok_or("it does not say which change")?;
    // What is no object would put itself in the place of the whole document.
    if !patch.text().trim_start().starts_with('{') {
        return Err("the change of the context is not a JSON object");
    }
    let (actor, message) = (ask.actor.clone(), ask.message.clone());
    Ok(ContextMerged { patch, place: None, actor, message }.into())
}

/// The event that holds a run which somebody has asked to hold, in their name and words.
pub(crate) fn held_as_asked(state: &State, reason: PauseReason, otherwise: String) -> RunPaused {
    let (place, failure) = (None, None);
    match &state.asked_to_hold {
        Some(PauseRequested { actor, message, code, .. }) => {
            let (actor, code) = (actor.clone(), code.clone());
            let message = if message.is_empty() { otherwise } else { message.clone() };
            RunPaused { reason, actor, message, place, failure, code }
        }
        None => RunPaused { reason, actor: Actor::Engine, message: otherwise, place, failure, code: None },
    }
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
    // What a run did only a worker can undo that has its definition; one that did nothing has nothing to undo. An end of
    // which others have to be told is left to a worker too: it comes back to it until they are.
    let request = state.request.filter(|request| match request {
        Request::Undo => state.completed.is_empty() && !state.has_to_tell(),
        Request::Cancel => !state.has_to_tell(),
        Request::Pause | Request::Interrupt => true,
    });
    let Some(request) = request else { return Ok(Vec::new()) };
    let mut events = takeover(state, worker, fence, None);
    events.push(match request {
        Request::Cancel | Request::Undo => RunCancelled {}.into(),
        Request::Pause | Request::Interrupt => {
            let reason = match request {
                Request::Interrupt => PauseReason::Interrupted,
                _ => PauseReason::Requested,
            };
            held_as_asked(state, reason, "carried out after the worker was lost".to_owned()).into()
        }
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
        use Status::{Cancelling, Failed, Paused, Queued, Running, Waiting};
        assert_eq!(allowed(Verb::Pause), [Queued, Running, Waiting]);
        assert_eq!(allowed(Verb::Interrupt), [Queued, Running, Waiting]);
        assert_eq!(allowed(Verb::Resume), [Waiting, Paused]);
        assert_eq!(allowed(Verb::Retry), [Waiting, Paused, Failed]);
        assert_eq!(allowed(Verb::Cancel), [Queued, Running, Waiting, Paused]);
        assert_eq!(allowed(Verb::Undo), [Queued, Running, Waiting, Paused]);
        assert_eq!(allowed(Verb::Skip), [Queued, Running, Waiting, Paused, Failed]);
        assert_eq!(allowed(Verb::SetOutput), [Queued, Running, Waiting, Paused, Failed]);
        assert_eq!(allowed(Verb::Restart), [Queued, Waiting, Paused, Failed]);
        assert_eq!(allowed(Verb::EditInput), [Queued, Waiting, Paused, Failed]);
        assert_eq!(allowed(Verb::Terminate), [Queued, Running, Waiting, Paused, Cancelling]);
    }
}
