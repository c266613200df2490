//! Why a run is where it is, and whether it can go on.

use serde::{Deserialize, Serialize};
use stepwell::observe::cause::Cause;
use stepwell::observe::verdict::{Reason, Verdict};
use utoipa::ToSchema;

use crate::view::diagnosis::Diagnosis;
use crate::view::{Time, time};

/// Why a run is where it is: one reason, and who can change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The reason, by a word: `person`, `worker`, `lost_worker`, `free_worker`, `no_definition`, `no_queue_worker`,
    /// `no_workflow_worker`, `unanswered`, `timer`, `retry`, `signal`, `child`, `outside`, `limit`, `queue_paused`, `not_before`,
    /// `time`, `unreadable`, `ended` or `nothing`.
    #[schema(example = "signal")]
    pub reason: String,
    /// The same in words.
    pub headline: String,
    /// Since when it holds.
    pub since: Time,
    /// When time alone ends it; missing when it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Who can change it: `time`, `person`, `signal`, `worker`, `run` or `nobody`.
    pub who: String,
    /// What has to happen, in words.
    pub next: String,
    /// What else bears on it, in words, what is most to the point first.
    #[serde(default)]
    pub details: Vec<String>,
    /// The step that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The signals, any of which lets it go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// The runs that it waits for, or that stand in its way; with their tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// The worker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The queue that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What was said last of why something of it failed, where that is why it is held or has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

/// Whether a run can go on with what the server has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CanResume {
    /// Whether it can, now or once a person lets it.
    pub can_resume: bool,
    /// What speaks against it, or has to happen first.
    pub reasons: Vec<ResumeReason>,
}

/// What speaks against a run's going on, or has to happen first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResumeReason {
    /// By a word: `ended`, `leased`, `paused`, `not_registered`, `unreadable` or `changed`.
    pub reason: String,
    /// The same in words.
    pub text: String,
}

impl Explanation {
    /// The view of it.
    #[must_use]
    pub fn of(told: &stepwell::Explanation) -> Self {
        let names = |all: &[stepwell::contract::Name]| all.iter().map(ToString::to_string).collect();
        let keys = |all: &[stepwell::contract::RunKey]| all.iter().map(ToString::to_string).collect();
        let mut view = Self {
            reason: reason(&told.reason).to_owned(),
            headline: told.headline.clone(),
            since: time(told.since),
            until: told.until.map(time),
            who: crate::view::word(&told.who).unwrap_or_default(),
            next: told.next.clone(),
            details: told.details.clone(),
            step: None,
            signals: Vec::new(),
            runs: Vec::new(),
            worker: None,
            queue: None,
            diagnosis: told.diagnosis.as_deref().map(Diagnosis::of),
        };
        match &told.reason {
            Cause::Timer { place, .. } | Cause::Retry { place, .. } | Cause::Outside { place, .. } => {
                view.step = Some(place.to_string());
            }
            Cause::Signal { place, signals, .. } => {
                (view.step, view.signals) = (Some(place.to_string()), names(signals));
            }
            Cause::Child { place, runs, .. } => {
                (view.step, view.runs) = (Some(place.to_string()), keys(runs));
            }
            Cause::Worker { worker, .. } | Cause::LostWorker { worker, .. } => {
                view.worker = Some(worker.to_string());
            }
            Cause::Limit { queue, holders, .. } => {
                (view.queue, view.runs) = (Some(queue.to_string()), keys(holders));
            }
            Cause::FreeWorker { queue, .. }
            | Cause::NoDefinition { queue, .. }
            | Cause::NoQueueWorker { queue, .. }
            | Cause::NoWorkflowWorker { queue, .. }
            | Cause::QueuePaused { queue, .. } => view.queue = Some(queue.to_string()),
            Cause::Person { .. }
            | Cause::Unanswered { .. }
            | Cause::NotBefore { .. }
            | Cause::Time { .. }
            | Cause::Unreadable { .. }
            | Cause::Ended { .. }
            | Cause::Nothing => {}
        }
        view
    }
}

fn reason(cause: &Cause) -> &'static str {
    match cause {
        Cause::Person { .. } => "person",
        Cause::Worker { .. } => "worker",
        Cause::LostWorker { .. } => "lost_worker",
        Cause::FreeWorker { .. } => "free_worker",
        Cause::NoDefinition { .. } => "no_definition",
        Cause::NoQueueWorker { .. } => "no_queue_worker",
        Cause::NoWorkflowWorker { .. } => "no_workflow_worker",
        Cause::Unanswered { .. } => "unanswered",
        Cause::Timer { .. } => "timer",
        Cause::Retry { .. } => "retry",
        Cause::Signal { .. } => "signal",
        Cause::Child { .. } => "child",
        Cause::Outside { .. } => "outside",
        Cause::Limit { .. } => "limit",
        Cause::QueuePaused { .. } => "queue_paused",
        Cause::NotBefore { .. } => "not_before",
        Cause::Time { .. } => "time",
        Cause::Unreadable { .. } => "unreadable",
        Cause::Ended { .. } => "ended",
        Cause::Nothing => "nothing",
    }
}

impl CanResume {
    /// The view of a verdict.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        let reasons = verdict.reasons.iter().map(|told| {
            let reason = match told {
                Reason::Ended(_) => "ended",
                Reason::Leased(_) => "leased",
                Reason::Paused(_) => "paused",
                Reason::Elsewhere(..) => "elsewhere",
                Reason::NotRegistered(..) => "not_registered",
                Reason::Unreadable(_) => "unreadable",
                Reason::Changed(_) => "changed",
            };
            ResumeReason { reason: reason.to_owned(), text: told.to_string() }
        });
        Self { can_resume: verdict.can_resume, reasons: reasons.collect() }
    }
}
