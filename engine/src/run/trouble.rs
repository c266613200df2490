//! What stands in a run's way when a step failed or was cut off, and what follows from it.

use stepwell_contract::Timestamp;

use crate::run::decide::Rest;
use crate::run::event::{LostReason, PauseReason, Then};
use crate::run::place::Place;
use crate::run::state::StepState;
use crate::workflow::classify::ClassifiedBy;
use crate::workflow::error::ErrorClass;
use crate::workflow::failure::Failure;
use crate::workflow::policy::{Effect, Effective, OnExhausted};
use crate::workflow::retry::{RetryAsk, RetryDecision};

/// How a run comes to rest because of a step that has failed for good.
pub(crate) fn of_failed(limits: &Effective, place: &Place, failed: &StepState) -> Rest {
    let failure = failed.failure.clone().unwrap_or_else(|| Failure::undecodable("the failure", "missing"));
    let pause = |reason, message| Rest::Pause {
        reason,
        place: Some(place.clone()),
        message,
        failure: Some(failure.clone()),
    };
    if is_in_doubt(&failure, limits.effect.value) {
        let message = format!(
            "{place} must not be repeated blindly and did not end: {failure}. Find out whether its effect happened; then `retry` if it did not, or `set_output` if it did"
        );
        return pause(PauseReason::InDoubt, message);
    }
    if failure.is_unread() {
        let message = format!(
            "{place} cannot read what is stored: {failure}. Run a worker that reads it or has a migration for it, then `resume`"
        );
        return pause(PauseReason::NeedsMigration, message);
    }
    match &failed.then {
        Some(Then::Exhausted(limit)) if limits.on_exhausted.value == OnExhausted::Pause => {
            let attempts = failed.attempt - failed.spent;
            let message = format!(
                "{place} failed {attempts} times ({}), last: {failure}. Mend the cause, then `retry`",
                words_for(limit)
            );
            pause(PauseReason::Exhausted, message)
        }
        _ if failure.class.pauses() => {
            pause(PauseReason::NeedsAttention, format!("{place}: {failure}. Mend the cause, then `retry`"))
        }
        _ => Rest::Fail { place: Some(place.clone()), failure },
    }
}

/// How a run comes to rest because of a step whose attempt was lost; `None` when it is tried again.
pub(crate) fn of_interrupted(
    limits: &Effective,
    place: &Place,
    lost: &StepState,
    reason: LostReason,
) -> Option<Rest> {
    let pause =
        |reason, message| Some(Rest::Pause { reason, place: Some(place.clone()), message, failure: None });
    if limits.effect.value == Effect::NotIdempotent {
        let how = match reason {
            LostReason::Crash => "its worker died",
            LostReason::Shutdown => "its worker shut down",
            LostReason::Stopped => "it was stopped",
        };
        let message = format!(
            "{place} must not be repeated blindly, and {how} while it ran. Find out whether its effect happened; then `retry` if it did not, or `set_output` if it did"
        );
        return pause(PauseReason::InDoubt, message);
    }
    if lost.crashes >= limits.crash_max.value {
        let message = format!(
            "the worker died {} times in a row while {place} ran. See what it does to its process, then `retry`",
            lost.crashes
        );
        return pause(PauseReason::Quarantined, message);
    }
    None
}

/// Whether a map may go on without an item that failed so.
pub(crate) fn is_tolerable(failure: &Failure, effect: Effect) -> bool {
    !is_in_doubt(failure, effect) && !failure.is_unread()
}

/// Whether a step that must not be repeated blindly may have had its effect although it failed: it was cut off, not
/// refused.
pub(crate) fn is_in_doubt(failure: &Failure, effect: Effect) -> bool {
    // What could not read its input has not begun its work.
    let has_begun = !(failure.is_unread() && failure.classified_by == ClassifiedBy::Observed);
    effect == Effect::NotIdempotent
        && has_begun
        && matches!(failure.class, ErrorClass::Timeout | ErrorClass::Bug | ErrorClass::LostWorker)
}

/// What follows from a failed attempt. `random` is from 0 to 1 and spreads the delays.
#[must_use]
pub fn after_failure(
    step: &StepState,
    limits: &Effective,
    failure: &Failure,
    now: Timestamp,
    random: f64,
) -> Then {
    if is_in_doubt(failure, limits.effect.value) || failure.is_unread() {
        return Then::Never;
    }
    let elapsed_ms = now.since_ms(step.began_at);
    let ask = RetryAsk { attempt: step.attempt - step.spent, elapsed_ms, failure, random };
    match limits.retry.value.decide(ask) {
        RetryDecision::Never => Then::Never,
        RetryDecision::Exhausted { limit } => Then::Exhausted(limit.to_owned()),
        RetryDecision::Again { delay_ms } => match limits.deadline_ms.value {
            Some(deadline_ms) if elapsed_ms.saturating_add(delay_ms) >= deadline_ms => {
                Then::Exhausted("deadline".to_owned())
            }
            _ => Then::RetryAt(now.plus_ms(delay_ms)),
        },
    }
}

/// Why a step is not tried again, in words.
fn words_for(limit: &str) -> String {
    match limit {
        "class" => "an error of this class is tried again only once".to_owned(),
        "deadline" => "its deadline leaves no time for another".to_owned(),
        other => format!("{other} is used up"),
    }
}
