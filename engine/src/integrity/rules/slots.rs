//! Who counts for the limits of a queue has not ended.

use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::integrity::sight::Sight;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let mut found = Vec::new();
    for slot in &sight.slots {
        // One that has ended lets the room go right after that. One that is gone had ended long before: both looks have
        // to see it count under the same fence, and nothing else tells since when.
        let is = match &slot.head {
            None => "gone".to_owned(),
            Some(head) => {
                let since = head.finished_at.filter(|_| head.status.is_finished());
                let Some(since) = since.filter(|since| sight.is_late(*since)) else { continue };
                format!("{} for {} ms", head.status, sight.now.since_ms(since))
            }
        };
        let mend = Mend::FreeSlot { holder: slot.holder.clone(), fence: slot.fence };
        found.push(
            sight
                .issue(IssueKind::SlotHeld, slot.holder.to_string())
                .saying(format!("{} is {is} and counts for queue {}", slot.holder, sight.head.queue))
                .fact("queue", &sight.head.queue)
                .fact("holder", &slot.holder)
                .mended_by(mend),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Fence, Head, Status};

    use super::*;
    use crate::integrity::rules::fixtures::{self, Fixture, NOW, PATIENCE_MS};
    use crate::integrity::sight::SlotSeen;

    #[test]
    fn room_that_a_run_which_ended_takes_is_found_once_that_is_long_ago() {
        let mut fixture = Fixture::new();
        let over = Head { status: Status::Failed, finished_at: Some(NOW), ..fixture.head.clone() };
        let found = |fixture: &Fixture, head: Option<Head>| {
            let mut sight = fixture.sight();
            sight.slots = vec![SlotSeen { holder: fixtures::key("r-2"), fence: Fence(3), head }];
            look(&sight).len()
        };
        assert_eq!(found(&fixture, Some(over.clone())), 0);
        assert_eq!(found(&fixture, None), 1, "however lately the queue's head was written");
        fixture.now = NOW.plus_ms(PATIENCE_MS + 1);
        assert_eq!(found(&fixture, Some(over)), 1);
        assert_eq!(found(&fixture, Some(fixture.head.clone())), 0, "it has not ended");
    }
}
