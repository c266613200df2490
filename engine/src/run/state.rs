//! Where a run is: the fold of its events, through one exhaustive match of legal transitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stepwell_contract::{Fence, Name, Payload, Record, Seq, Status, Timestamp, WorkerId};

use crate::run::event::{
    AttemptFailed, AttemptLost, Event, EventError, LostReason, PauseReason, Progress, ReleaseReason,
    RunCreated, StepStarted, StepSucceeded, Then,
};
use crate::run::output::Shape;
use crate::run::place::Place;
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
    /// The outputs of steps outside maps, in the order in which they were recorded.
    pub outputs: Arc<Vec<(Name, Payload)>>,
    /// Why it is held, while it is.
    pub pause: Option<Pause>,
    /// What is asked of it and not done yet.
    pub request: Option<Request>,
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

/// What is asked of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Hold when running attempts have ended.
    Pause,
    /// Stop running attempts, then hold.
    Interrupt,
    /// Stop running attempts, then end.
    Cancel,
}

/// A step, or all items of a map's step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepGroup {
    /// The step outside a map.
    pub single: Option<StepState>,
    /// The items of a map, by number; items start in order, so there are no gaps.
    pub items: Vec<StepState>,
    /// How many of them are running.
    pub running: usize,
    /// How many of them have a result.
    pub succeeded: usize,
    /// Items that are to be tried again, by the time from which on.
    pub again: BTreeSet<(Timestamp, u32)>,
    /// Items that have failed for good.
    pub failed: Vec<u32>,
}

impl StepGroup {
    /// The step or the item of it.
    #[must_use]
    pub fn at(&self, item: Option<u32>) -> Option<&StepState> {
        match item {
            None => self.single.as_ref(),
            Some(item) => self.items.get(item as usize),
        }
    }

    fn at_mut(&mut self, item: Option<u32>) -> Option<&mut StepState> {
        match item {
            None => self.single.as_mut(),
            Some(item) => self.items.get_mut(item as usize),
        }
    }

    /// Every step state in it.
    pub fn all(&self) -> impl Iterator<Item = (Option<u32>, &StepState)> {
        let items = self.items.iter().enumerate().map(|(item, state)| (u32::try_from(item).ok(), state));
        self.single.iter().map(|state| (None, state)).chain(items)
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
}

impl StepStatus {
    /// From when on the step may be started again; `None` when it may not.
    #[must_use]
    pub fn again_at(self) -> Option<Timestamp> {
        match self {
            Self::Backoff(at) => Some(at),
            Self::Interrupted(_) | Self::Again => Some(Timestamp(i64::MIN)),
            Self::Running | Self::Succeeded | Self::Failed => None,
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
            outputs: Arc::new(Vec::new()),
            pause: None,
            request: None,
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
        self.steps.get(&place.step)?.at(place.item)
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

    /// Adds an event, if the state allows it.
    ///
    /// # Errors
    /// [`IllegalTransition`]: the state is unchanged, and the event must not be written.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), IllegalTransition> {
        self.permit(event)?;
        match event {
            Event::RunCreated(_) | Event::Logged(_) | Event::RequestRefused(_) => {}
            Event::RunTaken(taken) => {
                self.status =
                    if self.request == Some(Request::Cancel) { Status::Cancelling } else { Status::Running };
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
            Event::CancelRequested(_) => {
                self.request = Some(Request::Cancel);
                self.status = Status::Cancelling;
                self.pause = None;
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

            // While it is being cancelled a run finishes what runs; it starts nothing.
            (Event::StepStarted(_), Running) => owned && self.request.is_none(),
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
            (Event::RunCancelled(_), Cancelling) => self.running == 0,
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
            None => match place.item {
                Some(item)
                    if self.steps.get(&place.step).map_or(0, |group| group.items.len()) != item as usize =>
                {
                    Err(format!(": items start in order, and {place} does not"))
                }
                _ => Ok(()),
            },
            Some(step)
                if matches!(
                    step.status,
                    StepStatus::Running | StepStatus::Succeeded | StepStatus::Failed
                ) =>
            {
                Err(format!(": {place} is {:?}", step.status))
            }
            Some(step) if step.attempt + 1 != attempt => {
                Err(format!(": attempt {attempt} of {place} does not follow {}", step.attempt))
            }
            Some(_) => Ok(()),
        }
    }

    fn step_mut(&mut self, place: &Place) -> Option<&mut StepState> {
        self.steps.get_mut(&place.step)?.at_mut(place.item)
    }

    fn start(&mut self, started: &StepStarted, at: Timestamp) {
        self.running += 1;
        let Place { step, item } = &started.place;
        let group = match self.steps.get_mut(step) {
            Some(group) => group,
            None => self.steps.entry(step.clone()).or_default(),
        };
        group.running += 1;
        if let Some(state) = group.at_mut(*item) {
            let again_at = state.status.again_at();
            if started.attempt == state.spent + 1 {
                state.began_at = at;
            }
            state.status = StepStatus::Running;
            state.attempt = started.attempt;
            state.started_at = at;
            if let (Some(due), Some(item)) = (again_at, item) {
                group.again.remove(&(due, *item));
            }
            return;
        }
        let state = StepState {
            status: StepStatus::Running,
            attempt: started.attempt,
            spent: 0,
            crashes: 0,
            began_at: at,
            started_at: at,
            output: None,
            failure: None,
            then: None,
            cursor: None,
            progress: None,
            memo: Arc::default(),
        };
        match item {
            None => group.single = Some(state),
            Some(_) => group.items.push(state),
        }
    }

    /// Ends the running attempt at `place` and hands its step to `then`.
    fn settle(&mut self, place: &Place, then: impl FnOnce(&mut StepState)) {
        self.running = self.running.saturating_sub(1);
        let Some(group) = self.steps.get_mut(&place.step) else { return };
        group.running = group.running.saturating_sub(1);
        let Some(step) = group.at_mut(place.item) else { return };
        then(step);
        let status = step.status;
        let Some(item) = place.item else { return };
        match status {
            StepStatus::Succeeded => group.succeeded += 1,
            StepStatus::Failed => group.failed.push(item),
            StepStatus::Running => {}
            StepStatus::Backoff(_) | StepStatus::Interrupted(_) | StepStatus::Again => {
                group.again.extend(status.again_at().map(|at| (at, item)));
            }
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
        if succeeded.place.item.is_none() {
            Arc::make_mut(&mut self.outputs).push((succeeded.place.step.clone(), succeeded.output.clone()));
        }
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
        for step in self.steps.values_mut().flat_map(|group| group.single.iter_mut().chain(&mut group.items))
        {
            if step.status != StepStatus::Succeeded {
                step.began_at = step.began_at.plus_ms(held_ms);
            }
        }
    }

    /// Lets every step that stands in the way, waits or was lost begin again with all its attempts. Failed items of a map
    /// that tolerated them stay as they are: later steps have gone on from that.
    fn renew_budgets(&mut self, trouble: Option<&Name>) {
        for (name, group) in &mut self.steps {
            let is_tolerated = trouble != Some(name);
            if !is_tolerated {
                group.failed.clear();
            }
            group.again.clear();
            let items =
                group.items.iter_mut().enumerate().map(|(item, step)| (u32::try_from(item).ok(), step));
            for (item, step) in group.single.iter_mut().map(|step| (None, step)).chain(items) {
                let is_settled = step.status == StepStatus::Failed && item.is_some() && is_tolerated;
                if step.status == StepStatus::Succeeded || is_settled {
                    continue;
                }
                step.spent = step.attempt;
                step.crashes = 0;
                // Not in doubt any more either: a person said to try again.
                step.status = StepStatus::Again;
                group.again.extend(item.map(|item| (Timestamp(i64::MIN), item)));
            }
        }
    }
}

impl Request {
    /// The stronger of two requests.
    fn max_of(self, other: Self) -> Self {
        let rank = |request| match request {
            Self::Pause => 0,
            Self::Interrupt => 1,
            Self::Cancel => 2,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}
