//! A run that a step started is known to the run of that step.

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;
use crate::run::waiting::OnClose;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let Some(seen) = &sight.parent else { return Vec::new() };
    let parent = &seen.parent;
    // One that was to go on alone may be left after its parent was removed, or under the id that another run now has.
    if parent.on_close == OnClose::Abandon {
        return Vec::new();
    }
    let issue = |kind, summary: String| {
        let issue = sight.issue(kind, parent.run.to_string()).saying(summary);
        vec![issue.fact("parent", &parent.run).fact("step", &parent.place).fact("part", &parent.part)]
    };
    // Parents may be removed once they have ended: what matters is who still works for nobody.
    if !seen.is_there && !sight.head.status.is_finished() {
        return issue(
            IssueKind::ParentMissing,
            format!("it was started by {}, which is not there", parent.run),
        );
    }
    if seen.has_begun_it == Some(false) {
        let said = format!("it was started by {}, which has not recorded that", parent.run);
        return issue(IssueKind::ParentUnaware, said);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, ended, parent, taken};
    use crate::integrity::sight::ParentSeen;
    use crate::run::waiting::Parent;

    fn kinds(fixture: &Fixture, is_there: bool, has_begun_it: Option<bool>) -> Vec<IssueKind> {
        let mut sight = fixture.sight();
        sight.parent = Some(ParentSeen { parent: parent("order"), is_there, has_begun_it });
        look(&sight).into_iter().map(|issue| issue.kind).collect()
    }

    #[test]
    fn a_run_whose_parent_is_gone_or_knows_nothing_of_it_is_found() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.follow();
        assert_eq!(kinds(&fixture, false, None), [IssueKind::ParentMissing]);
        assert_eq!(kinds(&fixture, true, Some(false)), [IssueKind::ParentUnaware]);
        assert_eq!(kinds(&fixture, true, Some(true)), []);
        assert_eq!(kinds(&fixture, true, None), [], "a parent that cannot be read is an issue of its own");
    }

    #[test]
    fn a_run_that_was_to_go_on_alone_is_not_missed_by_its_parent() {
        let fixture = Fixture::new();
        for (is_there, has_begun_it) in [(false, None), (true, Some(false))] {
            let mut sight = fixture.sight();
            let parent = Parent { on_close: OnClose::Abandon, ..parent("order") };
            sight.parent = Some(ParentSeen { parent, is_there, has_begun_it });
            assert_eq!(look(&sight), []);
        }
    }

    #[test]
    fn a_run_that_has_ended_may_outlive_its_parent() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(ended());
        fixture.follow();
        assert_eq!(kinds(&fixture, false, None), []);
    }
}
