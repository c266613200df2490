//! What a run's head says: written along with each change of its state.

use stepwell_contract::{Head, Payload, Timestamp};

use crate::run::state::State;
use crate::run::summary::not_before;

/// Makes the head say where the run is.
pub(crate) fn follow(head: &mut Head, state: &State, summary: Payload, now: Timestamp) {
    head.status = state.status;
    head.workflow_version = state.workflow_version;
    // A run whose owner dies is due as soon as the lease has ended.
    head.wake_at = if state.owner.is_some() { Some(now) } else { state.wake_at };
    // One that has not begun keeps to the time that it was started for, whatever it is told before.
    head.wake_at = head.wake_at.map(|at| not_before(state).map_or(at, |not_before| at.max(not_before)));
    head.finished_at = state.status.is_finished().then_some(now);
    head.summary = summary;
    if state.owner.is_none() {
        head.lease = None;
    }
}
