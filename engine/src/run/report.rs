//! What someone outside says of a step that was left to them, and what follows from it.

use serde::{Deserialize, Serialize};
use stepwell_contract::{MessageId, PayloadError, Status, Timestamp};

use crate::run::event::{Event, ReportedFailure, StepReported};
use crate::run::notes::Progress;
use crate::run::place::Place;
use crate::run::preview::Known;
use crate::run::request::Ask;
use crate::run::state::{State, StepStatus};
use crate::run::trouble::after_failure;
use crate::run::waiting::Said;
use crate::workflow::classify::Classifiers;
use crate::workflow::error::StepError;
use crate::workflow::failure::Failure;
use crate::workflow::finite;
use crate::workflow::policy::{Effective, Origin};
use crate::workflow::step::VALUE_BYTES_MAX;

/// What someone outside says of an attempt, as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Which attempt.
    pub attempt: u32,
    /// What they say.
    pub said: Said<Box<Failure>>,
}

/// What someone outside says of a step that was left to them.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Report(Said<Box<Failure>>);

impl Report {
    /// The step has its result.
    ///
    /// # Errors
    /// [`PayloadError`] when the result has no JSON form or is over the limit.
    pub fn succeeded<T: Serialize + ?Sized>(output: &T) -> Result<Self, PayloadError> {
        let output = finite::encode(output)?;
        match output.text().len() {
            bytes if bytes > VALUE_BYTES_MAX => Err(PayloadError::TooLarge { bytes, limit: VALUE_BYTES_MAX }),
            _ => Ok(Self(Said::Succeeded { output })),
        }
    }

    /// The attempt failed: its class decides whether the step is tried again.
    pub fn failed(error: impl Into<StepError>) -> Self {
        Self(Said::Failed(Box::new(Failure::from_step_error(error.into(), &Classifiers::default()))))
    }

    /// The step is so far, from 0 to 1.
    pub fn progress(fraction: f64, note: impl Into<String>) -> Self {
        Self(Said::Progress(Progress::new(fraction, note)))
    }

    pub(crate) fn told(self, attempt: u32) -> Told {
        Told { attempt, said: self.0 }
    }
}

/// The event that answers a report.
///
/// # Errors
/// Why it is refused, for people.
pub(crate) fn report(
    ask: &Ask,
    id: &MessageId,
    state: &State,
    known: Option<Known<'_>>,
    now: Timestamp,
) -> Result<Event, String> {
    let place = ask.place.as_ref().ok_or("it does not say which step")?;
    if state.status == Status::Cancelling && state.undoing.is_none() {
        return Err("it is being cancelled".to_owned());
    }
    let told = ask.value.as_ref().and_then(|value| value.decode::<Told>().ok());
    let told = told.ok_or("it does not say how the attempt ended")?;
    let (graph, limits) = known.ok_or("its workflow is not registered here")?;
    let step = state.step(place).ok_or_else(|| format!("{place} has not begun"))?;
    if step.status.has_ended() {
        return Err(format!("{place} has its result"));
    }
    if step.attempt != told.attempt {
        return Err(format!(
            "attempt {} of {place} is over: it is at attempt {}",
            told.attempt, step.attempt
        ));
    }
    let is_left = step.waiting.as_ref().is_some_and(|waiting| waiting.outside);
    match step.status {
        StepStatus::Suspended if is_left => {}
        // Whoever it is about to be left to may be quicker.
        StepStatus::Running if step.reported.is_none() => {}
        StepStatus::Running => {
            return Err(format!("attempt {} of {place} was reported on before", told.attempt));
        }
        _ => return Err(format!("{place} is not left to anyone outside")),
    }
    let index = graph.find(&place.step).ok_or_else(|| format!("its workflow has no step {}", place.step))?;
    let said = match told.said {
        Said::Succeeded { output } => Said::Succeeded { output },
        Said::Progress(progress) => Said::Progress(progress),
        Said::Failed(failure) => {
            let then = after_failure(step, &limits[index.0], &failure, now, share_of(id));
            Said::Failed(ReportedFailure { failure, then })
        }
    };
    let actor = ask.actor.clone();
    let version = graph.step(index).version;
    Ok(StepReported { place: place.clone(), attempt: told.attempt, said, version, actor }.into())
}

/// The event that ends an attempt of which nobody outside has told in time.
pub(crate) fn overdue(
    state: &State,
    place: &Place,
    limits: &Effective,
    now: Timestamp,
    random: f64,
) -> Option<Event> {
    let step = state.step(place)?;
    let until = step.waiting.as_ref()?.until?;
    let failure = Failure::timeout("report", until.since_ms(step.started_at), Origin::Step.as_str());
    let then = after_failure(step, limits, &failure, now, random);
    let said = Said::Failed(ReportedFailure { failure: Box::new(failure), then });
    let actor = crate::run::actor::Actor::Engine;
    Some(StepReported { place: place.clone(), attempt: step.attempt, said, version: 1, actor }.into())
}

/// A number from 0 to 1 that belongs to a message: the same wherever it is read.
fn share_of(id: &MessageId) -> f64 {
    let sum = id.as_str().bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    f64::from(sum) / f64::from(u32::MAX)
}
