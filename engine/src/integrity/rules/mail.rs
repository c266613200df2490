//! What is sent to a run is read.

use stepwell_contract::{Message, Status};

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::Sight;
use crate::run::mail::STALE_OWNER;
use crate::run::request::SIGNAL;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let head = sight.head;
    // A signal to a run that has failed waits for its retry, and what a worker told too late moves nothing.
    let is_to_be_read = |message: &&Message| match head.status {
        Status::Succeeded | Status::Cancelled => false,
        Status::Failed => message.kind != SIGNAL && message.kind != STALE_OWNER,
        _ => true,
    };
    let unread: Vec<&Message> = sight.inbox.iter().filter(is_to_be_read).collect();
    let since = unread.iter().map(|message| message.at).min();
    let Some(since) = since.filter(|since| sight.is_late(*since)) else { return Vec::new() };
    // A run with mail is due: that nobody takes it is another issue.
    if head.is_due(true, sight.now) {
        return Vec::new();
    }
    let count = unread.len();
    let late_ms = sight.now.since_ms(since);
    let kinds: Vec<&str> = unread.iter().take(5).map(|message| message.kind.as_str()).collect();
    let issue = sight
        .issue(IssueKind::MailUnread, "inbox")
        .saying(format!("{count} messages wait, the oldest for {late_ms} ms"))
        .fact("first kinds", kinds.join(", "));
    let reader = match head.live_lease(sight.now) {
        Some(lease) => format!("worker {}", lease.worker),
        None => format!("whichever engine has {} version {}", head.workflow, head.workflow_version),
    };
    vec![issue.fact("to be read by", reader)]
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Kind, MessageId, Payload};

    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, PATIENCE_MS, ended, failed, paused, taken};

    fn mailed(mut fixture: Fixture) -> Fixture {
        let id = MessageId::new("m-1").expect("an id");
        fixture.inbox.push(Message::new(id, Kind::of("signal"), NOW, Payload::null()));
        fixture.now = NOW.plus_ms(PATIENCE_MS + 1);
        fixture.follow();
        fixture
    }

    #[test]
    fn mail_that_nobody_reads_is_found_where_the_run_is_not_due_for_it() {
        let mut held = Fixture::new();
        held.add(taken(1));
        held.add(paused());
        let mut held = mailed(held);
        assert_eq!(look(&held.sight()).len(), 1);
        held.now = NOW.plus_ms(1);
        assert_eq!(look(&held.sight()), []);
        assert_eq!(look(&mailed(Fixture::new()).sight()), [], "it is due, and nobody takes it");
        let mut over = Fixture::new();
        over.add(taken(1));
        over.add(ended());
        assert_eq!(look(&mailed(over).sight()), [], "a run that has ended reads nothing");
        let mut broken = Fixture::new();
        broken.add(taken(1));
        broken.add(failed());
        let mut broken = mailed(broken);
        assert_eq!(look(&broken.sight()), [], "it waits for the retry");
        broken.inbox[0].kind = Kind::of("child_ended");
        assert_eq!(look(&broken.sight()).len(), 1);
    }
}
