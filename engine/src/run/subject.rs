//! What an event is about.

use crate::run::event::Event;
use crate::run::place::Place;

impl Event {
    /// The step that the event is about, if it is about one and about nothing more.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::StepStarted(event) => Some(&event.place),
            Self::StepSucceeded(event) => Some(&event.place),
            Self::AttemptFailed(event) => Some(&event.place),
            Self::AttemptLost(event) => Some(&event.place),
            Self::Checkpointed(event) => Some(&event.place),
            Self::Memoised(event) => Some(&event.place),
            Self::TimerStarted(event) => Some(&event.place),
            Self::TimerFired(event) => Some(&event.place),
            Self::WaitStarted(event) => Some(&event.place),
            Self::WaitEnded(event) => Some(&event.place),
            Self::StepSkipped(event) => Some(&event.place),
            Self::OutputSet(event) => Some(&event.place),
            Self::StepCopied(event) => Some(&event.place),
            Self::StepSuspended(event) => Some(&event.place),
            Self::StepWoken(event) => Some(&event.place),
            Self::StepReported(event) => Some(&event.place),
            Self::ChildStarted(event) => Some(&event.place),
            Self::ChildEnded(event) => Some(&event.place),
            Self::Logged(event) => Some(&event.place),
            Self::Diagnosed(event) => event.place.as_ref(),
            Self::RunCreated(_)
            | Self::RunTaken(_)
            | Self::RunReleased(_)
            | Self::DefinitionChanged(_)
            | Self::SignalReceived(_)
            | Self::ContextMerged(_)
            | Self::UndoStarted(_)
            | Self::RunEnding(_)
            | Self::ItemFailed(_)
            | Self::RunPaused(_)
            | Self::RunResumed(_)
            | Self::CancelRequested(_)
            | Self::PauseRequested(_)
            | Self::RequestRefused(_)
            | Self::IssueFound(_)
            | Self::Repaired(_)
            | Self::RunSucceeded(_)
            | Self::RunFailed(_)
            | Self::RunCancelled(_)
            | Self::RunTerminated(_)
            | Self::StepsReset(_)
            | Self::RunForked(_)
            | Self::StartMoved(_)
            | Self::InputEdited(_) => None,
        }
    }

    /// Whether it tells a run that waits of something that may be what it waits for.
    #[must_use]
    pub fn is_news(&self) -> bool {
        matches!(self, Self::SignalReceived(_) | Self::ChildEnded(_) | Self::StepReported(_))
    }

    /// Whether it changes what was recorded before, so that a walk has to begin anew.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        match self {
            Self::OutputSet(_) | Self::StepsReset(_) | Self::InputEdited(_) | Self::StartMoved(_) => true,
            Self::StepSkipped(skipped) => !skipped.actor.is_engine(),
            _ => false,
        }
    }
}
