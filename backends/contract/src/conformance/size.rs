//! What fits and what is refused is the same in every store (law 8).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Harness;
use super::sample::{
    creation, edited, extended, idle, key, message, message_id, name, payload_of, posting, records, taking,
    with,
};
use super::store::Store;
use crate::batch::Batch;
use crate::error::FaultKind;
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, PAYLOAD_BYTES_MAX, SUMMARY_BYTES_MAX, TAG_BYTES_MAX, TAGS_MAX,
};
use crate::record::{Payload, Seq};

fn filled(mut batch: Batch, payloads: &[Payload]) -> Batch {
    for (record, payload) in batch.append.iter_mut().zip(payloads) {
        record.payload = payload.clone();
        record.crc = payload.checksum();
    }
    batch
}

/// A batch of exactly the greatest size in bytes is accepted (law 8).
pub async fn a_batch_of_the_greatest_size_is_accepted(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let full = vec![payload_of(PAYLOAD_BYTES_MAX); BATCH_BYTES_MAX / PAYLOAD_BYTES_MAX];
    let batch = filled(creation(idle(key("a"), store.start), full.len()), &full);
    store.accept(&batch).await;
    assert!(store.journal(&key("a")).await == batch.append, "the journal differs from what was written");
}

/// One byte more is refused as `TooLarge`, records and messages counted together, and leaves no trace (law 8).
pub async fn a_batch_over_the_greatest_size_is_refused(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let full = vec![payload_of(PAYLOAD_BYTES_MAX); BATCH_BYTES_MAX / PAYLOAD_BYTES_MAX];
    let mut batch = filled(creation(idle(key("a"), store.start), full.len()), &full);
    batch.post = vec![message("m")];
    store.refuse(&[batch], FaultKind::TooLarge).await;
    assert_eq!(store.find(&key("a")).await, None);
}

/// Several batches of one call may be larger together than one may be (law 8).
pub async fn a_call_may_be_larger_than_a_batch(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let half = vec![payload_of(PAYLOAD_BYTES_MAX); BATCH_BYTES_MAX / PAYLOAD_BYTES_MAX / 2];
    let batches: Vec<Batch> =
        ["a", "b", "c"].map(|run| filled(creation(idle(key(run), store.start), half.len()), &half)).into();
    store.accept_all(&batches).await;
    for batch in &batches {
        assert!(store.journal(&batch.key).await == batch.append, "the journal of {} differs", batch.key);
    }
}

/// As many records as a batch may hold are accepted; one more is refused (law 8).
pub async fn a_batch_holds_so_many_records(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.refuse(&[creation(idle(key("a"), store.start), BATCH_ITEMS_MAX + 1)], FaultKind::TooLarge).await;
    assert_eq!(store.find(&key("a")).await, None);
    store.accept(&creation(idle(key("a"), store.start), BATCH_ITEMS_MAX)).await;
    assert!(store.journal(&key("a")).await == records(Seq::FIRST, BATCH_ITEMS_MAX), "the journal differs");
}

/// More messages posted or taken than a batch may hold are refused (law 8).
pub async fn a_batch_holds_so_many_messages(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    let mut posts = posting(&key("a"), &[]);
    posts.post = vec![message("m"); BATCH_ITEMS_MAX + 1];
    let mut takes = taking(&head, &[]);
    takes.take = vec![message_id("m"); BATCH_ITEMS_MAX + 1];
    for batch in [posts, takes] {
        store.refuse(&[batch], FaultKind::TooLarge).await;
    }
    assert_eq!(store.head(&key("a")).await, head);
    assert_eq!(store.mail(&key("a")).await, [""; 0]);
}

/// A summary of exactly the greatest length is kept; one byte more is refused (law 8).
pub async fn a_summary_has_a_greatest_length(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    let head = store.edit(&head, |head| head.summary = payload_of(SUMMARY_BYTES_MAX)).await;
    assert_eq!(head.summary.text().len(), SUMMARY_BYTES_MAX);
    let over = edited(&head, |head| head.summary = payload_of(SUMMARY_BYTES_MAX + 1));
    store.refuse(&[over], FaultKind::TooLarge).await;
    assert_eq!(store.head(&key("a")).await, head);
}

/// As many tags as allowed, each of the greatest length, are kept; one more, or one longer, is refused (law 8).
pub async fn tags_have_a_greatest_number_and_length(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    let tags = |n: usize, bytes: usize| -> Arc<BTreeMap<_, _>> {
        Arc::new((0..n).map(|i| (name(&format!("t{i}")), "v".repeat(bytes))).collect())
    };
    let head = store.edit(&head, |head| head.tags = tags(TAGS_MAX, TAG_BYTES_MAX)).await;
    assert_eq!(head.tags, tags(TAGS_MAX, TAG_BYTES_MAX));
    for over in [tags(TAGS_MAX + 1, 1), tags(1, TAG_BYTES_MAX + 1)] {
        store.refuse(&[edited(&head, |head| head.tags = over)], FaultKind::TooLarge).await;
        assert_eq!(store.head(&key("a")).await, head);
    }
}

/// A batch over a limit fails its whole call: nothing of the others is applied, wherever it stands (law 8).
pub async fn a_batch_over_a_limit_fails_its_whole_call(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    let over = edited(&head, |head| head.summary = payload_of(SUMMARY_BYTES_MAX + 1));
    let others = [creation(idle(key("b"), store.start), 1), posting(&key("a"), &["m"])];
    for place in 0..=others.len() {
        let mut call = others.to_vec();
        call.insert(place, over.clone());
        store.refuse(&call, FaultKind::TooLarge).await;
        assert_eq!(store.find(&key("b")).await, None, "it stands at place {place}");
        assert_eq!(store.mail(&key("a")).await, [""; 0], "it stands at place {place}");
    }
    store.accept(&extended(&head, 1)).await;
}

/// A store does not grow tired of many small runs: all are kept and found (law 2).
pub async fn a_call_may_hold_thousands_of_batches(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<Batch> = (0..3_000_u64)
        .map(|i| {
            let head = idle(key(&format!("run-{i:04}")), store.start.plus_ms(i));
            creation(with(head, |head| head.priority = (i % 7) as i16), 1)
        })
        .collect();
    store.accept_all(&batches).await;
    let found =
        store.scan(&crate::query::Query { order: crate::query::Order::Oldest, ..Default::default() }).await;
    let written: Vec<_> = batches.into_iter().filter_map(|batch| batch.head).collect();
    assert!(found == written, "{} heads were written, {} found", written.len(), found.len());
}
