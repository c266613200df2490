//! How a run goes on that was held, has failed or was changed: fresh budgets, time given back, results set aside.

use std::sync::Arc;

use stepwell_contract::{Name, Status, Timestamp};

use crate::run::cut::Cut;
use crate::run::place::{Path, Place};
use crate::run::reason::PauseReason;
use crate::run::state::{State, StepState, StepStatus};
use crate::run::waiting::{Child, OnClose};
use crate::workflow::failure::Failure;

impl State {
    /// Lets the run go on, with fresh budgets of attempts or not.
    pub(super) fn go_on(&mut self, at: Timestamp, renews: bool) {
        if let Some(pause) = &self.pause {
            self.put_off_deadlines(at.since_ms(pause.since));
        }
        let had_ended = self.status.is_finished();
        self.status = Status::Queued;
        let trouble = self.trouble().map(|place| place.step.clone());
        if self.pause.as_ref().is_some_and(|pause| pause.reason == PauseReason::NeedsMigration) {
            self.read_again();
        }
        self.pause = None;
        self.failure = None;
        self.diagnoses.went_on();
        self.ending = None;
        self.request = None;
        // One that has not begun keeps to the time that it was started for.
        let not_before = self.created.not_before.filter(|_| !self.begun);
        self.wake_at = Some(not_before.map_or(at, |not_before| not_before.max(at)));
        if renews {
            self.renew_budgets(trouble.as_ref(), had_ended);
            self.renew_deadline(at);
        }
    }

    /// A run past its deadline gets its time once more; it would fail again at once.
    fn renew_deadline(&mut self, at: Timestamp) {
        let allowed_ms = self.created.deadline_at.map(|deadline| deadline.since_ms(self.begins_at()));
        self.deadline_at = self.deadline_at.map(|deadline| match allowed_ms {
            Some(allowed_ms) if deadline <= at => at.plus_ms(allowed_ms),
            _ => deadline,
        });
    }

    /// A person has said what becomes of a step. The run goes on if that step stood in its way; one that is held for another
    /// reason stays held.
    pub(super) fn go_on_after(&mut self, place: &Place, at: Timestamp) {
        match self.status {
            Status::Paused | Status::Failed if self.trouble() == Some(place) => {
                self.go_on(at, false);
                self.renew_deadline(at);
            }
            Status::Queued | Status::Waiting => self.go_on(at, false),
            _ => {}
        }
    }

    /// Forgets what is recorded of a step, but not how many attempts it had.
    pub(super) fn set_aside(&mut self, cut: &Cut) {
        self.completed.retain(|place| place.step != cut.step || !cut.covers(&place.item));
        self.failed_items
            .retain(|(map, item), _| *map != cut.step || !(cut.covers(item) || cut.within.is_within(item)));
        let Some(group) = self.steps.get_mut(&cut.step) else { return };
        let covered: Vec<Path> = group.all().map(|(path, _)| path).filter(|path| cut.covers(path)).collect();
        for item in covered {
            let Some(step) = group.remove(&item) else { continue };
            match step.status {
                StepStatus::Succeeded | StepStatus::Skipped => group.succeeded -= 1,
                StepStatus::Failed => group.failed -= 1,
                _ => {}
            }
            if item.is_root() {
                Arc::make_mut(&mut self.outputs).retain(|(name, _)| *name != cut.step);
            }
            if step.attempt > 0 {
                self.attempts_before.insert(Place { step: cut.step.clone(), item }, step.attempt);
            }
        }
        if group.single.is_none() && group.items.is_empty() {
            self.steps.remove(&cut.step);
        }
    }

    /// The step that stands in the run's way.
    pub(crate) fn trouble(&self) -> Option<&Place> {
        let paused = self.pause.as_ref().and_then(|pause| pause.place.as_ref());
        paused.or(self.failure.as_ref().and_then(|(place, _)| place.as_ref()))
    }

    /// Lets steps begin again that could not read what is stored: they have not failed by themselves.
    fn read_again(&mut self) {
        for group in self.steps.values_mut() {
            let mut reopened = 0;
            for (_, step) in group.all_mut() {
                let is_unread = step.failure.as_ref().is_some_and(Failure::is_unread);
                if step.status == StepStatus::Failed && is_unread {
                    step.status = StepStatus::Again;
                    step.spent = step.attempt;
                    reopened += 1;
                }
            }
            group.failed -= reopened;
        }
    }

    /// Gives steps that are under way the time back for which the run was held.
    fn put_off_deadlines(&mut self, held_ms: u64) {
        for step in
            self.steps.values_mut().flat_map(|group| group.single.iter_mut().chain(group.items.values_mut()))
        {
            if step.status != StepStatus::Succeeded {
                step.began_at = step.began_at.plus_ms(held_ms);
            }
        }
    }

    /// Lets every step that stands in the way, waits or was lost begin again with all its attempts. Failed items of a map
    /// that tolerated them stay as they are: later steps have gone on from that.
    fn renew_budgets(&mut self, trouble: Option<&Name>, had_ended: bool) {
        self.failed_items.retain(|_, item| item.at.as_ref().map(|at| &at.step) != trouble);
        for (name, group) in &mut self.steps {
            let is_tolerated = trouble != Some(name);
            let mut reopened = 0;
            for (is_item, step) in group.all_mut() {
                let is_settled = step.status == StepStatus::Failed && is_item && is_tolerated;
                if !step.status.has_ended() && !is_settled {
                    renew_children(step, had_ended);
                }
                let is_tried = !matches!(
                    step.status,
                    StepStatus::Succeeded
                        | StepStatus::Skipped
                        | StepStatus::Sleeping(_)
                        | StepStatus::Awaiting(_)
                        | StepStatus::Suspended
                );
                if is_settled || !is_tried {
                    continue;
                }
                reopened += usize::from(step.status == StepStatus::Failed);
                step.spent = step.attempt;
                step.crashes = 0;
                // Not in doubt any more either: a person said to try again.
                step.status = StepStatus::Again;
            }
            group.failed -= reopened;
        }
    }
}

/// Lets the children of a step be tried again that have ended without a result, or that its run told to stop when it ended.
fn renew_children(step: &mut StepState, had_ended: bool) {
    let has_no_end = |child: &Child| {
        let was_left = had_ended && child.ended.is_none() && child.on_close == OnClose::Cancel;
        child.has_ended_without_result() || was_left
    };
    if !step.children.values().any(has_no_end) {
        return;
    }
    let mut renewed = Vec::new();
    for (part, child) in Arc::make_mut(&mut step.children).iter_mut().filter(|(_, child)| has_no_end(child)) {
        child.ended = None;
        child.is_renewed = true;
        renewed.push(part.clone());
    }
    // What it waited for will not come by itself.
    let waits = step
        .waiting
        .as_ref()
        .is_some_and(|waiting| waiting.children.iter().any(|part| renewed.contains(part)));
    if step.status == StepStatus::Suspended && waits {
        step.status = StepStatus::Again;
        step.waiting = None;
    }
}
