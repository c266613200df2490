//! What each injected fault does, and that plans are followed and counted.

use std::sync::Arc;
use std::time::Duration;

use stepwell_contract::fault::{Calls, Effect, FaultBackend, FaultPlan, Gate, Method};
use stepwell_contract::{
    Backend, BackendError, Batch, FaultKind, Fence, Head, Health, MemoryBackend, Name, Payload, RunId,
    RunKey, Seq, Status, TenantId, Timestamp, Version,
};

fn a_run(run: &str) -> Batch {
    let name = |text: &str| Name::new(text).expect("a valid name");
    let head = Head {
        key: RunKey::new(TenantId::default(), RunId::new(run).expect("a valid id")),
        version: Version { counter: 1, nonce: fastrand::u64(..) },
        workflow: name("order"),
        workflow_version: 1,
        queue: name("default"),
        priority: 0,
        status: Status::Queued,
        wake_at: None,
        lease: None,
        fence: Fence(0),
        next_seq: Seq::FIRST,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        finished_at: None,
        tags: Arc::default(),
        summary: Payload::null(),
    };
    Batch::create(head, Vec::new())
}

fn store(plan: FaultPlan) -> Arc<FaultBackend> {
    Arc::new(FaultBackend::new(Arc::new(MemoryBackend::new()), plan))
}

async fn is_there(store: &FaultBackend, batch: &Batch) -> bool {
    store.inner().head(&batch.key).await.expect("memory can be read").is_some()
}

#[tokio::test]
async fn a_refused_commit_is_definite_and_changes_nothing() {
    let store = store(FaultPlan::seeded(0).nth(Method::Commit, 1, Effect::Refuse(FaultKind::Full)));
    let batch = a_run("a");
    let error = store.commit(std::slice::from_ref(&batch)).await.expect_err("the plan refuses it");
    assert!(matches!(&error, BackendError::Definite(fault) if fault.kind == FaultKind::Full), "{error:?}");
    assert!(!is_there(&store, &batch).await);
}

#[tokio::test]
async fn a_dropped_commit_is_indefinite_and_changes_nothing() {
    let store = store(FaultPlan::seeded(0).nth(Method::Commit, 1, Effect::Drop));
    let batch = a_run("a");
    let error = store.commit(std::slice::from_ref(&batch)).await.expect_err("the plan drops it");
    assert!(matches!(error, BackendError::Indefinite(_)), "{error:?}");
    assert!(!is_there(&store, &batch).await);
}

#[tokio::test]
async fn a_lost_reply_is_indefinite_though_the_commit_is_carried_out_and_repeating_it_is_harmless() {
    let store = store(FaultPlan::seeded(0).nth(Method::Commit, 1, Effect::LoseReply));
    let batch = a_run("a");
    let error = store.commit(std::slice::from_ref(&batch)).await.expect_err("the plan loses the reply");
    assert!(matches!(error, BackendError::Indefinite(_)), "{error:?}");
    assert!(is_there(&store, &batch).await);
    let verdicts = store.commit(std::slice::from_ref(&batch)).await.expect("only the first is hit");
    assert!(verdicts[0].is_accepted());
}

#[tokio::test]
async fn a_poisoned_store_refuses_every_later_write_and_still_reads() {
    let store = store(FaultPlan::seeded(0).nth(Calls::Writes, 2, Effect::Poison));
    let (first, second) = (a_run("a"), a_run("b"));
    store.commit(std::slice::from_ref(&first)).await.expect("the first write is not hit");
    for _ in 0..3 {
        let error = store.commit(std::slice::from_ref(&second)).await.expect_err("writing has ended");
        assert!(matches!(error, BackendError::Poisoned(_)), "{error:?}");
    }
    store.calm_down();
    let error = store.remove(&[]).await.expect_err("it stays poisoned");
    assert!(matches!(error, BackendError::Poisoned(_)), "{error:?}");
    assert!(store.head(&first.key).await.expect("reads go on").is_some());
    assert!(!is_there(&store, &second).await);
    let health = store.info().await.expect("reads go on").health;
    assert!(matches!(health, Health::Poisoned(_)), "{health:?}");
}

#[tokio::test]
async fn a_held_call_waits_at_its_gate_and_a_held_reply_is_carried_out_before() {
    let (before, after) = (Gate::closed(), Gate::closed());
    let plan = FaultPlan::seeded(0).nth(Method::Commit, 1, Effect::Hold(before.clone())).nth(
        Method::Commit,
        2,
        Effect::HoldReply(after.clone()),
    );
    let store = store(plan);
    for (gate, name, carried_out) in [(before, "a", false), (after, "b", true)] {
        let batch = a_run(name);
        let task = tokio::spawn({
            let (store, batch) = (Arc::clone(&store), batch.clone());
            async move { store.commit(&[batch]).await }
        });
        gate.reached_by(1).await;
        assert_eq!(is_there(&store, &batch).await, carried_out, "{name}, while it is held");
        gate.open();
        let verdicts = task.await.expect("the task ends").expect("it is only held");
        assert!(verdicts[0].is_accepted());
        assert!(is_there(&store, &batch).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_takes_its_time_on_the_clock_of_tokio() {
    let store = store(FaultPlan::seeded(0).every(Method::Info, 2, Effect::Delay(Duration::from_secs(60))));
    let begun = tokio::time::Instant::now();
    store.info().await.expect("not hit");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    store.info().await.expect("only delayed");
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test]
async fn the_same_seed_hits_the_same_calls_and_the_counts_tell_how_many() {
    let hits = |seed: u64| async move {
        let store =
            store(FaultPlan::seeded(seed).chance(Calls::Reads, 0.3, Effect::Refuse(FaultKind::Timeout)));
        let mut hits = Vec::new();
        for _ in 0..200 {
            hits.push(store.info().await.is_err());
        }
        let counts = store.counts();
        assert_eq!(counts.calls(Method::Info), 200);
        assert_eq!(counts.fired(Method::Info), hits.iter().filter(|hit| **hit).count() as u64);
        assert_eq!(counts.fired_in_all(), counts.fired(Method::Info));
        hits
    };
    let first = hits(1).await;
    assert_eq!(first, hits(1).await, "the same seed");
    assert_ne!(first, hits(2).await, "another seed");
    let fired = first.iter().filter(|hit| **hit).count();
    assert!((30..=90).contains(&fired), "{fired} of 200 at a chance of 0.3");
}

#[tokio::test]
async fn a_rule_can_choose_commits_by_what_they_write() {
    let is_b = |batches: &[Batch]| batches.iter().any(|batch| batch.key.run.as_str() == "b");
    let store = store(FaultPlan::seeded(0).nth_commit_that(is_b, 1, Effect::Drop));
    assert!(store.commit(&[a_run("a")]).await.is_ok());
    assert!(store.commit(&[a_run("b")]).await.is_err());
    assert!(store.commit(&[a_run("b")]).await.is_ok());
}

#[tokio::test]
async fn the_next_call_can_be_hit_while_the_store_is_in_use() {
    let store = store(FaultPlan::seeded(0));
    store.hit_next(Method::Claim, Effect::Drop);
    store.info().await.expect("another method");
    let claim = stepwell_contract::Claim {
        worker: stepwell_contract::WorkerId::new("w").expect("a valid id"),
        ttl_ms: 1,
        queues: Vec::new(),
        workflows: Vec::new(),
        tenant: None,
        limit: 1,
        nonce: 1,
    };
    assert!(store.claim(&claim).await.is_err());
    assert!(store.claim(&claim).await.is_ok());
}
