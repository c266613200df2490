//! What a commit does: whole, in order, once (laws 1, 2, 6, 7 and 8).

use super::Harness;
use super::sample::{
    creation, edited, extended, idle, key, message, message_id, posting, records, taking, with,
};
use super::store::Store;
use crate::batch::{Batch, Guard, Verdict};
use crate::clock::Timestamp;
use crate::error::FaultKind;
use crate::head::{Head, Status, Version};
use crate::record::Seq;

/// After `Accepted` every part of the batch is read back: head, records, messages (law 1).
pub async fn an_accepted_batch_is_read_back(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut batch = creation(idle(key("a"), store.start), 3);
    batch.post = vec![message("m1"), message("m2")];
    store.accept(&batch).await;
    assert_eq!(Some(store.head(&batch.key).await), batch.head);
    assert_eq!(store.journal(&batch.key).await, batch.append);
    assert_eq!(store.inbox(&batch.key).await, batch.post);
}

/// One batch replaces the head, adds records, takes messages and posts others (law 2).
pub async fn one_batch_changes_every_part_of_a_run(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    store.accept(&posting(&key("a"), &["old", "kept"])).await;
    let head = store.head(&key("a")).await;
    let mut batch = extended(&head, 2);
    batch.take = vec![message_id("old")];
    batch.post = vec![message("new")];
    store.accept(&batch).await;
    assert_eq!(Some(store.head(&key("a")).await), batch.head);
    assert_eq!(
        store.journal(&key("a")).await,
        records(Seq::FIRST, 1).into_iter().chain(batch.append).collect::<Vec<_>>()
    );
    assert_eq!(store.mail(&key("a")).await, ["kept", "new"]);
}

/// Every field of a head comes back as written (law 1).
pub async fn every_field_of_a_head_is_kept(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let full = with(idle(key("a"), store.start), |head| {
        head.workflow = super::sample::name("ship-order_v2.x");
        head.workflow_version = u32::MAX;
        head.queue = super::sample::name("slow");
        head.priority = i16::MIN;
        head.status = Status::Failed;
        head.wake_at = Some(Timestamp(store.start.0 + 123_456));
        head.fence.0 = 1 << 40;
        head.updated_at = Timestamp(store.start.0 + 1);
        head.finished_at = Some(Timestamp(store.start.0 + 2));
        head.tags = super::sample::tag("customer", "Zoë \"Z\" \\ O'Neil\n\t{}[]:,=&%*?");
        head.summary = super::sample::payload(&serde_json::json!({"code": "SW1203", "done": [1, 2, null]}));
    });
    assert_eq!(store.create(full.clone()).await, full);
    let bare = edited(&full, |head| {
        head.status = Status::Queued;
        head.wake_at = None;
        head.finished_at = None;
        head.tags = std::sync::Arc::default();
        head.summary = crate::record::Payload::null();
    });
    store.accept(&bare).await;
    assert_eq!(Some(store.head(&key("a")).await), bare.head, "and what was unset is gone");
}

/// Every status can be stored and comes back as itself (law 1).
pub async fn every_status_is_kept(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut head = store.create(idle(key("a"), store.start)).await;
    for status in Status::ALL {
        head = store.edit(&head, |head| head.status = status).await;
        assert_eq!(head.status, status);
    }
}

/// A call without batches is answered by no verdicts (law 2).
pub async fn a_commit_of_nothing_is_nothing(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    assert_eq!(store.commit(&[]).await, []);
    assert_eq!(store.scan(&crate::query::Query::default()).await, []);
}

/// Many runs are made by one call (law 2).
pub async fn one_call_writes_many_runs(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<Batch> =
        (0..300).map(|i| creation(idle(key(&format!("run-{i:03}")), store.start), 2)).collect();
    store.accept_all(&batches).await;
    for batch in &batches {
        assert_eq!(store.find(&batch.key).await, batch.head);
        assert_eq!(store.journal(&batch.key).await, batch.append);
    }
}

/// Batches of one call for the same run are applied in their order, each on what the one before it left (law 2).
pub async fn batches_of_one_call_follow_each_other(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let made = creation(idle(key("a"), store.start), 1);
    let posted = posting(&key("a"), &["m1", "m2"]);
    let grown = extended(made.head.as_ref().expect("a creation has a head"), 2);
    let taken = taking(grown.head.as_ref().expect("a replacement has a head"), &["m1"]);
    let last = extended(taken.head.as_ref().expect("a replacement has a head"), 1);
    store.accept_all(&[made, posted, grown, taken, last.clone()]).await;
    assert_eq!(Some(store.head(&key("a")).await), last.head);
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 4));
    assert_eq!(store.mail(&key("a")).await, ["m2"]);
}

/// A batch that comes before the one it would follow is rejected: order within a call counts (law 2).
pub async fn a_batch_does_not_see_what_stands_behind_it(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let made = Batch::create(idle(key("a"), store.start), Vec::new());
    let verdicts = store.commit(&[posting(&key("a"), &["m"]), made]).await;
    assert_eq!(verdicts, [Verdict::Rejected { current: None }, Verdict::Accepted]);
    assert_eq!(store.mail(&key("a")).await, [""; 0], "the message was posted before there was a run");
}

/// A batch repeated after its reply was lost is `Accepted` and adds nothing (law 6).
pub async fn a_repeated_batch_is_accepted_without_effect(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    store.accept(&posting(&key("a"), &["m1"])).await;
    let mut batch = extended(&store.head(&key("a")).await, 2);
    batch.take = vec![message_id("m1")];
    batch.post = vec![message("m2")];
    store.accept(&batch).await;
    let before = store.trace(&key("a")).await;
    for _ in 0..3 {
        store.accept(&batch).await;
        assert_eq!(store.trace(&key("a")).await, before, "a repeat changes nothing");
    }
}

/// A creation repeated after its reply was lost is `Accepted` and adds nothing (law 6).
pub async fn a_repeated_creation_is_accepted_without_effect(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batch = creation(idle(key("a"), store.start), 2);
    store.accept(&batch).await;
    let before = store.trace(&key("a")).await;
    store.accept(&batch).await;
    assert_eq!(store.trace(&key("a")).await, before);
}

/// A batch that stands twice in one call is applied once and accepted twice (law 6).
pub async fn a_batch_twice_in_one_call_is_applied_once(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batch = creation(idle(key("a"), store.start), 2);
    store.accept_all(&[batch.clone(), batch.clone()]).await;
    assert_eq!(store.journal(&key("a")).await, batch.append);
}

/// A repeat does not begin the lease anew: only a write does (laws 6 and 14).
pub async fn a_repeated_batch_does_not_renew_the_lease(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = with(idle(key("a"), store.start), |head| head.lease = Some(super::sample::lease("w", 60_000)));
    let batch = Batch::create(head, Vec::new());
    store.accept(&batch).await;
    let before = store.head(&key("a")).await;
    store.advance_ms(30_000);
    store.accept(&batch).await;
    assert_eq!(store.head(&key("a")).await, before);
}

/// A batch repeated after its run moved on is rejected like any stale one (law 6).
pub async fn a_batch_repeated_much_later_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let made = creation(idle(key("a"), store.start), 1);
    let grown = extended(made.head.as_ref().expect("a creation has a head"), 1);
    store.accept_all(&[made.clone(), grown.clone()]).await;
    let present = store.edit(&store.head(&key("a")).await, |head| head.priority = 1).await;
    let before = store.trace(&key("a")).await;
    for batch in [&made, &grown] {
        assert_eq!(store.reject(batch).await, Some(present.version), "{:?}", batch.guard);
    }
    assert_eq!(store.trace(&key("a")).await, before);
}

/// After a lost reply the head tells: it carries the version of the write exactly if the write was applied (law 6).
pub async fn the_head_tells_whether_a_write_was_applied(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let (won, lost) = (edited(&first, |_| {}), edited(&first, |_| {}));
    store.accept(&won).await;
    store.reject(&lost).await;
    let present = Some(store.head(&key("a")).await.version);
    assert_eq!(present, won.written_version());
    assert_ne!(present, lost.written_version());
}

async fn contradictions(store: &Store<'_>, present: &Head) -> Vec<(&'static str, Batch)> {
    let elsewhere = with(present.clone(), |head| head.key = key("elsewhere"));
    let gap = |mut batch: Batch| {
        batch.append.remove(1);
        batch
    };
    let headless = |guard| Batch { guard, head: None, ..posting(&present.key, &["m"]) };
    let fresh = |edit: fn(&mut Head)| Batch::create(with(idle(key("fresh"), store.start), edit), Vec::new());
    vec![
        ("the head of another run", Batch { key: present.key.clone(), ..edited(&elsewhere, |_| {}) }),
        ("a gap between records", gap(extended(present, 3))),
        ("records that begin too late", {
            let ahead = with(present.clone(), |head| head.next_seq = head.next_seq.plus(1));
            extended(&ahead, 1)
        }),
        ("records that are in the journal already", {
            extended(&with(present.clone(), |head| head.next_seq = Seq::FIRST), 1)
        }),
        ("a next_seq that no record leads to", edited(present, |head| head.next_seq = head.next_seq.plus(1))),
        ("a next_seq that its own records do not lead to", {
            let mut batch = extended(present, 2);
            batch.append.pop();
            batch
        }),
        ("a version that does not follow the guarded one", {
            edited(present, |head| head.version.counter += 1)
        }),
        ("a first version that is not 1", fresh(|head| head.version = Version { counter: 2, nonce: 1 })),
        ("a guard `Absent` without a head", headless(Guard::Absent)),
        ("a guard `At` without a head", headless(Guard::At(present.version))),
        ("a guard `Exists` with a head", Batch { guard: Guard::Exists, ..edited(present, |_| {}) }),
        (
            "a guard `Exists` that takes",
            Batch { guard: Guard::Exists, head: None, ..taking(present, &["m"]) },
        ),
        ("a guard `Exists` that appends", {
            Batch { guard: Guard::Exists, head: None, ..extended(present, 1) }
        }),
        ("a fence that is lowered", edited(present, |head| head.fence.0 -= 1)),
        ("a created_at that moves", edited(present, |head| head.created_at = head.created_at.plus_ms(1))),
    ]
}

async fn a_run_with_history(store: &Store<'_>) -> Head {
    let head = with(idle(key("a"), store.start), |head| head.fence.0 = 3);
    store.accept(&creation(head, 2)).await;
    store.accept(&posting(&key("a"), &["m"])).await;
    store.head(&key("a")).await
}

/// A batch that contradicts itself or the head fails as `Definite(Invalid)` and leaves no trace (law 8).
pub async fn a_batch_that_contradicts_itself_fails_as_invalid(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let present = a_run_with_history(&store).await;
    let before = store.traces().await;
    for (what, batch) in contradictions(&store, &present).await {
        match store.backend().commit(std::slice::from_ref(&batch)).await {
            Err(crate::error::BackendError::Definite(fault)) if fault.kind == FaultKind::Invalid => {}
            other => panic!("{what}: expected Definite(Invalid), got {other:?}"),
        }
        assert_eq!(store.traces().await, before, "{what}: no trace is left");
    }
}

/// One contradicting batch fails its whole call: nothing of the others is applied, wherever it stands (law 8).
pub async fn an_invalid_batch_fails_its_whole_call(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let present = a_run_with_history(&store).await;
    let before = store.traces().await;
    let invalid = edited(&present, |head| head.fence.0 -= 1);
    for place in 0..3 {
        let mut call = vec![creation(idle(key("b"), store.start), 1), posting(&present.key, &["m2"])];
        call.insert(place, invalid.clone());
        store.refuse(&call, FaultKind::Invalid).await;
        assert_eq!(store.traces().await, before, "the contradicting batch stands at place {place}");
        assert_eq!(store.find(&key("b")).await, None, "the contradicting batch stands at place {place}");
    }
    store.accept(&posting(&present.key, &["m2"])).await;
    assert_eq!(store.mail(&present.key).await, ["m", "m2"], "an id of a failed call was not used up");
}

/// A batch that contradicts what an earlier one of its call writes fails the call just as well (law 8).
pub async fn a_batch_that_contradicts_an_earlier_one_of_its_call_fails_it(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let made = creation(idle(key("a"), store.start), 2);
    let head = made.head.clone().expect("a creation has a head");
    let again = extended(&with(head, |head| head.next_seq = Seq::FIRST), 1);
    store.refuse(&[made, again], FaultKind::Invalid).await;
    assert_eq!(store.find(&key("a")).await, None, "nothing of the call is applied");
    assert_eq!(store.journal(&key("a")).await, []);
}

/// After a call that failed as `Definite` the store takes the same work in its right form (law 7).
pub async fn a_failed_call_does_not_harm_the_next(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let present = a_run_with_history(&store).await;
    store.refuse(&[edited(&present, |head| head.fence.0 -= 1)], FaultKind::Invalid).await;
    let batch = extended(&present, 1);
    store.accept(&batch).await;
    assert_eq!(Some(store.head(&present.key).await), batch.head);
    assert_eq!(store.journal(&present.key).await, records(Seq::FIRST, 3));
}
