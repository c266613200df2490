//! What someone outside says of a step that was left to them, and what follows from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stepwell_contract::{MessageId, Payload, PayloadError, Seq, Status, Timestamp};

use crate::diagnosis::evidence::ErrorLink;
use crate::redact::redact;
use crate::run::actor::Actor;
use crate::run::event::{Event, ReportedFailure, Seen, StepReported};
use crate::run::notes::{Progress, within};
use crate::run::outsider::{Begun, Outsider};
use crate::run::place::Place;
use crate::run::preview::Known;
use crate::run::request::{Ask, Verb};
use crate::run::state::{State, StepState, StepStatus};
use crate::run::trouble::after_failure;
use crate::run::waiting::Said;
use crate::workflow::classify::Classifiers;
use crate::workflow::error::{ErrorClass, StepError};
use crate::workflow::failure::Failure;
use crate::workflow::finite;
use crate::workflow::policy::{Effective, Origin};
use crate::workflow::step::VALUE_BYTES_MAX;

/// Most details of a failure that are kept.
pub const DETAILS_MAX: usize = 32;
/// Longest name or value of a detail, in bytes.
pub const DETAIL_BYTES_MAX: usize = 512;

/// What someone outside says of an attempt, as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Which attempt.
    pub attempt: u32,
    /// What they say.
    pub said: Said<ToldFailure>,
}

/// A failure as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldFailure {
    /// What went wrong.
    pub failure: Box<Failure>,
    /// More of it, in fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// A failure of a step that was done outside, in words that any program can say. As JSON, a field that it does not have is an
/// error.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutsideFailure {
    /// What sort of failure it was, which alone decides whether the step is tried again. If nothing is said it is
    /// [`Unclassified`](ErrorClass::Unclassified), and tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ErrorClass>,
    /// A stable name, such as `http.503`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The text of the error.
    pub message: String,
    /// What was going on, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// What else is known of it. The diagnosis looks at `status`, `host`, `port`, `path` and the like. At most [`DETAILS_MAX`] are
    /// kept, and of each [`DETAIL_BYTES_MAX`] bytes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// The next attempt waits at least this long, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What someone outside says of a step that was left to them.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Report {
    said: Said<ToldFailure>,
    actor: Actor,
    seen: Option<Seq>,
}

impl Report {
    fn of(said: Said<ToldFailure>) -> Self {
        Self { said, actor: Actor::Program, seen: None }
    }

    /// Somebody has begun the attempt. The first who says so has it: others are refused, and told who. From here on it may take
    /// as long again as it was given from its own beginning.
    pub fn started(by: Outsider) -> Self {
        Self::of(Said::Started(by.bounded()))
    }

    /// The step has its result. JSON that is given as [`RawValue`](serde_json::value::RawValue) is kept as it is written.
    ///
    /// # Errors
    /// [`PayloadError`] when the result has no JSON form or is over the limit.
    pub fn succeeded<T: Serialize + ?Sized>(output: &T) -> Result<Self, PayloadError> {
        let output = finite::encode(output)?;
        match output.text().len() {
            bytes if bytes > VALUE_BYTES_MAX => Err(PayloadError::TooLarge { bytes, limit: VALUE_BYTES_MAX }),
            _ => Ok(Self::of(Said::Succeeded { output })),
        }
    }

    /// The attempt failed: its class decides whether the step is tried again.
    pub fn failed(error: impl Into<StepError>) -> Self {
        let failure = Box::new(Failure::from_step_error(error.into(), &Classifiers::default()));
        Self::of(Said::Failed(ToldFailure { failure, details: BTreeMap::new() }))
    }

    /// The attempt failed, in the words of a program that does not link this library.
    pub fn failure(told: OutsideFailure) -> Self {
        let OutsideFailure { class, code, message, context, details, retry_after_ms } = told;
        let failure = Box::new(Failure::told(class, code, message, context, retry_after_ms));
        let short = |text: String| within(redact(text), DETAIL_BYTES_MAX);
        let details = details.into_iter().take(DETAILS_MAX).map(|(name, value)| match value {
            Value::String(text) => (short(name), short(text)),
            other => (short(name), short(other.to_string())),
        });
        Self::of(Said::Failed(ToldFailure { failure, details: details.collect() }))
    }

    /// The step is so far, from 0 to 1.
    pub fn progress(fraction: f64, note: impl Into<String>) -> Self {
        Self::of(Said::Progress(Progress::new(fraction, note)))
    }

    /// Says who reports; the program, if nothing is said.
    pub fn by(self, actor: Actor) -> Self {
        Self { actor, ..self }
    }

    /// Only if the run has recorded nothing after `seen`.
    pub fn if_unchanged_since(self, seen: Seq) -> Self {
        Self { seen: Some(seen), ..self }
    }

    /// What it says of an attempt, as a request about a step.
    pub(crate) fn ask(self, place: Place, attempt: u32) -> Result<(Told, Ask), PayloadError> {
        let told = Told { attempt, said: self.said };
        let ask = Ask::new(Verb::Report, self.actor, "").at(place).with(Payload::encode(&told)?);
        Ok((told, Ask { seen: self.seen, ..ask }))
    }
}

impl Told {
    /// Whether an event is what a run made of just this: then it was said before, and is refused because of that.
    pub(crate) fn made(&self, place: &Place, event: &StepReported) -> bool {
        let is_same = match (&self.said, &event.said) {
            (Said::Succeeded { output }, Said::Succeeded { output: before }) => output == before,
            (Said::Failed(told), Said::Failed(before)) => {
                // Where in the code of whoever reports it was said does not tell failures apart.
                let anywhere = |failure: &Failure| Failure { location: None, ..failure.clone() };
                anywhere(&told.failure) == anywhere(&before.failure)
            }
            (Said::Started(by), Said::Started(before)) => by == before,
            _ => false,
        };
        is_same && event.place == *place && event.attempt == self.attempt
    }

    /// Whether it ends the attempt.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.said, Said::Succeeded { .. } | Said::Failed(_))
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
    let step = open(state, place)?;
    if step.attempt != told.attempt {
        return Err(format!(
            "attempt {} of {place} is over: it is at attempt {}",
            told.attempt, step.attempt
        ));
    }
    match step.status {
        // Whoever it is about to be left to may be quicker.
        StepStatus::Running if step.reported.is_none() => {}
        StepStatus::Running => {
            return Err(format!("attempt {} of {place} was reported on before", told.attempt));
        }
        _ if step.is_left_outside() => {}
        _ => return Err(format!("{place} is not left to anyone outside")),
    }
    let index = graph.find(&place.step).ok_or_else(|| format!("its workflow has no step {}", place.step))?;
    let mut until = None;
    let said = match told.said {
        Said::Succeeded { output } => Said::Succeeded { output },
        Said::Progress(progress) => Said::Progress(progress),
        Said::Started(by) => {
            if let Some(begun) = &step.outsider {
                return Err(format!("attempt {} of {place} was begun by {}", told.attempt, begun.by.name));
            }
            if state.status == Status::Paused {
                return Err(format!("the run is held, and nobody begins {place} meanwhile"));
            }
            let whole = step.waiting.as_ref().and_then(|waiting| waiting.until);
            until = whole.map(|until| now.plus_ms(until.since_ms(step.started_at)));
            Said::Started(by.bounded())
        }
        Said::Failed(ToldFailure { failure, details }) => {
            let then = after_failure(step, &limits[index.0], &failure, now, share_of(id));
            let seen = Box::new(seen(&failure, details, step.outsider.as_deref()));
            Said::Failed(ReportedFailure { failure, then, seen })
        }
    };
    let actor = ask.actor.clone();
    let version = graph.step(index).version;
    Ok(StepReported { place: place.clone(), attempt: told.attempt, said, until, version, actor }.into())
}

/// A step that has begun and has no result.
///
/// # Errors
/// Why it is none, for people.
pub(crate) fn open<'a>(state: &'a State, place: &Place) -> Result<&'a StepState, String> {
    let step = state.step(place).ok_or_else(|| format!("{place} has not begun"))?;
    match step.status.has_ended() {
        true => Err(format!("{place} has its result")),
        false => Ok(step),
    }
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
    let since = step.outsider.as_ref().map_or(step.started_at, |begun| begun.at);
    let failure = Failure::timeout("report", until.since_ms(since), Origin::Step.as_str());
    let then = after_failure(step, limits, &failure, now, random);
    let seen = Box::new(seen(&failure, BTreeMap::new(), step.outsider.as_deref()));
    let said = Said::Failed(ReportedFailure { failure: Box::new(failure), then, seen });
    let (attempt, actor) = (step.attempt, Actor::Engine);
    Some(StepReported { place: place.clone(), attempt, said, until: None, version: 1, actor }.into())
}

/// What is known of an attempt outside that failed.
fn seen(failure: &Failure, details: BTreeMap<String, String>, begun: Option<&Begun>) -> Seen {
    let by = begun.map(|begun| &begun.by);
    let mut chain = Vec::new();
    if !details.is_empty() {
        let (code, text) = (failure.code.clone(), failure.message.clone());
        chain.push(ErrorLink { type_name: None, code, text, fields: details });
        let sources =
            failure.chain.iter().map(|text| ErrorLink { text: text.clone(), ..ErrorLink::default() });
        chain.extend(sources);
    }
    Seen {
        host: by.and_then(|by| by.host.clone()),
        code_version: by.and_then(|by| by.code_version.clone()),
        chain,
        ..Seen::default()
    }
    .bounded()
}

/// A number from 0 to 1 that belongs to a message: the same wherever it is read.
fn share_of(id: &MessageId) -> f64 {
    let sum = id.as_str().bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    f64::from(sum) / f64::from(u32::MAX)
}
