//! The index answers as a look at every head would.

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell_contract::conformance::sample::{idle, key_of, lease, name, tag, with, worker, workflow};
use stepwell_contract::index::Index;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Claim, Cursor, Head, Order, Query, RunKey, Status, TenantId, Timestamp};

type Heads = BTreeMap<RunKey, (Head, bool)>;

/// Few values of each sort, so that they meet: times from 0 to 29, five priorities, two of the others.
fn random_head(random: &mut fastrand::Rng, former: Option<&Head>, key: &RunKey) -> Head {
    let made = random.i64(0..10);
    let head = former.cloned().unwrap_or_else(|| idle(key.clone(), Timestamp(made)));
    with(head, |head| {
        head.version.counter += 1;
        head.status = if random.bool() { Status::Running } else { Status::ALL[random.usize(0..8)] };
        head.wake_at = (random.u8(0..4) > 0).then(|| Timestamp(random.i64(0..30)));
        head.lease = (random.u8(0..3) == 0).then(|| {
            with_end(lease(if random.bool() { "v" } else { "w" }, random.u64(1..10)), random.i64(0..30))
        });
        head.priority = random.i16(-2..=2);
        head.queue = name(if random.bool() { "fast" } else { "slow" });
        head.workflow_version = random.u32(1..=2);
        head.tags = tag("customer", if random.bool() { "7" } else { "8" });
        head.finished_at = head.status.is_finished().then(|| Timestamp(random.i64(0..30)));
    })
}

fn with_end(mut lease: stepwell_contract::Lease, end: i64) -> stepwell_contract::Lease {
    lease.expires_at = Timestamp(end);
    lease
}

fn random_claim(random: &mut fastrand::Rng) -> Claim {
    Claim {
        worker: worker("claimer"),
        ttl_ms: random.u64(1..10),
        queues: if random.bool() { vec![name("fast")] } else { Vec::new() },
        workflows: if random.bool() { vec![workflow("order", 1)] } else { Vec::new() },
        tenant: if random.u8(0..4) == 0 { TenantId::new("a").ok() } else { None },
        limit: random.usize(0..6),
        nonce: random.u64(..),
    }
}

fn random_query(random: &mut fastrand::Rng) -> Query {
    Query {
        tenant: if random.u8(0..4) == 0 { TenantId::new("a").ok() } else { None },
        statuses: if random.u8(0..3) == 0 { vec![Status::Running, Status::Failed] } else { Vec::new() },
        workflow: None,
        queue: if random.u8(0..3) == 0 { Some(name("fast")) } else { None },
        tag: if random.u8(0..3) == 0 { Some((name("customer"), "7".to_owned())) } else { None },
        leased_by: if random.u8(0..6) == 0 { Some(worker("w")) } else { None },
        with_mail: random.u8(0..6) == 0,
        due: random.u8(0..3) == 0,
        finished_before: if random.u8(0..6) == 0 { Some(Timestamp(20)) } else { None },
        order: if random.bool() { Order::Oldest } else { Order::Newest },
    }
}

fn claimed_by_looking(heads: &Heads, claim: &Claim, now: Timestamp) -> Vec<Head> {
    let mut due: Vec<&Head> = heads
        .values()
        .filter(|(head, has_mail)| head.is_due(*has_mail, now) && claim.wants(head))
        .map(|(head, _)| head)
        .collect();
    due.sort_by_key(|head| (std::cmp::Reverse(head.priority), Cursor::of(head)));
    due.truncate(claim.limit);
    due.iter().enumerate().map(|(nth, head)| claim.taken(head, nth, now)).collect()
}

fn scanned_by_looking(heads: &Heads, query: &Query, after: Option<&Cursor>, now: Timestamp) -> Vec<Head> {
    let fits =
        |(head, has_mail): &&(Head, bool)| query.fits(head, *has_mail, now) && query.is_after(head, after);
    let mut found: Vec<Head> = heads.values().filter(fits).map(|(head, _)| head.clone()).collect();
    found.sort_by_key(Cursor::of);
    if query.order == Order::Newest {
        found.reverse();
    }
    found
}

#[test]
fn the_index_answers_as_a_look_at_every_head_would() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys: Vec<RunKey> =
            (0..12).map(|i| key_of(if i % 3 == 0 { "a" } else { "a-b" }, &format!("r{i}"))).collect();
        let mut index = Index::new();
        let mut heads = Heads::new();
        let mut now = Timestamp(0);
        for step in 0..400 {
            let at = format!("seed {seed}, step {step}, at {now}");
            let key = &keys[random.usize(0..keys.len())];
            match random.u8(0..10) {
                0..4 => {
                    let head = random_head(&mut random, heads.get(key).map(|(head, _)| head), key);
                    let has_mail = random.u8(0..4) == 0;
                    index.put(Arc::new(head.clone()), has_mail);
                    heads.insert(key.clone(), (head, has_mail));
                }
                4 => {
                    let removed = index.remove(key).map(|head| Head::clone(&head));
                    assert_eq!(removed, heads.remove(key).map(|(head, _)| head), "{at}");
                }
                // The clock goes in both directions.
                5 => now = Timestamp(random.i64(0..35)),
                6..8 => {
                    let claim = random_claim(&mut random);
                    let claimed = index.claim(&claim, now);
                    assert_eq!(claimed, claimed_by_looking(&heads, &claim, now), "{at}: {claim:?}");
                    // A store that cannot write the claim does not put it back: the runs stay due.
                    if random.u8(0..4) > 0 {
                        for head in claimed {
                            let has_mail = heads.get(&head.key).is_some_and(|(_, has_mail)| *has_mail);
                            index.put(Arc::new(head.clone()), has_mail);
                            heads.insert(head.key.clone(), (head, has_mail));
                        }
                    }
                }
                _ => {
                    let query = random_query(&mut random);
                    let after = random
                        .bool()
                        .then(|| Cursor { created_at: Timestamp(random.i64(0..10)), key: key.clone() });
                    let limit = random.usize(1..6);
                    let expected = scanned_by_looking(&heads, &query, after.as_ref(), now);
                    let page = index.scan(&query, after.as_ref(), limit, now);
                    let is_cut = expected.len() > limit;
                    assert_eq!(page.items, expected[..expected.len().min(limit)], "{at}: {query:?}");
                    let next = if is_cut { page.items.last().map(Cursor::of) } else { None };
                    assert_eq!(page.next, next, "{at}: {query:?}");
                }
            }
            assert_eq!(index.len(), heads.len(), "{at}");
            assert_eq!(index.is_empty(), heads.is_empty(), "{at}");
            assert_eq!(
                index.head(key).map(|head| Head::clone(head)),
                heads.get(key).map(|(head, _)| head.clone()),
                "{at}"
            );
            let first_due = heads.values().filter_map(|(head, has_mail)| head.due_from(*has_mail)).min();
            match (index.next_due_at(), first_due) {
                (Some(told), Some(due)) => assert!(told <= due, "{at}: told {told}, due at {due}"),
                (told, due) => assert_eq!(due, None, "{at}: told {told:?}"),
            }
        }
    }
}

#[test]
fn a_page_of_the_index_is_no_larger_than_the_largest() {
    let mut index = Index::new();
    for i in 0..=PAGE_ITEMS_MAX as i64 {
        index.put(Arc::new(idle(key_of("t", &format!("r{i}")), Timestamp(i))), false);
    }
    let page = index.scan(&Query::default(), None, usize::MAX, Timestamp(0));
    assert_eq!(page.items.len(), PAGE_ITEMS_MAX);
    assert_eq!(page.next, page.items.last().map(Cursor::of));
}
