//! When a run has something to do, something wakes it.

use stepwell_contract::Status;

use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::integrity::sight::Sight;
use crate::run::summary::{Summary, not_before};

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let (Some(state), Some(ahead)) = (sight.state(), &sight.ahead) else { return Vec::new() };
    let head = sight.head;
    let is_at_rest = matches!(state.status, Status::Queued | Status::Waiting | Status::Cancelling)
        && head.status == state.status
        && state.owner.is_none();
    let is_parked = head.summary.decode::<Summary>().is_ok_and(|summary| summary.parked.is_some());
    if !is_at_rest
        || is_parked
        || not_before(state).is_some()
        || !sight.inbox.is_empty()
        || !sight.knows_mail()
    {
        return Vec::new();
    }
    // What was written a moment ago, someone may be about to follow up.
    let Some(at) = ahead.at.filter(|_| sight.is_late(head.updated_at)) else { return Vec::new() };
    if head.wake_at.is_some_and(|wake_at| wake_at <= at.plus_ms(sight.patience_ms)) {
        return Vec::new();
    }
    let wakes = head.wake_at.map_or("nothing wakes it".to_owned(), |at| format!("it is woken at {}", at.0));
    let issue = sight
        .issue(IssueKind::TimerMissed, "timer")
        .saying(format!("the run has something to do at {}, and {wakes}", at.0))
        .fact("something to do at", at.0);
    vec![issue.mended_by(Mend::Wake)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, released, released_for_good, taken};
    use crate::integrity::sight::Ahead;

    #[test]
    fn a_run_that_sleeps_without_a_waker_is_found_and_one_that_waits_for_a_message_is_not() {
        let at = NOW.plus_ms(5_000);
        let mut asleep = Fixture::new();
        asleep.add(taken(1));
        asleep.add(released_for_good());
        asleep.follow();
        let with = |fixture: &Fixture, at| {
            let mut sight = fixture.sight();
            sight.ahead = Some(Ahead { at, undone: None });
            let early = look(&sight).len();
            sight.now = NOW.plus_ms(5_001 + sight.patience_ms);
            (early, look(&sight).len())
        };
        assert_eq!(with(&asleep, Some(at)), (0, 1));
        assert_eq!(with(&asleep, None), (0, 0));
        let mut woken = Fixture::new();
        woken.add(taken(1));
        woken.add(released(at));
        woken.follow();
        assert_eq!(with(&woken, Some(at)), (0, 0));
    }
}
