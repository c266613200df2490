//! Where the steps of a run are.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::{Payload, Timestamp};

use crate::run::event::{LostReason, Progress, StepReported, Then};
use crate::run::outsider::Begun;
use crate::run::place::Path;
use crate::run::waiting::{Child, Waiting};
use crate::workflow::failure::Failure;

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

    pub(crate) fn at_mut(&mut self, path: &Path) -> Option<&mut StepState> {
        if path.is_root() { self.single.as_mut() } else { self.items.get_mut(path) }
    }

    pub(crate) fn remove(&mut self, path: &Path) -> Option<StepState> {
        if path.is_root() { self.single.take() } else { self.items.remove(path) }
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

    pub(crate) fn all_by_path_mut(&mut self) -> impl Iterator<Item = (Path, &mut StepState)> {
        let items = self.items.iter_mut().map(|(path, state)| (path.clone(), state));
        self.single.iter_mut().map(|state| (Path::root(), state)).chain(items)
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = (bool, &mut StepState)> {
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
    /// The version of the result's form, as stored.
    pub version: u32,
    /// The latest failure, kept after a later success.
    pub failure: Option<Failure>,
    /// What followed from it.
    pub then: Option<Then>,
    /// Where the step said it was.
    pub cursor: Option<Payload>,
    /// How far the step said it was.
    pub progress: Option<Progress>,
    /// What it waits for, while it does.
    pub waiting: Option<Box<Waiting>>,
    /// What someone outside has told of the running attempt, which is not yet left to them.
    pub reported: Option<Box<StepReported>>,
    /// Who outside has begun the latest attempt.
    pub outsider: Option<Box<Begun>>,
    /// The runs that it has started, by the names it gave them.
    pub children: Arc<BTreeMap<String, Child>>,
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
    /// It waits for something in the middle of its work, and is run again then.
    Suspended,
    /// It was passed over; it gives what flowed in, or the output set for it.
    Skipped,
}

impl StepStatus {
    /// Whether the step is done with: it has its result or was passed over.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }

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
            | Self::Suspended
            | Self::Skipped => None,
        }
    }
}
