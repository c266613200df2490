//! How a run came to rest, as whoever waits for it sees it.

use std::sync::Arc;

use stepwell_contract::Payload;

use crate::run::event::PauseReason;
use crate::run::place::Place;
use crate::run::said::Said;
use crate::run::state::State;
use crate::workflow::failure::Failure;

/// How a run came to rest.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Succeeded(Payload),
    Failed {
        place: Option<Place>,
        failure: Failure,
        said: Option<Arc<Said>>,
    },
    Paused {
        reason: PauseReason,
        place: Option<Place>,
        message: String,
        failure: Option<Failure>,
        said: Option<Arc<Said>>,
    },
    Cancelled,
    /// It is not at rest: its worker gave it up for now.
    Released,
}

impl Outcome {
    /// The outcome that a journal tells.
    ///
    /// # Errors
    /// The stored outputs do not make the result.
    pub(crate) fn of(state: &State) -> Result<Self, stepwell_contract::PayloadError> {
        use stepwell_contract::Status;
        Ok(match state.status {
            Status::Succeeded => {
                let result = state.result.as_ref().map(|shape| shape.result(state)).transpose()?.flatten();
                Self::Succeeded(result.unwrap_or_else(Payload::null))
            }
            Status::Failed => match state.failure.clone() {
                Some((place, failure)) => {
                    Self::Failed { place, failure, said: state.diagnoses.resting().cloned() }
                }
                None => Self::Released,
            },
            Status::Paused => match state.pause.clone() {
                Some(pause) => Self::Paused {
                    reason: pause.reason,
                    place: pause.place,
                    message: pause.message,
                    failure: pause.failure,
                    said: state.diagnoses.resting().cloned(),
                },
                None => Self::Released,
            },
            Status::Cancelled => Self::Cancelled,
            Status::Queued | Status::Running | Status::Waiting | Status::Cancelling => Self::Released,
        })
    }
}
