//! What was said of failures, in short: the code, the sentence, the group; and which of it counts for the run.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, RunKey, Timestamp, WorkerId};

use crate::run::event::Diagnosed;
use crate::run::place::Place;
use crate::run::state::State;

/// What the names of the engine's own tags begin with: nobody else gives such.
pub const OWN_TAGS: &str = "stepwell.";

/// How many of those a run can have.
pub const OWN_TAGS_MAX: usize = 1;

/// The tag of a run's head that names the group of its latest failure, by fingerprint.
pub static FAILURE_TAG: LazyLock<Name> =
    LazyLock::new(|| Name::new(format!("{OWN_TAGS}failure")).expect("letters and a dot make a name"));

/// How many diagnoses are remembered since the run last went on: a run has many when items of a map fail.
const RECENT_MAX: usize = 16;
/// Longest sentence kept, in characters.
const SUMMARY_CHARS: usize = 200;

/// A diagnosis in short, as the run's head and the run's error show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its stable code, such as `SW1203`.
    pub code: String,
    /// What happened, in one sentence, shortened.
    pub summary: String,
    /// The group that the failure belongs to.
    pub fingerprint: String,
    /// The step; `None` when it is about the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// When it was recorded.
    pub at: Timestamp,
    /// The worker that had the run; `None` when nobody had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The version of the workflow that the run was of.
    pub version: u32,
    /// The version of the worker's code, as its program names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_version: Option<String>,
}

impl Said {
    fn new(event: &Diagnosed, state: &State, at: Timestamp) -> Self {
        let diagnosis = &event.diagnosis;
        // A head has room for so much: what would be escaped in JSON is not kept.
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            code: diagnosis.code.clone(),
            summary: diagnosis.summary.chars().take(SUMMARY_CHARS).map(plain).collect(),
            fingerprint: diagnosis.fingerprint.clone(),
            place: event.place.clone(),
            at,
            worker: state.owner.as_ref().map(|(worker, _)| worker.clone()),
            version: state.workflow_version,
            code_version: state.code_version.clone(),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.summary)
    }
}

/// How a failure group was first seen, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeen {
    /// The run.
    pub run: RunKey,
    /// Its workflow.
    pub workflow: Name,
    /// What was said of it.
    pub said: Said,
}

/// What was said of a run's failures, and what of it counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Diagnoses {
    /// Since the run last went on, oldest first.
    recent: VecDeque<Arc<Said>>,
    /// What the run is grouped by.
    latest: Option<Arc<Said>>,
    /// Why it is held or has failed.
    resting: Option<Arc<Said>>,
}

impl Diagnoses {
    /// What the run is grouped by: why it is held or has failed, or else what was said last; it stays when the run goes on.
    #[must_use]
    pub fn latest(&self) -> Option<&Arc<Said>> {
        self.latest.as_ref()
    }

    /// Why the run is held or has failed, while it is or has.
    #[must_use]
    pub fn resting(&self) -> Option<&Arc<Said>> {
        self.resting.as_ref()
    }

    pub(super) fn went_on(&mut self) {
        self.recent.clear();
        self.resting = None;
    }
}

impl State {
    pub(super) fn diagnose(&mut self, event: &Diagnosed, at: Timestamp) {
        let said = Arc::new(Said::new(event, self, at));
        let known = &mut self.diagnoses;
        if known.recent.len() == RECENT_MAX {
            known.recent.pop_front();
        }
        known.recent.push_back(Arc::clone(&said));
        known.latest = Some(said);
    }

    /// The run comes to rest for what went wrong at `place`: of several things said, what was said of that one counts.
    pub(super) fn rest_for(&mut self, place: Option<&Place>) {
        let known = &mut self.diagnoses;
        let of_place = known.recent.iter().rev().find(|said| said.place.as_ref() == place);
        known.resting = of_place.or(known.recent.back()).cloned();
        if known.resting.is_some() {
            known.latest.clone_from(&known.resting);
        }
    }
}
