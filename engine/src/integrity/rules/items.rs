//! What is recorded of the items of a map agrees: with itself, and in a run that succeeded with its definition.

use stepwell_contract::Status;

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;
use crate::run::place::Place;
use crate::run::state::StepStatus;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let Some(state) = sight.state() else { return Vec::new() };
    let mut found = Vec::new();
    for ((map, item), failed) in &state.failed_items {
        let Some(at) = &failed.at else { continue };
        let is = state.step(at).map(|step| step.status);
        if is != Some(StepStatus::Failed) {
            let is = is.map_or("was never begun".to_owned(), |status| format!("is {status:?}"));
            found.push(
                sight
                    .issue(
                        IssueKind::ItemsDiffer,
                        Place { step: map.clone(), item: item.clone() }.to_string(),
                    )
                    .saying(format!(
                        "the map of {map} went on without an item because {at} failed, and {at} {is}"
                    ))
                    .fact("map", map)
                    .fact("step", at),
            );
        }
    }
    let undone = sight.ahead.as_ref().and_then(|ahead| ahead.undone.as_ref());
    if state.status == Status::Succeeded
        && let Some(undone) = undone
    {
        found.push(
            sight
                .issue(IssueKind::ItemsDiffer, "definition")
                .saying(format!("the run has succeeded, and by its definition {undone}")),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, ended, failed_item, failed_step, started, taken};
    use crate::integrity::sight::Ahead;

    fn with_item(is_failed: bool) -> Fixture {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(started("pack[0]", 1));
        if is_failed {
            fixture.add(failed_step("pack[0]", 1));
        }
        fixture.add(failed_item("pack", 0));
        fixture.follow();
        fixture
    }

    #[test]
    fn an_item_that_was_given_up_for_a_step_that_has_not_failed_is_found() {
        let found = look(&with_item(false).sight());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].summary.contains("pack[0] is Running"), "{}", found[0].summary);
        assert_eq!(look(&with_item(true).sight()), []);
    }

    #[test]
    fn a_run_that_succeeded_with_work_left_is_found() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(ended());
        fixture.follow();
        let mut sight = fixture.sight();
        assert_eq!(look(&sight), []);
        sight.ahead = Some(Ahead { at: None, undone: Some("pack[2] is still to be done".to_owned()) });
        assert_eq!(look(&sight).len(), 1);
    }
}
