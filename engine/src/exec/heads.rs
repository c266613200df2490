//! What a run's head says: written along with each change of its state.

use std::sync::Arc;

use stepwell_contract::limits::{TAG_BYTES_MAX, TAGS_MAX};
use stepwell_contract::{Head, Payload, Timestamp};

use crate::run::said::FAILURE_TAG;
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
    // What is written to one that has ended does not end it anew.
    head.finished_at = state.status.is_finished().then(|| head.finished_at.unwrap_or(now));
    head.summary = summary;
    tag_failure(head, state);
    if state.owner.is_none() {
        head.lease = None;
    }
}

/// Makes the tag of the failure group that of the journal: the latest one, also after the run went on; none in a run that was
/// forked and has not failed itself.
fn tag_failure(head: &mut Head, state: &State) {
    let said = state.diagnoses.latest().map(|said| said.fingerprint.as_str());
    if head.tags.get(&*FAILURE_TAG).map(String::as_str) == said {
        return;
    }
    let tags = Arc::make_mut(&mut head.tags);
    match said {
        None => {
            tags.remove(&*FAILURE_TAG);
        }
        // A head with no room for it, one that was written before there were groups, must be written all the same.
        Some(said)
            if said.len() <= TAG_BYTES_MAX && (tags.len() < TAGS_MAX || tags.contains_key(&*FAILURE_TAG)) =>
        {
            tags.insert(FAILURE_TAG.clone(), said.to_owned());
        }
        Some(_) => {}
    }
}
