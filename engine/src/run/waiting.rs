//! What a step waits for in the middle of its work, and the runs that it has started.

use serde::{Deserialize, Serialize};
use stepwell_contract::{MessageId, Name, Payload, RunKey, Seq, Timestamp};

use crate::run::event::{Event, RunCancelled, RunFailed, RunSucceeded};
use crate::run::output::Shape;
use crate::run::outsider::Outsider;
use crate::run::place::Place;
use crate::run::reason::Then;
use crate::run::seen::Seen;
use crate::workflow::failure::Failure;

/// What a step waits for: whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waiting {
    /// The name of the wait in its step; empty where the step is nothing but a wait.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part: String,
    /// Any of these signals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<Name>,
    /// The end of any of the runs that the step has started, by the names it gave them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// Whether someone outside tells how the step ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
    /// This time; `None` when it waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The runs that this attempt has started, by the names it gave them: they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
}

impl Waiting {
    /// Whether the end of the wait depends on work that goes on elsewhere, not on time or a signal alone.
    #[must_use]
    pub fn is_on_work(&self) -> bool {
        self.outside || !self.children.is_empty()
    }
}

/// What ended a wait in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WokenBy {
    /// A signal.
    Signal {
        /// The message that brought it.
        id: MessageId,
        /// Its name.
        name: Name,
    },
    /// The end of a run that the step has started, by the name it gave it.
    Child(String),
    /// Its time.
    Time,
}

/// What becomes of a child run when its parent ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClose {
    /// It is cancelled.
    #[default]
    Cancel,
    /// It goes on alone.
    Abandon,
}

impl OnClose {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A run that a step has started, as its parent knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// The run.
    pub run: RunKey,
    /// What becomes of it when its parent ends first.
    pub on_close: OnClose,
    /// How it ended, once that is known here.
    pub ended: Option<ChildEnd>,
    /// It had ended without a result, and the step that needs one is tried again on request.
    pub is_renewed: bool,
    /// It is known to be there.
    pub is_made: bool,
    /// The version of the form in which its result is taken.
    pub version: u32,
}

impl Child {
    /// Whether it has not told how it ended, as far as it was not told to begin again.
    pub(crate) fn is_open(&self) -> bool {
        self.ended.is_none() && !self.is_renewed
    }

    pub(crate) fn has_ended_without_result(&self) -> bool {
        matches!(self.ended, Some(ChildEnd::Failed { .. } | ChildEnd::Cancelled))
    }
}

/// How a child run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildEnd {
    /// With a result.
    Succeeded {
        /// The result.
        output: Payload,
    },
    /// With an error.
    Failed {
        /// What went wrong.
        failure: Box<Failure>,
    },
    /// Because someone asked.
    Cancelled,
}

/// The step that started a run. Two are the same if the same step started it in the same way: what becomes of the run when that
/// ends first may be decided anew when the step is tried again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parent {
    /// Its run.
    pub run: RunKey,
    /// Which step of that.
    #[serde(flatten)]
    pub place: Place,
    /// The name that the step gave to this run.
    pub part: String,
    /// Whether it only wants to know how this run ends, and not with which result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_result: bool,
    /// What was to become of this run if that ended first, when this one was made.
    #[serde(default, skip_serializing_if = "OnClose::is_default")]
    pub on_close: OnClose,
}

impl PartialEq for Parent {
    fn eq(&self, other: &Self) -> bool {
        let Self { run, place, part, without_result, on_close: _ } = self;
        (run, place, part, without_result) == (&other.run, &other.place, &other.part, &other.without_result)
    }
}

impl Eq for Parent {}

/// What someone outside says of a step that was left to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said<F> {
    /// It has its result.
    Succeeded {
        /// The result.
        output: Payload,
    },
    /// The attempt failed.
    Failed(F),
    /// It is so far.
    Progress(crate::run::notes::Progress),
    /// Somebody has begun it.
    Started(Outsider),
}

/// A failed attempt that someone outside told of, and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportedFailure {
    /// What went wrong.
    pub failure: Box<Failure>,
    /// What follows from it.
    pub then: Then,
    /// What is known of the attempt beside that.
    #[serde(default, skip_serializing_if = "Seen::is_empty")]
    pub seen: Box<Seen>,
}

/// An end that is decided and not final yet: those whom it concerns are told first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// With a result.
    Succeeded {
        /// Which steps' outputs make the result, and how.
        result: Shape,
    },
    /// With an error.
    Failed {
        /// The step that failed; `None` when a limit of the run did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// What went wrong.
        failure: Box<Failure>,
    },
    /// Because someone asked.
    Cancelled,
}

/// An end that is decided, and the record that says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// How the run ends.
    pub end: RunEnd,
    /// The place of the record.
    pub seq: Seq,
}

impl From<RunEnd> for Event {
    /// The event that makes the end final.
    fn from(end: RunEnd) -> Self {
        match end {
            RunEnd::Succeeded { result } => RunSucceeded { result }.into(),
            RunEnd::Failed { place, failure } => RunFailed { place, failure: *failure }.into(),
            RunEnd::Cancelled => RunCancelled {}.into(),
        }
    }
}
