//! Whether a worker goes on with a run that began under another definition: one table, and what may be in the way.

use serde::Serialize;

use crate::run::decide::Rest;
use crate::run::event::PauseReason;
use crate::run::fit::{Misfit, misfits};
use crate::run::forms::{Stale, bring_up};
use crate::run::state::State;
use crate::run::unread::{Unread, unread};
use crate::workflow::definition::Definition;
use crate::workflow::failure::Failure;
use crate::workflow::policy::OnChange;

/// How the definition at hand stands to the one that a run has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It goes on with the run as it is, where it fits.
    Same,
    /// It goes on with the run as one of its own version, where it fits.
    Moves,
    /// It has changed, and is not to go on with runs from before.
    Refused,
}

/// The table. Whether a worker has anything to do with a run of another version was asked when it claimed the run.
#[must_use]
pub fn standing(same_version: bool, same_fingerprint: bool, on_change: OnChange) -> Standing {
    match (same_version, same_fingerprint, on_change) {
        (true, true, _) | (true, false, OnChange::Pin | OnChange::Migrate) => Standing::Same,
        (true, false, OnChange::Refuse) => Standing::Refused,
        (false, _, _) => Standing::Moves,
    }
}

/// How a worker goes on with a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// The version of which the run was until now, when it becomes one of the definition's.
    pub moves_from: Option<u32>,
    /// Stored values that nothing ahead is known to read, and that could not be read.
    pub stale: Stale,
}

/// Why a worker does not go on with a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Holdup {
    /// The definition has changed, and its policy is to leave runs from before alone.
    #[error(
        "the definition has changed (fingerprint {began} when the run began, {now} now) and `OnChange::Refuse` holds its runs: bring it back, or give it a new version"
    )]
    Refused {
        /// The fingerprint that the run began with.
        began: String,
        /// The fingerprint of the definition at hand.
        now: String,
    },
    /// The definition does not fit what the run has recorded.
    #[error("{0}")]
    Misfit(Misfit),
    /// A stored value has no form that the next steps read.
    #[error("{0}")]
    Unread(Unread),
}

/// Looks whether what a definition consists of can go on with a run, wherever the code of its steps is.
///
/// # Errors
/// [`Holdup`]: the run has to be held.
pub fn shape_ahead(definition: &Definition, state: &State) -> Result<Standing, Holdup> {
    let same_version = state.workflow_version == definition.version();
    let same_fingerprint = state.fingerprint == definition.fingerprint();
    let standing = standing(same_version, same_fingerprint, definition.policy().on_change);
    if standing == Standing::Refused {
        let (began, now) = (state.fingerprint.clone(), definition.fingerprint().to_owned());
        return Err(Holdup::Refused { began, now });
    }
    match misfits(definition.graph(), state).into_iter().next() {
        Some(misfit) => Err(Holdup::Misfit(misfit)),
        None => Ok(standing),
    }
}

/// Looks at everything that decides whether the definition can go on with a run, and gives what the run has stored its present
/// form in `state`. The journal and the steps are not touched.
///
/// # Errors
/// [`Holdup`]: the run has to be held.
pub fn look_ahead(definition: &Definition, state: &mut State) -> Result<Ahead, Holdup> {
    let standing = shape_ahead(definition, state)?;
    let stale = bring_up(definition, state);
    if let Some(unread) = unread(definition, state, &stale) {
        return Err(Holdup::Unread(unread));
    }
    let moves_from = (standing == Standing::Moves).then_some(state.workflow_version);
    Ok(Ahead { moves_from, stale })
}

impl Holdup {
    /// How the run is held because of it.
    pub(crate) fn rest(&self, definition: &Definition) -> Rest {
        let (workflow, version) = (definition.name(), definition.version());
        match self {
            Self::Refused { .. } | Self::Misfit(_) => unfit(definition, self),
            Self::Unread(unread) => Rest::Pause {
                reason: PauseReason::NeedsMigration,
                place: unread.by.clone(),
                message: format!(
                    "{unread}. Run a worker with {workflow} version {version} that reads it or has a migration for it, then `resume`"
                ),
                failure: Some(Failure::unread_value(self)),
            },
        }
    }
}

/// How a run is held that does not fit the definition.
pub(crate) fn unfit(definition: &Definition, error: &dyn std::error::Error) -> Rest {
    let (workflow, version) = (definition.name(), definition.version());
    Rest::Pause {
        reason: PauseReason::DefinitionChanged,
        place: None,
        message: format!("version {version} of {workflow} does not fit this run: {error}"),
        failure: Some(Failure::undecodable("the run", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_an_answer_to_every_change() {
        use OnChange::{Migrate, Pin, Refuse};
        for on_change in [Pin, Migrate, Refuse] {
            assert_eq!(standing(true, true, on_change), Standing::Same);
            assert_eq!(standing(false, false, on_change), Standing::Moves, "only claimed where it is listed");
        }
        assert_eq!(standing(true, false, Pin), Standing::Same);
        assert_eq!(standing(true, false, Migrate), Standing::Same);
        assert_eq!(standing(true, false, Refuse), Standing::Refused);
    }
}
