//! Runs that are asked together, and what becomes of that.

use serde::{Deserialize, Serialize};
use stepwell::contract::{MessageId, RunId, RunKey, TenantId};
use stepwell::{Asked, BulkPreview};
use utoipa::ToSchema;

use crate::problem::{Code, Problem};
use crate::view::count;
use crate::view::preview::Preview;
use crate::view::run::RunStatus;

/// Runs that were listed to be asked together: a frozen list. What is listed later is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Selection {
    /// The id under which each is asked: with the same one again, a run that has had the request is not given it twice.
    pub id: String,
    /// The runs.
    pub runs: Vec<RunRef>,
    /// Whether there were no more.
    pub is_complete: bool,
    /// The failure group that they were listed for: send it along, and runs that have gone on or met with something else refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// A run, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRef {
    /// Whose it is; `default` when missing.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Its id.
    pub run: String,
}

/// What a request would do to the runs of a selection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SelectionPreview {
    /// How many runs would be asked.
    pub runs: u64,
    /// What it would do to some of them.
    pub sample: Vec<RunPreview>,
}

/// What a request to many runs is answered with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SelectionOutcome {
    /// What became of each.
    Answer(SelectionAnswer),
    /// What it would do.
    Preview(SelectionPreview),
}

/// What a request would do to one run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunPreview {
    /// Whose run it is.
    pub tenant: String,
    /// Its id.
    pub run: String,
    /// What it would do.
    pub preview: Preview,
}

/// What became of a request to many runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SelectionAnswer {
    /// How many did what was asked.
    pub done: u64,
    /// How many have the request in their inbox.
    pub waits: u64,
    /// How many did not do it.
    pub refused: u64,
    /// Each run that was asked, in the order of the request.
    pub runs: Vec<RunOutcome>,
    /// Those that the time of one request was not enough for: send them again, with the same id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<RunRef>,
}

/// What became of a request to one run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunOutcome {
    /// Whose run it is.
    pub tenant: String,
    /// Its id.
    pub run: String,
    /// `done`, `waits` (the request is in its inbox) or `refused`.
    pub outcome: String,
    /// Where it is now, when it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Selection {
    /// The view of a selection.
    #[must_use]
    pub fn of(id: &MessageId, runs: &[RunKey], is_complete: bool, group: Option<String>) -> Self {
        Self { id: id.to_string(), runs: runs.iter().map(RunRef::of).collect(), is_complete, group }
    }
}

impl RunRef {
    /// The name of a run.
    #[must_use]
    pub fn of(key: &RunKey) -> Self {
        Self { tenant: Some(key.tenant.to_string()), run: key.run.to_string() }
    }

    /// The run that it names.
    ///
    /// # Errors
    /// [`Code::BadRequest`] when the tenant or the run is not an id.
    pub fn key(&self) -> Result<RunKey, Problem> {
        let tenant = match &self.tenant {
            Some(tenant) => TenantId::new(tenant).map_err(Problem::bad)?,
            None => TenantId::default(),
        };
        Ok(RunKey::new(tenant, RunId::new(&self.run).map_err(Problem::bad)?))
    }
}

impl SelectionPreview {
    /// The view of what it would do.
    #[must_use]
    pub fn of(told: BulkPreview) -> Self {
        let sample = told.sample.into_iter();
        let sample = sample.map(|(key, preview)| RunPreview {
            tenant: key.tenant.to_string(),
            run: key.run.to_string(),
            preview: Preview::of(preview),
        });
        Self { runs: count(told.runs), sample: sample.collect() }
    }
}

impl SelectionAnswer {
    /// The view of what became of each, and of those that are left.
    #[must_use]
    pub fn of(runs: Vec<RunOutcome>, left: &[RunKey]) -> Self {
        let counted = |outcome: &str| count(runs.iter().filter(|run| run.outcome == outcome).count());
        let (done, waits, refused) = (counted("done"), counted("waits"), counted("refused"));
        let left = left.iter().map(RunRef::of).collect();
        Self { done, waits, refused, runs, left }
    }
}

impl RunOutcome {
    /// The view of what became of one.
    #[must_use]
    pub fn of(asked: Asked) -> Self {
        match asked.outcome {
            Ok(head) => Self { status: Some(head.status.into()), ..Self::bare(&asked.run, "done") },
            Err(stepwell::Error::NoAnswerYet { .. }) => Self::bare(&asked.run, "waits"),
            Err(error) => Self { problem: Some(error.into()), ..Self::bare(&asked.run, "refused") },
        }
    }

    /// A run that is not there, or not the caller's to see.
    #[must_use]
    pub fn missing(key: &RunKey) -> Self {
        let problem = Problem::new(Code::NotFound, format!("there is no run {key}"));
        Self { problem: Some(problem), ..Self::bare(key, "refused") }
    }

    fn bare(key: &RunKey, outcome: &str) -> Self {
        Self {
            tenant: key.tenant.to_string(),
            run: key.run.to_string(),
            outcome: outcome.to_owned(),
            status: None,
            problem: None,
        }
    }
}
