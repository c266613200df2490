//! What a new owner records first: that it has the run, and the attempts whose end nobody recorded.

use stepwell_contract::{Fence, WorkerId};

use crate::run::event::{AttemptLost, Event, LostReason, RunTaken};
use crate::run::state::State;

/// The events of a takeover, in order.
#[must_use]
pub fn takeover(state: &State, worker: &WorkerId, fence: Fence) -> Vec<Event> {
    let lost = state.owner.as_ref().map(|(owner, _)| owner.clone());
    let mut events = vec![RunTaken { worker: worker.clone(), fence, lost }.into()];
    events.extend(lost_attempts(state, LostReason::Crash));
    events
}

/// The events that end all running attempts without a result.
pub fn lost_attempts(state: &State, reason: LostReason) -> impl Iterator<Item = Event> {
    state.running_places().into_iter().map(move |place| {
        let attempt = state.step(&place).map_or(0, |step| step.attempt);
        AttemptLost { place, attempt, reason }.into()
    })
}
