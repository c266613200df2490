//! Finished runs can be deleted, whole, and only they (law 22).

use super::Harness;
use super::sample::{creation, extended, idle, key, key_of, message, posting, records, taking, with};
use super::store::Store;
use crate::batch::Batch;
use crate::clock::Timestamp;
use crate::head::{Head, Status};
use crate::key::RunKey;
use crate::query::Query;
use crate::record::Seq;

const NONE: [&str; 0] = [];

fn finished(key: RunKey, at: Timestamp) -> Head {
    with(idle(key, at), |head| {
        head.status = Status::Succeeded;
        head.finished_at = Some(at);
    })
}

/// Nothing is left of a removed run: no head, no record, no message, no place in a scan (law 22).
pub async fn a_finished_run_is_removed_whole(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut batch = creation(finished(key("a"), store.start), 3);
    batch.post = vec![message("m")];
    store.accept(&batch).await;
    assert_eq!(store.remove(&[key("a")]).await, 1);
    assert_eq!(store.find(&key("a")).await, None);
    assert_eq!(store.journal(&key("a")).await, []);
    assert_eq!(store.mail(&key("a")).await, NONE);
    assert_eq!(store.runs(&Query::default()).await, NONE);
    let done = Query { statuses: vec![Status::Succeeded], ..Query::default() };
    assert_eq!(store.runs(&done).await, NONE);
    assert_eq!(store.reject(&posting(&key("a"), &["m2"])).await, None);
}

/// Unfinished runs are left alone, whatever their status (law 22).
pub async fn an_unfinished_run_is_not_removed(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for status in Status::ALL {
        store
            .accept(&creation(with(idle(key(status.as_str()), store.start), |head| head.status = status), 1))
            .await;
    }
    for status in Status::ALL {
        let key = key(status.as_str());
        let expected = usize::from(status.is_finished());
        assert_eq!(store.remove(std::slice::from_ref(&key)).await, expected, "{status}");
        assert_eq!(store.find(&key).await.is_none(), status.is_finished(), "{status}");
        assert_eq!(store.journal(&key).await.len(), 1 - expected, "{status}");
    }
}

/// The count says how many were deleted: unknown, unfinished and repeated keys do not count (law 22).
pub async fn the_count_of_removed_runs_is_right(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for run in ["a", "b", "c"] {
        store.create(finished(key(run), store.start)).await;
    }
    store.create(idle(key("open"), store.start)).await;
    let keys = ["a", "ghost", "open", "a", "b"].map(key);
    assert_eq!(store.remove(&keys).await, 2);
    assert_eq!(store.remove(&keys).await, 0, "they are gone already");
    assert_eq!(store.remove(&[]).await, 0);
    assert!(store.find(&key("c")).await.is_some(), "a run that was not named stays");
}

/// The id of a removed run can be used again, from the first version and the first record on (law 22).
pub async fn the_id_of_a_removed_run_can_be_used_again(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.accept(&creation(finished(key("a"), store.start), 3)).await;
    assert_eq!(store.remove(&[key("a")]).await, 1);
    let again = creation(idle(key("a"), store.start.plus_ms(5)), 2);
    store.accept(&again).await;
    for _ in 0..2 {
        assert_eq!(store.find(&key("a")).await, again.head);
        assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 2));
        assert_eq!(store.runs(&Query::default()).await, ["a"]);
        store.reopen().await;
    }
}

/// A run made anew under a used id knows nothing of the messages of the former one (laws 10 and 22).
pub async fn a_removed_run_takes_its_message_ids_with_it(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["taken", "waits"])).await;
    let mut last = taking(&head, &["taken"]);
    last.head = last.head.map(|head| with(head, |head| head.status = Status::Cancelled));
    store.accept(&last).await;
    assert_eq!(store.remove(&[key("a")]).await, 1);
    store.create(idle(key("a"), store.start)).await;
    assert_eq!(store.mail(&key("a")).await, NONE);
    store.accept(&posting(&key("a"), &["taken", "waits"])).await;
    assert_eq!(store.mail(&key("a")).await, ["taken", "waits"]);
}

/// An owner of the former run cannot write into the new one of the same id (laws 4 and 22).
pub async fn an_owner_of_a_removed_run_is_refused_by_its_successor(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let former = store.create(finished(key("a"), store.start)).await;
    assert_eq!(store.remove(&[key("a")]).await, 1);
    assert_eq!(store.reject(&extended(&former, 1)).await, None);
    let fresh = store.create(idle(key("a"), store.start)).await;
    assert_eq!(store.reject(&extended(&former, 1)).await, Some(fresh.version));
}

/// Removing touches no other run, of whatever tenant (laws 19 and 22).
pub async fn removing_touches_no_other_run(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let keys = [
        key_of("t", "a"),
        key_of("t", "a.b"),
        key_of("t", "a-1"),
        key_of("t2", "a"),
        key_of("T", "a"),
        key_of("t", "A"),
    ];
    for run in &keys {
        let mut batch = creation(finished(run.clone(), store.start), 2);
        batch.post = vec![message("m")];
        store.accept(&batch).await;
    }
    let mut expected = store.traces().await;
    for run in &keys {
        expected.remove(run);
        assert_eq!(store.remove(std::slice::from_ref(run)).await, 1);
        assert_eq!(store.traces().await, expected, "after removing {run}");
    }
}

/// Many runs are removed in one call (law 22).
pub async fn many_runs_are_removed_in_one_call(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<Batch> =
        (0..250).map(|i| creation(finished(key(&format!("r{i}")), store.start), 1)).collect();
    store.accept_all(&batches).await;
    store.create(idle(key("stays"), store.start)).await;
    let keys: Vec<RunKey> = batches.into_iter().map(|batch| batch.key).collect();
    assert_eq!(store.remove(&keys).await, 250);
    assert_eq!(store.runs(&Query::default()).await, ["stays"]);
}
