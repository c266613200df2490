//! What a request would do, before anything is asked: the same table and the same fold as when it is.

use serde::Serialize;
use stepwell_contract::{MessageId, Seq, Status, Timestamp};

use crate::run::event::Event;
use crate::run::place::Place;
use crate::run::request::{Ask, Verb};
use crate::run::state::{IllegalTransition, Request, State, StepState, StepStatus};
use crate::workflow::graph::Graph;
use crate::workflow::policy::{Effect, Effective};

/// What a request would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// What would be asked.
    pub verb: &'static str,
    /// Why it would be refused; `None` when it is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Where the run is.
    pub status: Status,
    /// Where it would be, once what runs has ended or was stopped.
    pub status_after: Status,
    /// Steps whose results would no longer count; in a fork, would not be copied.
    pub set_aside: Vec<Place>,
    /// Steps that were tried before and would run again.
    pub runs_again: Vec<RunsAgain>,
    /// Steps whose attempts run now and would be stopped or dropped.
    pub stopped: Vec<RunsAgain>,
    /// The last record of the run that this was worked out from: whoever asks with
    /// [`if_unchanged_since`](Ask::if_unchanged_since) it gets this, or nothing.
    pub seen: Seq,
}

/// A step that would run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunsAgain {
    /// Which step.
    pub place: Place,
    /// How many attempts it has had.
    pub attempts: u32,
    /// What a repetition does; `None` when the definition is not registered.
    pub effect: Option<Effect>,
}

impl Preview {
    /// Whether it is allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.refused.is_none()
    }

    /// The steps that would run again, or be cut off, although they must not be repeated blindly.
    pub fn not_idempotent(&self) -> impl Iterator<Item = &RunsAgain> {
        let all = self.runs_again.iter().chain(&self.stopped);
        all.filter(|step| step.effect == Some(Effect::NotIdempotent))
    }
}

/// A definition and the limits of its steps, as far as a preview needs them.
pub type Known<'a> = (&'a Graph, &'a [Effective]);

/// What a request would do to a run in this state. One about a step needs the run's definition.
///
/// # Errors
/// [`IllegalTransition`] is a fault in the engine's tables.
pub fn preview(
    ask: &Ask,
    state: &State,
    known: Option<Known<'_>>,
    now: Timestamp,
) -> Result<Preview, IllegalTransition> {
    let id = MessageId::new("preview").map_err(|error| IllegalTransition {
        event: "request_refused",
        status: state.status,
        detail: error.to_string(),
    })?;
    let verb = ask.verb.as_str();
    let event = ask.answer(&id, state, known, now);
    if let Event::RequestRefused(refused) = event {
        return Ok(refusal(verb, state.status, refused.message, state.last_seq));
    }
    let mut after = state.clone();
    after.apply(&event, now)?;
    let status_after = match after.request {
        Some(Request::Cancel | Request::Undo) => Status::Cancelled,
        Some(Request::Pause | Request::Interrupt) => Status::Paused,
        None => after.status,
    };
    let mut preview = compare(verb, state, &after, status_after, known);
    if matches!(ask.verb, Verb::Interrupt | Verb::Cancel | Verb::Undo | Verb::Terminate) {
        let running = state.places().filter(|(_, step)| step.status == StepStatus::Running);
        preview.stopped = running.map(|(place, step)| runs_again(place, step, known)).collect();
    }
    Ok(preview)
}

/// The preview of what would be refused.
#[must_use]
pub fn refusal(verb: &'static str, status: Status, why: String, seen: Seq) -> Preview {
    let (set_aside, runs_again, stopped) = Default::default();
    Preview { verb, refused: Some(why), status, status_after: status, set_aside, runs_again, stopped, seen }
}

/// The difference between a run and what it would be.
#[must_use]
pub fn compare(
    verb: &'static str,
    before: &State,
    after: &State,
    status_after: Status,
    known: Option<Known<'_>>,
) -> Preview {
    let goes_on = matches!(status_after, Status::Queued | Status::Running | Status::Waiting);
    let is_tried = |place: &Place| after.step(place).is_none_or(|step| step.status.again_at().is_some());
    let again = before.places().filter(|(place, step)| goes_on && step.attempt > 0 && is_tried(place));
    let gone = before.places().filter(|(place, step)| step.status.has_ended() && after.step(place).is_none());
    Preview {
        verb,
        refused: None,
        status: before.status,
        status_after,
        set_aside: gone.map(|(place, _)| place).collect(),
        runs_again: again.map(|(place, step)| runs_again(place, step, known)).collect(),
        stopped: Vec::new(),
        seen: before.last_seq,
    }
}

fn runs_again(place: Place, step: &StepState, known: Option<Known<'_>>) -> RunsAgain {
    let effect =
        known.and_then(|(graph, limits)| graph.find(&place.step).map(|index| limits[index.0].effect.value));
    RunsAgain { place, attempts: step.attempt, effect }
}
