//! Messages arrive once, in order, and go only with a write of the head (laws 10 to 13).

use super::Harness;
use super::sample::{creation, edited, idle, key, message, message_id, payload, posting, taking, with};
use super::store::{Store, must};
use crate::batch::Batch;
use crate::clock::Timestamp;
use crate::head::Status;
use crate::limits::PAGE_ITEMS_MAX;

const NONE: [&str; 0] = [];

/// A message comes back with everything it said (law 11).
pub async fn a_posted_message_waits_in_the_inbox(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    store.accept(&Batch::post(key("a"), message("m1"))).await;
    assert_eq!(store.inbox(&key("a")).await, [message("m1")]);
}

/// Messages are returned in the order of posting: not by id, not by the sender's clock (law 11).
pub async fn messages_are_returned_in_the_order_of_posting(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    for (i, id) in ["m9", "m1", "m10", "Z", "a", "m2"].into_iter().enumerate() {
        let mut message = message(id);
        message.at = Timestamp(9_000 - i as i64);
        store.accept(&Batch::post(key("a"), message)).await;
    }
    store.accept(&posting(&key("a"), &["m0", "b", "B"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m9", "m1", "m10", "Z", "a", "m2", "m0", "b", "B"]);
}

/// Taking some messages leaves the order of the others as it was (law 11).
pub async fn taking_keeps_the_order_of_the_rest(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1", "m2", "m3", "m4", "m5"])).await;
    store.accept(&taking(&head, &["m4", "m1"])).await;
    store.accept(&posting(&key("a"), &["m6"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m2", "m3", "m5", "m6"]);
}

/// Posting an id that waits already has no effect: the first message stays as it is, in its place (law 10).
pub async fn a_message_id_is_posted_once(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1", "m2"])).await;
    let mut again = message("m1");
    again.payload = payload(&serde_json::json!("something else"));
    again.crc = again.payload.checksum();
    store.accept(&Batch::post(key("a"), again)).await;
    assert_eq!(store.inbox(&key("a")).await, [message("m1"), message("m2")]);
}

/// An id is delivered once, also when it is posted again after it was taken (law 10).
pub async fn a_taken_message_does_not_come_back(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1"])).await;
    store.accept(&taking(&head, &["m1"])).await;
    assert_eq!(store.mail(&key("a")).await, NONE);
    store.accept(&posting(&key("a"), &["m1", "m2", "m1"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m2"]);
}

/// An id that stands twice in one batch is delivered once (law 10).
pub async fn an_id_twice_in_one_batch_is_delivered_once(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1", "m2", "m1"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m1", "m2"]);
}

/// The same id names one message in each run (law 10).
pub async fn an_id_is_used_up_within_its_run_only(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.create(idle(key("b"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1"])).await;
    store.accept(&taking(&head, &["m1"])).await;
    store.accept(&posting(&key("b"), &["m1"])).await;
    assert_eq!(store.mail(&key("b")).await, ["m1"]);
    assert_eq!(store.mail(&key("a")).await, NONE);
}

/// Taking an id that was never posted has no effect; it may still arrive (law 10).
pub async fn taking_an_unknown_id_does_not_use_it_up(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1"])).await;
    store.accept(&taking(&head, &["m2"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m1"]);
    store.accept(&posting(&key("a"), &["m2"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m1", "m2"]);
}

/// Posting leaves the head as it is, to the last field, so that the owner's next batch holds (law 12).
pub async fn posting_never_changes_the_head(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let leased =
        with(idle(key("a"), store.start), |head| head.lease = Some(super::sample::lease("w", 60_000)));
    let head = store.create(leased).await;
    store.advance_ms(1_000);
    for id in ["m1", "m2", "m1"] {
        store.accept(&posting(&key("a"), &[id])).await;
        assert_eq!(store.head(&key("a")).await, head);
    }
    store.accept(&edited(&head, |head| head.priority = 1)).await;
}

/// An owner whose version is stale takes nothing and posts nothing (law 13).
pub async fn a_stale_owner_takes_no_message(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let stale = store.create(idle(key("a"), store.start)).await;
    store.edit(&stale, |head| head.fence.0 += 1).await;
    store.accept(&posting(&key("a"), &["m1"])).await;
    let mut batch = taking(&stale, &["m1"]);
    batch.post = vec![message("m2")];
    store.reject(&batch).await;
    assert_eq!(store.mail(&key("a")).await, ["m1"]);
}

/// A run can be made with messages that wait for it (law 10).
pub async fn a_run_can_be_made_with_mail(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut batch = creation(idle(key("a"), store.start), 1);
    batch.post = vec![message("m1"), message("m2"), message("m1")];
    store.accept(&batch).await;
    assert_eq!(store.mail(&key("a")).await, ["m1", "m2"]);
    store.accept(&posting(&key("a"), &["m2"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m1", "m2"], "their ids are used up");
}

/// A finished run still gets mail, and is not due for it (laws 4 and 15).
pub async fn a_finished_run_gets_mail_and_is_not_due(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.edit(&head, |head| head.status = Status::Succeeded).await;
    store.accept(&posting(&key("a"), &["m1"])).await;
    assert_eq!(store.mail(&key("a")).await, ["m1"]);
    assert_eq!(store.due().await, NONE);
}

/// The inbox returns the oldest messages up to the limit (law 11).
pub async fn an_inbox_is_read_up_to_a_limit(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    store.accept(&posting(&key("a"), &["m1", "m2", "m3"])).await;
    for limit in 1..=4_usize {
        let page = must(store.backend().inbox(&key("a"), limit).await, "inbox");
        let expected: Vec<_> = ["m1", "m2", "m3"].into_iter().take(limit).map(message).collect();
        assert_eq!(page, expected, "at most {limit}");
    }
}

/// A limit over the largest page is read as the largest page (law 11).
pub async fn an_inbox_page_is_no_larger_than_the_largest(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    let ids: Vec<String> = (0..=PAGE_ITEMS_MAX).map(|i| format!("m{i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    store.accept(&posting(&key("a"), &ids)).await;
    let page = must(store.backend().inbox(&key("a"), usize::MAX).await, "inbox");
    assert_eq!(page.len(), PAGE_ITEMS_MAX);
    let mut batch = taking(&head, &[]);
    batch.take = page.iter().map(|message| message.id.clone()).collect();
    store.accept(&batch).await;
    assert_eq!(store.mail(&key("a")).await, [ids[PAGE_ITEMS_MAX]], "the rest follows once these are taken");
}

/// A run that is not there has no mail.
pub async fn an_absent_run_has_no_mail(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    assert_eq!(store.mail(&key("ghost")).await, NONE);
}

/// A message to a run that waits for one makes it due (law 15).
pub async fn a_message_wakes_a_waiting_run(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(with(idle(key("a"), store.start), |head| head.status = Status::Waiting)).await;
    assert_eq!(store.due().await, NONE);
    store.accept(&posting(&key("a"), &["m1"])).await;
    assert_eq!(store.due().await, ["a"]);
    assert_eq!(super::store::names(&store.claim(&super::sample::claim("w", 10)).await), ["a"]);
}

/// A message to a run whose timer lies in the future makes it due at once (law 15).
pub async fn a_message_does_not_wait_for_the_timer(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let later = store.start.plus_ms(3_600_000);
    store.create(with(idle(key("a"), store.start), |head| head.wake_at = Some(later))).await;
    assert_eq!(store.due().await, NONE);
    store.accept(&posting(&key("a"), &["m1"])).await;
    assert_eq!(store.due().await, ["a"]);
}

/// A message that arrives after the owner has read the inbox and before it parks the run still wakes it (law 15).
pub async fn a_message_between_reading_and_parking_is_not_lost(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let leased = with(idle(key("a"), store.start), |head| {
        head.status = Status::Running;
        head.lease = Some(super::sample::lease("w", 60_000));
    });
    let head = store.create(leased).await;
    assert_eq!(store.mail(&key("a")).await, NONE, "the owner finds nothing");
    store.accept(&posting(&key("a"), &["m1"])).await;
    let park = edited(&head, |head| {
        head.status = Status::Waiting;
        head.lease = None;
    });
    store.accept(&park).await;
    assert_eq!(store.due().await, ["a"], "the run is parked with mail: it is due");
}

/// A run that took all of its mail is not due for mail any more (law 15).
pub async fn a_run_without_mail_sleeps_on(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(with(idle(key("a"), store.start), |head| head.status = Status::Waiting)).await;
    store.accept(&posting(&key("a"), &["m1", "m2"])).await;
    store.accept(&taking(&head, &["m1"])).await;
    assert_eq!(store.due().await, ["a"], "m2 is left");
    let mut batch = edited(&store.head(&key("a")).await, |_| {});
    batch.take = vec![message_id("m2")];
    store.accept(&batch).await;
    assert_eq!(store.due().await, NONE);
}
