//! Runs are counted by tenant, workflow, queue and status (law 25).

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Harness;
use super::sample::{claim, creation, edited, extended, idle, key, key_of, name, posting, ready, with};
use super::store::{Store, must};
use crate::batch::Batch;
use crate::head::{Head, Status};
use crate::key::RunKey;
use crate::tally::Tally;

/// One line of a tally: `TENANT WORKFLOW QUEUE STATUS RUNS`.
fn line(tally: &Tally) -> String {
    let Tally { tenant, workflow, queue, status, runs } = tally;
    format!("{tenant} {workflow} {queue} {status} {runs}")
}

async fn lines(store: &Store<'_>) -> Vec<String> {
    store.tally().await.iter().map(line).collect()
}

fn in_status(head: Head, status: Status) -> Head {
    with(head, |head| {
        head.status = status;
        head.finished_at = status.is_finished().then_some(head.created_at);
    })
}

/// A store without runs has no tally, not one of zeroes (law 25).
pub async fn an_empty_store_has_no_tally(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    assert_eq!(store.tally().await, []);
}

/// Each of the four parts of a sort tells runs apart, and versions of a workflow do not (law 25).
pub async fn runs_are_counted_by_tenant_workflow_queue_and_status(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = |tenant: &str, run: &str| idle(key_of(tenant, run), store.start);
    let heads = [
        head("a", "1"),
        with(head("a", "2"), |head| head.workflow_version = 2),
        with(head("a", "3"), |head| head.workflow = name("order.x")),
        with(head("a", "4"), |head| head.queue = name("order")),
        head("a-b", "1"),
        in_status(head("a", "5"), Status::Running),
        in_status(head("a", "6"), Status::Succeeded),
        in_status(head("a", "7"), Status::Succeeded),
        in_status(head("a", "8"), Status::Failed),
    ];
    let batches: Vec<Batch> = heads.into_iter().map(|head| Batch::create(head, Vec::new())).collect();
    store.accept_all(&batches).await;
    let expected = [
        "a order default queued 2",
        "a order default running 1",
        "a order default succeeded 2",
        "a order default failed 1",
        "a order order queued 1",
        "a order.x default queued 1",
        "a-b order default queued 1",
    ];
    assert_eq!(lines(&store).await, expected);
}

/// A run that moves is counted at its new place only, also when it moves twice in one call, ends, or goes on after
/// its end (law 25).
pub async fn a_changed_head_is_counted_where_it_is_now(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let head = store.create(idle(key("r"), store.start)).await;
    let other = store.create(idle(key("other"), store.start)).await;
    let first = edited(&head, |head| head.status = Status::Running);
    let present = first.head.clone().expect("it writes a head");
    let second = edited(&present, |head| head.queue = name("slow"));
    store.accept_all(&[first, second]).await;
    let expected = ["default order default queued 1", "default order slow running 1"];
    assert_eq!(lines(&store).await, expected);
    let head = store.head(&key("r")).await;
    let head = store.edit(&head, |head| *head = in_status(head.clone(), Status::Failed)).await;
    store.edit(&other, |head| *head = in_status(head.clone(), Status::Failed)).await;
    let expected = ["default order default failed 1", "default order slow failed 1"];
    assert_eq!(lines(&store).await, expected);
    store.edit(&head, |head| *head = in_status(head.clone(), Status::Waiting)).await;
    let expected = ["default order default failed 1", "default order slow waiting 1"];
    assert_eq!(lines(&store).await, expected);
}

/// A rejected batch counts nothing, a repeated one nothing twice, and neither records nor messages are runs (law 25).
pub async fn only_what_was_applied_is_counted(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let creation = creation(idle(key("r"), store.start), 2);
    store.accept(&creation).await;
    store.accept(&creation).await;
    store.reject(&Batch::create(in_status(idle(key("r"), store.start), Status::Failed), Vec::new())).await;
    let head = store.head(&key("r")).await;
    let batch = edited(&head, |head| head.status = Status::Waiting);
    store.accept_all(&[batch.clone(), batch.clone()]).await;
    store.reject(&edited(&head, |head| head.status = Status::Running)).await;
    store.reject(&posting(&key("ghost"), &["m"])).await;
    store.accept(&posting(&key("r"), &["m"])).await;
    let head = store.head(&key("r")).await;
    store.accept(&extended(&head, 3)).await;
    assert_eq!(lines(&store).await, ["default order default waiting 1"]);
}

/// A claim takes a run over and leaves it where it is (law 25).
pub async fn a_claim_changes_no_count(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    for run in ["a", "b"] {
        store.create(ready(key(run), store.start)).await;
    }
    assert_eq!(store.claim(&claim("w", 1)).await.len(), 1);
    assert_eq!(lines(&store).await, ["default order default queued 2"]);
}

/// A removed run is not counted any more, and a new one of its id once (law 25).
pub async fn a_removed_run_is_not_counted(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    for run in ["a", "b", "c"] {
        store.create(in_status(idle(key(run), store.start), Status::Succeeded)).await;
    }
    store.create(idle(key("open"), store.start)).await;
    assert_eq!(store.remove(&["a", "ghost", "open", "a"].map(key)).await, 1);
    let expected = ["default order default queued 1", "default order default succeeded 2"];
    assert_eq!(lines(&store).await, expected);
    store.reopen().await;
    assert_eq!(store.remove(&["b", "c"].map(key)).await, 2);
    assert_eq!(lines(&store).await, ["default order default queued 1"]);
    store.create(in_status(idle(key("a"), store.start), Status::Cancelled)).await;
    let expected = ["default order default queued 1", "default order default cancelled 1"];
    assert_eq!(lines(&store).await, expected);
}

/// Opening the store again and again changes no count, whatever was written in between (law 25).
pub async fn reopening_keeps_the_tally(harness: &dyn Harness) {
    let mut store = Store::open(harness).await;
    for round in 0_u32..3 {
        for status in Status::ALL {
            let run = key(&format!("{status}-{round}"));
            store.create(in_status(idle(run, store.start), status)).await;
        }
        // One that was open the last time ends, and one that had ended goes on.
        if let Some(run) = round.checked_sub(1) {
            let head = store.head(&key(&format!("waiting-{run}"))).await;
            store.edit(&head, |head| *head = in_status(head.clone(), Status::Failed)).await;
            let head = store.head(&key(&format!("succeeded-{run}"))).await;
            store.edit(&head, |head| *head = in_status(head.clone(), Status::Paused)).await;
        }
        let before = lines(&store).await;
        store.reopen().await;
        assert_eq!(lines(&store).await, before, "after opening {round}");
    }
    let expected = ["queued 3", "running 3", "waiting 1", "paused 5", "cancelling 3", "succeeded 1"];
    let expected = expected.into_iter().chain(["failed 5", "cancelled 3"]);
    let expected: Vec<String> = expected.map(|counted| format!("default order default {counted}")).collect();
    assert_eq!(lines(&store).await, expected);
}

const RUNS: usize = 24;
const WRITERS: usize = 3;

/// While runs move from sort to sort, every tally counts each of them once (law 25).
pub async fn a_tally_among_writes_counts_each_run_once(harness: &dyn Harness) {
    let store = Store::open(harness).await;
    let heads: Vec<Head> = (0..RUNS).map(|nth| idle(key(&format!("r{nth:02}")), store.start)).collect();
    let batches: Vec<Batch> = heads.iter().map(|head| Batch::create(head.clone(), Vec::new())).collect();
    store.accept_all(&batches).await;
    let mut tasks = JoinSet::new();
    for own in heads.chunks(RUNS / WRITERS) {
        let (backend, mut own) = (Arc::clone(store.backend()), own.to_vec());
        tasks.spawn(async move {
            for round in 0..12 {
                let status = Status::ALL[round % Status::ALL.len()];
                let batches: Vec<Batch> = own
                    .iter()
                    .map(|head| edited(head, |head| *head = in_status(head.clone(), status)))
                    .collect();
                must(backend.commit(&batches).await, "commit");
                own = batches.into_iter().filter_map(|batch| batch.head).collect();
                // A store in memory never waits: without this each writer would be done before the others begin.
                tokio::task::yield_now().await;
            }
        });
    }
    let backend = Arc::clone(store.backend());
    tasks.spawn(async move {
        for _ in 0..20 {
            let tally = must(backend.tally().await, "tally");
            let runs: u64 = tally.iter().map(|tally| tally.runs).sum();
            assert_eq!(runs, RUNS as u64, "of {RUNS} runs that only move: {tally:?}");
            tokio::task::yield_now().await;
        }
    });
    tasks.join_all().await;
    let keys: Vec<RunKey> = heads.into_iter().map(|head| head.key).collect();
    let last = store.head(&keys[0]).await.status;
    assert_eq!(lines(&store).await, [format!("default order default {last} {RUNS}")]);
}
