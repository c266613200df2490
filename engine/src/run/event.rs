//! Everything that can ever be known about a run: what happened to it, event by event.
//!
//! An event is stored as a record of its journal: the `kind` word beside the JSON of the fields. A newer engine may
//! write kinds that this one does not know; they are kept and shown, and a run that has one is not advanced.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use stepwell_contract::{
    Fence, MessageId, Name, Payload, PayloadError, Record, RunKey, Seq, Timestamp, WorkerId,
};

use crate::diagnosis::Diagnosis;
use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::run::actor::Actor;
use crate::run::code::OwnCode;
use crate::run::cut::Cut;
use crate::run::fork::CopiedEnd;
pub use crate::run::notes::{LogLevel, LogLine, Progress};
use crate::run::output::Shape;
use crate::run::place::{Path, Place};
pub use crate::run::reason::{LostReason, PauseReason, ReleaseReason, Then};
pub use crate::run::record::EventError;
pub use crate::run::seen::Seen;
pub use crate::run::waiting::ReportedFailure;
use crate::run::waiting::{ChildEnd, OnClose, Parent, RunEnd, Said, Waiting, WokenBy};
use crate::workflow::failure::Failure;

/// The version of the form of the events below, stored with each record.
pub const EVENT_FORMAT: u16 = 1;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }
        )*

        /// One thing that happened to a run.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($(#[$doc])* $name($name),)*
        }

        impl Event {
            /// Every kind of event, as stored.
            pub const KINDS: &'static [&'static str] = &[$($kind,)*];

            /// The word that names this kind of event in a journal.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $kind,)*
                }
            }

            /// The event's fields as JSON.
            ///
            /// # Errors
            /// [`PayloadError::TooLarge`] when they are over the limit of one record.
            pub fn payload(&self) -> Result<Payload, PayloadError> {
                match self {
                    $(Self::$name(event) => Payload::encode(event),)*
                }
            }

            /// Reads the event from its record.
            ///
            /// # Errors
            /// [`EventError`] when the record is damaged, of a newer form, or not what its kind says.
            pub fn read(record: &Record) -> Result<Self, EventError> {
                record.verify().map_err(|source| EventError::Unreadable { seq: record.seq, source })?;
                if record.format > EVENT_FORMAT {
                    return Err(EventError::Newer { seq: record.seq, format: record.format });
                }
                let unreadable = |source| EventError::Unreadable { seq: record.seq, source };
                match record.kind.as_str() {
                    $($kind => Ok(Self::$name(record.payload.decode().map_err(unreadable)?)),)*
                    other => Err(EventError::Unknown { seq: record.seq, kind: other.to_owned() }),
                }
            }
        }

        $(
            impl From<$name> for Event {
                fn from(event: $name) -> Self {
                    Self::$name(event)
                }
            }
        )*
    };
}

events! {
    /// The run was made.
    RunCreated = "run_created" {
        /// The workflow it executes.
        workflow: Name,
        /// The version of the workflow.
        workflow_version: u32,
        /// The fingerprint of the definition it began with.
        fingerprint: String,
        /// The workflow's input.
        input: Payload,
        /// Who started it.
        #[serde(default, skip_serializing_if = "Actor::is_engine")]
        actor: Actor,
        /// The step that started it, which is told how it ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
        /// When it fails if it has not ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline_at: Option<Timestamp>,
        /// When it pauses if no worker has taken it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue_until: Option<Timestamp>,
        /// The limits that somebody set, by step, and where each was set; all others are the defaults.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        limits: BTreeMap<Name, Value>,
        /// What the limits of its queue count it by; `None` for the tenant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_key: Option<Name>,
        /// When it begins at the earliest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
    }

    /// The run goes on from a step of another run, which stays as it is.
    RunForked = "run_forked" {
        /// The other run.
        run: RunKey,
        /// The last record of it that was seen.
        seen: Seq,
        /// The step that it goes on from.
        from: Place,
        /// The version of the workflow that the input was given to; `None` when it is this run's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_version: Option<u32>,
        /// Who forked it.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }

    /// A step ended so in the run that this one was forked from.
    StepCopied = "step_copied" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// How it ended.
        ended: CopiedEnd,
        /// The version of its output's form.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        version: u32,
    }

    /// A worker took the run; it holds the lease from here on.
    RunTaken = "run_taken" {
        /// Who took it.
        worker: WorkerId,
        /// The fencing token it was given.
        fence: Fence,
        /// The owner it was taken from, when that one did not give it up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<WorkerId>,
        /// The version of its code, as its program names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code_version: Option<String>,
    }

    /// The worker gave the run up without an end: nothing to do before `wake_at`, or it shuts down.
    RunReleased = "run_released" {
        /// When there is something to do again; `None` when only a message can wake the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wake_at: Option<Timestamp>,
        /// Why.
        reason: ReleaseReason,
    }

    /// The run goes on with another version of its workflow, which its worker has taken it over to.
    DefinitionChanged = "definition_changed" {
        /// The version it was a run of.
        from: u32,
        /// The version it is a run of from here on.
        to: u32,
        /// The fingerprint of that one's definition.
        fingerprint: String,
        /// The worker that has it.
        worker: WorkerId,
    }

    /// An attempt was counted; after this is durable the step runs.
    StepStarted = "step_started" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt, from 1.
        attempt: u32,
    }

    /// The step has its result. It never runs again.
    StepSucceeded = "step_succeeded" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// The attempt that succeeded.
        attempt: u32,
        /// The result.
        output: Payload,
        /// The version of its form.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        version: u32,
        /// How long the attempt took, in milliseconds.
        #[serde(rename = "ms")]
        elapsed_ms: u64,
    }

    /// An attempt ended without a result.
    AttemptFailed = "attempt_failed" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt.
        attempt: u32,
        /// What went wrong.
        failure: Failure,
        /// How long the attempt took, in milliseconds.
        #[serde(rename = "ms")]
        elapsed_ms: u64,
        /// What follows from it.
        then: Then,
        /// The limits of the attempt that somebody set, and where each was set; all others are the defaults.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        limits: Value,
        /// What the engine saw of it.
        #[serde(default, skip_serializing_if = "Seen::is_empty")]
        seen: Box<Seen>,
    }

    /// Why a step failed or was lost, or why the run is held or fails, as far as the evidence told then.
    Diagnosed = "diagnosed" {
        /// The step; `None` when it is about the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// The attempt, where it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// The diagnosis.
        diagnosis: Box<Diagnosis>,
        /// The worker that tells it of its own attempt after another one had taken the run: it says nothing of where the run is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late_by: Option<WorkerId>,
    }

    /// An attempt's end was never recorded: its worker died, was fenced off or shut down.
    AttemptLost = "attempt_lost" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt.
        attempt: u32,
        /// How it was lost.
        reason: LostReason,
    }

    /// The step saved where it is, for its next attempt.
    Checkpointed = "checkpointed" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// The attempt that saved it.
        attempt: u32,
        /// What the step needs to go on from here.
        cursor: Payload,
        /// How far it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<Progress>,
    }

    /// A part of a step has its result, kept under a name.
    Memoised = "memoised" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// The attempt that made it.
        attempt: u32,
        /// The name of the part.
        name: String,
        /// Its result.
        value: Payload,
    }

    /// The attempt ended in the middle of its step, which waits for something and is run again then.
    StepSuspended = "step_suspended" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt.
        attempt: u32,
        /// What it waits for.
        #[serde(flatten)]
        waiting: Waiting,
        /// How long the attempt took, in milliseconds.
        #[serde(rename = "ms")]
        elapsed_ms: u64,
    }

    /// What a step waited for in the middle of its work has come.
    StepWoken = "step_woken" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// The name of the wait in its step.
        part: String,
        /// What has come.
        by: WokenBy,
    }

    /// Someone outside told of a step that was left to them.
    StepReported = "step_reported" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt.
        attempt: u32,
        /// What they said.
        said: Said<ReportedFailure>,
        /// When the attempt is over from here on, where that changes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The version of the form of a result.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        version: u32,
        /// Who.
        #[serde(default, skip_serializing_if = "Actor::is_engine")]
        actor: Actor,
    }

    /// The step starts a run of its own, its child. After this is durable the child is made.
    ChildStarted = "child_started" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt.
        attempt: u32,
        /// The name that the step gives to it.
        part: String,
        /// The child.
        run: RunKey,
        /// Its workflow.
        workflow: Name,
        /// What becomes of it when this run ends first.
        #[serde(default, skip_serializing_if = "OnClose::is_default")]
        on_close: OnClose,
        /// The version of the form in which its result is taken.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        version: u32,
    }

    /// A child has ended, by its own word.
    ChildEnded = "child_ended" {
        /// The step that started it.
        #[serde(flatten)]
        place: Place,
        /// The name that the step gave to it.
        part: String,
        /// The child.
        run: RunKey,
        /// How it ended.
        ended: ChildEnd,
    }

    /// The document that all steps of the run share was changed: a JSON merge patch (RFC 7396).
    ContextMerged = "context_merged" {
        /// The change.
        patch: Payload,
        /// The step that made it; `None` when it came from outside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// Who.
        #[serde(default, skip_serializing_if = "Actor::is_engine")]
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }

    /// A sleep began.
    TimerStarted = "timer_started" {
        /// Which sleep.
        #[serde(flatten)]
        place: Place,
        /// When it is over.
        wake_at: Timestamp,
    }

    /// A sleep is over.
    TimerFired = "timer_fired" {
        /// Which sleep.
        #[serde(flatten)]
        place: Place,
    }

    /// The run waits for a signal from here on; one that came before counts.
    WaitStarted = "wait_started" {
        /// Which wait.
        #[serde(flatten)]
        place: Place,
        /// The signals, any of which ends it.
        signals: Vec<Name>,
        /// How long it waits; `None` for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    }

    /// A wait is over.
    WaitEnded = "wait_ended" {
        /// Which wait.
        #[serde(flatten)]
        place: Place,
        /// The message that brought the signal; `None` when the time was over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<MessageId>,
    }

    /// A signal came. It is kept until something waits for it.
    SignalReceived = "signal_received" {
        /// The message that brought it.
        id: MessageId,
        /// Its name.
        name: Name,
        /// What it says.
        payload: Payload,
        /// Who sent it.
        #[serde(default, skip_serializing_if = "Actor::is_engine")]
        actor: Actor,
    }

    /// A step was passed over and never runs.
    StepSkipped = "step_skipped" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Why.
        reason: String,
        /// Who decided that.
        #[serde(default, skip_serializing_if = "Actor::is_engine")]
        actor: Actor,
        /// What it gives in place of a result; `None` when it passes on what it would have taken.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        output: Option<Payload>,
        /// The version of that one's form.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        version: u32,
    }

    /// An item of a map has failed, and the map goes on without it.
    ItemFailed = "item_failed" {
        /// The first step of the map's body, by which the map is known.
        map: Name,
        /// Which item.
        item: Path,
        /// The step that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Place>,
        /// What went wrong.
        failure: Failure,
    }

    /// The run goes no further: what its steps did is undone, in reverse order of their completion.
    UndoStarted = "undo_started" {
        /// The step that failed; `None` when a limit of the run did, or someone asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// What went wrong; `None` when someone asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    }

    /// Someone said what the result of a step is. It never runs again.
    OutputSet = "output_set" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// The result.
        output: Payload,
        /// The version of its form.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        version: u32,
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }

    /// Someone let the run begin again at a step: what is recorded of it and of all that comes after it no longer counts.
    StepsReset = "steps_reset" {
        /// Where it begins again.
        from: Place,
        /// What no longer counts.
        cuts: Vec<Cut>,
        /// The workflow's input from here on; `None` when it stays.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        input: Option<Payload>,
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }

    /// Someone changed the workflow's input before anything was made of it.
    InputEdited = "input_edited" {
        /// The input from here on.
        input: Payload,
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }

    /// A later start for the same thing came before the run began: it begins later, with the later start's input.
    StartMoved = "start_moved" {
        /// When it begins at the earliest from here on.
        not_before: Timestamp,
        /// The input from here on.
        input: Payload,
        /// Who started it again.
        actor: Actor,
    }

    /// Lines that an attempt logged.
    Logged = "logged" {
        /// Which step.
        #[serde(flatten)]
        place: Place,
        /// Which attempt.
        attempt: u32,
        /// The lines, oldest first.
        lines: Vec<LogLine>,
        /// How many lines before these were dropped to keep within bounds.
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: u64,
    }

    /// The run is held until a person moves it on.
    RunPaused = "run_paused" {
        /// Why.
        reason: PauseReason,
        /// Who held it.
        #[serde(default, skip_serializing_if = "Actor::is_engine")]
        actor: Actor,
        /// What is said to people.
        message: String,
        /// The step that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// The failure behind it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// What whoever held it calls that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<OwnCode>,
    }

    /// A person let the run go on.
    RunResumed = "run_resumed" {
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// Whether failed steps get a fresh budget of attempts.
        retry: bool,
    }

    /// Someone asked the run to stop for good.
    CancelRequested = "cancel_requested" {
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// Whether what its steps did is undone first.
        #[serde(default, skip_serializing_if = "is_false")]
        undo: bool,
    }

    /// Someone asked the run to hold as soon as it can.
    PauseRequested = "pause_requested" {
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// Whether running attempts are stopped, not waited for.
        interrupt: bool,
        /// What they call that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<OwnCode>,
    }

    /// A request came when the run's state did not allow it; nothing else happened.
    RequestRefused = "request_refused" {
        /// The message that asked.
        request: MessageId,
        /// What was asked.
        verb: String,
        /// Who asked.
        actor: Actor,
        /// Why it was refused.
        message: String,
    }

    /// How the run ends is decided. Whoever has to know is told before it is final: its parent, and children that it leaves.
    RunEnding = "run_ending" {
        /// How.
        end: RunEnd,
    }

    /// Something was found wrong with what the store holds: of this run, or of one that could not be told.
    IssueFound = "issue_found" {
        /// What.
        issue: Box<Issue>,
        /// The run that looked.
        pass: RunKey,
    }

    /// Something that was wrong with the run, or with what it told another one, was mended.
    Repaired = "repaired" {
        /// What was wrong.
        issue: IssueKind,
        /// What of the run it was about.
        about: String,
        /// How it was mended.
        mend: Mend,
        /// Who mended it.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }

    /// The run ended with a result: the output of its last node.
    RunSucceeded = "run_succeeded" {
        /// Which steps' outputs make the result, and how.
        result: Shape,
    }

    /// The run ended with an error.
    RunFailed = "run_failed" {
        /// The step that failed; `None` when a limit of the run did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
        /// What went wrong.
        failure: Failure,
    }

    /// The run ended because someone asked.
    RunCancelled = "run_cancelled" {}

    /// Someone ended the run as cancelled at once, whatever ran or waited.
    RunTerminated = "run_terminated" {
        /// Who.
        actor: Actor,
        /// Why, in their words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    }
}

/// A value that is there: `null` is one too.
pub(crate) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(from).map(Some)
}

fn first() -> u32 {
    1
}

fn is_first(version: &u32) -> bool {
    *version == 1
}

fn is_false(yes: &bool) -> bool {
    !yes
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
