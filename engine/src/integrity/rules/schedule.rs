//! A schedule whose times go on looks at them.

use stepwell_contract::Status;

use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::integrity::sight::Sight;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let (Some(state), Some(Some(next))) = (sight.state(), sight.schedule) else { return Vec::new() };
    let head = sight.head;
    let issue = |summary: String| {
        let issue = sight.issue(IssueKind::ScheduleStopped, "schedule").saying(summary);
        issue.fact("next time", next.0).fact("status", head.status)
    };
    if head.status == Status::Failed {
        return vec![issue("the run that keeps the schedule has failed: it starts nothing".to_owned())];
    }
    let is_at_rest = head.status == Status::Waiting && state.owner.is_none();
    let has_heard_all = sight.inbox.is_empty() && sight.knows_mail() && state.signals.is_empty();
    if is_at_rest && has_heard_all && head.wake_at.is_none() {
        let says = format!("its next time is {}, and the schedule looks at it no more", next.0);
        return vec![issue(says).mended_by(Mend::NudgeSchedule)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, released, released_for_good, taken};

    #[test]
    fn a_schedule_that_is_not_woken_for_its_next_time_is_found() {
        let mut still = Fixture::new();
        still.add(taken(1));
        still.add(released_for_good());
        still.follow();
        let found = |fixture: &Fixture, next| {
            let mut sight = fixture.sight();
            sight.schedule = next;
            look(&sight).len()
        };
        assert_eq!(found(&still, Some(Some(NOW))), 1);
        assert_eq!(found(&still, Some(None)), 0, "it is paused, or has no times left");
        assert_eq!(found(&still, None), 0, "it is no schedule");
        let mut woken = Fixture::new();
        woken.add(taken(1));
        woken.add(released(NOW));
        woken.follow();
        assert_eq!(found(&woken, Some(Some(NOW))), 0);
    }
}
