//! The runs that a step started are there, are its own, and what became of them reaches it.

use stepwell_contract::Status;

use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::integrity::sight::{ChildSeen, Sight};
use crate::run::event::ChildEnded;
use crate::run::mail::CHILD_ENDED;
use crate::run::waiting::OnClose;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    sight.children.iter().filter_map(|seen| child(sight, seen)).collect()
}

fn child(sight: &Sight<'_>, seen: &ChildSeen) -> Option<Issue> {
    let run = &seen.child.run;
    let issue = |kind, summary: String| {
        let issue = sight.issue(kind, run.to_string()).saying(summary);
        issue.fact("child", run).fact("step", &seen.place).fact("part", &seen.part)
    };
    // Before it is known to be there it may not have been made: whoever has the step next makes it.
    let is_made = seen.child.is_made || seen.is_awaited;
    let Some(head) = &seen.head else {
        let says = || format!("{} waits for {run}, which is not there", seen.place);
        return (is_made && !has_ended(sight)).then(|| issue(IssueKind::ChildMissing, says()));
    };
    let is_own =
        seen.parent.as_ref().is_some_and(|parent| parent.run == sight.head.key && parent.part == seen.part);
    if seen.is_read && !is_own {
        let says = || format!("{} waits for {run}, which it has not started", seen.place);
        return (is_made && !has_ended(sight)).then(|| issue(IssueKind::ChildOfAnother, says()));
    }
    if head.status.is_finished() {
        // One that has ended with a result or on request takes nothing in any more.
        let takes_in = !matches!(sight.head.status, Status::Succeeded | Status::Cancelled);
        let says = || format!("{run} is {}, and {} was not told", head.status, seen.place);
        // The word may lie behind what was read.
        let may_be_told = !sight.knows_mail();
        let is_told = sight.inbox.iter().any(|message| {
            message.kind == CHILD_ENDED
                && message.payload.decode::<ChildEnded>().is_ok_and(|ended| ended.run == *run)
        });
        let issue = || {
            let issue = issue(IssueKind::ParentNotTold, says()).fact("ended as", head.status);
            issue.mended_by(Mend::TellParent { child: run.clone() })
        };
        return (takes_in && !is_told && !may_be_told).then(issue);
    }
    let parent_ended_at = sight.head.finished_at.filter(|_| has_ended(sight))?;
    // It is asked before its parent's end is final; one that was made later than that is asked right after.
    let was_asked = head.status == Status::Cancelling || seen.has_mail;
    let is_left = seen.child.on_close == OnClose::Cancel
        && !was_asked
        && sight.is_late(parent_ended_at.max(head.created_at));
    let says =
        || format!("the run has ended, and {run}, which was to be cancelled with it, is {}", head.status);
    is_left.then(|| {
        let issue = issue(IssueKind::ChildLeftOpen, says());
        issue.mended_by(Mend::CancelChild { child: run.clone() })
    })
}

fn has_ended(sight: &Sight<'_>) -> bool {
    sight.head.status.is_finished()
}

#[cfg(test)]
mod tests {
    use stepwell_contract::limits::PAGE_ITEMS_MAX;
    use stepwell_contract::{Head, Message, MessageId, Payload};

    use super::*;
    use crate::integrity::rules::fixtures::{self, Fixture, NOW, PATIENCE_MS, taken};
    use crate::run::request::SIGNAL;
    use crate::run::waiting::{Child, ChildEnd};

    fn seen(head: Option<Head>) -> ChildSeen {
        let parent = fixtures::parent("r-1");
        let (on_close, run) = (OnClose::Cancel, fixtures::key("r-1.pack"));
        let child = Child { run, on_close, ended: None, is_renewed: false, is_made: true, version: 1 };
        ChildSeen {
            place: parent.place.clone(),
            part: parent.part.clone(),
            child,
            is_awaited: true,
            head,
            parent: Some(parent),
            is_read: true,
            has_mail: false,
        }
    }

    fn running() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.follow();
        fixture
    }

    fn child_head(status: Status) -> Head {
        Head { key: fixtures::key("r-1.pack"), status, ..Fixture::new().head }
    }

    fn kinds(fixture: &Fixture, seen: ChildSeen) -> Vec<IssueKind> {
        let mut sight = fixture.sight();
        sight.children = vec![seen];
        look(&sight).into_iter().map(|issue| issue.kind).collect()
    }

    #[test]
    fn a_child_that_is_awaited_and_not_there_is_found_and_one_that_may_not_be_made_yet_is_not() {
        let fixture = running();
        assert_eq!(kinds(&fixture, seen(None)), [IssueKind::ChildMissing]);
        let mut unmade = seen(None);
        (unmade.is_awaited, unmade.child.is_made) = (false, false);
        assert_eq!(kinds(&fixture, unmade), []);
    }

    #[test]
    fn a_child_that_somebody_else_started_is_found() {
        let fixture = running();
        let mut other = seen(Some(child_head(Status::Running)));
        other.parent = Some(fixtures::parent("r-2"));
        assert_eq!(kinds(&fixture, other), [IssueKind::ChildOfAnother]);
        let mut unread = seen(Some(child_head(Status::Running)));
        (unread.parent, unread.is_read) = (None, false);
        assert_eq!(kinds(&fixture, unread), [], "nothing is known of it");
    }

    #[test]
    fn an_end_that_never_reached_the_parent_is_found_unless_the_word_lies_in_its_inbox() {
        let mut fixture = running();
        let over = || seen(Some(child_head(Status::Failed)));
        assert_eq!(kinds(&fixture, over()), [IssueKind::ParentNotTold]);
        let (place, part, run) = (over().place, over().part, over().child.run);
        let word = ChildEnded { place, part, run, ended: ChildEnd::Cancelled };
        let payload = Payload::encode(&word).expect("JSON");
        let id = MessageId::new("m-1").expect("an id");
        fixture.inbox.push(Message::new(id, CHILD_ENDED, NOW, payload));
        assert_eq!(kinds(&fixture, over()), []);
        fixture.inbox.clear();
        for nth in 0..PAGE_ITEMS_MAX {
            let id = MessageId::new(format!("m-{nth}")).expect("an id");
            fixture.inbox.push(Message::new(id, SIGNAL, NOW, Payload::null()));
        }
        assert_eq!(kinds(&fixture, over()), [], "it may lie behind what was read of a full inbox");
    }

    #[test]
    fn a_child_that_outlives_a_parent_that_was_to_take_it_along_is_found_after_a_while() {
        let mut fixture = running();
        fixture.add(fixtures::ended());
        fixture.follow();
        let open = || seen(Some(child_head(Status::Running)));
        assert_eq!(kinds(&fixture, open()), [], "it may be asked in a moment");
        fixture.now = NOW.plus_ms(PATIENCE_MS + 1);
        assert_eq!(kinds(&fixture, open()), [IssueKind::ChildLeftOpen]);
        let mut abandoned = open();
        abandoned.child.on_close = OnClose::Abandon;
        assert_eq!(kinds(&fixture, abandoned), []);
        let mut asked = open();
        asked.has_mail = true;
        assert_eq!(kinds(&fixture, asked), []);
    }
}
