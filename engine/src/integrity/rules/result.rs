//! The result of a run that succeeded is there.

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let Some(state) = sight.state() else { return Vec::new() };
    let Some(shape) = &state.result else { return Vec::new() };
    let why = match shape.result(state) {
        Ok(Some(_)) => return Vec::new(),
        Ok(None) => "a step of which it is made has no output".to_owned(),
        Err(error) => error.to_string(),
    };
    let made_of = serde_json::to_string(shape).unwrap_or_default();
    let issue =
        sight.issue(IssueKind::ResultMissing, "result").saying(format!("the result is not whole: {why}"));
    vec![issue.fact("made of", made_of)]
}

#[cfg(test)]
mod tests {
    use stepwell_contract::Name;

    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, ended, started, succeeded, taken};
    use crate::run::event::RunSucceeded;
    use crate::run::output::Shape;

    #[test]
    fn a_result_made_of_an_output_that_is_not_there_is_found() {
        let of = |step: &str| RunSucceeded { result: Shape::Step(Name::new(step).expect("a name")) };
        for (step, wanted) in [("pack", 0), ("ship", 1)] {
            let mut fixture = Fixture::new();
            fixture.add(taken(1));
            fixture.add(started("pack", 1));
            fixture.add(succeeded("pack", 1));
            fixture.add(of(step).into());
            fixture.follow();
            assert_eq!(look(&fixture.sight()).len(), wanted, "{step}");
        }
    }

    #[test]
    fn a_run_without_steps_gives_its_input() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(ended());
        fixture.follow();
        assert_eq!(look(&fixture.sight()), []);
    }
}
