//! The small text in a head by which listings tell how a run does, without reading its journal.

use serde::{Deserialize, Serialize};
use stepwell_contract::limits::SUMMARY_BYTES_MAX;
use stepwell_contract::{Name, Payload, PayloadError, Seq, Status, Timestamp};

use crate::run::event::{PauseReason, Progress};
use crate::run::parked::Parked;
use crate::run::place::Place;
use crate::run::said::Said;
use crate::run::state::State;
use crate::workflow::error::ErrorClass;
use crate::workflow::failure::Failure;

/// Longest failure message in a summary, in characters.
const MESSAGE_CHARS: usize = 300;

/// How a run does, in short.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Nodes of the definition that have their output.
    #[serde(default)]
    pub done: usize,
    /// Nodes of the definition.
    #[serde(default)]
    pub of: usize,
    /// How far a running step says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// What is wrong, while it is held or after it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What was said of why it failed last or is held. It stays when the run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
    /// Until when a worker has to have taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_until: Option<Timestamp>,
    /// When it begins at the earliest, if it was started for a later time and has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Whether a worker has ever taken it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub begun: bool,
    /// Whether its end is decided, and those whom it concerns are being told.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ending: bool,
    /// What the limits of its queue count it by; `None` for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<Name>,
    /// How many of its steps are left to someone outside and begun by nobody.
    #[serde(default, skip_serializing_if = "is_none")]
    pub outside_open: usize,
    /// How many of its steps someone outside has begun.
    #[serde(default, skip_serializing_if = "is_none")]
    pub outside_begun: usize,
    /// Why it has to wait for others of its queue, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
}

/// How far a step says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// Which step.
    #[serde(flatten)]
    pub place: Place,
    /// How far.
    #[serde(flatten)]
    pub progress: Progress,
}

/// What is wrong with a run, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Why it is held; `None` after it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<PauseReason>,
    /// The step it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// The code of the failure, or what whoever holds it calls that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is said to people, shortened.
    pub message: String,
}

impl Trouble {
    fn new(
        reason: Option<PauseReason>,
        place: Option<&Place>,
        failure: Option<&Failure>,
        message: &str,
    ) -> Self {
        Self {
            reason,
            place: place.cloned(),
            class: failure.map(|failure| failure.class),
            code: failure.and_then(|failure| failure.code.clone()),
            message: message.chars().take(MESSAGE_CHARS).collect(),
        }
    }
}

impl Summary {
    /// The summary of a state, of which `done` of `of` nodes have their output.
    #[must_use]
    pub fn of(state: &State, (done, of): (usize, usize), reported: Option<(Place, Progress)>) -> Self {
        let at = reported.map(|(place, progress)| At { place, progress });
        Self { done, of, at, ..Self::default() }.with_trouble_of(state)
    }

    /// The summary as a head holds it. Of one whose texts are too long what can be read elsewhere is left out.
    ///
    /// # Errors
    /// [`PayloadError`] when it has no JSON form.
    pub fn payload(self) -> Result<Payload, PayloadError> {
        let fits = |payload: &Payload| payload.text().len() <= SUMMARY_BYTES_MAX;
        let whole = Payload::encode(&self)?;
        if fits(&whole) {
            return Ok(whole);
        }
        let less = Self { said: None, ..self };
        let shorter = Payload::encode(&less)?;
        if fits(&shorter) { Ok(shorter) } else { Payload::encode(&Self { at: None, ..less }) }
    }

    /// The same progress with what is wrong now.
    #[must_use]
    pub fn with_trouble_of(self, state: &State) -> Self {
        let trouble = match (&state.pause, &state.failure) {
            (Some(pause), _) => {
                let (reason, place, failure) =
                    (Some(pause.reason), pause.place.as_ref(), pause.failure.as_ref());
                let trouble = Trouble::new(reason, place, failure, &pause.message);
                let code = pause.code.as_ref().map(|code| code.as_str().to_owned());
                Some(Trouble { code: code.or(trouble.code), ..trouble })
            }
            (None, Some((place, failure))) => {
                Some(Trouble::new(None, place.as_ref(), Some(failure), &failure.message))
            }
            (None, None) => None,
        };
        let said = state.diagnoses.latest().map(|said| Said::clone(said));
        let queue_until = state.created.queue_until.filter(|_| state.last_seq == Seq::FIRST);
        let limit_key = state.created.limit_key.clone();
        let ending = state.ending.is_some();
        // Whatever is on its way to its end waits for nobody.
        let is_open = !ending && !state.status.is_finished() && state.status != Status::Cancelling;
        let parked = self.parked.clone().filter(|_| is_open);
        let (not_before, begun) = (not_before(state), state.begun);
        let (outside_open, outside_begun) = match is_open {
            true => (state.outside.open.len(), state.outside.begun.len()),
            false => (0, 0),
        };
        Self {
            trouble,
            said,
            queue_until,
            not_before,
            limit_key,
            begun,
            ending,
            parked,
            outside_open,
            outside_begun,
            ..self
        }
    }
}

/// When a run begins at the earliest that was started for a later time and has not begun.
pub(crate) fn not_before(state: &State) -> Option<Timestamp> {
    state.created.not_before.filter(|_| state.has_not_begun())
}

fn is_false(yes: &bool) -> bool {
    !yes
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_the_longest_texts_fits_a_head() {
        let odd = "\u{1}".repeat(MESSAGE_CHARS);
        let place: Place = "charge".parse().expect("a place");
        let said = Said {
            code: "SW9001".to_owned(),
            summary: odd.clone(),
            fingerprint: "SW9001-00".to_owned(),
            place: Some(place.clone()),
            at: Timestamp(1),
            worker: None,
            version: 1,
            code_version: None,
        };
        let trouble = Trouble { reason: None, place: None, class: None, code: None, message: odd.clone() };
        let at = At { place, progress: Progress::new(0.5, odd) };
        let usual = Summary { said: Some(said), trouble: Some(trouble), ..Summary::default() };
        assert!(
            usual.clone().payload().expect("JSON").decode::<Summary>().expect("a summary").said.is_some()
        );
        let full = Summary { at: Some(at), ..usual };
        let kept = full.payload().expect("JSON");
        assert!(kept.text().len() <= SUMMARY_BYTES_MAX);
        assert!(kept.decode::<Summary>().expect("a summary").trouble.is_some());
    }
}
