//! When a guard holds (laws 3, 4 and 5).

use super::Harness;
use super::sample::{edited, extended, idle, key, posting, with};
use super::store::Store;
use crate::batch::{Batch, Verdict};
use crate::head::Version;

/// A run that is not there yet can be made (law 4).
pub async fn an_absent_run_can_be_made(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = idle(key("a"), store.start);
    store.accept(&Batch::create(head.clone(), Vec::new())).await;
    assert_eq!(store.head(&head.key).await, head);
}

/// A run that is there is not made a second time (law 4).
pub async fn a_run_that_is_there_is_not_made_again(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let current = store.reject(&Batch::create(idle(key("a"), store.start), Vec::new())).await;
    assert_eq!(current, Some(first.version), "the verdict names the present version");
    assert_eq!(store.head(&first.key).await, first);
}

/// A batch computed from the present version is applied (law 4).
pub async fn the_present_version_is_replaced(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let batch = edited(&first, |head| head.priority = 7);
    store.accept(&batch).await;
    assert_eq!(Some(store.head(&first.key).await), batch.head);
}

/// A batch computed from an older version is rejected, and the verdict names the present one (laws 3 and 4).
pub async fn a_stale_version_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let second = store.edit(&first, |head| head.priority = 1).await;
    let third = store.edit(&second, |head| head.priority = 2).await;
    for stale in [&first, &second] {
        let current = store.reject(&edited(stale, |head| head.priority = 9)).await;
        assert_eq!(current, Some(third.version), "the verdict names the present version");
    }
    assert_eq!(store.head(&first.key).await, third);
}

/// The same counter with another nonce is another version: a store that lost a write and handed its number out again
/// still refuses the owner of the lost write (law 4).
pub async fn the_same_counter_with_another_nonce_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let other = with(first.clone(), |head| head.version.nonce = head.version.nonce.wrapping_add(1));
    let current = store.reject(&edited(&other, |head| head.priority = 9)).await;
    assert_eq!(current, Some(first.version), "the verdict names the present version");
    assert_eq!(store.head(&first.key).await, first);
}

/// Nonces are compared in all of their 64 bits (law 4).
pub async fn a_nonce_counts_to_its_last_bit(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let version = |nonce| Version { counter: 1, nonce };
    for (run, nonce) in [("a", u64::MAX), ("b", 1 << 53), ("c", 0), ("d", i64::MAX as u64)] {
        let head = with(idle(key(run), store.start), |head| head.version = version(nonce));
        let stored = store.create(head).await;
        assert_eq!(stored.version, version(nonce), "the version comes back as written");
        let near = with(stored.clone(), |head| head.version.nonce ^= 1);
        let current = store.reject(&edited(&near, |_| {})).await;
        assert_eq!(current, Some(version(nonce)), "only the last bit of the nonce differs");
        store.accept(&edited(&stored, |_| {})).await;
    }
}

/// A version that the run has not reached is refused like one that it has left (law 4).
pub async fn a_version_of_the_future_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let future = with(first.clone(), |head| head.version.counter = 5);
    assert_eq!(store.reject(&edited(&future, |_| {})).await, Some(first.version));
}

/// A run that is not there has no version that could be replaced (law 4).
pub async fn a_version_of_an_absent_run_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let ghost = idle(key("ghost"), store.start);
    assert_eq!(store.reject(&extended(&ghost, 1)).await, None, "there is no present version");
    assert_eq!(store.find(&ghost.key).await, None, "and no trace is left");
}

/// Posting to a run that is there works whatever its version (law 4).
pub async fn a_message_needs_no_version(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut head = store.create(idle(key("a"), store.start)).await;
    for id in ["m1", "m2", "m3"] {
        store.accept(&posting(&head.key, &[id])).await;
        head = store.edit(&head, |head| head.priority += 1).await;
    }
    assert_eq!(store.mail(&head.key).await, ["m1", "m2", "m3"]);
}

/// Posting to a run that is not there is rejected and does not make it (law 4).
pub async fn a_message_to_an_absent_run_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let ghost = key("ghost");
    assert_eq!(store.reject(&posting(&ghost, &["m"])).await, None, "there is no present version");
    assert_eq!(store.find(&ghost).await, None);
    store.create(idle(ghost.clone(), store.start)).await;
    assert_eq!(store.mail(&ghost).await, [""; 0], "a refused message does not turn up later");
    store.accept(&posting(&ghost, &["m"])).await;
    assert_eq!(store.mail(&ghost).await, ["m"], "and its id was not used up");
}

/// A rejected batch leaves no trace: no head, no record, nothing posted, nothing taken (law 3).
pub async fn a_rejected_batch_leaves_no_trace(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&first.key, &["kept"])).await;
    let second = store.edit(&first, |head| head.priority = 1).await;
    let before = store.trace(&second.key).await;
    let mut stale = extended(&first, 2);
    stale.post = posting(&first.key, &["late"]).post;
    stale.take = vec![super::sample::message_id("kept")];
    store.reject(&stale).await;
    assert_eq!(store.trace(&second.key).await, before);
}

/// A rejected batch does not touch the others of its call, on either side of it (law 3).
pub async fn a_rejected_batch_does_not_touch_its_neighbours(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let old = store.create(idle(key("b"), store.start)).await;
    let present = store.edit(&old, |head| head.priority = 1).await;
    let verdicts = store
        .commit(&[
            Batch::create(idle(key("a"), store.start), Vec::new()),
            edited(&old, |head| head.priority = 9),
            Batch::create(idle(key("c"), store.start), Vec::new()),
        ])
        .await;
    let refused = Verdict::Rejected { current: Some(present.version) };
    assert_eq!(verdicts, [Verdict::Accepted, refused, Verdict::Accepted]);
    assert!(store.find(&key("a")).await.is_some(), "the batch before the rejected one is applied");
    assert_eq!(store.head(&key("b")).await, present);
    assert!(store.find(&key("c")).await.is_some(), "the batch behind the rejected one is applied");
}

/// Of two batches in one call under the same version, the first is applied and the second rejected (law 5).
pub async fn of_two_batches_in_one_call_under_one_version_the_first_wins(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(idle(key("a"), store.start)).await;
    let (winner, loser) =
        (edited(&first, |head| head.priority = 1), edited(&first, |head| head.priority = 2));
    let verdicts = store.commit(&[winner.clone(), loser]).await;
    let refused = Verdict::Rejected { current: winner.written_version() };
    assert_eq!(verdicts, [Verdict::Accepted, refused]);
    assert_eq!(Some(store.head(&first.key).await), winner.head);
}

/// Of two batches in one call that make the same run, the first is applied and the second rejected (law 5).
pub async fn of_two_creations_in_one_call_the_first_wins(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let (winner, loser) = (idle(key("a"), store.start), idle(key("a"), store.start));
    let creations = [&winner, &loser].map(|head| Batch::create(head.clone(), Vec::new()));
    let refused = Verdict::Rejected { current: Some(winner.version) };
    assert_eq!(store.commit(&creations).await, [Verdict::Accepted, refused]);
    assert_eq!(store.head(&winner.key).await, winner);
}
