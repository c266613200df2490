//! Where a run is: the fold of its events, through one exhaustive match of legal transitions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use stepwell_contract::{Fence, MessageId, Name, Payload, Record, Seq, Status, Timestamp, WorkerId};

use crate::run::actor::Actor;
use crate::run::code::OwnCode;
use crate::run::event::{
    Event, EventError, LostReason, PauseReason, PauseRequested, ReleaseReason, RunCreated,
};
use crate::run::output::Shape;
use crate::run::outsider::LeftOutside;
use crate::run::place::{Path, Place};
use crate::run::said::Diagnoses;
use crate::run::suspended;
use crate::run::waiting::{Child, ChildEnd, Ending, RunEnd, Waiting};
use crate::workflow::failure::Failure;

pub use crate::run::steps::{StepGroup, StepState, StepStatus};

/// The state of a run, made of its events and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Where the run is.
    pub status: Status,
    /// How it was made.
    pub created: Arc<RunCreated>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The version of the workflow that it is a run of now.
    pub workflow_version: u32,
    /// The fingerprint of the definition of that version which it began with.
    pub fingerprint: String,
    /// The version of the workflow that its input was given to.
    pub input_version: u32,
    /// The worker that has it, and its fencing token.
    pub owner: Option<(WorkerId, Fence)>,
    /// The version of the code of the worker that had it last, as its program names it.
    pub code_version: Option<String>,
    /// Every step that was ever started, by name.
    pub steps: BTreeMap<Name, StepGroup>,
    /// The latest attempts of steps whose results were set aside: attempts count on from there.
    pub attempts_before: BTreeMap<Place, u32>,
    /// Signals that came and were not yet waited for, by name, in the order in which they came.
    pub signals: BTreeMap<Name, VecDeque<Signal>>,
    /// The outputs of steps outside maps and loops, in the order in which they were recorded.
    pub outputs: Arc<Vec<(Name, Payload)>>,
    /// The document that all its steps share.
    pub context: Arc<Value>,
    /// Why it is held, while it is.
    pub pause: Option<Pause>,
    /// What is asked of it and not done yet.
    pub request: Option<Request>,
    /// Who asked last that it holds, and why.
    pub asked_to_hold: Option<PauseRequested>,
    /// Items of maps that have failed while their maps went on without them, by the first step of the map's body.
    pub failed_items: BTreeMap<(Name, Path), FailedItem>,
    /// Every step that has its result, in the order in which they got it, as long as nothing is undone.
    pub completed: Vec<Place>,
    /// Why what it did is being or was undone.
    pub undoing: Option<Undoing>,
    /// How it ends, once that is decided and while those whom it concerns are told.
    pub ending: Option<Ending>,
    /// The failure it ended with.
    pub failure: Option<(Option<Place>, Failure)>,
    /// What was said of its failures.
    pub diagnoses: Diagnoses,
    /// When there is something to do again, while it waits.
    pub wake_at: Option<Timestamp>,
    /// When the run fails if it has not ended.
    pub deadline_at: Option<Timestamp>,
    /// Whether a worker has ever taken it.
    pub begun: bool,
    /// How many attempts have begun and not ended.
    pub running: usize,
    /// Its steps that are left to someone outside.
    pub outside: LeftOutside,
    /// How it ended, if with a result.
    pub result: Option<Shape>,
    /// The place of the latest record.
    pub last_seq: Seq,
}

/// Why a run is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// The reason.
    pub reason: PauseReason,
    /// What is said to people.
    pub message: String,
    /// The step that it is about.
    pub place: Option<Place>,
    /// The failure behind it.
    pub failure: Option<Failure>,
    /// Who held it.
    pub actor: Actor,
    /// What they call it.
    pub code: Option<OwnCode>,
}

impl Pause {
    /// Why it is held, for people: who held it too, where somebody did.
    #[must_use]
    pub fn told(&self) -> String {
        if !self.reason.is_asked_for() {
            return self.message.clone();
        }
        let held = if self.reason == PauseReason::Interrupted { "interrupted" } else { "held" };
        let message = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        let code = self.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        format!("{} {held} it{message}{code}", self.actor)
    }
}

/// Why what a run did is undone.
#[derive(Debug, Clone, PartialEq)]
pub struct Undoing {
    /// The step that failed; `None` when a limit of the run did, or someone asked.
    pub place: Option<Place>,
    /// What went wrong; `None` when someone asked.
    pub failure: Option<Failure>,
}

/// What is asked of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Hold when running attempts have ended.
    Pause,
    /// Stop running attempts, then hold.
    Interrupt,
    /// Stop running attempts, undo what was done, then end.
    Undo,
    /// Stop running attempts, then end.
    Cancel,
}

/// An item that failed while its map went on.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedItem {
    /// The step that failed.
    pub at: Option<Place>,
    /// What went wrong.
    pub failure: Failure,
}

/// A signal that nothing has waited for yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// The message that brought it.
    pub id: MessageId,
    /// What it says.
    pub payload: Payload,
}

/// An event that the state does not allow: a fault in the engine, or a damaged journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not possible when the run is {status}{detail}")]
pub struct IllegalTransition {
    /// The kind of the event.
    pub event: &'static str,
    /// Where the run is.
    pub status: Status,
    /// More of it.
    pub detail: String,
}

/// Why a journal does not make a state.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A record cannot be acted on.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The journal does not begin with the run's creation.
    #[error("the journal does not begin with run_created")]
    NoBeginning,
    /// Records are missing or repeated.
    #[error("record {found} stands where {expected} should")]
    Gap {
        /// The place expected.
        expected: Seq,
        /// The place found.
        found: Seq,
    },
    /// An event contradicts those before it.
    #[error("record {seq}: {source}")]
    Illegal {
        /// Its place.
        seq: Seq,
        /// What contradicts.
        source: IllegalTransition,
    },
}

impl State {
    /// The state after a run was made.
    #[must_use]
    pub fn new(created: RunCreated, at: Timestamp) -> Self {
        let created_not_before = created.not_before;
        Self {
            status: Status::Queued,
            deadline_at: created.deadline_at,
            workflow_version: created.workflow_version,
            fingerprint: created.fingerprint.clone(),
            input_version: created.workflow_version,
            created: Arc::new(created),
            created_at: at,
            owner: None,
            code_version: None,
            steps: BTreeMap::new(),
            attempts_before: BTreeMap::new(),
            signals: BTreeMap::new(),
            outputs: Arc::new(Vec::new()),
            context: Arc::new(Value::Null),
            pause: None,
            request: None,
            asked_to_hold: None,
            failed_items: BTreeMap::new(),
            completed: Vec::new(),
            undoing: None,
            ending: None,
            failure: None,
            diagnoses: Diagnoses::default(),
            wake_at: Some(created_not_before.map_or(at, |not_before| not_before.max(at))),
            begun: false,
            running: 0,
            outside: LeftOutside::default(),
            result: None,
            last_seq: Seq::FIRST,
        }
    }

    /// The state that a whole journal makes.
    ///
    /// # Errors
    /// [`FoldError`] names the record that cannot be read or does not fit.
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, FoldError> {
        let mut records = records.into_iter();
        let first = records.next().ok_or(FoldError::NoBeginning)?;
        let Event::RunCreated(created) = Event::read(first)? else { return Err(FoldError::NoBeginning) };
        let mut state = Self::new(created, first.at);
        for record in records {
            state.replay(record)?;
        }
        Ok(state)
    }

    /// Adds the next record.
    ///
    /// # Errors
    /// As for [`fold`](Self::fold).
    pub fn replay(&mut self, record: &Record) -> Result<(), FoldError> {
        let expected = self.last_seq.plus(1);
        if record.seq != expected {
            return Err(FoldError::Gap { expected, found: record.seq });
        }
        let event = Event::read(record)?;
        self.apply(&event, record.at).map_err(|source| FoldError::Illegal { seq: record.seq, source })
    }

    /// Whether nothing of it was ever begun.
    #[must_use]
    pub fn has_not_begun(&self) -> bool {
        !self.begun && self.status == Status::Queued
    }

    /// The step at `place`.
    #[must_use]
    pub fn step(&self, place: &Place) -> Option<&StepState> {
        self.steps.get(&place.step)?.at(&place.item)
    }

    /// How many attempts a step had before its results were set aside.
    #[must_use]
    pub fn attempts_before(&self, place: &Place) -> u32 {
        self.attempts_before.get(place).copied().unwrap_or(0)
    }

    /// When it may begin, or could have at the earliest.
    #[must_use]
    pub fn begins_at(&self) -> Timestamp {
        self.created.not_before.map_or(self.created_at, |at| at.max(self.created_at))
    }

    /// The places of all attempts that have begun and not ended.
    #[must_use]
    pub fn running_places(&self) -> Vec<Place> {
        let groups = self.steps.iter().filter(|(_, group)| group.running > 0);
        groups
            .flat_map(|(step, group)| {
                let running = group.all().filter(|(_, state)| state.status == StepStatus::Running);
                running.map(|(item, _)| Place { step: step.clone(), item })
            })
            .collect()
    }

    /// The outputs that a step at `path` can look back on: those of its own item or round, and those outside it.
    #[must_use]
    pub fn outputs_at(&self, path: &Path) -> Arc<Vec<(Name, Payload)>> {
        if path.is_root() {
            return Arc::clone(&self.outputs);
        }
        let mut outputs = Vec::clone(&self.outputs);
        let mut outer = Path::root();
        for nth in path.numbers() {
            outer = outer.item(*nth);
            for (name, group) in &self.steps {
                let output = group.at(&outer).and_then(|step| step.output.clone());
                outputs.extend(output.map(|output| (name.clone(), output)));
            }
        }
        Arc::new(outputs)
    }

    /// Adds an event, if the state allows it.
    ///
    /// # Errors
    /// [`IllegalTransition`]: the state is unchanged, and the event must not be written.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), IllegalTransition> {
        self.permit(event)?;
        match event {
            Event::RunCreated(_)
            | Event::Logged(_)
            | Event::RequestRefused(_)
            | Event::IssueFound(_)
            | Event::Repaired(_) => {}
            Event::Diagnosed(told) if told.late_by.is_some() => {}
            Event::Diagnosed(diagnosed) => self.diagnose(diagnosed, at),
            Event::RunTaken(taken) => {
                // One that is being cancelled stays so through every owner, also when its undoing was held meanwhile.
                let is_asked = self.undoing.as_ref().is_some_and(|undoing| undoing.failure.is_none());
                if self.status != Status::Cancelling {
                    self.status = if is_asked { Status::Cancelling } else { Status::Running };
                }
                self.begun = true;
                self.owner = Some((taken.worker.clone(), taken.fence));
                self.code_version.clone_from(&taken.code_version);
                self.wake_at = None;
            }
            Event::RunReleased(released) => {
                self.status = match (self.status, released.reason) {
                    (Status::Cancelling, _) => Status::Cancelling,
                    (_, ReleaseReason::Waiting) => Status::Waiting,
                    (_, ReleaseReason::Shutdown) => Status::Queued,
                };
                self.owner = None;
                self.wake_at = released.wake_at;
            }
            Event::DefinitionChanged(changed) => {
                self.workflow_version = changed.to;
                self.fingerprint.clone_from(&changed.fingerprint);
            }
            Event::StepStarted(started) => self.start(started, at),
            Event::StepSucceeded(succeeded) => self.succeed(succeeded),
            Event::AttemptFailed(failed) => self.fail(failed),
            Event::AttemptLost(lost) => self.lose(lost),
            Event::TimerStarted(timer) => {
                self.enter(&timer.place, StepStatus::Sleeping(timer.wake_at), at);
            }
            Event::TimerFired(fired) => self.leave(&fired.place, StepStatus::Succeeded, (None, 1)),
            Event::WaitStarted(wait) => {
                self.enter(&wait.place, StepStatus::Awaiting(wait.until), at);
                if let Some(step) = self.step_mut(&wait.place) {
                    let (signals, until) = (wait.signals.clone(), wait.until);
                    step.waiting = Some(Box::new(Waiting { signals, until, ..Waiting::default() }));
                }
            }
            Event::WaitEnded(ended) => {
                let signal = ended.signal.as_ref().and_then(|id| self.take_signal(&ended.place, id));
                let said = match signal {
                    None => Payload::null(),
                    Some((name, signal)) if self.waits_for_several(&ended.place) => {
                        suspended::heard(&name, &signal.payload)
                    }
                    Some((_, signal)) => signal.payload,
                };
                self.leave(&ended.place, StepStatus::Succeeded, (Some(said), 1));
            }
            Event::StepSuspended(suspended) => self.suspend(suspended),
            Event::StepWoken(woken) => self.wake(&woken.place, &woken.part, &woken.by),
            Event::StepReported(reported) => self.report(reported, at),
            Event::ChildStarted(started) => {
                if let Some(step) = self.step_mut(&started.place) {
                    let (run, on_close, version) = (started.run.clone(), started.on_close, started.version);
                    let child =
                        Child { run, on_close, ended: None, is_renewed: false, is_made: false, version };
                    Arc::make_mut(&mut step.children).insert(started.part.clone(), child);
                }
            }
            Event::ChildEnded(ended) => {
                let step = self.step_mut(&ended.place);
                let mut had_no_result = false;
                if let Some(child) =
                    step.and_then(|step| Arc::make_mut(&mut step.children).get_mut(&ended.part))
                {
                    had_no_result = child.has_ended_without_result();
                    // One that is to be tried again tells of its former end.
                    let is_former = child.is_renewed && !matches!(ended.ended, ChildEnd::Succeeded { .. });
                    if !is_former {
                        child.ended = Some(ended.ended.clone());
                        child.is_renewed = false;
                    }
                }
                // One that had not ended is not what the step has failed for.
                if had_no_result && matches!(ended.ended, ChildEnd::Succeeded { .. }) {
                    self.reopen_for_child(&ended.place, at);
                }
            }
            Event::ContextMerged(merged) => {
                if let Ok(patch) = merged.patch.decode::<Value>() {
                    json_patch::merge(Arc::make_mut(&mut self.context), &patch);
                }
            }
            Event::RunEnding(ending) => {
                self.ending = Some(Ending { end: ending.end.clone(), seq: self.last_seq.plus(1) });
                self.request = None;
                if self.owner.is_none() {
                    self.wake_at = Some(at);
                }
            }
            Event::SignalReceived(signal) => {
                let waiting = self.signals.entry(signal.name.clone()).or_default();
                waiting.push_back(Signal { id: signal.id.clone(), payload: signal.payload.clone() });
            }
            Event::StepSkipped(skipped) => {
                if self.step(&skipped.place).is_none() {
                    self.enter(&skipped.place, StepStatus::Again, at);
                }
                let output = (skipped.output.clone(), skipped.version);
                self.leave(&skipped.place, StepStatus::Skipped, output);
                if !skipped.actor.is_engine() {
                    self.go_on_after(&skipped.place, at);
                }
            }
            Event::OutputSet(set) => {
                let output = (Some(set.output.clone()), set.version);
                self.leave(&set.place, StepStatus::Succeeded, output);
                // What a person vouches for has happened, and is undone like what was seen to happen.
                self.complete(&set.place);
                self.go_on_after(&set.place, at);
            }
            Event::RunForked(forked) => {
                self.input_version = forked.input_version.unwrap_or(self.input_version);
            }
            Event::StepCopied(copied) => self.copy(copied, at),
            Event::StepsReset(reset) => {
                for cut in &reset.cuts {
                    self.set_aside(cut);
                }
                if let Some(input) = &reset.input {
                    self.set_input(input);
                }
                self.go_on(at, true);
            }
            Event::InputEdited(edited) => {
                self.set_input(&edited.input);
                // What a step kept for its next attempt was made of the old one.
                for (_, step) in self.steps.values_mut().flat_map(StepGroup::all_mut) {
                    step.cursor = None;
                    step.memo = Arc::default();
                }
            }
            Event::StartMoved(moved) => {
                let later_ms = moved.not_before.since_ms(self.begins_at());
                let created = Arc::make_mut(&mut self.created);
                created.input = moved.input.clone();
                created.not_before = Some(moved.not_before);
                // Its time counts from when it may begin.
                created.deadline_at = created.deadline_at.map(|at| at.plus_ms(later_ms));
                self.deadline_at = self.deadline_at.map(|at| at.plus_ms(later_ms));
                self.wake_at = Some(moved.not_before.max(at));
            }
            Event::Checkpointed(saved) => {
                if let Some(step) = self.step_mut(&saved.place) {
                    step.cursor = Some(saved.cursor.clone());
                    if saved.progress.is_some() {
                        step.progress.clone_from(&saved.progress);
                    }
                }
            }
            Event::Memoised(part) => {
                if let Some(step) = self.step_mut(&part.place) {
                    Arc::make_mut(&mut step.memo).insert(part.name.clone(), part.value.clone());
                }
            }
            Event::PauseRequested(request) => {
                let asked = if request.interrupt { Request::Interrupt } else { Request::Pause };
                self.request = Some(self.request.map_or(asked, |before| before.max_of(asked)));
                self.asked_to_hold = Some(request.clone());
            }
            Event::CancelRequested(cancel) => {
                self.request = Some(if cancel.undo { Request::Undo } else { Request::Cancel });
                self.status = Status::Cancelling;
                self.pause = None;
                // Only a worker that has its definition can undo what it did, and tell whom it concerns.
                if self.owner.is_none() && (cancel.undo || self.has_to_tell()) {
                    self.wake_at = Some(at);
                }
            }
            Event::ItemFailed(item) => {
                let (at, failure) = (item.at.clone(), item.failure.clone());
                self.failed_items.insert((item.map.clone(), item.item.clone()), FailedItem { at, failure });
            }
            Event::UndoStarted(undo) => {
                self.request = None;
                self.undoing = Some(Undoing { place: undo.place.clone(), failure: undo.failure.clone() });
            }
            Event::RunPaused(paused) => {
                if !paused.reason.is_asked_for() {
                    self.rest_for(paused.place.as_ref());
                }
                self.status = Status::Paused;
                self.owner = None;
                self.request = None;
                self.wake_at = None;
                self.asked_to_hold = None;
                self.pause = Some(Pause {
                    since: at,
                    reason: paused.reason,
                    message: paused.message.clone(),
                    place: paused.place.clone(),
                    failure: paused.failure.clone(),
                    actor: paused.actor.clone(),
                    code: paused.code.clone(),
                });
            }
            // It was never held: the pause that was asked for is taken back.
            Event::RunResumed(_) if self.status == Status::Running => self.request = None,
            Event::RunResumed(resumed) => self.go_on(at, resumed.retry),
            Event::RunSucceeded(succeeded) => {
                self.result = Some(succeeded.result.clone());
                self.end(Status::Succeeded);
            }
            Event::RunFailed(failed) => {
                self.rest_for(failed.place.as_ref());
                self.failure = Some((failed.place.clone(), failed.failure.clone()));
                self.end(Status::Failed);
            }
            Event::RunCancelled(_) => self.end(Status::Cancelled),
            Event::RunTerminated(_) => {
                for place in self.running_places() {
                    self.settle(&place, |step| step.status = StepStatus::Interrupted(LostReason::Stopped));
                }
                self.pause = None;
                if self.has_to_tell() {
                    self.status = Status::Cancelling;
                    (self.owner, self.request, self.wake_at) = (None, None, Some(at));
                    self.ending = Some(Ending { end: RunEnd::Cancelled, seq: self.last_seq.plus(1) });
                } else {
                    self.end(Status::Cancelled);
                }
            }
        }
        if event.is_news()
            && self.owner.is_none()
            && matches!(self.status, Status::Queued | Status::Waiting | Status::Cancelling)
        {
            // The message that told of it has been taken, and no longer makes the run due.
            self.wake_at = Some(at);
        }
        self.note_outside(event);
        self.last_seq = self.last_seq.plus(1);
        Ok(())
    }

    /// Whoever gives a run another input gives it to the version that the run is of now.
    fn set_input(&mut self, input: &Payload) {
        Arc::make_mut(&mut self.created).input = input.clone();
        self.input_version = self.workflow_version;
    }

    fn end(&mut self, status: Status) {
        self.status = status;
        self.ending = None;
        self.owner = None;
        self.request = None;
        self.wake_at = None;
    }

    /// Takes a signal that the step at `place` waits for.
    pub(super) fn take_signal(&mut self, place: &Place, id: &MessageId) -> Option<(Name, Signal)> {
        let names = self.step(place)?.waiting.as_ref()?.signals.clone();
        names.into_iter().find_map(|name| {
            let waiting = self.signals.get_mut(&name)?;
            let at = waiting.iter().position(|signal| signal.id == *id)?;
            let signal = waiting.remove(at)?;
            if waiting.is_empty() {
                self.signals.remove(&name);
            }
            Some((name, signal))
        })
    }

    pub(super) fn step_mut(&mut self, place: &Place) -> Option<&mut StepState> {
        self.steps.get_mut(&place.step)?.at_mut(&place.item)
    }
}

impl Request {
    /// The stronger of two requests.
    fn max_of(self, other: Self) -> Self {
        let rank = |request| match request {
            Self::Pause => 0,
            Self::Interrupt => 1,
            Self::Undo => 2,
            Self::Cancel => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}
