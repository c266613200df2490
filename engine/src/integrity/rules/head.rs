//! The head says what the journal says.

use stepwell_contract::{Head, Status, Timestamp};

use crate::integrity::issue::{Issue, IssueKind, Mend};
use crate::integrity::sight::Sight;
use crate::run::state::State;
use crate::run::summary::{Summary, not_before};

/// A worker that cannot go on with a run puts it back for at most so long, without a word in the journal.
const PUT_BACK_MS: u64 = 120_000;

pub(super) fn look(sight: &Sight<'_>) -> Vec<Issue> {
    let Some(state) = sight.state() else { return Vec::new() };
    let differences = fields(sight, state).into_iter().chain(summary(sight.head, state));
    let issue = |(field, has, says): (&str, String, String)| {
        sight
            .issue(IssueKind::HeadDiffers, field)
            .saying(format!("the head says {field} {has}, and the journal makes it {says}"))
            .fact("head", has)
            .fact("journal", says)
            .mended_by(Mend::RewriteHead)
    };
    differences.map(issue).collect()
}

type Difference = (&'static str, String, String);

fn fields(sight: &Sight<'_>, state: &State) -> Vec<Difference> {
    let (head, mut found) = (sight.head, Vec::new());
    let mut differ = |field, has: String, says: String| found.push((field, has, says));
    if head.status != state.status {
        differ("status", head.status.to_string(), state.status.to_string());
    }
    if head.workflow != state.created.workflow {
        differ("workflow", head.workflow.to_string(), state.created.workflow.to_string());
    }
    if head.workflow_version != state.workflow_version {
        differ("workflow_version", head.workflow_version.to_string(), state.workflow_version.to_string());
    }
    if head.fence < sight.journal.fence {
        differ("fence", head.fence.to_string(), format!("at least {}", sight.journal.fence));
    }
    if head.finished_at.is_some() != state.status.is_finished() {
        let says = if state.status.is_finished() { "a time" } else { "nothing" };
        differ("finished_at", shown(head.finished_at), says.to_owned());
    }
    let is_at_rest = state.status.is_finished() || state.status == Status::Paused;
    if is_at_rest && let Some(lease) = &head.lease {
        differ("lease", lease.worker.to_string(), "nothing".to_owned());
    }
    if let Some(says) = wake_at(head, state, sight.patience_ms) {
        differ("wake_at", shown(head.wake_at), says);
    }
    found
}

/// What the head should say of when there is something to do, if it would come too late. One that comes too early finds
/// nothing to do and is put right by that.
fn wake_at(head: &Head, state: &State, patience_ms: u64) -> Option<String> {
    if state.status.is_finished() || state.status == Status::Paused {
        return head.wake_at.map(|_| "nothing".to_owned());
    }
    let is_parked = head.summary.decode::<Summary>().is_ok_and(|summary| summary.parked.is_some());
    if state.owner.is_some() || is_parked {
        // Whoever dies with it, or parked it, must leave it to somebody.
        return head.wake_at.is_none().then(|| "a time".to_owned());
    }
    let says = state.wake_at.map(|at| not_before(state).map_or(at, |not_before| at.max(not_before)))?;
    let latest = says.max(head.updated_at.plus_ms(PUT_BACK_MS)).plus_ms(patience_ms);
    head.wake_at.is_none_or(|at| at > latest).then(|| says.0.to_string())
}

/// What listings and limits read in the head. How far steps say they are is written between records.
fn summary(head: &Head, state: &State) -> Vec<Difference> {
    let has: Summary = match head.summary.decode() {
        Ok(summary) => summary,
        Err(error) => return vec![("summary", error.to_string(), "a summary".to_owned())],
    };
    let says = has.clone().with_trouble_of(state);
    let mut found = Vec::new();
    let mut differ = |field, is_same: bool, has: String, says: String| {
        if !is_same {
            found.push((field, has, says));
        }
    };
    differ("begun", has.begun == says.begun, has.begun.to_string(), says.begun.to_string());
    differ("ending", has.ending == says.ending, has.ending.to_string(), says.ending.to_string());
    let named =
        |summary: &Summary| summary.limit_key.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    differ("limit_key", has.limit_key == says.limit_key, named(&has), named(&says));
    differ("not_before", has.not_before == says.not_before, shown(has.not_before), shown(says.not_before));
    let trouble = |summary: &Summary| {
        summary.trouble.as_ref().map_or("nothing".to_owned(), |trouble| trouble.message.clone())
    };
    differ("trouble", has.trouble == says.trouble, trouble(&has), trouble(&says));
    found
}

fn shown(at: Option<Timestamp>) -> String {
    at.map_or("nothing".to_owned(), |at| at.0.to_string())
}

#[cfg(test)]
mod tests {
    use stepwell_contract::{Fence, Lease, Payload, WorkerId};

    use super::*;
    use crate::integrity::rules::fixtures::{Fixture, NOW, PATIENCE_MS, paused, released, started, taken};

    type Damage = fn(&mut Head);

    fn fields_of(fixture: &Fixture) -> Vec<String> {
        look(&fixture.sight()).into_iter().map(|issue| issue.about).collect()
    }

    #[test]
    fn each_field_that_differs_is_found_by_its_name() {
        let mut running = Fixture::new();
        running.add(taken(3));
        running.add(started("a", 1));
        running.follow();
        assert_eq!(fields_of(&running), [""; 0]);
        let wrong: [(&str, Damage); 6] = [
            ("status", |head| head.status = Status::Waiting),
            ("workflow_version", |head| head.workflow_version = 9),
            ("fence", |head| head.fence = Fence(2)),
            ("finished_at", |head| head.finished_at = Some(NOW)),
            ("wake_at", |head| head.wake_at = None),
            ("begun", |head| head.summary = Payload::encode(&Summary::default()).expect("JSON")),
        ];
        for (field, damage) in wrong {
            let sound = running.head.clone();
            damage(&mut running.head);
            assert_eq!(fields_of(&running), [field]);
            running.head = sound;
        }
    }

    #[test]
    fn a_run_that_waits_may_be_woken_early_or_put_back_for_a_while_but_not_forgotten() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(released(NOW.plus_ms(5_000)));
        fixture.follow();
        for wake_at in [NOW, NOW.plus_ms(5_000), NOW.plus_ms(60_000)] {
            fixture.head.wake_at = Some(wake_at);
            assert_eq!(fields_of(&fixture), [""; 0], "{wake_at:?}");
        }
        for wake_at in [None, Some(NOW.plus_ms(2 * PUT_BACK_MS + PATIENCE_MS))] {
            fixture.head.wake_at = wake_at;
            assert_eq!(fields_of(&fixture), ["wake_at"], "{wake_at:?}");
        }
    }

    #[test]
    fn a_held_run_that_somebody_still_leases_is_found() {
        let mut fixture = Fixture::new();
        fixture.add(taken(1));
        fixture.add(paused());
        fixture.follow();
        assert_eq!(fields_of(&fixture), [""; 0]);
        let worker = WorkerId::new("w-1").expect("an id");
        fixture.head.lease = Some(Lease { worker, ttl_ms: 1_000, expires_at: NOW });
        assert_eq!(fields_of(&fixture), ["lease"]);
    }

    #[test]
    fn a_claim_that_is_not_recorded_yet_is_none() {
        let mut fixture = Fixture::new();
        fixture.follow();
        let worker = WorkerId::new("w-1").expect("an id");
        fixture.head.lease = Some(Lease { worker, ttl_ms: 1_000, expires_at: NOW.plus_ms(1_000) });
        fixture.head.fence = Fence(1);
        assert_eq!(fields_of(&fixture), [""; 0]);
    }
}
