//! The store's clock may jump: no lease is lost, no wake-up either (law 23).

use super::Harness;
use super::sample::{claim, edited, extended, idle, key, lease, posting, ready, with};
use super::store::{Store, names};

const NONE: [&str; 0] = [];
const HOUR_MS: i64 = 3_600_000;

/// `info` tells the clock that leases and timers go by.
pub async fn the_store_tells_its_clock(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let before = store.now().await;
    store.advance_ms(HOUR_MS);
    let after = store.now().await;
    assert!(after.since_ms(before) >= HOUR_MS as u64, "moved by an hour: from {before} to {after}");
    store.advance_ms(-2 * HOUR_MS);
    assert!(store.now().await < before, "moved back by two hours");
}

/// A clock put back does not end a lease early: it holds until the clock has passed its end again (law 23).
pub async fn a_clock_put_back_does_not_end_a_lease(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store
        .create(with(ready(key("a"), store.start), |head| head.lease = Some(lease("w", HOUR_MS as u64))))
        .await;
    store.advance_ms(-10 * HOUR_MS);
    assert_eq!(names(&store.claim(&claim("other", 1)).await), NONE);
    store.advance_ms(10 * HOUR_MS + HOUR_MS / 2);
    assert_eq!(names(&store.claim(&claim("other", 1)).await), NONE, "half of the lease is left");
    store.advance_ms(HOUR_MS / 2);
    assert_eq!(names(&store.claim(&claim("other", 1)).await), ["a"]);
}

/// A clock put forward ends leases and fires timers that lie behind it (law 23).
pub async fn a_clock_put_forward_ends_leases_and_fires_timers(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store
        .create(with(ready(key("leased"), store.start), |head| head.lease = Some(lease("w", HOUR_MS as u64))))
        .await;
    let later = store.start.plus_ms(300 * HOUR_MS as u64);
    store.create(with(idle(key("timer"), store.start.plus_ms(1)), |head| head.wake_at = Some(later))).await;
    store.advance_ms(1_000 * HOUR_MS);
    assert_eq!(store.due().await, ["leased", "timer"]);
    assert_eq!(names(&store.claim(&claim("other", 10)).await), ["leased", "timer"]);
}

/// A timer that was due, and is not since the clock was put back, is due again when the clock passes it (law 23).
pub async fn a_timer_fires_again_after_the_clock_was_put_back(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let at = store.start.plus_ms(HOUR_MS as u64);
    store.create(with(idle(key("a"), store.start), |head| head.wake_at = Some(at))).await;
    for round in 0..3 {
        assert_eq!(names(&store.claim(&claim("early", 1)).await), NONE, "round {round}, before");
        store.advance_ms(2 * HOUR_MS);
        assert_eq!(store.due().await, ["a"], "round {round}, behind");
        store.advance_ms(-2 * HOUR_MS);
        assert_eq!(store.due().await, NONE, "round {round}, back");
    }
    store.advance_ms(2 * HOUR_MS);
    assert_eq!(names(&store.claim(&claim("w", 1)).await), ["a"], "though it was looked at in vain before");
}

/// A lease taken while the clock was ahead holds after it was put back; the owner can still commit (law 23).
pub async fn a_lease_taken_on_a_clock_ahead_holds(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(ready(key("a"), store.start)).await;
    store.advance_ms(10 * HOUR_MS);
    let claimed = store.claim(&claim("w", 1)).await;
    assert_eq!(names(&claimed), ["a"]);
    store.advance_ms(-10 * HOUR_MS);
    assert_eq!(names(&store.claim(&claim("other", 1)).await), NONE);
    store.accept(&extended(&claimed[0], 1)).await;
}

/// A renewal after the clock was put back ends by the clock as it is now: a run is not held for ever (laws 14 and 23).
pub async fn a_renewal_goes_by_the_clock_as_it_is(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head =
        with(ready(key("a"), store.start.plus_ms(1)), |head| head.lease = Some(lease("w", HOUR_MS as u64)));
    store.advance_ms(10 * HOUR_MS);
    let head = store.create(head).await;
    store.advance_ms(-10 * HOUR_MS);
    store.accept(&edited(&head, |head| head.lease = Some(lease("w", HOUR_MS as u64)))).await;
    store.advance_ms(HOUR_MS);
    assert_eq!(store.due().await, ["a"]);
    assert_eq!(names(&store.claim(&claim("other", 1)).await), ["a"]);
}

/// Mail wakes a run wherever the clock stands (laws 15 and 23).
pub async fn mail_wakes_a_run_wherever_the_clock_stands(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (run, jump) in [("a", -1_000 * HOUR_MS), ("b", 5_000 * HOUR_MS), ("c", -2 * HOUR_MS)] {
        store.create(idle(key(run), store.start)).await;
        store.accept(&posting(&key(run), &["m"])).await;
        store.advance_ms(jump);
        assert!(store.due().await.contains(&run.to_owned()), "{run}, after a jump of {jump} ms");
    }
}

/// An exclusive store that is opened on a clock put back has no dead owner's lease left either; a shared one keeps
/// it until its end (laws 17 and 23).
pub async fn opening_on_a_clock_put_back_goes_by_the_same_rule(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.advance_ms(10 * HOUR_MS);
    store
        .create(with(ready(key("a"), store.start.plus_ms(1)), |head| {
            head.lease = Some(lease("w", HOUR_MS as u64));
        }))
        .await;
    let is_exclusive = store.info().await.exclusive;
    store.advance_ms(-9 * HOUR_MS);
    store.reopen().await;
    let expected: &[&str] = if is_exclusive { &["a"] } else { &[] };
    assert_eq!(store.due().await, expected, "exclusive: {is_exclusive}");
}
