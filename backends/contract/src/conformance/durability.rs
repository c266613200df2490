//! What was acknowledged is there after closing and opening, and who may open (laws 17, 20 and 21).

use super::Harness;
use super::sample::{
    claim, creation, extended, idle, key, key_of, lease, message, posting, ready, records, taking, with,
};
use super::store::{Store, names};
use crate::error::{BackendError, FaultKind};
use crate::head::Status;
use crate::query::Query;
use crate::record::Seq;

const NONE: [&str; 0] = [];

/// Heads, journals and inboxes of every sort of run are there after a reopening (law 20).
pub async fn reopening_keeps_every_part_of_every_run(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    for (i, status) in Status::ALL.into_iter().enumerate() {
        let head = with(idle(key_of("acme", status.as_str()), store.start.plus_ms(i as u64)), |head| {
            head.status = status;
            head.tags = super::sample::tag("n", "1");
        });
        let mut batch = creation(head, i);
        batch.post = vec![message("m1"), message("m2"), message("m3")];
        store.accept(&batch).await;
        let stored = store.head(&batch.key).await;
        store.accept(&extended(&stored, 1)).await;
        let stored = store.head(&batch.key).await;
        store.accept(&taking(&stored, &["m2"])).await;
    }
    let before = store.traces().await;
    assert_eq!(before.len(), Status::ALL.len());
    for round in 1..=3 {
        store.reopen().await;
        assert_eq!(store.traces().await, before, "after reopening {round}");
    }
}

/// A reopened store still knows which message ids it has seen, taken or not (laws 10 and 20).
pub async fn reopening_keeps_the_ids_that_were_seen(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["taken", "waits"])).await;
    store.accept(&taking(&head, &["taken"])).await;
    store.reopen().await;
    store.accept(&posting(&key("a"), &["taken", "waits", "new"])).await;
    assert_eq!(store.mail(&key("a")).await, ["waits", "new"]);
}

/// A write whose reply was lost is still recognised after a reopening (laws 6 and 20).
pub async fn a_batch_repeated_after_reopening_is_accepted_without_effect(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    let batch = extended(&store.head(&key("a")).await, 2);
    store.accept(&batch).await;
    store.reopen().await;
    store.accept(&batch).await;
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 3));
}

/// A reopened store rejects what it would have rejected before (laws 4 and 20).
pub async fn a_reopened_store_still_refuses_a_stale_version(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let stale = store.create(idle(key("a"), store.start)).await;
    let present = store.edit(&stale, |head| head.priority = 1).await;
    store.reopen().await;
    assert_eq!(store.reject(&extended(&stale, 1)).await, Some(present.version));
    store.accept(&extended(&present, 1)).await;
}

/// Timers and mail wake runs after a reopening as before (laws 15 and 20).
pub async fn a_reopened_store_still_knows_what_is_due(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.create(with(ready(key("first"), store.start.plus_ms(1)), |head| head.priority = 5)).await;
    store.create(ready(key("second"), store.start)).await;
    store.create(idle(key("mail"), store.start.plus_ms(2))).await;
    store.accept(&posting(&key("mail"), &["m"])).await;
    let later = store.start.plus_ms(600_000);
    store.create(with(idle(key("later"), store.start), |head| head.wake_at = Some(later))).await;
    store.advance_ms(60_000);
    store.reopen().await;
    assert_eq!(names(&store.claim(&claim("w", 10)).await), ["first", "second", "mail"]);
    store.advance_ms(600_000);
    assert_eq!(
        store.due().await,
        ["later", "second", "first", "mail"],
        "leases have ended and the timer has fired"
    );
}

/// A removed run stays removed (laws 20 and 22).
pub async fn a_removed_run_stays_removed_after_reopening(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.accept(&creation(with(idle(key("a"), store.start), |head| head.status = Status::Failed), 2)).await;
    assert_eq!(store.remove(&[key("a")]).await, 1);
    store.reopen().await;
    assert_eq!(store.find(&key("a")).await, None);
    assert_eq!(store.journal(&key("a")).await, []);
    assert_eq!(store.runs(&Query::default()).await, NONE);
}

/// A reopened store goes on being written as before, again and again (law 20).
pub async fn a_store_is_written_across_many_reopenings(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    for round in 1..=8_usize {
        store.reopen().await;
        let head = store.head(&key("a")).await;
        store.accept(&extended(&head, 3)).await;
        store.create(idle(key(&format!("made-in-{round}")), store.start.plus_ms(round as u64))).await;
    }
    store.reopen().await;
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 25));
    assert_eq!(store.runs(&Query::default()).await.len(), 9);
}

/// The identity of a store is the same at every opening (law 20).
pub async fn a_store_keeps_its_identity(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let first = store.info().await;
    store.reopen().await;
    let again = store.info().await;
    assert_eq!(again.id, first.id);
    assert_eq!(
        (again.backend, again.durability, again.exclusive),
        (first.backend, first.durability, first.exclusive)
    );
}

/// A store that nothing has happened to says that it is well.
pub async fn a_fresh_store_is_healthy(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let health = store.info().await.health;
    assert!(!matches!(health, crate::info::Health::Poisoned(_)), "{health:?}");
}

/// A second opening of an exclusive store fails at once as `Locked` and names the process that holds it; a shared
/// store lets both see and write the same (law 21).
pub async fn a_second_opener_is_refused_or_sees_the_same(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    let beside = store.open_beside().await;
    if store.info().await.exclusive {
        match beside {
            Err(BackendError::Definite(fault)) if fault.kind == FaultKind::Locked => {
                let pid = std::process::id().to_string();
                let told = fault.to_string();
                assert!(told.contains(&pid), "the error must name the holder, process {pid}: {told}");
            }
            Err(other) => panic!("expected Definite(Locked), got {other:?}"),
            Ok(_) => panic!("expected Definite(Locked): an exclusive store was opened twice at once"),
        }
        return;
    }
    let beside = match beside {
        Ok(beside) => beside,
        Err(error) => panic!("a shared store must let a second opener in: {error:?}"),
    };
    assert_eq!(beside.traces().await, store.traces().await);
    let head = beside.head(&key("a")).await;
    beside.accept(&extended(&head, 2)).await;
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 3), "what one writes the other reads");
    store.reject(&extended(&head, 2)).await;
    assert_eq!(beside.info().await.id, store.info().await.id);
}

/// An opening that was refused, or that joined a shared store, changes nothing: no lease ends, no write is lost
/// (law 21).
pub async fn a_second_opener_changes_nothing(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let head = with(ready(key("a"), store.start), |head| head.lease = Some(lease("w", 60_000)));
    store.accept(&creation(head, 2)).await;
    store.accept(&posting(&key("a"), &["m"])).await;
    let before = store.traces().await;
    let id = store.info().await.id;
    for _ in 0..3 {
        drop(store.open_beside().await);
        assert_eq!(store.traces().await, before);
    }
    assert_eq!(store.due().await, NONE, "the lease of the holder stands");
    store.accept(&extended(&store.head(&key("a")).await, 1)).await;
    store.reopen().await;
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 3), "the holder's writes are kept");
    assert_eq!(store.info().await.id, id);
}

/// Once the holder has closed it, an exclusive store can be opened by the next, though one was refused before
/// (law 21).
pub async fn a_closed_store_can_be_opened_by_the_next(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    drop(store.open_beside().await);
    store.reopen().await;
    assert!(store.find(&key("a")).await.is_some());
    store.create(idle(key("b"), store.start)).await;
}
