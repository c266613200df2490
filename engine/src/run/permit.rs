//! Which event may follow where a run is: the one table of legal transitions.

use stepwell_contract::{MessageId, Seq, Status};

use crate::run::event::{Event, OutputSet, StepSkipped};
use crate::run::place::Place;
use crate::run::state::{IllegalTransition, Request, State, StepState, StepStatus};
use crate::run::waiting::{ChildEnd, Said, WokenBy};

impl State {
    /// The one table of legal transitions: which event may follow in which status.
    pub(crate) fn permit(&self, event: &Event) -> Result<(), IllegalTransition> {
        use Status::{Cancelled, Cancelling, Failed, Paused, Queued, Running, Succeeded, Waiting};
        let refuse =
            |detail: String| Err(IllegalTransition { event: event.kind(), status: self.status, detail });
        let owned = self.owner.is_some();
        if self.ending.is_some() && !may_follow_an_ending(event) {
            return refuse(": its end is decided".to_owned());
        }
        let legal = match (event, self.status) {
            (Event::RunCreated(_), _) => false,
            // A takeover finds the run wherever its former owner left it.
            (Event::RunTaken(_), Queued | Running | Waiting | Cancelling) => true,
            (Event::RunTaken(_), Paused | Succeeded | Failed | Cancelled) => false,

            (Event::RunReleased(_), Running | Cancelling) => owned && self.running == 0,
            (Event::RunReleased(_), _) => false,

            (Event::DefinitionChanged(_), Running | Cancelling) => owned && self.running == 0,
            (Event::DefinitionChanged(_), _) => false,

            // While it is being cancelled a run finishes what runs; it starts nothing but what undoes.
            (Event::StepStarted(_), Running) => owned && self.request.is_none(),
            (Event::StepStarted(_), Cancelling) => owned && self.undoing.is_some(),
            (Event::StepStarted(_), _) => false,

            (
                Event::StepSucceeded(_)
                | Event::AttemptFailed(_)
                | Event::AttemptLost(_)
                | Event::Checkpointed(_)
                | Event::Memoised(_)
                | Event::StepSuspended(_)
                | Event::ChildStarted(_)
                | Event::Logged(_),
                Running | Cancelling,
            ) => owned,
            (
                Event::StepSucceeded(_)
                | Event::AttemptFailed(_)
                | Event::AttemptLost(_)
                | Event::Checkpointed(_)
                | Event::Memoised(_)
                | Event::StepSuspended(_)
                | Event::ChildStarted(_)
                | Event::Logged(_),
                _,
            ) => false,

            // What comes late is kept wherever the run is.
            (Event::Diagnosed(told), _) if told.late_by.is_some() => true,
            // One that waits is held from there, and it is said why.
            (Event::Diagnosed(_), Running | Cancelling) => owned,
            (Event::Diagnosed(_), Queued | Waiting) => true,
            (Event::Diagnosed(_), _) => false,

            (Event::StepReported(_), Queued | Running | Waiting | Paused) => true,
            (Event::StepReported(_), Cancelling) => self.undoing.is_some(),
            (Event::StepReported(_), _) => false,

            // What a child tells is kept wherever the run is.
            (
                Event::ChildEnded(_) | Event::ContextMerged(_),
                Queued | Running | Waiting | Paused | Cancelling | Failed,
            ) => true,
            (Event::ChildEnded(_) | Event::ContextMerged(_), Succeeded | Cancelled) => false,

            (Event::StepSkipped(skipped), _) if !skipped.actor.is_engine() => self.is_editable(),
            (Event::OutputSet(_), _) => self.is_editable(),
            // Only before any worker has had it.
            (Event::RunForked(_), Queued) => self.last_seq == Seq::FIRST,
            (Event::RunForked(_), _) => false,
            (Event::StepCopied(_), Queued) => !owned,
            (Event::StepCopied(_), _) => false,
            // An owner has gone on from what would be set aside.
            (Event::StepsReset(_) | Event::InputEdited(_), Queued | Waiting | Paused | Failed) => {
                !owned && self.running == 0
            }
            (Event::StepsReset(_) | Event::InputEdited(_), _) => false,
            (Event::StartMoved(_), Queued) => !owned && self.has_not_begun(),
            (Event::StartMoved(_), _) => false,

            // What undoes a step may wait too.
            (Event::StepWoken(_), Cancelling) => owned && self.undoing.is_some(),
            (
                Event::TimerStarted(_)
                | Event::TimerFired(_)
                | Event::WaitStarted(_)
                | Event::WaitEnded(_)
                | Event::StepWoken(_)
                | Event::StepSkipped(_),
                Running,
            ) => owned && self.request.is_none(),
            (
                Event::TimerStarted(_)
                | Event::TimerFired(_)
                | Event::WaitStarted(_)
                | Event::WaitEnded(_)
                | Event::StepWoken(_)
                | Event::StepSkipped(_),
                _,
            ) => false,

            // A signal is kept until something waits for it, wherever the run is.
            (Event::SignalReceived(_), Queued | Running | Waiting | Paused | Cancelling | Failed) => true,
            (Event::SignalReceived(_), Succeeded | Cancelled) => false,

            (Event::ItemFailed(_), Running) => owned && self.request.is_none(),
            (Event::ItemFailed(_), _) => false,

            (Event::UndoStarted(_), Running | Cancelling) => {
                owned && self.running == 0 && self.undoing.is_none()
            }
            (Event::UndoStarted(_), _) => false,

            (Event::PauseRequested(_), Running) => true,
            (Event::PauseRequested(_), _) => false,

            (Event::CancelRequested(_), Queued | Running | Waiting | Paused) => true,
            (Event::CancelRequested(_), Cancelling | Succeeded | Failed | Cancelled) => false,

            (Event::RunPaused(_), Queued | Running | Waiting) => self.running == 0,
            // What cannot be undone is held also where the run was asked to stop.
            (Event::RunPaused(_), Cancelling) => {
                let is_undone = self.undoing.is_some() || self.request == Some(Request::Undo);
                owned && self.running == 0 && is_undone
            }
            (Event::RunPaused(_), _) => false,

            (Event::RunResumed(_), Paused | Waiting) => true,
            // Attempts that were told to stop cannot be told otherwise: only a plain pause is taken back.
            (Event::RunResumed(resumed), Running) => !resumed.retry && self.request == Some(Request::Pause),
            // Only a person's retry reopens an ended run, and only one that failed.
            (Event::RunResumed(resumed), Failed) => resumed.retry,
            (Event::RunResumed(_), _) => false,

            (Event::RequestRefused(_), _) => true,
            // They tell of the run and change nothing of where it is.
            (Event::IssueFound(_) | Event::Repaired(_), _) => true,

            (Event::RunEnding(_), Running | Cancelling) => self.running == 0 && self.ending.is_none(),
            (Event::RunEnding(_), _) => false,

            (Event::RunSucceeded(_), Running) => owned && self.running == 0,
            (Event::RunSucceeded(_), _) => false,
            (Event::RunFailed(_), Queued | Running | Waiting) => self.running == 0,
            (Event::RunFailed(_), _) => false,
            (Event::RunCancelled(_), Cancelling) => {
                let is_to_be_undone = self.request == Some(Request::Undo) && !self.completed.is_empty();
                self.running == 0 && !is_to_be_undone
            }
            (Event::RunCancelled(_), _) => false,
            // It asks nobody: neither an owner nor attempts that run stand in its way.
            (Event::RunTerminated(_), Queued | Running | Waiting | Paused | Cancelling) => true,
            (Event::RunTerminated(_), Succeeded | Failed | Cancelled) => false,
        };
        if !legal {
            return refuse(String::new());
        }
        self.permit_step(event).or_else(refuse)
    }

    /// What holds between an event about a step and where that step is.
    fn permit_step(&self, event: &Event) -> Result<(), String> {
        let (place, attempt) = match event {
            Event::StepStarted(started) => return self.permit_start(&started.place, started.attempt),
            Event::TimerStarted(timer) => return self.permit_new(&timer.place),
            Event::WaitStarted(wait) => return self.permit_new(&wait.place),
            Event::StepCopied(copied) => return self.permit_new(&copied.place),
            Event::TimerFired(fired) => {
                let is_asleep = |step: &StepState| matches!(step.status, StepStatus::Sleeping(_));
                return self.permit_in(&fired.place, is_asleep);
            }
            Event::StepWoken(woken) => return self.permit_waking(&woken.place, &woken.part, &woken.by),
            Event::StepReported(reported) => {
                let is_outside = |step: &StepState| {
                    let is_left = step.waiting.as_ref().is_some_and(|waiting| waiting.outside);
                    // Whoever it is about to be left to may be quicker.
                    let is_early = step.status == StepStatus::Running && step.reported.is_none();
                    let is_taken = matches!(reported.said, Said::Started(_)) && step.outsider.is_some();
                    step.attempt == reported.attempt
                        && !is_taken
                        && (is_early || (step.status == StepStatus::Suspended && is_left))
                };
                return self.permit_in(&reported.place, is_outside);
            }
            Event::ChildEnded(ended) => {
                let has_it = |step: &StepState| {
                    let child = step.children.get(&ended.part);
                    child.is_some_and(|child| {
                        child.run == ended.run && !matches!(child.ended, Some(ChildEnd::Succeeded { .. }))
                    })
                };
                return self.permit_in(&ended.place, has_it);
            }
            Event::WaitEnded(ended) => return self.permit_wait_end(&ended.place, ended.signal.as_ref()),
            Event::StepSkipped(skipped) if self.step(&skipped.place).is_none() => return Ok(()),
            Event::StepSkipped(StepSkipped { place, .. }) | Event::OutputSet(OutputSet { place, .. }) => {
                let is_open = |step: &StepState| {
                    !matches!(step.status, StepStatus::Running | StepStatus::Succeeded | StepStatus::Skipped)
                };
                return self.permit_in(place, is_open);
            }
            Event::StepSucceeded(event) => (&event.place, event.attempt),
            Event::AttemptFailed(event) => (&event.place, event.attempt),
            Event::AttemptLost(event) => (&event.place, event.attempt),
            Event::Checkpointed(event) => (&event.place, event.attempt),
            Event::Memoised(event) => (&event.place, event.attempt),
            Event::StepSuspended(event) => (&event.place, event.attempt),
            Event::ChildStarted(event) => (&event.place, event.attempt),
            _ => return Ok(()),
        };
        match self.step(place) {
            Some(step) if step.status == StepStatus::Running && step.attempt == attempt => Ok(()),
            Some(step) => Err(format!(
                ": attempt {attempt} of {place} is not the running one ({:?}, {})",
                step.status, step.attempt
            )),
            None => Err(format!(": {place} was never started")),
        }
    }

    fn permit_start(&self, place: &Place, attempt: u32) -> Result<(), String> {
        match self.step(place) {
            None => match self.attempts_before(place) + 1 {
                first if first == attempt => Ok(()),
                first => Err(format!(": the first attempt of {place} is {first}, not {attempt}")),
            },
            Some(step) if step.status.again_at().is_none() => Err(format!(": {place} is {:?}", step.status)),
            Some(step) if step.attempt + 1 != attempt => {
                Err(format!(": attempt {attempt} of {place} does not follow {}", step.attempt))
            }
            Some(_) => Ok(()),
        }
    }

    fn permit_new(&self, place: &Place) -> Result<(), String> {
        match self.step(place) {
            None => Ok(()),
            Some(step) => Err(format!(": {place} is {:?}", step.status)),
        }
    }

    fn permit_in(&self, place: &Place, is_right: impl Fn(&StepState) -> bool) -> Result<(), String> {
        match self.step(place) {
            Some(step) if is_right(step) => Ok(()),
            Some(step) => Err(format!(": {place} is {:?}", step.status)),
            None => Err(format!(": {place} was never begun")),
        }
    }

    fn permit_wait_end(&self, place: &Place, signal: Option<&MessageId>) -> Result<(), String> {
        self.permit_in(place, |step| matches!(step.status, StepStatus::Awaiting(_)))?;
        let Some(id) = signal else { return Ok(()) };
        self.permit_signal(place, id)
    }

    fn permit_signal(&self, place: &Place, id: &MessageId) -> Result<(), String> {
        let names = self.step(place).and_then(|step| step.waiting.as_ref()).map(|waiting| &waiting.signals);
        let mut waiting = names.into_iter().flatten().filter_map(|name| self.signals.get(name)).flatten();
        match waiting.any(|signal| signal.id == *id) {
            true => Ok(()),
            false => Err(format!(": {place} waits for no signal {id}")),
        }
    }

    fn permit_waking(&self, place: &Place, part: &str, by: &WokenBy) -> Result<(), String> {
        self.permit_in(place, |step| {
            step.status == StepStatus::Suspended
                && step.waiting.as_ref().is_some_and(|waiting| waiting.part == part)
        })?;
        let Some(step) = self.step(place) else { return Ok(()) };
        match by {
            WokenBy::Signal { id, .. } => self.permit_signal(place, id),
            WokenBy::Child(name) if step.children.get(name).is_none_or(|child| child.ended.is_none()) => {
                Err(format!(": {place} has no child {name:?} that has ended"))
            }
            WokenBy::Child(_) | WokenBy::Time => Ok(()),
        }
    }
}

/// What may still happen to a run whose end is decided and not final yet.
fn may_follow_an_ending(event: &Event) -> bool {
    let is_late = matches!(event, Event::Diagnosed(told) if told.late_by.is_some());
    is_late
        || matches!(
            event,
            Event::RunTaken(_)
                | Event::RunReleased(_)
                | Event::RunSucceeded(_)
                | Event::RunFailed(_)
                | Event::RunCancelled(_)
                | Event::SignalReceived(_)
                | Event::ChildEnded(_)
                | Event::ContextMerged(_)
                | Event::RequestRefused(_)
                | Event::IssueFound(_)
                | Event::Repaired(_)
        )
}
