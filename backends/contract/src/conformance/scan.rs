//! What a scan returns, in what order, and that pages join without gap (law 18).

use super::Harness;
use super::sample::{
    claim, creation, edited, idle, key, key_of, lease, name, posting, ready, tag, taking, with, worker,
};
use super::store::{Store, must, names};
use crate::clock::Timestamp;
use crate::head::{Head, Status};
use crate::key::TenantId;
use crate::limits::PAGE_ITEMS_MAX;
use crate::query::{Cursor, Order, Query};

const NONE: [&str; 0] = [];

type Edit = fn(&mut Head);

fn oldest() -> Query {
    Query { order: Order::Oldest, ..Query::default() }
}

async fn ten_runs(store: &Store<'_>) -> Vec<Head> {
    let mut heads = Vec::new();
    for i in 0..10 {
        heads.push(store.create(ready(key(&format!("r{i}")), store.start.plus_ms(i))).await);
    }
    store.advance_ms(1_000);
    heads
}

/// An empty store has nothing to show.
pub async fn an_empty_store_scans_empty(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let page = must(store.backend().scan(&Query::default(), None, 10).await, "scan");
    assert_eq!((page.items, page.next), (Vec::new(), None));
}

/// A scan returns the heads as `head` does (law 18).
pub async fn scanned_heads_are_the_stored_heads(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    ten_runs(&store).await;
    store.claim(&claim("w", 4)).await;
    for head in store.scan(&oldest()).await {
        assert_eq!(head, store.head(&head.key).await);
    }
}

/// Heads come by `created_at`, oldest or newest first, in whatever order they were written (law 18).
pub async fn heads_come_in_the_order_of_creation(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (run, at) in [("c", 30), ("a", 50), ("d", 10), ("e", 40), ("b", 20)] {
        store.create(idle(key(run), Timestamp(store.start.0 + at))).await;
    }
    assert_eq!(store.runs(&oldest()).await, ["d", "b", "c", "e", "a"]);
    assert_eq!(store.runs(&Query::default()).await, ["a", "e", "c", "b", "d"]);
}

/// Among heads of one time the key decides: the tenant, then the run, byte by byte (law 18).
pub async fn heads_of_one_time_come_in_the_order_of_their_keys(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut keys: Vec<_> = [
        ("a", "z"),
        ("a", "B"),
        ("a", "b"),
        ("a-b", "a"),
        ("a.b", "0"),
        ("A", "a"),
        ("a", "b-"),
        ("a", "b."),
    ]
    .into_iter()
    .map(|(tenant, run)| key_of(tenant, run))
    .collect();
    for key in &keys {
        store.create(idle(key.clone(), store.start)).await;
    }
    keys.sort();
    let found = |heads: Vec<Head>| heads.into_iter().map(|head| head.key).collect::<Vec<_>>();
    assert_eq!(found(store.scan_by(&oldest(), 3).await), keys);
    keys.reverse();
    assert_eq!(found(store.scan_by(&Query::default(), 3).await), keys);
}

/// Times before 1970 come before those after (law 18).
pub async fn times_before_1970_are_in_order_too(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (run, at) in [("zero", 0), ("minus-two", -2), ("one", 1), ("minus-thousand", -1_000)] {
        store.create(idle(key(run), Timestamp(at))).await;
    }
    assert_eq!(store.runs(&oldest()).await, ["minus-thousand", "minus-two", "zero", "one"]);
}

/// Pages of any size join to the whole, each run once, in order (law 18).
pub async fn pages_of_any_size_join_to_the_whole(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    // Pairs share their time, so that pages end between equals.
    for i in 0..11_u64 {
        store.create(idle(key(&format!("r{i:02}")), store.start.plus_ms(i / 2))).await;
    }
    for query in [oldest(), Query::default()] {
        let whole = store.runs(&query).await;
        assert_eq!(whole.len(), 11);
        for limit in 1..=12 {
            assert_eq!(names(&store.scan_by(&query, limit).await), whole, "{:?} by {limit}", query.order);
        }
    }
}

/// Pages join also when a filter leaves most runs out (law 18).
pub async fn filtered_pages_join_to_the_whole(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<_> = (0..300_u64)
        .map(|i| {
            let status = if i % 50 == 7 { Status::Failed } else { Status::Succeeded };
            creation(
                with(idle(key(&format!("r{i:03}")), store.start.plus_ms(i)), |head| head.status = status),
                0,
            )
        })
        .collect();
    store.accept_all(&batches).await;
    let failed = Query { statuses: vec![Status::Failed], ..oldest() };
    for limit in [1, 2, 5, 100] {
        let found = names(&store.scan_by(&failed, limit).await);
        assert_eq!(found, ["r007", "r057", "r107", "r157", "r207", "r257"], "by {limit}");
    }
}

/// A limit over the largest page is read as the largest page; the rest is on the next one (law 18).
pub async fn a_scan_page_is_no_larger_than_the_largest(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<_> = (0..PAGE_ITEMS_MAX as u64 + 200)
        .map(|i| creation(idle(key(&format!("r{i:04}")), store.start.plus_ms(i)), 0))
        .collect();
    store.accept_all(&batches).await;
    let mut query = oldest();
    for statuses in [Vec::new(), vec![Status::Queued]] {
        query.statuses = statuses;
        let page = must(store.backend().scan(&query, None, usize::MAX).await, "scan");
        assert!(page.items.len() <= PAGE_ITEMS_MAX, "a page of {}", page.items.len());
        assert_eq!(store.scan(&query).await.len(), PAGE_ITEMS_MAX + 200);
    }
}

/// A scan goes on behind any cursor, also one whose run has gone or never was (law 18).
pub async fn a_scan_goes_on_behind_any_cursor(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    ten_runs(&store).await;
    let behind = |run: &str, ms| Cursor { created_at: store.start.plus_ms(ms), key: key(run) };
    for (cursor, order, expected) in [
        (behind("r6", 6), Order::Oldest, vec!["r7", "r8", "r9"]),
        (behind("r6a", 6), Order::Oldest, vec!["r7", "r8", "r9"]),
        (behind("r5a", 6), Order::Oldest, vec!["r6", "r7", "r8", "r9"]),
        (behind("r2", 2), Order::Newest, vec!["r1", "r0"]),
        (behind("r2a", 2), Order::Newest, vec!["r2", "r1", "r0"]),
        (behind("zzz", 99), Order::Oldest, vec![]),
    ] {
        let query = Query { order, ..Query::default() };
        let mut after = Some(cursor.clone());
        let mut found = Vec::new();
        while let Some(cursor) = after {
            let page = must(store.backend().scan(&query, Some(cursor), 10).await, "scan");
            found.extend(names(&page.items));
            after = page.next;
        }
        assert_eq!(found, expected, "behind {cursor:?}, {order:?}");
    }
}

/// While heads change and runs come and go, a scan visits every run that was there throughout, once (law 18).
pub async fn a_scan_is_stable_while_heads_change(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for order in [Order::Oldest, Order::Newest] {
        let tenant = if order == Order::Oldest { "up" } else { "down" };
        let mut heads = Vec::new();
        for i in 0..20_u64 {
            heads
                .push(store.create(ready(key_of(tenant, &format!("r{i:02}")), store.start.plus_ms(i))).await);
        }
        let query = Query { tenant: TenantId::new(tenant).ok(), order, ..Query::default() };
        let mut visited = Vec::new();
        let mut after = None;
        let mut round = 0;
        loop {
            let page = must(store.backend().scan(&query, after, 4).await, "scan");
            visited.extend(names(&page.items));
            // Between two pages every head is written, some runs end and go, and new ones come at both ends.
            for head in &mut heads {
                *head = store.edit(head, |head| head.priority += 1).await;
            }
            if round < 5 {
                let gone = heads.remove(7);
                store.edit(&gone, |head| head.status = Status::Succeeded).await;
                assert_eq!(store.remove(&[gone.key]).await, 1);
                for (name, at) in [("before", store.start.0 - 10), ("behind", store.start.0 + 100)] {
                    let late = key_of(tenant, &format!("{name}-{round}"));
                    store.create(idle(late, Timestamp(at + round))).await;
                }
            }
            round += 1;
            assert!(round < 1_000, "the scan of 30 runs by 4 does not end");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let throughout: Vec<String> = heads.iter().map(|head| head.key.run.to_string()).collect();
        for run in throughout {
            let times = visited.iter().filter(|visited| **visited == run).count();
            assert_eq!(times, 1, "{run} was there throughout, {order:?} first: {visited:?}");
        }
    }
}

/// A scan for a tenant finds that tenant's runs only (laws 18 and 19).
pub async fn a_scan_finds_by_tenant(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, tenant) in ["acme", "acme-2", "zeta", "acm"].into_iter().enumerate() {
        store.create(idle(key_of(tenant, &format!("of-{tenant}")), store.start.plus_ms(i as u64))).await;
    }
    let of = |tenant: &str| Query { tenant: TenantId::new(tenant).ok(), ..Query::default() };
    assert_eq!(store.runs(&of("acme")).await, ["of-acme"]);
    assert_eq!(store.runs(&of("none")).await, NONE);
    assert_eq!(store.runs(&Query::default()).await.len(), 4);
}

/// A scan for statuses finds runs in any one of them, and follows when a run moves on (law 18).
pub async fn a_scan_finds_by_status(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, status) in Status::ALL.into_iter().enumerate() {
        let at = store.start.plus_ms(i as u64);
        store.create(with(idle(key(status.as_str()), at), |head| head.status = status)).await;
    }
    let of = |statuses: &[Status]| Query { statuses: statuses.to_vec(), ..oldest() };
    for status in Status::ALL {
        assert_eq!(store.runs(&of(&[status])).await, [status.as_str()]);
    }
    assert_eq!(
        store.runs(&of(&[Status::Failed, Status::Queued, Status::Paused])).await,
        ["queued", "paused", "failed"]
    );
    let queued = store.head(&key("queued")).await;
    store.edit(&queued, |head| head.status = Status::Failed).await;
    assert_eq!(store.runs(&of(&[Status::Queued])).await, NONE);
    assert_eq!(store.runs(&of(&[Status::Failed])).await, ["queued", "failed"]);
}

/// A scan for a workflow or a queue finds runs of exactly that name (law 18).
pub async fn a_scan_finds_by_workflow_and_queue(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, (run, workflow, queue)) in
        [("a", "order", "fast"), ("b", "order", "slow"), ("c", "order-2", "fast"), ("d", "Order", "fast-2")]
            .into_iter()
            .enumerate()
    {
        let head = with(idle(key(run), store.start.plus_ms(i as u64)), |head| {
            head.workflow = name(workflow);
            head.queue = name(queue);
        });
        store.create(head).await;
    }
    let order = Query { workflow: Some(name("order")), ..oldest() };
    assert_eq!(store.runs(&order).await, ["a", "b"]);
    assert_eq!(store.runs(&Query { queue: Some(name("fast")), ..oldest() }).await, ["a", "c"]);
    assert_eq!(store.runs(&Query { queue: Some(name("fast")), ..order }).await, ["a"], "both must fit");
}

/// A scan for a tag finds runs that carry it with that value now (law 18).
pub async fn a_scan_finds_by_tag(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let hostile = "Zoë \"x\" \\ : = % * [a] {b}, c";
    for (i, (run, of, value)) in
        [("a", "customer", "7"), ("b", "customer", "77"), ("c", "region", "7"), ("d", "customer", hostile)]
            .into_iter()
            .enumerate()
    {
        store
            .create(with(idle(key(run), store.start.plus_ms(i as u64)), |head| head.tags = tag(of, value)))
            .await;
    }
    let of = |tag: &str, value: &str| Query { tag: Some((name(tag), value.to_owned())), ..oldest() };
    assert_eq!(store.runs(&of("customer", "7")).await, ["a"]);
    assert_eq!(store.runs(&of("customer", hostile)).await, ["d"]);
    assert_eq!(store.runs(&of("customer", "")).await, NONE);
    let a = store.head(&key("a")).await;
    store.edit(&a, |head| head.tags = tag("customer", "8")).await;
    assert_eq!(store.runs(&of("customer", "7")).await, NONE, "the tag has changed");
    assert_eq!(store.runs(&of("customer", "8")).await, ["a"]);
}

/// A scan for a worker finds the runs whose lease names it, whether or not the lease has ended (law 18).
pub async fn a_scan_finds_by_worker(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, (run, by)) in [("a", "w1"), ("b", "w2"), ("c", "w1"), ("d", "w11")].into_iter().enumerate() {
        let at = store.start.plus_ms(i as u64);
        store.create(with(idle(key(run), at), |head| head.lease = Some(lease(by, 60_000)))).await;
    }
    store.create(idle(key("free"), store.start)).await;
    let of = |by: &str| Query { leased_by: Some(worker(by)), ..oldest() };
    assert_eq!(store.runs(&of("w1")).await, ["a", "c"]);
    store.advance_ms(600_000);
    assert_eq!(store.runs(&of("w1")).await, ["a", "c"], "after the leases have ended");
    let a = store.head(&key("a")).await;
    store.edit(&a, |head| head.lease = None).await;
    assert_eq!(store.runs(&of("w1")).await, ["c"]);
}

/// A scan for mail finds unfinished runs with something in their inbox now (law 18).
pub async fn a_scan_finds_by_mail(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, run) in ["a", "b", "c", "finished"].into_iter().enumerate() {
        store.create(idle(key(run), store.start.plus_ms(i as u64))).await;
    }
    for run in ["a", "c", "finished"] {
        store.accept(&posting(&key(run), &["m"])).await;
    }
    let finished = store.head(&key("finished")).await;
    store.edit(&finished, |head| head.status = Status::Cancelled).await;
    let with_mail = Query { with_mail: true, ..oldest() };
    assert_eq!(store.runs(&with_mail).await, ["a", "c"]);
    let a = store.head(&key("a")).await;
    store.accept(&taking(&a, &["m"])).await;
    assert_eq!(store.runs(&with_mail).await, ["c"], "a has taken its mail");
}

/// A scan for due runs finds exactly what a claim would take (laws 15 and 18).
pub async fn a_scan_for_due_runs_finds_what_a_claim_takes(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = |run: &str, edit: Edit| with(ready(key(run), store.start), edit);
    store.create(head("due", |_| {})).await;
    store.create(head("future", |head| head.wake_at = head.wake_at.map(|at| at.plus_ms(3_600_000)))).await;
    store.create(head("never", |head| head.wake_at = None)).await;
    store.create(head("leased", |head| head.lease = Some(lease("w", 3_600_000)))).await;
    store.create(head("lapsed", |head| head.lease = Some(lease("w", 1_000)))).await;
    store.create(head("paused", |head| head.status = Status::Paused)).await;
    store.create(head("failed", |head| head.status = Status::Failed)).await;
    store.create(head("mail", |head| head.wake_at = None)).await;
    store.accept(&posting(&key("mail"), &["m"])).await;
    store.advance_ms(60_000);
    let expected = ["due", "lapsed", "mail"];
    assert_eq!(store.due().await, expected);
    let mut claimed = names(&store.claim(&claim("w", 10)).await);
    claimed.sort();
    assert_eq!(claimed, expected);
}

/// A scan for what ended before a time finds finished runs by the time they ended (law 18).
pub async fn a_scan_finds_by_time_of_ending(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for (i, (run, ended)) in
        [("early", Some(10)), ("edge", Some(50)), ("late", Some(90)), ("open", None)].into_iter().enumerate()
    {
        let head = with(idle(key(run), store.start.plus_ms(i as u64)), |head| {
            head.finished_at = ended.map(|ms| store.start.plus_ms(ms));
            head.status = if ended.is_some() { Status::Succeeded } else { Status::Queued };
        });
        store.create(head).await;
    }
    let before = |ms| Query { finished_before: Some(store.start.plus_ms(ms)), ..oldest() };
    assert_eq!(
        store.runs(&before(50)).await,
        ["early"],
        "a run that ended at that time did not end before it"
    );
    assert_eq!(store.runs(&before(51)).await, ["early", "edge"]);
    assert_eq!(store.runs(&before(1_000)).await, ["early", "edge", "late"]);
}

/// Filters join by and (law 18).
pub async fn filters_are_joined_by_and(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let full = |head: &mut Head| {
        head.status = Status::Running;
        head.workflow = name("ship");
        head.queue = name("slow");
        head.tags = tag("customer", "7");
        head.lease = Some(lease("w", 1_000));
    };
    store.create(with(ready(key("all"), store.start), full)).await;
    let lacks: [(&str, Edit); 6] = [
        ("status", |head| head.status = Status::Waiting),
        ("workflow", |head| head.workflow = name("order")),
        ("queue", |head| head.queue = name("fast")),
        ("tag", |head| head.tags = tag("customer", "8")),
        ("worker", |head| head.lease = Some(lease("v", 1_000))),
        ("due", |head| head.lease = Some(lease("w", 3_600_000))),
    ];
    for (what, edit) in lacks {
        let head = with(ready(key(&format!("other-{what}")), store.start), full);
        store.create(with(head, edit)).await;
    }
    for head in store.scan(&oldest()).await {
        store.accept(&posting(&head.key, &["m"])).await;
    }
    store.advance_ms(60_000);
    let query = Query {
        tenant: Some(TenantId::default()),
        statuses: vec![Status::Running],
        workflow: Some(name("ship")),
        queue: Some(name("slow")),
        tag: Some((name("customer"), "7".to_owned())),
        leased_by: Some(worker("w")),
        with_mail: true,
        due: true,
        finished_before: None,
        order: Order::Oldest,
    };
    assert_eq!(store.runs(&query).await, ["all"]);
}

/// A change that was rejected does not show in any scan (laws 3 and 18).
pub async fn a_rejected_change_does_not_show_in_a_scan(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let stale = store.create(idle(key("a"), store.start)).await;
    store.edit(&stale, |head| head.priority = 1).await;
    store.reject(&edited(&stale, |head| head.status = Status::Failed)).await;
    assert_eq!(store.runs(&Query { statuses: vec![Status::Failed], ..oldest() }).await, NONE);
    assert_eq!(store.runs(&Query { statuses: vec![Status::Queued], ..oldest() }).await, ["a"]);
}
