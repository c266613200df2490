//! Where a run is: the fold of its events, through one exhaustive match of legal transitions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use stepwell_contract::{Fence, MessageId, Name, Payload, Record, Seq, Status, Timestamp, WorkerId};

use crate::run::event::{
    AttemptFailed, AttemptLost, Event, EventError, LostReason, PauseReason, Progress, ReleaseReason,
    RunCreated, StepStarted, StepSucceeded, Then,
};
use crate::run::output::Shape;
use crate::run::place::{Path, Place};
use crate::workflow::failure::Failure;

/// The state of a run, made of its events and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Where the run is.
    pub status: Status,
    /// How it was made.
    pub created: Arc<RunCreated>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The worker that has it, and its fencing token.
    pub owner: Option<(WorkerId, Fence)>,
    /// Every step that was ever started, by name.
    pub steps: BTreeMap<Name, StepGroup>,
    /// Signals that came and were not yet waited for, by name, in the order in which they came.
    pub signals: BTreeMap<Name, VecDeque<Signal>>,
    /// The outputs of steps outside maps and loops, in the order in which they were recorded.
    pub outputs: Arc<Vec<(Name, Payload)>>,
    /// Why it is held, while it is.
    pub pause: Option<Pause>,
    /// What is asked of it and not done yet.
    pub request: Option<Request>,
    /// Items of maps that have failed while their maps went on without them, by the first step of the map's body.
    pub failed_items: BTreeMap<(Name, Path), FailedItem>,
    /// Every step that has its result, in the order in which they got it, as long as nothing is undone.
    pub completed: Vec<Place>,
    /// Why what it did is being or was undone.
    pub undoing: Option<Undoing>,
    /// The failure it ended with.
    pub failure: Option<(Option<Place>, Failure)>,
    /// When there is something to do again, while it waits.
    pub wake_at: Option<Timestamp>,
    /// When the run fails if it has not ended.
    pub deadline_at: Option<Timestamp>,
    /// How many attempts have begun and not ended.
    pub running: usize,
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

/// A step, or each time that a step runs which is in a map or loop.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepGroup {
    /// The step outside maps and loops.
    pub single: Option<StepState>,
    /// The step in maps and loops.
    pub items: BTreeMap<Path, StepState>,
    /// How many of all these are running.
    pub running: usize,
    /// How many have a result or were skipped.
    pub succeeded: usize,
    /// How many have failed for good.
    pub failed: usize,
}

impl StepGroup {
    /// The step at a path.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&StepState> {
        if path.is_root() { self.single.as_ref() } else { self.items.get(path) }
    }

    fn at_mut(&mut self, path: &Path) -> Option<&mut StepState> {
        if path.is_root() { self.single.as_mut() } else { self.items.get_mut(path) }
    }

    /// Every step state in it that is inside maps or loops, from a path on inward, in order.
    pub fn within<'a>(&'a self, outer: &'a Path) -> impl Iterator<Item = (&'a Path, &'a StepState)> {
        self.items.range(outer..).take_while(|(path, _)| path.is_within(outer))
    }

    /// Every step state in it.
    pub fn all(&self) -> impl Iterator<Item = (Path, &StepState)> {
        let items = self.items.iter().map(|(path, state)| (path.clone(), state));
        self.single.iter().map(|state| (Path::root(), state)).chain(items)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = (bool, &mut StepState)> {
        let items = self.items.values_mut().map(|state| (true, state));
        self.single.iter_mut().map(|state| (false, state)).chain(items)
    }
}

/// Where one step is.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Where it is.
    pub status: StepStatus,
    /// The latest attempt, from 1.
    pub attempt: u32,
    /// The attempts before the present budget of attempts: a person's `retry` gives a fresh one.
    pub spent: u32,
    /// How many attempts were lost to a crash in a row.
    pub crashes: u32,
    /// When the first attempt of the present budget began, later by the time for which the run was held since.
    pub began_at: Timestamp,
    /// When the latest attempt began.
    pub started_at: Timestamp,
    /// The result.
    pub output: Option<Payload>,
    /// The latest failure, kept after a later success.
    pub failure: Option<Failure>,
    /// What followed from it.
    pub then: Option<Then>,
    /// Where the step said it was.
    pub cursor: Option<Payload>,
    /// How far the step said it was.
    pub progress: Option<Progress>,
    /// The signal that it waits or waited for.
    pub waits_for: Option<Name>,
    /// Results of its parts.
    pub memo: Arc<BTreeMap<String, Payload>>,
}

/// Where one step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// An attempt has begun and not ended.
    Running,
    /// It is tried again at this time.
    Backoff(Timestamp),
    /// Its attempt was lost on the way: whether its effect happened is not known.
    Interrupted(LostReason),
    /// It is tried again as soon as the run goes on.
    Again,
    /// It has its result.
    Succeeded,
    /// It has failed for good, until a person lets it be tried again.
    Failed,
    /// It lets this time pass.
    Sleeping(Timestamp),
    /// It waits for a signal, at most until this time.
    Awaiting(Option<Timestamp>),
    /// It was passed over; it gives what flowed in, or the output set for it.
    Skipped,
}

impl StepStatus {
    /// From when on the step may be started again; `None` when it may not.
    #[must_use]
    pub fn again_at(self) -> Option<Timestamp> {
        match self {
            Self::Backoff(at) => Some(at),
            Self::Interrupted(_) | Self::Again => Some(Timestamp(i64::MIN)),
            Self::Running
            | Self::Succeeded
            | Self::Failed
            | Self::Sleeping(_)
            | Self::Awaiting(_)
            | Self::Skipped => None,
        }
    }
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
        Self {
            status: Status::Queued,
            deadline_at: created.deadline_at,
            created: Arc::new(created),
            created_at: at,
            owner: None,
            steps: BTreeMap::new(),
            signals: BTreeMap::new(),
            outputs: Arc::new(Vec::new()),
            pause: None,
            request: None,
            failed_items: BTreeMap::new(),
            completed: Vec::new(),
            undoing: None,
            failure: None,
            wake_at: Some(at),
            running: 0,
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

    /// The step at `place`.
    #[must_use]
    pub fn step(&self, place: &Place) -> Option<&StepState> {
        self.steps.get(&place.step)?.at(&place.item)
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
            Event::RunCreated(_) | Event::Logged(_) | Event::RequestRefused(_) => {}
            Event::RunTaken(taken) => {
                // One that is being cancelled stays so through every owner.
                if self.status != Status::Cancelling {
                    self.status = Status::Running;
                }
                self.owner = Some((taken.worker.clone(), taken.fence));
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
            Event::StepStarted(started) => self.start(started, at),
            Event::StepSucceeded(succeeded) => self.succeed(succeeded),
            Event::AttemptFailed(failed) => self.fail(failed),
            Event::AttemptLost(lost) => self.lose(lost),
            Event::TimerStarted(timer) => {
                self.enter(&timer.place, StepStatus::Sleeping(timer.wake_at), at);
            }
            Event::TimerFired(fired) => self.leave(&fired.place, StepStatus::Succeeded, None),
            Event::WaitStarted(wait) => {
                self.enter(&wait.place, StepStatus::Awaiting(wait.until), at);
                if let Some(step) = self.step_mut(&wait.place) {
                    step.waits_for = Some(wait.signal.clone());
                }
            }
            Event::WaitEnded(ended) => {
                let signal = ended.signal.as_ref().and_then(|id| self.take_signal(&ended.place, id));
                let said = signal.map_or_else(Payload::null, |signal| signal.payload);
                self.leave(&ended.place, StepStatus::Succeeded, Some(said));
            }
            Event::SignalReceived(signal) => {
                let waiting = self.signals.entry(signal.name.clone()).or_default();
                waiting.push_back(Signal { id: signal.id.clone(), payload: signal.payload.clone() });
            }
            Event::StepSkipped(skipped) => {
                if self.step(&skipped.place).is_none() {
                    self.enter(&skipped.place, StepStatus::Again, at);
                }
                self.leave(&skipped.place, StepStatus::Skipped, skipped.output.clone());
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
            }
            Event::CancelRequested(cancel) => {
                self.request = Some(if cancel.undo { Request::Undo } else { Request::Cancel });
                self.status = Status::Cancelling;
                self.pause = None;
                // Only a worker that has its definition can undo what it did.
                if cancel.undo && self.owner.is_none() {
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
                self.status = Status::Paused;
                self.owner = None;
                self.request = None;
                self.wake_at = None;
                self.pause = Some(Pause {
                    since: at,
                    reason: paused.reason,
                    message: paused.message.clone(),
                    place: paused.place.clone(),
                    failure: paused.failure.clone(),
                });
            }
            // It was never held: the pause that was asked for is taken back.
            Event::RunResumed(_) if self.status == Status::Running => self.request = None,
            Event::RunResumed(resumed) => {
                if let Some(pause) = &self.pause {
                    self.put_off_deadlines(at.since_ms(pause.since));
                }
                self.status = Status::Queued;
                let trouble = self.trouble().map(|place| place.step.clone());
                self.pause = None;
                self.failure = None;
                self.request = None;
                self.wake_at = Some(at);
                if resumed.retry {
                    self.renew_budgets(trouble.as_ref());
                    // A run past its deadline gets its time once more; it would fail again at once.
                    let allowed_ms =
                        self.created.deadline_at.map(|deadline| deadline.since_ms(self.created_at));
                    self.deadline_at = self.deadline_at.map(|deadline| match allowed_ms {
                        Some(allowed_ms) if deadline <= at => at.plus_ms(allowed_ms),
                        _ => deadline,
                    });
                }
            }
            Event::RunSucceeded(succeeded) => {
                self.result = Some(succeeded.result.clone());
                self.end(Status::Succeeded);
            }
            Event::RunFailed(failed) => {
                self.failure = Some((failed.place.clone(), failed.failure.clone()));
                self.end(Status::Failed);
            }
            Event::RunCancelled(_) => self.end(Status::Cancelled),
        }
        self.last_seq = self.last_seq.plus(1);
        Ok(())
    }

    fn end(&mut self, status: Status) {
        self.status = status;
        self.owner = None;
        self.request = None;
        self.wake_at = None;
    }

    /// The one table of legal transitions: which event may follow in which status.
    fn permit(&self, event: &Event) -> Result<(), IllegalTransition> {
        use Status::{Cancelled, Cancelling, Failed, Paused, Queued, Running, Succeeded, Waiting};
        let refuse =
            |detail: String| Err(IllegalTransition { event: event.kind(), status: self.status, detail });
        let owned = self.owner.is_some();
        let legal = match (event, self.status) {
            (Event::RunCreated(_), _) => false,
            // A takeover finds the run wherever its former owner left it.
            (Event::RunTaken(_), Queued | Running | Waiting | Cancelling) => true,
            (Event::RunTaken(_), Paused | Succeeded | Failed | Cancelled) => false,

            (Event::RunReleased(_), Running | Cancelling) => owned && self.running == 0,
            (Event::RunReleased(_), _) => false,

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
                | Event::Logged(_),
                Running | Cancelling,
            ) => owned,
            (
                Event::StepSucceeded(_)
                | Event::AttemptFailed(_)
                | Event::AttemptLost(_)
                | Event::Checkpointed(_)
                | Event::Memoised(_)
                | Event::Logged(_),
                _,
            ) => false,

            (
                Event::TimerStarted(_)
                | Event::TimerFired(_)
                | Event::WaitStarted(_)
                | Event::WaitEnded(_)
                | Event::StepSkipped(_),
                Running,
            ) => owned && self.request.is_none(),
            (
                Event::TimerStarted(_)
                | Event::TimerFired(_)
                | Event::WaitStarted(_)
                | Event::WaitEnded(_)
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
            (Event::RunPaused(_), _) => false,

            (Event::RunResumed(_), Paused | Waiting) => true,
            // Attempts that were told to stop cannot be told otherwise: only a plain pause is taken back.
            (Event::RunResumed(resumed), Running) => !resumed.retry && self.request == Some(Request::Pause),
            // Only a person's retry reopens an ended run, and only one that failed.
            (Event::RunResumed(resumed), Failed) => resumed.retry,
            (Event::RunResumed(_), _) => false,

            (Event::RequestRefused(_), _) => true,

            (Event::RunSucceeded(_), Running) => owned && self.running == 0,
            (Event::RunSucceeded(_), _) => false,
            (Event::RunFailed(_), Queued | Running | Waiting) => self.running == 0,
            (Event::RunFailed(_), _) => false,
            (Event::RunCancelled(_), Cancelling) => {
                let is_to_be_undone = self.request == Some(Request::Undo) && !self.completed.is_empty();
                self.running == 0 && !is_to_be_undone
            }
            (Event::RunCancelled(_), _) => false,
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
            Event::TimerFired(fired) => {
                let is_asleep = |step: &StepState| matches!(step.status, StepStatus::Sleeping(_));
                return self.permit_in(&fired.place, is_asleep);
            }
            Event::WaitEnded(ended) => return self.permit_wait_end(&ended.place, ended.signal.as_ref()),
            Event::StepSkipped(skipped) => {
                let is_open = |step: &StepState| {
                    !matches!(step.status, StepStatus::Running | StepStatus::Succeeded | StepStatus::Skipped)
                };
                return if self.step(&skipped.place).is_none() {
                    Ok(())
                } else {
                    self.permit_in(&skipped.place, is_open)
                };
            }
            Event::StepSucceeded(event) => (&event.place, event.attempt),
            Event::AttemptFailed(event) => (&event.place, event.attempt),
            Event::AttemptLost(event) => (&event.place, event.attempt),
            Event::Checkpointed(event) => (&event.place, event.attempt),
            Event::Memoised(event) => (&event.place, event.attempt),
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
            None if attempt != 1 => Err(format!(": the first attempt of {place} is 1, not {attempt}")),
            None => Ok(()),
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
        let name = self.step(place).and_then(|step| step.waits_for.as_ref());
        let waiting = name.and_then(|name| self.signals.get(name));
        match waiting.is_some_and(|waiting| waiting.iter().any(|signal| signal.id == *id)) {
            true => Ok(()),
            false => Err(format!(": {place} waits for no signal {id}")),
        }
    }

    fn take_signal(&mut self, place: &Place, id: &MessageId) -> Option<Signal> {
        let name = self.step(place)?.waits_for.clone()?;
        let waiting = self.signals.get_mut(&name)?;
        let at = waiting.iter().position(|signal| signal.id == *id)?;
        let signal = waiting.remove(at);
        if waiting.is_empty() {
            self.signals.remove(&name);
        }
        signal
    }

    fn step_mut(&mut self, place: &Place) -> Option<&mut StepState> {
        self.steps.get_mut(&place.step)?.at_mut(&place.item)
    }

    fn start(&mut self, started: &StepStarted, at: Timestamp) {
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
        step.attempt = started.attempt;
        step.started_at = at;
    }

    /// Makes the state of a step that is begun for the first time.
    fn enter(&mut self, place: &Place, status: StepStatus, at: Timestamp) {
        let group = match self.steps.get_mut(&place.step) {
            Some(group) => group,
            None => self.steps.entry(place.step.clone()).or_default(),
        };
        let state = StepState {
            status,
            attempt: 0,
            spent: 0,
            crashes: 0,
            began_at: at,
            started_at: at,
            output: None,
            failure: None,
            then: None,
            cursor: None,
            progress: None,
            waits_for: None,
            memo: Arc::default(),
        };
        if place.item.is_root() {
            group.single = Some(state);
        } else {
            group.items.insert(place.item.clone(), state);
        }
    }

    /// Ends a step of which no attempt runs.
    fn leave(&mut self, place: &Place, status: StepStatus, output: Option<Payload>) {
        let Some(group) = self.steps.get_mut(&place.step) else { return };
        let Some(step) = group.at_mut(&place.item) else { return };
        let had_failed = step.status == StepStatus::Failed;
        step.status = status;
        step.output.clone_from(&output);
        group.failed -= usize::from(had_failed);
        group.succeeded += 1;
        self.keep_output(place, output);
    }

    fn keep_output(&mut self, place: &Place, output: Option<Payload>) {
        if let Some(output) = output
            && place.item.is_root()
        {
            Arc::make_mut(&mut self.outputs).push((place.step.clone(), output));
        }
    }

    /// Ends the running attempt at `place` and hands its step to `then`.
    fn settle(&mut self, place: &Place, then: impl FnOnce(&mut StepState)) {
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

    fn succeed(&mut self, succeeded: &StepSucceeded) {
        self.settle(&succeeded.place, |step| {
            step.status = StepStatus::Succeeded;
            step.crashes = 0;
            step.output = Some(succeeded.output.clone());
            step.cursor = None;
            step.memo = Arc::default();
        });
        if self.undoing.is_none() {
            self.completed.push(succeeded.place.clone());
        }
        self.keep_output(&succeeded.place, Some(succeeded.output.clone()));
    }

    fn fail(&mut self, failed: &AttemptFailed) {
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

    fn lose(&mut self, lost: &AttemptLost) {
        self.settle(&lost.place, |step| {
            step.status = StepStatus::Interrupted(lost.reason);
            match lost.reason {
                LostReason::Crash => step.crashes += 1,
                // Told to stop, not killed: it uses up nothing.
                LostReason::Shutdown | LostReason::Stopped => step.spent += 1,
            }
        });
    }

    /// The step that stands in the run's way.
    fn trouble(&self) -> Option<&Place> {
        let paused = self.pause.as_ref().and_then(|pause| pause.place.as_ref());
        paused.or(self.failure.as_ref().and_then(|(place, _)| place.as_ref()))
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
    fn renew_budgets(&mut self, trouble: Option<&Name>) {
        self.failed_items.retain(|_, item| item.at.as_ref().map(|at| &at.step) != trouble);
        for (name, group) in &mut self.steps {
            let is_tolerated = trouble != Some(name);
            let mut reopened = 0;
            for (is_item, step) in group.all_mut() {
                let is_settled = step.status == StepStatus::Failed && is_item && is_tolerated;
                let is_tried = !matches!(
                    step.status,
                    StepStatus::Succeeded
                        | StepStatus::Skipped
                        | StepStatus::Sleeping(_)
                        | StepStatus::Awaiting(_)
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
