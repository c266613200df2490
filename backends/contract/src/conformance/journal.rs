//! The journal is read in order, without gap, from anywhere (law 9).

use super::Harness;
use super::sample::{creation, extended, idle, key, records};
use super::store::{Store, must};
use crate::limits::PAGE_ITEMS_MAX;
use crate::record::Seq;

/// Records come back in the order of `seq`, over many commits, without gap or repeat (law 9).
pub async fn records_are_returned_in_sequence(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    for n in [1, 3, 0, 2, 12] {
        let head = store.head(&key("a")).await;
        store.accept(&extended(&head, n)).await;
    }
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 19));
}

/// A journal is read from any place on, and not beyond the limit (law 9).
pub async fn a_journal_is_read_from_any_place(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 12)).await;
    for (from, limit, expected) in [(1, 5, 1..=5), (4, 3, 4..=6), (10, 5, 10..=12), (12, 1, 12..=12)] {
        let page = must(store.backend().journal(&key("a"), Seq(from), limit).await, "journal");
        let seqs: Vec<u64> = page.iter().map(|record| record.seq.0).collect();
        assert_eq!(seqs, expected.collect::<Vec<_>>(), "from {from}, at most {limit}");
    }
}

/// Behind its end a journal is empty, and so is that of a run that is not there (law 9).
pub async fn a_journal_is_empty_behind_its_end(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 2)).await;
    for (run, from) in [("a", 3), ("a", 1_000_000), ("ghost", 1)] {
        let page = must(store.backend().journal(&key(run), Seq(from), 10).await, "journal");
        assert_eq!(page, [], "{run} from {from}");
    }
}

/// A run can be made, and its head replaced, without any record (law 9).
pub async fn a_head_can_change_without_a_record(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    store.edit(&head, |head| head.priority = 1).await;
    assert_eq!(store.journal(&key("a")).await, []);
}

/// A journal of several thousand records is read whole, in pages of any size (law 9).
pub async fn a_long_journal_is_read_page_by_page(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 1)).await;
    for n in [2_499, 1, 2_500] {
        let head = store.head(&key("a")).await;
        store.accept(&extended(&head, n)).await;
    }
    let expected = records(Seq::FIRST, 5_001);
    for limit in [PAGE_ITEMS_MAX, 999, 250] {
        assert!(store.journal_by(&key("a"), limit).await == expected, "in pages of {limit}");
    }
}

/// A page is full unless it is the last: fewer records than asked for mean the end (law 9).
pub async fn only_the_last_page_of_a_journal_is_short(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), 25)).await;
    for (from, len) in [(1, 10), (11, 10), (21, 5)] {
        let page = must(store.backend().journal(&key("a"), Seq(from), 10).await, "journal");
        assert_eq!(page.len(), len, "from {from}");
    }
}

/// A limit over the largest page is read as the largest page (law 9).
pub async fn a_journal_page_is_no_larger_than_the_largest(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(idle(key("a"), store.start), PAGE_ITEMS_MAX + 1)).await;
    let page = must(store.backend().journal(&key("a"), Seq::FIRST, usize::MAX).await, "journal");
    assert_eq!(page.len(), PAGE_ITEMS_MAX);
}

/// Journals of different runs do not mix, though they are written in turns (law 9).
pub async fn journals_do_not_mix(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let keys = [key("a"), key("b"), key("c")];
    for run in &keys {
        store.accept(&creation(idle(run.clone(), store.start), 1)).await;
    }
    for round in 1..=3_usize {
        let mut call = Vec::new();
        for (i, run) in keys.iter().enumerate() {
            call.push(extended(&store.head(run).await, round + i));
        }
        store.accept_all(&call).await;
    }
    for (i, run) in keys.iter().enumerate() {
        assert_eq!(store.journal(run).await, records(Seq::FIRST, 7 + 3 * i), "{run}");
    }
}
