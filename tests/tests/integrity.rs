//! What is wrong in a store is found there and mended, on every store; a store that is whole has no findings, also while its
//! workers die.

use std::sync::Arc;

use stepwell::prelude::*;
use stepwell::run::event::{Event, RunFailed, RunTaken};
use stepwell::run::state::State;
use stepwell::run::summary::Summary;
use stepwell::workflow::failure::Failure;
use stepwell::{Actor, EngineOptions, IntegrityFilter, Issue, IssueKind, RunError};
use stepwell_contract::{
    Backend, Batch, Fence, Head, Payload, Record, RunId, RunKey, Seq, Status, TenantId, Verdict, WorkerId,
};
use stepwell_tests::hold::PATIENCE;
use stepwell_tests::on_every_store;
use stepwell_tests::place::{Kind, Place};
use stepwell_tests::wait::wait_until;

fn nap() -> Workflow<u32, u32> {
    Workflow::named("nap").input::<u32>().sleep("rest", days(30)).build().expect("a workflow")
}

fn order() -> Workflow<u32, u32> {
    Workflow::named("order").input::<u32>().child("nap", &nap()).build().expect("a workflow")
}

async fn engine(store: Arc<dyn Backend>, works: bool) -> Engine {
    let options = EngineOptions { lease_ms: 1_000, poll_ms: 20, threads: 2, ..EngineOptions::default() };
    let engine = Engine::builder(store).register(nap()).register(order()).options(options);
    let engine = engine.build().await.expect("an engine");
    if works {
        engine.work();
    }
    engine
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

async fn head(store: &dyn Backend, run: &str) -> Head {
    store.head(&key(run)).await.expect("the store answers").expect("a run")
}

async fn issues(engine: &Engine) -> Vec<Issue> {
    let found = engine.validate(&IntegrityFilter::default(), None).await.expect("an answer");
    assert_eq!(found.next, None);
    found.issues
}

async fn write(store: &dyn Backend, run: &str, append: Vec<Record>, edit: impl FnOnce(&mut Head)) {
    let before = head(store, run).await;
    let mut after = before.clone();
    after.next_seq = before.next_seq.plus(append.len());
    edit(&mut after);
    after.version = before.version.next(0xBAD);
    let written = store.commit(&[Batch::replace(before.version, after, append)]).await.expect("written");
    assert_eq!(written, [Verdict::Accepted]);
}

/// Fails a run past the engine, which so tells nobody.
async fn fail_silently(store: &dyn Backend, run: &str) {
    let mut records = store.journal(&key(run), Seq::FIRST, 1_000).await.expect("a journal");
    let (had, at) = (records.len(), store.info().await.expect("an answer").now);
    let fence = Fence(head(store, run).await.fence.0 + 1);
    let worker = WorkerId::new("w-gone").expect("an id");
    let taken = RunTaken { worker, fence, lost: None, code_version: None };
    let failed = RunFailed { place: None, failure: Failure::panic("it broke", None) };
    for event in [Event::from(taken), failed.into()] {
        let seq = Seq::FIRST.plus(records.len());
        records.push(event.record(seq, at).expect("a record"));
    }
    let state = State::fold(&records).expect("legal events");
    write(store, run, records.split_off(had), |head| {
        (head.status, head.wake_at, head.lease) = (state.status, None, None);
        (head.finished_at, head.fence) = (Some(at), fence);
        let summary: Summary = head.summary.decode().expect("a summary");
        head.summary = Payload::encode(&summary.with_trouble_of(&state)).expect("JSON");
    })
    .await;
}

async fn damage_is_found_and_mended_and_the_runs_end_as_they_should(kind: Kind) {
    let mut place = Place::new(kind);
    let store = place.open().await;
    let working = engine(Arc::clone(&store), true).await;
    working.start_run("order", "o-1", &1u32).await.expect("a run");
    working.start_run("nap", "n-1", &1u32).await.expect("a run");
    for run in ["o-1", "o-1.nap", "n-1"] {
        let waits = wait_until("it waits", PATIENCE, async || {
            let head = store.head(&key(run)).await.expect("the store answers")?;
            (head.status == Status::Waiting && head.lease.is_none()).then_some(())
        });
        waits.await.unwrap_or_else(|late| panic!("{run}: {late}"));
        assert_eq!(issues(&working).await, []);
    }
    working.shutdown().await;
    drop(working);

    let looker = engine(Arc::clone(&store), false).await;
    assert_eq!(issues(&looker).await, []);
    write(store.as_ref(), "n-1", Vec::new(), |head| (head.status, head.wake_at) = (Status::Queued, None))
        .await;
    fail_silently(store.as_ref(), "o-1.nap").await;
    let found = issues(&looker).await;
    let mut kinds: Vec<_> = found.iter().map(|issue| (issue.kind, issue.run.run.as_str())).collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds, [(IssueKind::HeadDiffers, "n-1"), (IssueKind::ParentNotTold, "o-1")]);
    let mut mended = 0;
    for issue in &found {
        let versions =
            [head(store.as_ref(), "n-1").await.version, head(store.as_ref(), "o-1.nap").await.version];
        let dry = looker.repair(issue, Actor::Program, "seen", true).await;
        let after =
            [head(store.as_ref(), "n-1").await.version, head(store.as_ref(), "o-1.nap").await.version];
        assert_eq!(versions, after, "a dry run writes nothing");
        // The two fields of one head are mended together.
        let done = looker.repair(issue, Actor::Program, "seen", false).await;
        assert_eq!(dry.is_ok(), done.is_ok(), "{done:?}");
        mended += usize::from(done.is_ok());
    }
    assert_eq!(mended, 2);
    assert_eq!(issues(&looker).await, []);
    looker.work();
    let run = looker.find(&key("o-1")).await.expect("the run");
    let ended = tokio::time::timeout(PATIENCE, run.result::<u32>()).await.expect("an end");
    assert!(matches!(ended, Err(RunError::Failed { .. })), "{ended:?}");
    assert_eq!(head(store.as_ref(), "n-1").await.status, Status::Waiting);
    assert_eq!(issues(&looker).await, []);
    looker.shutdown().await;
}
on_every_store!(damage_is_found_and_mended_and_the_runs_end_as_they_should);
