//! Which event is about what: one exhaustive table for each question.

use crate::integrity::issue::Severity;
use crate::observe::audit::Category;
use crate::run::actor::Actor;
use crate::run::code::OwnCode;
use crate::run::event::{Event, LogLevel, LostReason, PauseReason, Then};
use crate::run::waiting::{ChildEnd, Said};
use crate::workflow::error::ErrorClass;
use crate::workflow::failure::Failure;

/// What the engine does unasked.
const ENGINE: &Actor = &Actor::Engine;

/// What an event is about, and how much it matters. For log lines it is their own level that counts.
pub(super) fn sort_of(event: &Event) -> (Category, LogLevel) {
    use Category::{Consistency, Operator, Performance, State, Step, Store};
    use LogLevel::{Debug, Error, Info, Warn};
    match event {
        Event::RunCreated(_) | Event::DefinitionChanged(_) | Event::RunSucceeded(_) => (State, Info),
        // The owner before this one did not give the run up.
        Event::RunTaken(taken) => (State, if taken.lost.is_some() { Warn } else { Info }),
        Event::RunReleased(_) | Event::RunEnding(_) => (State, Debug),
        Event::RunFailed(_) => (State, Error),
        Event::RunCancelled(_) => (State, Warn),

        Event::StepSucceeded(_) | Event::ChildStarted(_) | Event::Logged(_) => (Step, Info),
        Event::StepStarted(_)
        | Event::StepCopied(_)
        | Event::StepSuspended(_)
        | Event::StepWoken(_)
        | Event::TimerStarted(_)
        | Event::TimerFired(_)
        | Event::WaitStarted(_)
        | Event::WaitEnded(_) => (Step, Debug),
        Event::ChildEnded(child) => match &child.ended {
            ChildEnd::Succeeded { .. } => (Step, Info),
            ChildEnd::Cancelled => (Step, Warn),
            ChildEnd::Failed { failure } => (of_failure(failure), Warn),
        },
        Event::AttemptLost(lost) => match lost.reason {
            LostReason::Crash => (Category::Error, Warn),
            LostReason::Shutdown | LostReason::Stopped => (Step, Info),
        },
        Event::AttemptFailed(failed) => (of_failure(&failed.failure), level_of(&failed.then)),
        Event::ItemFailed(failed) => (of_failure(&failed.failure), Warn),
        Event::UndoStarted(undo) => match &undo.failure {
            Some(failure) => (of_failure(failure), Warn),
            None => (State, Info),
        },
        Event::Diagnosed(diagnosed) => of_diagnosis(&diagnosed.diagnosis.code),
        Event::IssueFound(found) => match found.issue.severity {
            Severity::Warning => (Consistency, Warn),
            Severity::Error | Severity::Critical => (Consistency, Error),
        },
        Event::Repaired(_) => (Consistency, Warn),

        Event::Checkpointed(_) | Event::Memoised(_) => (Store, Debug),
        Event::ContextMerged(merged) if merged.place.is_some() => (Store, Debug),

        Event::StepSkipped(skipped) if skipped.actor.is_engine() => (Step, Info),
        Event::StepReported(reported) => match &reported.said {
            Said::Succeeded { .. } | Said::Progress(_) | Said::Started(_) => (Operator, Info),
            Said::Failed(failed) => (Operator, level_of(&failed.then)),
        },
        Event::ContextMerged(_)
        | Event::SignalReceived(_)
        | Event::RunForked(_)
        | Event::StartMoved(_)
        | Event::StepSkipped(_)
        | Event::RunResumed(_)
        | Event::PauseRequested(_) => (Operator, Info),
        // These change what is recorded, or stop what is under way.
        Event::OutputSet(_)
        | Event::StepsReset(_)
        | Event::InputEdited(_)
        | Event::CancelRequested(_)
        | Event::RequestRefused(_)
        | Event::RunTerminated(_) => (Operator, Warn),
        Event::RunPaused(paused) => match paused.reason {
            PauseReason::Requested | PauseReason::Interrupted => (Operator, Info),
            PauseReason::QueueWait => (Performance, Warn),
            PauseReason::InDoubt | PauseReason::DefinitionChanged | PauseReason::NeedsMigration => {
                (Consistency, Error)
            }
            PauseReason::Exhausted | PauseReason::NeedsAttention | PauseReason::Quarantined => {
                (paused.failure.as_ref().map_or(Category::Error, of_failure), Error)
            }
        },
    }
}

/// What a failure is about.
fn of_failure(failure: &Failure) -> Category {
    if failure.is_unread() {
        return Category::Consistency;
    }
    match failure.class {
        ErrorClass::Validation => Category::Validation,
        ErrorClass::Timeout | ErrorClass::Throttled => Category::Performance,
        ErrorClass::Transient
        | ErrorClass::Unavailable
        | ErrorClass::Auth
        | ErrorClass::Config
        | ErrorClass::Permanent
        | ErrorClass::Bug
        | ErrorClass::LostWorker
        | ErrorClass::Cancelled
        | ErrorClass::Unclassified => Category::Error,
    }
}

fn level_of(then: &Then) -> LogLevel {
    match then {
        Then::RetryAt(_) => LogLevel::Warn,
        Then::Exhausted(_) | Then::Never => LogLevel::Error,
        Then::Stopped => LogLevel::Info,
    }
}

/// What the codes of a diagnosis are about, the longest beginning first.
const CODES: [(&str, Category, LogLevel); 8] = [
    // A stored value that is not read, a lease that was lost in the middle, a definition without the step.
    ("SW1203", Category::Consistency, LogLevel::Error),
    ("SW6001", Category::Consistency, LogLevel::Error),
    ("SW8101", Category::Consistency, LogLevel::Error),
    ("SW8001", Category::Operator, LogLevel::Warn),
    ("SW11", Category::Validation, LogLevel::Error),
    ("SW12", Category::Validation, LogLevel::Error),
    ("SW2", Category::Performance, LogLevel::Error),
    ("SW7", Category::Store, LogLevel::Error),
];

fn of_diagnosis(code: &str) -> (Category, LogLevel) {
    let found = CODES.iter().find(|(begins, _, _)| code.starts_with(begins));
    found.map_or((Category::Error, LogLevel::Error), |(_, category, level)| (*category, *level))
}

/// Who did it; the engine, where nobody asked.
pub(super) fn actor_of(event: &Event) -> &Actor {
    match event {
        Event::RunCreated(event) => &event.actor,
        Event::RunForked(event) => &event.actor,
        Event::StepReported(event) => &event.actor,
        Event::ContextMerged(event) => &event.actor,
        Event::SignalReceived(event) => &event.actor,
        Event::StepSkipped(event) => &event.actor,
        Event::OutputSet(event) => &event.actor,
        Event::StepsReset(event) => &event.actor,
        Event::InputEdited(event) => &event.actor,
        Event::StartMoved(event) => &event.actor,
        Event::RunPaused(event) => &event.actor,
        Event::RunResumed(event) => &event.actor,
        Event::CancelRequested(event) => &event.actor,
        Event::PauseRequested(event) => &event.actor,
        Event::RequestRefused(event) => &event.actor,
        Event::RunTerminated(event) => &event.actor,
        Event::Repaired(event) => &event.actor,
        Event::StepCopied(_)
        | Event::RunTaken(_)
        | Event::RunReleased(_)
        | Event::DefinitionChanged(_)
        | Event::StepStarted(_)
        | Event::StepSucceeded(_)
        | Event::AttemptFailed(_)
        | Event::Diagnosed(_)
        | Event::AttemptLost(_)
        | Event::Checkpointed(_)
        | Event::Memoised(_)
        | Event::StepSuspended(_)
        | Event::StepWoken(_)
        | Event::ChildStarted(_)
        | Event::ChildEnded(_)
        | Event::TimerStarted(_)
        | Event::TimerFired(_)
        | Event::WaitStarted(_)
        | Event::WaitEnded(_)
        | Event::ItemFailed(_)
        | Event::UndoStarted(_)
        | Event::Logged(_)
        | Event::RunEnding(_)
        | Event::IssueFound(_)
        | Event::RunSucceeded(_)
        | Event::RunFailed(_)
        | Event::RunCancelled(_) => ENGINE,
    }
}

/// The attempt that it is about.
pub(super) fn attempt_of(event: &Event) -> Option<u32> {
    match event {
        Event::StepStarted(event) => Some(event.attempt),
        Event::StepSucceeded(event) => Some(event.attempt),
        Event::AttemptFailed(event) => Some(event.attempt),
        Event::AttemptLost(event) => Some(event.attempt),
        Event::Checkpointed(event) => Some(event.attempt),
        Event::Memoised(event) => Some(event.attempt),
        Event::StepSuspended(event) => Some(event.attempt),
        Event::StepReported(event) => Some(event.attempt),
        Event::ChildStarted(event) => Some(event.attempt),
        Event::Logged(event) => Some(event.attempt),
        Event::Diagnosed(event) => event.attempt,
        _ => None,
    }
}

/// The failure that it tells of.
pub(super) fn failure_of(event: &Event) -> Option<&Failure> {
    match event {
        Event::AttemptFailed(event) => Some(&event.failure),
        Event::ItemFailed(event) => Some(&event.failure),
        Event::RunFailed(event) => Some(&event.failure),
        Event::UndoStarted(event) => event.failure.as_ref(),
        Event::RunPaused(event) => event.failure.as_ref(),
        Event::ChildEnded(event) => match &event.ended {
            ChildEnd::Failed { failure } => Some(failure),
            ChildEnd::Succeeded { .. } | ChildEnd::Cancelled => None,
        },
        Event::StepReported(event) => match &event.said {
            Said::Failed(failed) => Some(&failed.failure),
            Said::Succeeded { .. } | Said::Progress(_) | Said::Started(_) => None,
        },
        _ => None,
    }
}

/// The code of the diagnosis or failure, or the kind of the issue, that it tells of; or what whoever asked calls it.
pub(super) fn code_of(event: &Event) -> Option<&str> {
    match event {
        Event::Diagnosed(event) => Some(&event.diagnosis.code),
        Event::IssueFound(event) => Some(event.issue.kind.as_str()),
        Event::PauseRequested(event) => event.code.as_ref().map(OwnCode::as_str),
        Event::RunPaused(event) if event.code.is_some() => event.code.as_ref().map(OwnCode::as_str),
        Event::Repaired(event) => Some(event.issue.as_str()),
        other => failure_of(other)?.code.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_about_what_its_most_special_entry_says() {
        for (nth, (begins, _, _)) in CODES.iter().enumerate() {
            let hidden = CODES[..nth].iter().any(|(earlier, _, _)| begins.starts_with(earlier));
            assert!(!hidden, "{begins} is never reached");
        }
        assert_eq!(of_diagnosis("SW1203").0, Category::Consistency);
        assert_eq!(of_diagnosis("SW1201").0, Category::Validation);
        assert_eq!(of_diagnosis("SHIP0007").0, Category::Error);
    }
}
