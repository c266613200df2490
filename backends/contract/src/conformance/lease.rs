//! Leases end by the store's clock, and what fences a stale owner is the version (laws 13, 14, 15 and 17).

use super::Harness;
use super::sample::{claim, creation, edited, extended, idle, key, lease, posting, ready, with};
use super::store::{Store, names};
use crate::clock::Timestamp;
use crate::head::{Head, Status};
use crate::key::RunKey;

const NONE: [&str; 0] = [];
const MINUTE_MS: u64 = 60_000;

fn leased(key: RunKey, at: Timestamp, by: &str) -> Head {
    with(ready(key, at), |head| {
        head.status = Status::Running;
        head.lease = Some(lease(by, MINUTE_MS));
    })
}

fn end_of(head: &Head) -> Timestamp {
    head.lease.as_ref().expect("the head carries a lease").expires_at
}

/// A lease ends at the store's `now + ttl_ms`; what the batch says of the end is ignored (law 14).
pub async fn the_store_sets_the_end_of_a_lease(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (run, says) in [("a", 0), ("b", 1), ("c", i64::MAX / 4)] {
        store.advance_ms(10_000);
        let before = store.now().await;
        let asks = with(leased(key(run), store.start, "w"), |head| {
            head.lease.as_mut().expect("it is leased").expires_at = Timestamp(says);
        });
        let head = store.create(asks.clone()).await;
        let after = store.now().await;
        let (first, last) = (before.plus_ms(MINUTE_MS), after.plus_ms(MINUTE_MS));
        assert!(
            (first..=last).contains(&end_of(&head)),
            "the lease must end between {first} and {last}, it ends at {}",
            end_of(&head)
        );
        let kept = with(head, |head| head.lease.clone_from(&asks.lease));
        assert_eq!(kept, asks, "nothing else of the head is touched");
    }
}

/// A run under a live lease is not due (law 15).
pub async fn a_leased_run_is_not_due(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(leased(key("a"), store.start, "w")).await;
    store.accept(&posting(&key("a"), &["m"])).await;
    store.advance_ms(MINUTE_MS as i64 / 2);
    assert_eq!(store.due().await, NONE, "neither its timer nor its mail counts while it is leased");
    assert_eq!(names(&store.claim(&claim("other", 10)).await), NONE);
}

/// A run whose lease has ended is due (laws 14 and 15).
pub async fn a_run_is_due_when_its_lease_has_ended(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(leased(key("a"), store.start, "w")).await;
    store.advance_ms(MINUTE_MS as i64);
    assert_eq!(store.due().await, ["a"]);
    assert_eq!(names(&store.claim(&claim("other", 10)).await), ["a"]);
}

/// A lease holds up to its last millisecond (law 14).
pub async fn a_lease_holds_to_its_last_millisecond(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(leased(key("a"), store.start, "w")).await;
    store.advance_ms(MINUTE_MS as i64 - 1);
    let due = store.due().await;
    // On a clock that runs by itself the last millisecond may have passed by now.
    if store.now().await < end_of(&head) {
        assert_eq!(due, NONE, "the lease ends at {}", end_of(&head));
    }
    store.advance_ms(1);
    assert_eq!(store.due().await, ["a"], "at its end a lease is over");
}

/// Each write of the head begins the lease that it carries anew (law 14).
pub async fn a_write_renews_the_lease(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut head = store.create(leased(key("a"), store.start, "w")).await;
    for _ in 0..4 {
        store.advance_ms(MINUTE_MS as i64 / 2);
        let former = end_of(&head);
        head = store.edit(&head, |head| head.lease = Some(lease("w", MINUTE_MS))).await;
        assert!(end_of(&head) > former, "renewed from {former} to {}", end_of(&head));
    }
    assert_eq!(store.due().await, NONE, "two minutes have passed; the lease was renewed in time");
    store.advance_ms(MINUTE_MS as i64);
    assert_eq!(store.due().await, ["a"]);
}

/// A write without a lease gives the run free at once (law 15).
pub async fn a_lease_can_be_given_back(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(leased(key("a"), store.start, "w")).await;
    assert_eq!(store.due().await, NONE);
    let head = store.edit(&head, |head| head.lease = None).await;
    assert_eq!(head.lease, None);
    assert_eq!(store.due().await, ["a"]);
}

/// A shorter lease makes the run due earlier than the one before it would have (law 14).
pub async fn a_lease_can_be_shortened(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(leased(key("a"), store.start, "w")).await;
    store.edit(&head, |head| head.lease = Some(lease("w", MINUTE_MS / 4))).await;
    store.advance_ms(MINUTE_MS as i64 / 4);
    assert_eq!(store.due().await, ["a"]);
}

async fn taken_over(store: &Store<'_>) -> (Head, Head) {
    store.accept(&creation(leased(key("a"), store.start, "stale"), 1)).await;
    let stale = store.head(&key("a")).await;
    store.advance_ms(MINUTE_MS as i64);
    let taken = store.claim(&claim("owner", 1)).await;
    assert_eq!(names(&taken), ["a"], "the lease has ended: the run is taken over");
    (stale, taken.into_iter().next().expect("one was claimed"))
}

/// An owner that was taken over commits nothing any more (laws 4 and 5).
pub async fn a_stale_owner_cannot_commit(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let (stale, present) = taken_over(&store).await;
    let before = store.trace(&key("a")).await;
    assert_eq!(store.reject(&extended(&stale, 1)).await, Some(present.version));
    assert_eq!(store.trace(&key("a")).await, before);
    store.accept(&extended(&present, 1)).await;
}

/// An owner that was taken over renews nothing any more (laws 4 and 14).
pub async fn a_stale_owner_cannot_renew(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let (stale, _) = taken_over(&store).await;
    let before = store.head(&key("a")).await;
    let renewal = edited(&stale, |head| head.lease = Some(lease("stale", 10 * MINUTE_MS)));
    assert_eq!(store.reject(&renewal).await, Some(before.version));
    assert_eq!(store.head(&key("a")).await, before, "the lease of the new owner stands");
}

/// An owner whose lease has ended, and whom nobody has taken over, still commits: time is never what fences (law 4).
pub async fn an_owner_nobody_took_over_still_commits(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(leased(key("a"), store.start, "w")).await;
    store.advance_ms(10 * MINUTE_MS as i64);
    store.accept(&extended(&head, 1)).await;
    assert_eq!(store.due().await, NONE, "and its lease began anew");
}

/// Opening an exclusive store ends every lease, so that what a dead owner held is due at once; opening a shared one
/// ends none (law 17).
pub async fn opening_ends_the_leases_of_an_exclusive_store_only(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.create(leased(key("a"), store.start, "w")).await;
    store.create(leased(key("b"), store.start.plus_ms(1), "v")).await;
    store.advance_ms(1_000);
    let is_exclusive = store.info().await.exclusive;
    store.reopen().await;
    if is_exclusive {
        assert_eq!(store.due().await, ["a", "b"], "an exclusive store has no other owner");
        assert_eq!(names(&store.claim(&claim("next", 10)).await), ["a", "b"]);
    } else {
        assert_eq!(store.due().await, NONE, "the owner of a lease in a shared store may be alive");
        store.advance_ms(MINUTE_MS as i64);
        assert_eq!(store.due().await, ["a", "b"]);
    }
}

/// However opening treats a lease, the head keeps its version and the name of the worker (law 17).
pub async fn opening_keeps_the_version_and_the_name_of_the_worker(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let before = store.create(leased(key("a"), store.start, "w")).await;
    store.reopen().await;
    let after = store.head(&key("a")).await;
    let held = after.lease.clone().expect("the head still carries the lease, ended or not");
    assert_eq!((held.worker, held.ttl_ms), (super::sample::worker("w"), MINUTE_MS));
    assert_eq!(after, with(before, |head| head.lease.clone_from(&after.lease)), "nothing else is touched");
}

/// The owner that an exclusive store forgot at opening is still fenced by the version alone (law 17).
pub async fn a_write_computed_before_a_reopening_still_counts(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let head = store.create(leased(key("a"), store.start, "w")).await;
    store.reopen().await;
    let batch = extended(&head, 1);
    store.accept(&batch).await;
    store.accept(&batch).await;
    store.reject(&extended(&head, 1)).await;
}

/// A run that has neither a time nor mail stays where it is, also after its lease ended (law 15).
pub async fn an_idle_run_without_timer_or_mail_is_never_due(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(with(idle(key("a"), store.start), |head| head.lease = Some(lease("w", MINUTE_MS)))).await;
    store.advance_ms(1_000 * MINUTE_MS as i64);
    assert_eq!(store.due().await, NONE, "the end of a lease alone is no reason to run");
}
