//! A run that begins where another one was: which of its results are copied.

use serde::{Deserialize, Serialize};
use stepwell_contract::Payload;

use crate::run::cut::cuts;
use crate::run::edit::{covers, no_such_place};
use crate::run::event::{Event, StepCopied, present};
use crate::run::place::Place;
use crate::run::state::{State, StepState, StepStatus};
use crate::workflow::failure::Failure;
use crate::workflow::graph::Graph;

/// How a step ended in the run that it is copied from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopiedEnd {
    /// It has its result; a sleep has none.
    Succeeded {
        /// The result.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        output: Option<Payload>,
    },
    /// It was passed over.
    Skipped {
        /// What it gives in place of a result.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        output: Option<Payload>,
    },
    /// It had failed, and its map went on without it.
    Failed {
        /// What went wrong.
        failure: Box<Failure>,
    },
}

/// What a new run has from the beginning that goes on from `place` where `state` is: the ends of all steps but that one and
/// those after it in `graph`. What has not ended is begun anew.
///
/// # Errors
/// Why not, for people.
pub fn copies(graph: &Graph, state: &State, place: &Place) -> Result<Vec<Event>, String> {
    let cuts = cuts(graph, place).ok_or_else(|| no_such_place(graph, place))?;
    let trouble = state.trouble().map(|place| place.step.clone());
    let kept = state.places().filter(|(found, _)| !covers(&cuts, found));
    let mut copied: Vec<(usize, StepCopied)> = kept
        .filter_map(|(place, step)| {
            let is_tolerated = !place.item.is_root() && trouble.as_ref() != Some(&place.step);
            let ended = end_of(step, is_tolerated)?;
            // Steps look back on outputs in the order in which they were recorded.
            let nth = state.outputs.iter().position(|(name, _)| place.item.is_root() && *name == place.step);
            Some((nth.unwrap_or(usize::MAX), StepCopied { version: step.version, place, ended }))
        })
        .collect();
    copied.sort_by_key(|(nth, _)| *nth);
    Ok(copied.into_iter().map(|(_, copied)| copied.into()).collect())
}

fn end_of(step: &StepState, is_tolerated: bool) -> Option<CopiedEnd> {
    let output = step.output.clone();
    match step.status {
        StepStatus::Succeeded => Some(CopiedEnd::Succeeded { output }),
        StepStatus::Skipped => Some(CopiedEnd::Skipped { output }),
        StepStatus::Failed if is_tolerated => {
            step.failure.clone().map(|failure| CopiedEnd::Failed { failure: Box::new(failure) })
        }
        _ => None,
    }
}
