//! What flows into the steps of a run that are left to someone outside: the same walk that started them.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::{Payload, Status, Timestamp};

use crate::run::decide::Plan;
use crate::run::place::Place;
use crate::run::state::{State, StepStatus};
use crate::workflow::graph::Graph;
use crate::workflow::policy::Effective;

/// The inputs of the steps that are left outside; one that the definition does not come to has none.
pub(crate) fn given_outside(
    graph: &Arc<Graph>,
    limits: &Arc<[Effective]>,
    state: &State,
    now: Timestamp,
) -> BTreeMap<Place, Payload> {
    let mut before = state.clone();
    // As it was before they were left there, and nothing else stood in the way.
    (before.status, before.request, before.deadline_at) = (Status::Running, None, None);
    for place in state.outside.open.iter().chain(&state.outside.begun) {
        if let Some(step) = before.step_mut(place) {
            (step.status, step.waiting) = (StepStatus::Again, None);
        }
    }
    let next = Plan::new(Arc::clone(graph), Arc::clone(limits), &before).next(&before, now, usize::MAX);
    let starts = next.map(|next| next.starts).unwrap_or_default();
    starts.into_iter().map(|start| (start.place, start.input)).collect()
}
