//! Whoever calls at the same time, one wins and readers see batches whole (laws 2, 5, 12 and 16).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Harness;
use super::sample::{
    claim, creation, edited, extended, idle, key, lease, message_id, posting, ready, records, with,
};
use super::store::{Store, must};
use crate::backend::Backend;
use crate::batch::{Batch, Verdict};
use crate::key::RunKey;
use crate::query::Query;
use crate::record::Seq;

const CLAIMERS: usize = 16;
const RUNS: usize = 200;

/// Runs `task` for each claimer at once and returns what they returned, in no order.
async fn at_once<T: Send + 'static, F>(
    store: &Store<'_>,
    n: usize,
    task: impl Fn(usize, Arc<dyn Backend>) -> F,
) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for i in 0..n {
        tasks.spawn(task(i, Arc::clone(store.backend())));
    }
    tasks.join_all().await
}

async fn one(backend: &dyn Backend, batch: Batch) -> Verdict {
    must(backend.commit(&[batch]).await, "commit")[0]
}

/// Sixteen claimers at once take every due run, and none twice (law 16).
pub async fn sixteen_claimers_never_claim_a_run_twice(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let batches: Vec<Batch> =
        (0..RUNS).map(|i| creation(ready(key(&format!("r{i:03}")), store.start), 0)).collect();
    store.accept_all(&batches).await;
    let shares = at_once(&store, CLAIMERS, |i, backend| async move {
        let due = Query { due: true, ..Query::default() };
        let mut share = Vec::new();
        loop {
            let claimed = must(backend.claim(&claim(&format!("w{i}"), 7)).await, "claim");
            let is_empty = claimed.is_empty();
            share.extend(claimed);
            // An empty claim may only mean that others were faster.
            let is_done = is_empty && must(backend.scan(&due, None, 1).await, "scan").items.is_empty();
            if is_done || share.len() > RUNS {
                return share;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut owners: BTreeMap<RunKey, Vec<String>> = BTreeMap::new();
    for head in shares.into_iter().flatten() {
        let worker = head.lease.as_ref().map(|lease| lease.worker.to_string()).unwrap_or_default();
        owners.entry(head.key.clone()).or_default().push(worker);
        let stored = store.head(&head.key).await;
        assert_eq!((stored.version, stored.fence), (head.version, head.fence), "{}", head.key);
        assert_eq!(head.fence.0, 1, "{} was taken over once", head.key);
    }
    for (key, owners) in &owners {
        assert_eq!(owners.len(), 1, "{key} was claimed by {owners:?}");
    }
    assert_eq!(owners.len(), batches.len(), "every due run was claimed");
}

/// Of many batches under the same version, committed at once, exactly one is applied (law 5).
pub async fn racing_replacements_have_one_winner(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let mut head = store.create(idle(key("a"), store.start)).await;
    for round in 1..=20 {
        let batches: Vec<Batch> = (0..8).map(|_| extended(&head, 1)).collect();
        let verdicts = at_once(&store, batches.len(), |i, backend| {
            let batch = batches[i].clone();
            async move { (batch.written_version(), one(&*backend, batch).await) }
        })
        .await;
        let won: Vec<_> = verdicts.iter().filter(|(_, verdict)| verdict.is_accepted()).collect();
        assert_eq!(won.len(), 1, "round {round}: {verdicts:?}");
        head = store.head(&key("a")).await;
        assert_eq!(Some(head.version), won[0].0, "round {round}: the head is the winner's");
        assert_eq!(store.journal(&key("a")).await, records(Seq::FIRST, round), "round {round}");
    }
}

/// Of many creations of one run, committed at once, exactly one is applied (law 5).
pub async fn racing_creations_have_one_winner(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for round in 0..20 {
        let key = key(&format!("r{round}"));
        let start = store.start;
        let verdicts = at_once(&store, 8, |_, backend| {
            let batch = creation(idle(key.clone(), start), 2);
            async move { (batch.written_version(), one(&*backend, batch).await) }
        })
        .await;
        let won: Vec<_> = verdicts.iter().filter(|(_, verdict)| verdict.is_accepted()).collect();
        assert_eq!(won.len(), 1, "round {round}: {verdicts:?}");
        assert_eq!(Some(store.head(&key).await.version), won[0].0, "round {round}");
        assert_eq!(store.journal(&key).await, records(Seq::FIRST, 2), "round {round}");
    }
}

/// An owner whose lease has ended and a claimer race for the run: exactly one of them has it (laws 5 and 16).
pub async fn an_owner_and_a_claimer_never_both_win(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for round in 0..20 {
        let key = key(&format!("r{round}"));
        let lapsed = with(ready(key.clone(), store.start), |head| head.lease = Some(lease("w", 1_000)));
        let head = store.create(lapsed).await;
        store.advance_ms(1_000);
        let renewal = edited(&head, |head| head.lease = Some(lease("w", 3_600_000_000)));
        let won = at_once(&store, 2, |i, backend| {
            let renewal = renewal.clone();
            async move {
                // Each of them is first off the mark in every other round.
                if i == round % 2 {
                    one(&*backend, renewal).await.is_accepted()
                } else {
                    let claim = crate::query::Claim { ttl_ms: 3_600_000_000, ..claim("other", 1) };
                    !must(backend.claim(&claim).await, "claim").is_empty()
                }
            }
        })
        .await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "round {round}: owner and claimer {won:?}");
    }
}

/// Of messages that many post at once, each id arrives once, and each sender's in its order (laws 10 and 11).
pub async fn messages_posted_at_once_arrive_once_and_in_order(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    store.create(idle(key("a"), store.start)).await;
    at_once(&store, 8, |sender, backend| async move {
        for i in 0..20 {
            let own = format!("s{sender}-{i:02}");
            let shared = format!("shared-{i:02}");
            assert!(one(&*backend, posting(&key("a"), &[&own, &shared])).await.is_accepted());
        }
    })
    .await;
    let mail = store.mail(&key("a")).await;
    assert_eq!(mail.len(), 8 * 20 + 20, "{mail:?}");
    for sender in 0..8 {
        let of = format!("s{sender}-");
        let arrived: Vec<&String> = mail.iter().filter(|id| id.starts_with(&of)).collect();
        assert_eq!(arrived.len(), 20, "of sender {sender}");
        assert!(arrived.is_sorted(), "of sender {sender}: {arrived:?}");
    }
}

/// While outsiders post, the owner's batches all hold, and every message is taken exactly once (laws 10, 12 and 13).
pub async fn an_owner_among_posting_outsiders_loses_nothing(harness: &dyn Harness) {
    const SENDERS: usize = 4;
    const EACH: usize = 15;
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    let taken = at_once(&store, SENDERS + 1, |i, backend| {
        let mut head = head.clone();
        async move {
            let mut taken = Vec::new();
            if i < SENDERS {
                for n in 0..EACH {
                    assert!(one(&*backend, posting(&key("a"), &[&format!("s{i}-{n}")])).await.is_accepted());
                }
                return taken;
            }
            while taken.len() < SENDERS * EACH {
                let inbox = must(backend.inbox(&key("a"), 5).await, "inbox");
                let mut batch = extended(&head, 1);
                batch.take = inbox.iter().map(|message| message.id.clone()).collect();
                let verdict = one(&*backend, batch.clone()).await;
                assert!(verdict.is_accepted(), "posting must not make the owner's batch fail: {verdict:?}");
                taken.extend(inbox.into_iter().map(|message| message.id));
                head = batch.head.expect("a replacement has a head");
                tokio::task::yield_now().await;
            }
            taken
        }
    })
    .await;
    let mut taken: Vec<_> = taken.into_iter().flatten().collect();
    taken.sort();
    let mut sent: Vec<_> =
        (0..SENDERS).flat_map(|i| (0..EACH).map(move |n| message_id(&format!("s{i}-{n}")))).collect();
    sent.sort();
    assert_eq!(taken, sent);
    assert_eq!(store.mail(&key("a")).await, [""; 0]);
}

/// Whoever reads while a run is written sees each batch whole: never a head ahead of its journal (law 2).
pub async fn a_reader_never_sees_half_a_batch(harness: &dyn Harness) {
    const BATCHES: usize = 60;
    let store = Store::open(harness).await;
    let head = store.create(idle(key("a"), store.start)).await;
    at_once(&store, 4, |i, backend| {
        let mut head = head.clone();
        async move {
            if i == 0 {
                for _ in 0..BATCHES {
                    let batch = extended(&head, 3);
                    assert!(one(&*backend, batch.clone()).await.is_accepted());
                    head = batch.head.expect("a replacement has a head");
                }
                return;
            }
            loop {
                let head = must(backend.head(&key("a")).await, "head").expect("the run is there");
                let journal = must(backend.journal(&key("a"), Seq::FIRST, 1_000).await, "journal");
                let promised = head.next_seq.0 as usize - 1;
                assert!(
                    journal.len() >= promised,
                    "the head promises {promised} records, {} found",
                    journal.len()
                );
                assert_eq!(journal.len() % 3, 0, "batches of three records are seen whole");
                let newer = must(backend.head(&key("a")).await, "head").expect("the run is there");
                let promised = newer.next_seq.0 as usize - 1;
                assert!(promised >= journal.len(), "the journal shows a record that its head does not count");
                if promised == 3 * BATCHES {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

/// Many writers at once, each on runs of its own, do not disturb each other (law 2).
pub async fn writers_of_different_runs_do_not_disturb_each_other(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let start = store.start;
    at_once(&store, 8, |i, backend| async move {
        let mut head = idle(key(&format!("r{i}")), start);
        assert!(one(&*backend, Batch::create(head.clone(), Vec::new())).await.is_accepted());
        for _ in 0..25 {
            let batch = extended(&head, 2);
            assert!(one(&*backend, batch.clone()).await.is_accepted());
            head = batch.head.expect("a replacement has a head");
        }
    })
    .await;
    for i in 0..8 {
        assert_eq!(store.journal(&key(&format!("r{i}"))).await, records(Seq::FIRST, 50), "r{i}");
    }
}
