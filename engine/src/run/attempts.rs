//! What events do to the steps of a run: attempts begin and end, steps get their results.

use std::sync::Arc;

use stepwell_contract::{Payload, Timestamp};

use crate::run::event::{
    AttemptFailed, AttemptLost, LostReason, StepCopied, StepStarted, StepSucceeded, Then,
};
use crate::run::fork::CopiedEnd;
use crate::run::place::Place;
use crate::run::state::{State, StepState, StepStatus};
use crate::workflow::failure::Failure;

impl State {
    pub(super) fn start(&mut self, started: &StepStarted, at: Timestamp) {
        if self.step(&started.place).is_none() {
            self.enter(&started.place, StepStatus::Again, at);
        }
        self.running += 1;
        let Some(group) = self.steps.get_mut(&started.place.step) else { return };
        group.running += 1;
        let Some(step) = group.at_mut(&started.place.item) else { return };
        if started.attempt == step.spent + 1 {
            step.began_at = at;
        }
        step.status = StepStatus::Running;
        step.reported = None;
        step.outsider = None;
        step.attempt = started.attempt;
        step.started_at = at;
    }

    /// Makes the state of a step that is begun for the first time.
    pub(super) fn enter(&mut self, place: &Place, status: StepStatus, at: Timestamp) {
        let before = self.attempts_before(place);
        let group = match self.steps.get_mut(&place.step) {
            Some(group) => group,
            None => self.steps.entry(place.step.clone()).or_default(),
        };
        let state = StepState {
            status,
            attempt: before,
            spent: before,
            crashes: 0,
            began_at: at,
            started_at: at,
            output: None,
            version: 1,
            failure: None,
            then: None,
            cursor: None,
            progress: None,
            waiting: None,
            reported: None,
            outsider: None,
            children: Arc::default(),
            memo: Arc::default(),
        };
        if place.item.is_root() {
            group.single = Some(state);
        } else {
            group.items.insert(place.item.clone(), state);
        }
    }

    /// Ends a step of which no attempt runs.
    pub(super) fn leave(
        &mut self,
        place: &Place,
        status: StepStatus,
        (output, version): (Option<Payload>, u32),
    ) {
        let Some(group) = self.steps.get_mut(&place.step) else { return };
        let Some(step) = group.at_mut(&place.item) else { return };
        let had_failed = step.status == StepStatus::Failed;
        step.status = status;
        step.waiting = None;
        step.output.clone_from(&output);
        step.version = version;
        group.failed -= usize::from(had_failed);
        group.succeeded += 1;
        self.keep_output(place, output);
    }

    /// Takes over how a step ended in another run.
    pub(super) fn copy(&mut self, copied: &StepCopied, at: Timestamp) {
        let place = &copied.place;
        self.enter(place, StepStatus::Again, at);
        match &copied.ended {
            CopiedEnd::Succeeded { output } => {
                self.leave(place, StepStatus::Succeeded, (output.clone(), copied.version));
            }
            CopiedEnd::Skipped { output } => {
                self.leave(place, StepStatus::Skipped, (output.clone(), copied.version));
            }
            CopiedEnd::Failed { failure } => {
                let Some(group) = self.steps.get_mut(&place.step) else { return };
                group.failed += 1;
                let Some(step) = group.at_mut(&place.item) else { return };
                step.status = StepStatus::Failed;
                step.failure = Some(Failure::clone(failure));
                step.then = Some(Then::Never);
            }
        }
    }

    pub(super) fn complete(&mut self, place: &Place) {
        if self.undoing.is_none() {
            self.completed.push(place.clone());
        }
    }

    fn keep_output(&mut self, place: &Place, output: Option<Payload>) {
        if let Some(output) = output
            && place.item.is_root()
        {
            Arc::make_mut(&mut self.outputs).push((place.step.clone(), output));
        }
    }

    /// Ends the running attempt at `place` and hands its step to `then`.
    pub(super) fn settle(&mut self, place: &Place, then: impl FnOnce(&mut StepState)) {
        self.running = self.running.saturating_sub(1);
        let Some(group) = self.steps.get_mut(&place.step) else { return };
        group.running = group.running.saturating_sub(1);
        let Some(step) = group.at_mut(&place.item) else { return };
        then(step);
        match step.status {
            StepStatus::Succeeded => group.succeeded += 1,
            StepStatus::Failed => group.failed += 1,
            _ => {}
        }
    }

    pub(super) fn succeed(&mut self, succeeded: &StepSucceeded) {
        self.settle(&succeeded.place, |step| {
            step.status = StepStatus::Succeeded;
            step.crashes = 0;
            step.output = Some(succeeded.output.clone());
            step.version = succeeded.version;
            step.cursor = None;
            step.memo = Arc::default();
        });
        self.complete(&succeeded.place);
        self.keep_output(&succeeded.place, Some(succeeded.output.clone()));
    }

    pub(super) fn fail(&mut self, failed: &AttemptFailed) {
        self.settle(&failed.place, |step| {
            step.failure = Some(failed.failure.clone());
            step.crashes = 0;
            step.status = match &failed.then {
                Then::RetryAt(at) => StepStatus::Backoff(*at),
                Then::Exhausted(_) | Then::Never => StepStatus::Failed,
                // It ended because it was told to, as one that had to be dropped did; neither uses up an attempt.
                Then::Stopped => {
                    step.spent += 1;
                    StepStatus::Interrupted(LostReason::Stopped)
                }
            };
            step.then = Some(failed.then.clone());
        });
    }

    pub(super) fn lose(&mut self, lost: &AttemptLost) {
        self.settle(&lost.place, |step| {
            step.status = StepStatus::Interrupted(lost.reason);
            match lost.reason {
                LostReason::Crash => step.crashes += 1,
                // Told to stop, not killed: it uses up nothing.
                LostReason::Shutdown | LostReason::Stopped => step.spent += 1,
            }
        });
    }
}
