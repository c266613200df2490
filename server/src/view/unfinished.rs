//! Runs that have not ended, as a recovery listing shows them.

use serde::{Deserialize, Serialize};
use stepwell::contract::Head;
use stepwell::run::state::State;
use utoipa::ToSchema;

use crate::view::count;
use crate::view::run::Run;

/// Most names of fields that a summary has.
const FIELDS_MAX: usize = 50;

/// A run that has not ended, with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnfinishedRun {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// What its steps share, in short; missing where it was not asked for or cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextSummary>,
}

/// The document that the steps of a run share, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContextSummary {
    /// How large it is, as JSON.
    pub bytes: u64,
    /// The names of its fields, at most 50.
    pub fields: Vec<String>,
    /// How many fields it has.
    pub fields_count: u64,
}

impl UnfinishedRun {
    /// The view of a head, and of its state where that was read.
    #[must_use]
    pub fn of(head: &Head, state: Option<&State>) -> Self {
        Self { run: Run::of(head), context: state.map(ContextSummary::of) }
    }
}

impl ContextSummary {
    fn of(state: &State) -> Self {
        let fields = state.context.as_object();
        let names = fields.into_iter().flat_map(|fields| fields.keys().take(FIELDS_MAX).cloned());
        Self {
            bytes: count(state.context.to_string().len()),
            fields: names.collect(),
            fields_count: count(fields.map_or(0, serde_json::Map::len)),
        }
    }
}
