//! What a program finds that looks, before it takes any run, at how its definitions stand to every run that has not ended.

use std::fmt;

use serde::Serialize;
use stepwell_contract::{RunKey, Status, WorkflowRef};

use crate::diagnosis::text::Language;
use crate::observe::explain::meant;
use crate::run::change::Holdup;
use crate::run::unread::Unread;

/// Most runs that a report names; the others it counts.
pub const RUNS_NAMED_MAX: usize = 1_000;

/// How the definitions at hand stand to a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunCheck {
    /// The run.
    pub key: RunKey,
    /// What it executes.
    pub workflow: WorkflowRef,
    /// Where it is.
    pub status: Status,
    /// What a worker with these definitions would do with it once it is due.
    pub fitness: Fitness,
}

/// What a worker would do with a run.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Fitness {
    /// It would go on with it.
    #[error("fine{}", moved(*moves_to))]
    Fine {
        /// As a run of this version, when that is another than the run has now.
        moves_to: Option<u32>,
    },
    /// It would hold it: a stored value has no form that the next steps read.
    #[error("needs migration: {unread}")]
    NeedsMigration {
        /// Which value, and who reads it.
        unread: Unread,
    },
    /// It could not go on with it.
    #[error("blocked: {block}")]
    Blocked {
        /// Why not.
        block: Block,
    },
}

fn moved(to: Option<u32>) -> String {
    to.map(|to| format!(", goes on as version {to}")).unwrap_or_default()
}

/// Why a worker could not go on with a run.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// It would hold it: the definition does not fit it.
    #[error("{0}")]
    Changed(Holdup),
    /// It would not take it: it has no such workflow.
    #[error("no such workflow is registered{}", meant(nearest.as_ref(), Language::English))]
    NoDefinition {
        /// The workflow that is registered and comes nearest.
        nearest: Option<WorkflowRef>,
    },
    /// It would put it back: it cannot read its journal.
    #[error("its journal cannot be read: {0}")]
    Unreadable(String),
}

impl From<Holdup> for Fitness {
    fn from(holdup: Holdup) -> Self {
        match holdup {
            Holdup::Unread(unread) => Self::NeedsMigration { unread },
            holdup @ (Holdup::Refused { .. } | Holdup::Misfit(_)) => {
                Self::Blocked { block: Block::Changed(holdup) }
            }
        }
    }
}

/// What was found, in short. As text it is a table of the runs that are not fine.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CheckReport {
    /// How many runs would go on.
    pub fine: usize,
    /// How many need a migration.
    pub needs_migration: usize,
    /// How many could not go on.
    pub blocked: usize,
    /// The runs that are not fine, the newest first, at most [`RUNS_NAMED_MAX`].
    pub runs: Vec<RunCheck>,
}

impl CheckReport {
    /// Adds what was found about a run.
    pub fn add(&mut self, check: RunCheck) {
        match check.fitness {
            Fitness::Fine { .. } => {
                self.fine += 1;
                return;
            }
            Fitness::NeedsMigration { .. } => self.needs_migration += 1,
            Fitness::Blocked { .. } => self.blocked += 1,
        }
        if self.runs.len() < RUNS_NAMED_MAX {
            self.runs.push(check);
        }
    }

    /// Whether every run would go on.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.needs_migration == 0 && self.blocked == 0
    }

    /// What a program exits with: 0 when every run would go on, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.is_fine())
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |check: &RunCheck| {
            let workflow = format!("{} {}", check.workflow.name, check.workflow.version);
            [check.key.to_string(), workflow, check.status.to_string()]
        };
        let rows: Vec<[String; 3]> = self.runs.iter().map(row).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (run, workflow, status) = (width(0), width(1), width(2));
        for ([key, of, at], check) in rows.iter().zip(&self.runs) {
            writeln!(f, "{key:run$}  {of:workflow$}  {at:status$}  {}", check.fitness)?;
        }
        let named = self.needs_migration + self.blocked;
        if named > self.runs.len() {
            writeln!(f, "and {} more", named - self.runs.len())?;
        }
        write!(f, "{} fine, {} need migration, {} blocked", self.fine, self.needs_migration, self.blocked)
    }
}
