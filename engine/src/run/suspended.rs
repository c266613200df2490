//! How a step comes to wait in the middle of its work, and how it goes on: what came is kept under the name of the wait, and
//! the code that asks again has it at once.

use std::sync::Arc;

use serde_json::json;
use stepwell_contract::{Name, Payload, RunKey, Timestamp};

use crate::run::event::{StepReported, StepSuspended, Then};
use crate::run::outsider::Begun;
use crate::run::place::Place;
use crate::run::state::{State, StepState, StepStatus};
use crate::run::waiting::{Child, OnClose, Said, WokenBy};
use crate::workflow::failure::Failure;

/// Under what the answer to a wait is kept among the parts of a step.
pub(crate) fn wait_key(part: &str) -> String {
    format!("wait/{part}")
}

/// What a wait for one of several signals gives.
pub(crate) fn heard(signal: &Name, said: &Payload) -> Payload {
    // A name needs no escaping, and what was said is JSON already.
    let text = format!("{{\"signal\":\"{signal}\",\"said\":{}}}", said.text());
    serde_json::from_str(&text).unwrap_or_else(|_| Payload::null())
}

impl State {
    pub(super) fn waits_for_several(&self, place: &Place) -> bool {
        let waiting = self.step(place).and_then(|step| step.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.signals.len() > 1)
    }

    pub(super) fn suspend(&mut self, suspended: &StepSuspended) {
        let step = self.step_mut(&suspended.place);
        let early = step.and_then(|step| step.reported.take()).filter(|_| suspended.waiting.outside);
        self.settle(&suspended.place, |step| {
            step.status = StepStatus::Suspended;
            step.waiting = Some(Box::new(suspended.waiting.clone()));
            step.crashes = 0;
            for part in &suspended.waiting.made {
                if let Some(child) = Arc::make_mut(&mut step.children).get_mut(part) {
                    child.is_made = true;
                }
            }
            // Waiting is no failure: the next attempt has all its tries and all its time. Whoever is to tell how this one
            // ended may tell of a failure.
            if !suspended.waiting.outside {
                step.spent = step.attempt;
            }
        });
        if let Some(reported) = early {
            self.hear(&reported);
        }
    }

    pub(super) fn wake(&mut self, place: &Place, part: &str, by: &WokenBy) {
        let came = match by {
            WokenBy::Signal { id, .. } => {
                let signal = self.take_signal(place, id);
                signal.map_or_else(Payload::null, |(name, signal)| heard(&name, &signal.payload))
            }
            WokenBy::Child(name) => {
                Payload::encode(&json!({ "child": name })).unwrap_or_else(|_| Payload::null())
            }
            WokenBy::Time => Payload::null(),
        };
        let Some(step) = self.step_mut(place) else { return };
        step.status = StepStatus::Again;
        step.waiting = None;
        Arc::make_mut(&mut step.memo).insert(wait_key(part), came);
    }

    pub(super) fn report(&mut self, reported: &StepReported, at: Timestamp) {
        match (self.step_mut(&reported.place), &reported.said) {
            (Some(step), Said::Started(by)) => {
                step.outsider = Some(Box::new(Begun { by: by.clone(), at }));
                if let (Some(until), Some(waiting)) = (reported.until, step.waiting.as_mut()) {
                    waiting.until = Some(until);
                }
            }
            // What was said of an attempt that still runs counts once it is left to whoever said it.
            (Some(step), Said::Succeeded { .. } | Said::Failed(_)) if step.status == StepStatus::Running => {
                step.reported = Some(Box::new(reported.clone()));
            }
            _ => self.hear(reported),
        }
    }

    /// What was said becomes the end of the attempt.
    fn hear(&mut self, reported: &StepReported) {
        let place = &reported.place;
        match &reported.said {
            Said::Succeeded { output } => {
                self.leave(place, StepStatus::Succeeded, (Some(output.clone()), reported.version));
                if let Some(step) = self.step_mut(place) {
                    step.cursor = None;
                    step.memo = Arc::default();
                }
                self.complete(place);
            }
            Said::Started(_) => {}
            Said::Progress(progress) => {
                if let Some(step) = self.step_mut(place) {
                    step.progress = Some(progress.clone());
                }
            }
            Said::Failed(failed) => {
                let Some(group) = self.steps.get_mut(&place.step) else { return };
                let Some(step) = group.at_mut(&place.item) else { return };
                step.waiting = None;
                step.failure = Some(Failure::clone(&failed.failure));
                step.then = Some(failed.then.clone());
                step.status = match failed.then {
                    Then::RetryAt(at) => StepStatus::Backoff(at),
                    Then::Exhausted(_) | Then::Never | Then::Stopped => StepStatus::Failed,
                };
                group.failed += usize::from(step.status == StepStatus::Failed);
            }
        }
    }

    /// A child that had ended without a result has one now: the step that failed for it can go on.
    pub(super) fn reopen_for_child(&mut self, place: &Place, at: Timestamp) {
        if self.step(place).is_none_or(|step| step.status != StepStatus::Failed) {
            return;
        }
        if let Some(group) = self.steps.get_mut(&place.step) {
            group.failed -= 1;
            if let Some(step) = group.at_mut(&place.item) {
                step.status = StepStatus::Again;
                step.spent = step.attempt;
            }
        }
        self.go_on_after(place, at);
    }

    /// Every child of the run that has not told how it ended.
    pub fn open_children(&self) -> impl Iterator<Item = (Place, &str, &Child)> {
        let steps = self.places().filter(|(_, step)| !step.children.is_empty());
        steps.flat_map(|(place, step): (Place, &StepState)| {
            let open = step.children.iter().filter(|(_, child)| child.is_open());
            open.map(move |(part, child)| (place.clone(), part.as_str(), child)).collect::<Vec<_>>()
        })
    }

    /// The children that are cancelled when the run ends.
    pub(crate) fn left_children(&self) -> impl Iterator<Item = &RunKey> {
        // Asked at the end of every run: no place is made for steps that have no children, which are most.
        let steps = self.steps.values().flat_map(|group| group.single.iter().chain(group.items.values()));
        let children = steps.flat_map(|step| step.children.values());
        let left = children.filter(|child| child.is_open() && child.on_close == OnClose::Cancel);
        left.map(|child| &child.run)
    }

    /// Whether someone has to be told before the run's end is final.
    pub(crate) fn has_to_tell(&self) -> bool {
        self.created.parent.is_some() || self.left_children().next().is_some()
    }
}
