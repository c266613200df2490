//! Keys that look alike are different keys, and no tenant reaches another's run (law 19).

use super::Harness;
use super::sample::{
    claim, creation, extended, idle, key_of, message, posting, ready, records, taking, with,
};
use super::store::Store;
use crate::batch::Batch;
use crate::head::Status;
use crate::key::{RunKey, TenantId};
use crate::limits::ID_BYTES_MAX;
use crate::query::{Claim, Order, Query};
use crate::record::Seq;

fn look_alikes() -> Vec<RunKey> {
    [
        ("a", "b.c"),
        ("a.b", "c"),
        ("a", "b-c"),
        ("a-b", "c"),
        ("a", "b_c"),
        ("a_b", "c"),
        ("a", "bc"),
        ("ab", "c"),
        ("A", "b.c"),
        ("a", "B.c"),
        ("a", "b.C"),
        ("a", "b"),
        ("a", "b."),
        ("a", ".b"),
        ("a", "-b"),
        ("a", "..."),
        ("a.", "b"),
        ("a", "1"),
        ("a", "01"),
        ("a", "1.0"),
        ("a", "1e0"),
        ("a", "null"),
        ("a", "con"),
        ("a", "head"),
        ("a", "journal.jsonl"),
    ]
    .into_iter()
    .map(|(tenant, run)| key_of(tenant, run))
    .collect()
}

/// Runs whose keys look alike, are prefixes of each other or differ in case only do not share anything (law 19).
pub async fn keys_that_look_alike_are_different_keys(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let keys = look_alikes();
    for (i, key) in keys.iter().enumerate() {
        let mut batch = creation(idle(key.clone(), store.start.plus_ms(i as u64)), i + 1);
        batch.post = vec![message(&format!("m{i}"))];
        store.accept(&batch).await;
    }
    for _ in 0..2 {
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(store.head(key).await.next_seq, Seq::FIRST.plus(i + 1), "{key}");
            assert_eq!(store.journal(key).await, records(Seq::FIRST, i + 1), "{key}");
            assert_eq!(store.mail(key).await, [format!("m{i}")], "{key}");
        }
        let found: Vec<RunKey> = store
            .scan(&Query { order: Order::Oldest, ..Query::default() })
            .await
            .into_iter()
            .map(|head| head.key)
            .collect();
        assert_eq!(found, keys);
        store.reopen().await;
    }
}

/// Writing to one of several look-alikes changes that one only (law 19).
pub async fn a_write_reaches_one_key_only(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for key in look_alikes() {
        store.create(idle(key, store.start)).await;
    }
    let mut expected = store.traces().await;
    for key in look_alikes() {
        let mut batch = extended(&store.head(&key).await, 2);
        batch.post = vec![message("m")];
        store.accept(&batch).await;
        expected.insert(key.clone(), store.trace(&key).await);
        assert_eq!(store.traces().await, expected, "after writing to {key}");
    }
}

/// The same run id in two tenants is two runs, for every call (law 19).
pub async fn one_run_id_in_two_tenants_is_two_runs(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let (ours, theirs) = (key_of("ours", "order-1"), key_of("theirs", "order-1"));
    store.accept(&creation(ready(ours.clone(), store.start), 2)).await;
    assert_eq!(store.find(&theirs).await, None);
    assert_eq!(store.journal(&theirs).await, []);
    assert_eq!(store.reject(&posting(&theirs, &["m"])).await, None);
    store.accept(&creation(ready(theirs.clone(), store.start), 1)).await;
    store.accept(&posting(&theirs, &["m"])).await;
    assert_eq!(store.mail(&ours).await, [""; 0]);
    let before = store.trace(&ours).await;
    let taken = taking(&store.head(&theirs).await, &["m"]);
    store
        .accept(&Batch {
            head: taken.head.map(|head| with(head, |head| head.status = Status::Failed)),
            ..taken
        })
        .await;
    assert_eq!(store.remove(std::slice::from_ref(&theirs)).await, 1);
    assert_eq!(store.trace(&ours).await, before);
}

/// Even a version learned from another tenant opens nothing (law 19).
pub async fn a_version_of_another_tenant_opens_nothing(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let ours = store.create(idle(key_of("ours", "order-1"), store.start)).await;
    let theirs = store.create(idle(key_of("theirs", "order-1"), store.start)).await;
    let forged = with(theirs.clone(), |head| head.version = ours.version);
    assert_eq!(store.reject(&extended(&forged, 1)).await, Some(theirs.version));
    assert_eq!(store.head(&ours.key).await, ours);
    assert_eq!(store.head(&theirs.key).await, theirs);
}

/// A scan and a claim for a tenant return nothing of others, with every filter and order (law 19).
pub async fn no_scan_or_claim_reaches_another_tenant(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for tenant in ["a", "a.b", "ab", "A", "a-"] {
        for run in ["x", "y"] {
            let key = key_of(tenant, run);
            store.create(ready(key.clone(), store.start)).await;
            store.accept(&posting(&key, &["m"])).await;
        }
    }
    let tenant = TenantId::new("a").expect("a valid id");
    let of = |query: Query| Query { tenant: Some(tenant.clone()), ..query };
    let queries = [
        Query::default(),
        Query { order: Order::Oldest, ..Query::default() },
        Query { due: true, ..Query::default() },
        Query { with_mail: true, ..Query::default() },
        Query { statuses: vec![Status::Queued], ..Query::default() },
    ];
    for query in queries {
        let found = store.scan_by(&of(query.clone()), 1).await;
        assert_eq!(found.len(), 2, "{query:?}");
        assert!(found.iter().all(|head| head.key.tenant == tenant), "{query:?}: {found:?}");
    }
    let claimed = store.claim(&Claim { tenant: Some(tenant.clone()), ..claim("w", 100) }).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|head| head.key.tenant == tenant), "{claimed:?}");
}

/// Ids of the greatest length work in every place, also when they differ in the last byte only (law 19).
pub async fn ids_of_the_greatest_length_work_everywhere(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    let long = |last: &str| format!("{}{last}", "x".repeat(ID_BYTES_MAX - last.len()));
    let (one, two) = (key_of(&long("t"), &long("1")), key_of(&long("t"), &long("2")));
    let head = with(ready(one.clone(), store.start), |head| {
        head.queue = super::sample::name(&long("q"));
        head.workflow = super::sample::name(&long("w"));
        head.tags = super::sample::tag(&long("n"), "value");
    });
    store.accept(&creation(head, 1)).await;
    store.accept(&creation(ready(two.clone(), store.start), 2)).await;
    store.accept(&posting(&one, &[&long("1"), &long("2"), &long("1")])).await;
    let claimed = store.claim(&claim(&long("w"), 10)).await;
    assert_eq!(claimed.len(), 2);
    store.reopen().await;
    assert_eq!(store.journal(&one).await.len(), 1);
    assert_eq!(store.journal(&two).await.len(), 2);
    assert_eq!(store.mail(&one).await, [long("1"), long("2")]);
    let by_worker = Query { leased_by: Some(super::sample::worker(&long("w"))), ..Query::default() };
    assert_eq!(store.scan(&by_worker).await.len(), 2);
}

/// Message ids that look alike are different messages (law 10).
pub async fn message_ids_that_look_alike_are_different(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let key = key_of("t", "a");
    let head = store.create(idle(key.clone(), store.start)).await;
    let ids = ["m", "M", "m.", "m-1", "m-01", "m.1", "1", "01", "1.0", "-1", "null"];
    store.accept(&posting(&key, &ids)).await;
    assert_eq!(store.mail(&key).await, ids);
    store.accept(&taking(&head, &["M", "1"])).await;
    assert_eq!(store.mail(&key).await, ["m", "m.", "m-1", "m-01", "m.1", "01", "1.0", "-1", "null"]);
}
