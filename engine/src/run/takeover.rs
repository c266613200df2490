//! What a new owner records first: that it has the run, and the attempts whose end nobody recorded.

use stepwell_contract::{Fence, WorkerId};

use crate::run::event::{AttemptLost, Event, LostReason, RunTaken};
use crate::run::state::State;

/// The events of a takeover, in order.
#[must_use]
pub fn takeover(state: &State, worker: &WorkerId, fence: Fence, code_version: Option<&str>) -> Vec<Event> {
    let lost = state.owner.as_ref().map(|(owner, _)| owner.clone());
    let mut events = vec![
        RunTaken { worker: worker.clone(), fence, lost, code_version: code_version.map(str::to_owned) }
            .into(),
    ];
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

#[cfg(test)]
mod tests {
    use stepwell_contract::{Name, Payload, Timestamp};

    use super::*;
    use crate::run::actor::Actor;
    use crate::run::event::{RunCreated, StepStarted};
    use crate::run::place::Place;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_takeover_names_the_lost_owner_and_ends_every_attempt_it_left_behind() {
        let name = |text| Name::new(text).expect("a name");
        let worker = |text| WorkerId::new(text).expect("an id");
        let created = RunCreated {
            workflow: name("w"),
            workflow_version: 1,
            fingerprint: String::new(),
            input: Payload::null(),
            actor: Actor::Program,
            parent: None,
            deadline_at: None,
            queue_until: None,
            limits: Default::default(),
            limit_key: None,
            not_before: None,
        };
        let mut state = State::new(created, NOW);
        let take = |state: &mut State, by, fence| {
            let events = takeover(state, &worker(by), Fence(fence), None);
            for event in &events {
                state.apply(event, NOW).expect("a legal takeover");
            }
            events
        };
        assert_eq!(take(&mut state, "w-1", 1).len(), 1, "nobody was there before");
        for step in ["a", "b"] {
            let started = StepStarted { place: Place::of(name(step)), attempt: 1 };
            state.apply(&started.into(), NOW).expect("a legal start");
        }
        let lost = |step| -> Event {
            AttemptLost { place: Place::of(name(step)), attempt: 1, reason: LostReason::Crash }.into()
        };
        let lost_worker = Some(worker("w-1"));
        let taken =
            RunTaken { worker: worker("w-2"), fence: Fence(2), lost: lost_worker, code_version: None };
        assert_eq!(take(&mut state, "w-2", 2), [taken.into(), lost("a"), lost("b")]);
        assert_eq!((state.running, state.owner), (0, Some((worker("w-2"), Fence(2)))));
    }
}
