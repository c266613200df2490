//! The journal makes a state and ends where the head says, and what else there is of a run can be read.

use stepwell_contract::Seq;

use crate::integrity::issue::{Issue, IssueKind};
use crate::integrity::sight::{FaultSort, Sight, Unread};

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let mut found = Vec::new();
    if let Err(fault) = &sight.journal.state {
        let kind = match fault.sort {
            FaultSort::Unreadable | FaultSort::Newer => IssueKind::UnreadableRecord,
            FaultSort::Gap => IssueKind::JournalGap,
            FaultSort::Illegal => IssueKind::IllegalTransition,
        };
        let written_by =
            if fault.sort == FaultSort::Newer { "a newer version" } else { "this version, or damage" };
        found.push(
            sight
                .issue(kind, format!("record {}", fault.seq))
                .saying(&fault.why)
                .fact("record", fault.seq)
                .fact("written by", written_by),
        );
    }
    let ends_at = Seq::FIRST.plus(usize::try_from(sight.journal.records).unwrap_or(usize::MAX));
    let has_gap = matches!(&sight.journal.state, Err(fault) if fault.sort == FaultSort::Gap);
    if ends_at != sight.head.next_seq && !has_gap {
        found.push(
            sight
                .issue(IssueKind::JournalGap, "end")
                .saying(format!(
                    "the head expects record {} next, and the journal has {} records",
                    sight.head.next_seq, sight.journal.records
                ))
                .fact("next record by the head", sight.head.next_seq)
                .fact("records", sight.journal.records),
        );
    }
    found
}

/// What is damaged besides the journal.
pub(super) fn unread(sight: &Sight<'_>) -> Vec<Issue> {
    let issue = |unread: &Unread| {
        let says = format!("{} cannot be read: {}", unread.what, unread.why);
        sight.issue(IssueKind::UnreadableRecord, unread.what).saying(says)
    };
    sight.unread.iter().map(issue).collect()
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Kind, Payload, Record, Timestamp};

    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, started, taken};
    use crate::run::event::{Event, RunCancelled};

    #[test]
    fn a_record_that_does_not_read_is_named() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.records[1].crc ^= 1;
        let found = look(&fixture.sight());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].about.as_str()), (IssueKind::UnreadableRecord, "record 2"));
    }

    #[test]
    fn a_record_of_a_newer_version_is_not_called_damage() {
        let mut fixture = Fixture::new();
        let record = Record::new(Seq(2), Kind::of("moon_landed"), Timestamp(5), 1, Payload::null());
        fixture.records.push(record);
        let found = look(&fixture.sight());
        assert_eq!(found[0].kind, IssueKind::UnreadableRecord);
        assert_eq!(found[0].facts["written by"], "a newer version");
    }

    #[test]
    fn a_missing_record_is_named_and_not_called_a_contradiction() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(started("a", 1));
        fixture.records.remove(1);
        let found = look(&fixture.sight());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].kind, found[0].about.as_str()), (IssueKind::JournalGap, "record 2"));
    }

    #[test]
    fn records_lost_at_the_end_are_found_by_the_head() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.follow();
        fixture.records.pop();
        let found = look(&fixture.sight());
        assert_eq!((found[0].kind, found[0].about.as_str()), (IssueKind::JournalGap, "end"));
        assert_eq!(found[0].mend, None);
    }

    #[test]
    fn an_event_that_cannot_follow_is_named_with_its_place() {
        let mut fixture = Fixture::new();
        fixture.force(Event::from(RunCancelled {}));
        let found = look(&fixture.sight());
        assert_eq!((found[0].kind, found[0].about.as_str()), (IssueKind::IllegalTransition, "record 2"));
        assert!(found[0].summary.contains("queued"), "{}", found[0].summary);
    }

    #[test]
    fn a_whole_journal_has_no_finding() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(started("a", 1));
        fixture.follow();
        assert_eq!(look(&fixture.sight()), []);
    }
}
