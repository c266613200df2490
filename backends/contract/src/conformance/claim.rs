//! Which runs a claim takes, in what order, and what it makes of them (law 16).

use super::Harness;
use super::sample::{
    claim, creation, extended, idle, key, key_of, lease, name, posting, ready, records, with, worker,
    workflow,
};
use super::store::{Store, names};
use crate::clock::Timestamp;
use crate::head::{Head, Status};
use crate::key::TenantId;
use crate::limits::CLAIM_RUNS_MAX;
use crate::query::Claim;
use crate::record::Seq;

const NONE: [&str; 0] = [];

/// A claim raises the fence by one, writes a new version and leases the run to the claimer from the store's clock
/// on; everything else of the head stays (law 16).
pub async fn a_claim_takes_the_run_over(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let rich = with(ready(key("a"), store.start), |head| {
        head.fence.0 = 41;
        head.status = Status::Waiting;
        head.tags = super::sample::tag("customer", "c-7");
    });
    store.accept(&creation(rich, 2)).await;
    let free = store.head(&key("a")).await;
    let before = store.now().await;
    let claim = claim("w", 1);
    store.claim(&claim).await;
    let after = store.now().await;
    let held = store.head(&key("a")).await;
    let expected = claim.taken(&free, 0, before);
    let end = held.lease.as_ref().map(|lease| lease.expires_at).expect("a claimed run is leased");
    assert!(end >= before.plus_ms(claim.ttl_ms) && end <= after.plus_ms(claim.ttl_ms), "it ends at {end}");
    let expected = with(expected, |head| head.lease.as_mut().expect("taken").expires_at = end);
    assert_eq!(held, expected);
    assert_eq!(held.fence.0, 42);
    assert_ne!(held.version, free.version);
}

/// A claim leaves the journal and the inbox as they are (law 16).
pub async fn a_claim_touches_neither_journal_nor_inbox(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.accept(&creation(ready(key("a"), store.start), 2)).await;
    store.accept(&posting(&key("a"), &["m1", "m2"])).await;
    assert_eq!(names(&store.claim(&claim("w", 1)).await), ["a"]);
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 2));
    assert_eq!(store.mail(&key("a")).await, ["m1", "m2"]);
}

/// The heads that a claim returns are the heads that are stored (law 16).
pub async fn claimed_heads_are_the_stored_heads(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for run in ["a", "b", "c"] {
        store.create(ready(key(run), store.start)).await;
    }
    let before = store.now().await;
    let claimed = store.claim(&claim("w", 10)).await;
    let slack_ms = store.now().await.since_ms(before);
    assert_eq!(claimed.len(), 3);
    for head in claimed {
        let stored = store.head(&head.key).await;
        let end = |head: &Head| head.lease.as_ref().map(|lease| lease.expires_at).expect("it is leased");
        // A store whose clock runs may read it once for the claim and once for the write.
        assert!(end(&stored).since_ms(end(&head)).max(end(&head).since_ms(end(&stored))) <= slack_ms);
        assert_eq!(with(head, |head| head.lease.clone_from(&stored.lease)), stored);
    }
}

/// The new owner goes on from the head that the claim returned (law 16).
pub async fn the_claimer_can_commit_at_once(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(ready(key("a"), store.start)).await;
    let claimed = store.claim(&claim("w", 1)).await;
    store.accept(&extended(&claimed[0], 2)).await;
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 2));
}

/// What one worker claimed is not claimed by another (law 16).
pub async fn a_claimed_run_is_not_claimed_again(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(ready(key("a"), store.start)).await;
    assert_eq!(names(&store.claim(&claim("first", 10)).await), ["a"]);
    assert_eq!(names(&store.claim(&claim("second", 10)).await), NONE);
    assert_eq!(names(&store.claim(&claim("first", 10)).await), NONE, "not by the same worker either");
    assert_eq!(store.head(&key("a")).await.lease.map(|lease| lease.worker), Some(worker("first")));
}

/// The fence grows by one at each takeover (law 16).
pub async fn the_fence_grows_with_each_takeover(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(ready(key("a"), store.start)).await;
    for fence in 1..=4 {
        let claimed = store.claim(&claim(&format!("w{fence}"), 1)).await;
        assert_eq!(claimed.iter().map(|head| head.fence.0).collect::<Vec<_>>(), [fence]);
        store.advance_ms(60_000);
    }
}

/// Higher priority goes first, and among equals the older run (law 16).
pub async fn a_claim_goes_by_priority_then_age(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let runs = [
        ("low-old", -5, 1),
        ("low-new", -5, 6),
        ("least", i16::MIN, 0),
        ("mid-new", 0, 5),
        ("mid-old", 0, 2),
        ("most", i16::MAX, 7),
        ("high-new", 9, 8),
        ("high-old", 9, 3),
    ];
    for (run, priority, age) in runs {
        let at = store.start.plus_ms(age);
        store.create(with(ready(key(run), at), |head| head.priority = priority)).await;
    }
    store.advance_ms(1_000);
    let expected = ["most", "high-old", "high-new", "mid-old", "mid-new", "low-old", "low-new", "least"];
    let mut order = Vec::new();
    for limit in [3, 1, 2, 10] {
        order.extend(names(&store.claim(&claim("w", limit)).await));
    }
    assert_eq!(order, expected);
}

/// Age is when the run was made, not when it became due (law 16).
pub async fn age_is_counted_from_creation(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let made =
        |run, at, wake_ms| with(idle(key(run), at), |head| head.wake_at = Some(store.start.plus_ms(wake_ms)));
    store.create(made("young-due-first", store.start.plus_ms(2), 10)).await;
    store.create(made("old-due-last", store.start.plus_ms(1), 500)).await;
    store.advance_ms(1_000);
    assert_eq!(names(&store.claim(&claim("w", 10)).await), ["old-due-last", "young-due-first"]);
}

/// A priority changed later counts from then on (law 16).
pub async fn a_changed_priority_counts(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let first = store.create(ready(key("first"), store.start)).await;
    store.create(ready(key("second"), store.start.plus_ms(1))).await;
    store.advance_ms(10);
    assert_eq!(store.due().await, ["first", "second"]);
    store.edit(&first, |head| head.priority = -1).await;
    assert_eq!(names(&store.claim(&claim("w", 10)).await), ["second", "first"]);
}

/// A claim takes no more than its limit; the rest is left as it was (law 16).
pub async fn a_claim_takes_at_most_its_limit(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for i in 0..5 {
        store.create(ready(key(&format!("r{i}")), store.start.plus_ms(i))).await;
    }
    store.advance_ms(10);
    let left = store.head(&key("r2")).await;
    assert_eq!(names(&store.claim(&claim("w", 2)).await), ["r0", "r1"]);
    assert_eq!(store.head(&key("r2")).await, left);
    assert_eq!(store.due().await, ["r2", "r3", "r4"]);
    assert_eq!(names(&store.claim(&claim("w", 0)).await), NONE, "a limit of none takes none");
}

/// No claim takes more than the largest claim, whatever it asks for (law 16).
pub async fn a_claim_is_no_larger_than_the_largest(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<_> =
        (0..=CLAIM_RUNS_MAX).map(|i| creation(ready(key(&format!("r{i}")), store.start), 0)).collect();
    store.accept_all(&batches).await;
    assert_eq!(store.claim(&claim("w", usize::MAX)).await.len(), CLAIM_RUNS_MAX);
    assert_eq!(store.claim(&claim("w", usize::MAX)).await.len(), 1);
}

/// Only runs in the queues asked for are taken (law 16).
pub async fn a_claim_keeps_to_its_queues(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, queue) in ["fast", "slow", "bulk", "fast-2"].into_iter().enumerate() {
        let at = store.start.plus_ms(i as u64);
        store.create(with(ready(key(queue), at), |head| head.queue = name(queue))).await;
    }
    store.advance_ms(10);
    let of = |queues: &[&str]| Claim { queues: queues.iter().copied().map(name).collect(), ..claim("w", 10) };
    assert_eq!(names(&store.claim(&of(&["none"])).await), NONE);
    assert_eq!(names(&store.claim(&of(&["bulk", "fast"])).await), ["fast", "bulk"]);
    assert_eq!(names(&store.claim(&of(&[])).await), ["slow", "fast-2"], "no queue named means any");
}

/// Only runs of the workflows asked for, in the version asked for, are taken (law 16).
pub async fn a_claim_keeps_to_its_workflows_and_versions(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, (run, of, version)) in
        [("o1", "order", 1), ("o2", "order", 2), ("s1", "ship", 1), ("s2", "ship", 2), ("o12", "order", 12)]
            .into_iter()
            .enumerate()
    {
        let at = store.start.plus_ms(i as u64);
        let head = with(ready(key(run), at), |head| {
            head.workflow = name(of);
            head.workflow_version = version;
        });
        store.create(head).await;
    }
    store.advance_ms(10);
    let of = |workflows: &[(&str, u32)]| Claim {
        workflows: workflows.iter().map(|(of, version)| workflow(of, *version)).collect(),
        ..claim("w", 10)
    };
    assert_eq!(names(&store.claim(&of(&[("order", 3), ("orde", 1)])).await), NONE);
    assert_eq!(names(&store.claim(&of(&[("order", 1), ("ship", 2)])).await), ["o1", "s2"]);
    assert_eq!(names(&store.claim(&of(&[])).await), ["o2", "s1", "o12"], "no workflow named means any");
}

/// Only runs of the tenant asked for are taken (laws 16 and 19).
pub async fn a_claim_keeps_to_its_tenant(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, tenant) in ["acme", "acme-2", "zeta"].into_iter().enumerate() {
        store.create(ready(key_of(tenant, tenant), store.start.plus_ms(i as u64))).await;
    }
    store.advance_ms(10);
    let of = |tenant: &str| Claim { tenant: TenantId::new(tenant).ok(), ..claim("w", 10) };
    assert_eq!(names(&store.claim(&of("acm")).await), NONE);
    assert_eq!(names(&store.claim(&of("acme")).await), ["acme"]);
    let any = Claim { tenant: None, ..claim("w", 10) };
    assert_eq!(names(&store.claim(&any).await), ["acme-2", "zeta"], "no tenant named means any");
}

/// The limit counts what fits: runs that other workers want do not use it up (law 16).
pub async fn runs_that_do_not_fit_do_not_use_up_the_limit(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<_> = (0..200)
        .map(|i| {
            let head = with(ready(key(&format!("other-{i}")), store.start), |head| {
                head.queue = name("other");
                head.priority = 10;
            });
            creation(head, 0)
        })
        .collect();
    store.accept_all(&batches).await;
    store.create(ready(key("mine"), store.start)).await;
    let mine = Claim { queues: vec![name("default")], ..claim("w", 1) };
    assert_eq!(names(&store.claim(&mine).await), ["mine"]);
}

/// Finished and paused runs are not claimed, whatever their time and mail say; all others are (laws 15 and 16).
pub async fn finished_and_paused_runs_are_not_claimed(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, status) in Status::ALL.into_iter().enumerate() {
        let at = store.start.plus_ms(i as u64);
        store.create(with(ready(key(status.as_str()), at), |head| head.status = status)).await;
        store.accept(&posting(&key(status.as_str()), &["m"])).await;
    }
    store.advance_ms(10);
    assert_eq!(names(&store.claim(&claim("w", 10)).await), ["queued", "running", "waiting", "cancelling"]);
}

/// A finished run that a person opens again is due, is claimed and can be written, with its journal as it was, also
/// when the store was opened again meanwhile (laws 4 and 16).
pub async fn a_finished_run_that_is_opened_again_goes_on(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    store.accept(&creation(ready(key("a"), store.start), 2)).await;
    let head = store.head(&key("a")).await;
    let ended = store
        .edit(&head, |head| {
            head.status = Status::Failed;
            head.finished_at = Some(head.updated_at);
            head.wake_at = None;
        })
        .await;
    store.reopen().await;
    let start = store.start;
    let open = store
        .edit(&ended, |head| {
            head.status = Status::Queued;
            head.finished_at = None;
            head.wake_at = Some(start);
        })
        .await;
    assert_eq!(store.due().await, ["a"], "a run that is opened again is due");
    let claimed = store.claim(&claim("w", 1)).await;
    assert_eq!(names(&claimed), ["a"]);
    store.accept(&extended(&claimed[0], 1)).await;
    store.reopen().await;
    assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, 3));
    assert_eq!(store.remove(&[key("a")]).await, 0, "it is not finished any more: {open:?}");
}

/// A run that was paused is claimed again once it is resumed (law 15).
pub async fn a_resumed_run_is_claimed(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(with(ready(key("a"), store.start), |head| head.status = Status::Paused)).await;
    assert_eq!(names(&store.claim(&claim("w", 1)).await), NONE);
    store.edit(&head, |head| head.status = Status::Queued).await;
    assert_eq!(names(&store.claim(&claim("w", 1)).await), ["a"]);
}

/// A run is claimed when its time has come and not before (law 15).
pub async fn a_run_is_claimed_when_its_time_has_come(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let at = Timestamp(store.start.0 + 60_000);
    store.create(with(idle(key("a"), store.start), |head| head.wake_at = Some(at))).await;
    store.advance_ms(30_000);
    assert_eq!(names(&store.claim(&claim("w", 1)).await), NONE);
    store.advance_ms(30_000);
    assert_eq!(names(&store.claim(&claim("w", 1)).await), ["a"]);
}

/// A timer moved to another time fires then and not when it first would have (law 15).
pub async fn a_moved_timer_fires_at_its_new_time(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let at = |ms| Some(store.start.plus_ms(ms));
    let late = store.create(with(idle(key("late"), store.start), |head| head.wake_at = at(60_000))).await;
    let soon = store
        .create(with(idle(key("soon"), store.start.plus_ms(1)), |head| head.wake_at = at(600_000)))
        .await;
    store.edit(&late, |head| head.wake_at = at(600_000)).await;
    store.edit(&soon, |head| head.wake_at = at(60_000)).await;
    store.advance_ms(120_000);
    assert_eq!(names(&store.claim(&claim("w", 10)).await), ["soon"]);
    store.advance_ms(600_000);
    let again = names(&store.claim(&claim("w", 10)).await);
    assert_eq!(again, ["late", "soon"], "and the lease of the other has ended by now");
}

/// A claim takes a leased run only after the lease has ended, whoever holds it (laws 15 and 16).
pub async fn a_live_lease_shields_a_run_from_its_own_worker_too(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = with(ready(key("a"), store.start), |head| head.lease = Some(lease("w", 60_000)));
    store.create(head).await;
    assert_eq!(names(&store.claim(&claim("w", 10)).await), NONE);
}

/// Several runs claimed at once get versions that differ from each other in more than their run (law 16).
pub async fn each_claimed_run_gets_a_nonce_of_its_own(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for i in 0..4 {
        store.create(ready(key(&format!("r{i}")), store.start.plus_ms(i))).await;
    }
    store.advance_ms(10);
    let claim = Claim { nonce: u64::MAX - 1, ..claim("w", 10) };
    let nonces: Vec<u64> = store.claim(&claim).await.iter().map(|head| head.version.nonce).collect();
    assert_eq!(nonces, [u64::MAX - 1, u64::MAX, 0, 1], "the claim's nonce, plus one, plus two, …");
}
