//! Damage as it may come to a store: written past the engine.

pub(crate) mod odd;

use std::collections::BTreeMap;
use std::sync::Arc;

use stepwell::contract::{
    Backend, Batch, Fence, Head, Message, Payload, Query, Record, RunId, RunKey, Seq, Status, TenantId,
    Verdict, WorkerId,
};
use stepwell::prelude::*;
use stepwell::run::event::{Event, RunTaken};
use stepwell::run::state::State;
use stepwell::run::summary::Summary;
use stepwell::{IntegrityFilter, Issue, IssueKind};

pub(crate) fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

/// Every record of a run.
pub(crate) async fn records(store: &dyn Backend, key: &RunKey) -> Vec<Record> {
    store.journal(key, Seq::FIRST, 1_000).await.expect("a journal")
}

pub(crate) async fn head(store: &dyn Backend, key: &RunKey) -> Head {
    store.head(key).await.expect("the store answers").expect("a run")
}

/// Writes records behind those of a run, and its head as `edit` makes it.
pub(crate) async fn write(
    store: &dyn Backend,
    key: &RunKey,
    append: Vec<Record>,
    edit: impl FnOnce(&mut Head),
) {
    let before = head(store, key).await;
    let mut after = before.clone();
    after.next_seq = before.next_seq.plus(append.len());
    edit(&mut after);
    after.version = before.version.next(0xBAD);
    let batch = Batch::replace(before.version, after, append);
    assert_eq!(store.commit(&[batch]).await.expect("written"), [Verdict::Accepted]);
}

/// Changes the head of a run and nothing else.
pub(crate) async fn spoil(store: &dyn Backend, key: &RunKey, edit: impl FnOnce(&mut Head)) {
    write(store, key, Vec::new(), edit).await;
}

/// Adds events to a run as a worker would that does nothing else: the head follows.
pub(crate) async fn add(store: &dyn Backend, key: &RunKey, events: Vec<Event>) {
    let at = store.info().await.expect("an answer").now;
    let from = head(store, key).await;
    let mut all = records(store, key).await;
    let first = all.len();
    for (nth, event) in events.iter().enumerate() {
        all.push(event.record(from.next_seq.plus(nth), at).expect("a record"));
    }
    let state = State::fold(&all).expect("legal events");
    write(store, key, all.split_off(first), |head| {
        head.status = state.status;
        head.wake_at = if state.owner.is_some() { Some(at) } else { state.wake_at };
        head.finished_at = state.status.is_finished().then_some(at);
        head.fence = state.owner.as_ref().map_or(Fence(head.fence.0 + 1), |(_, fence)| *fence);
        let summary: Summary = head.summary.decode().expect("a summary");
        head.summary = Payload::encode(&summary.with_trouble_of(&state)).expect("JSON");
        head.lease = None;
    })
    .await;
}

/// That a worker took a run, after `before` of them.
pub(crate) async fn taken(store: &dyn Backend, key: &RunKey) -> Event {
    let fence = Fence(head(store, key).await.fence.0 + 1);
    let worker = WorkerId::new("w-gone").expect("an id");
    RunTaken { worker, fence, lost: None, code_version: None }.into()
}

/// A run like another one, under another id.
pub(crate) async fn copy(store: &dyn Backend, of: &RunKey, to: &str, edit: impl FnOnce(&mut Event)) {
    let first = records(store, of).await.remove(0);
    let mut created = Event::read(&first).expect("an event");
    edit(&mut created);
    let mut copy = head(store, of).await;
    copy.key = key(to);
    copy.version = stepwell::contract::Version { counter: 1, nonce: 0xC0 };
    (copy.status, copy.wake_at, copy.next_seq, copy.fence) =
        (Status::Queued, Some(first.at), Seq(2), Fence(0));
    (copy.lease, copy.finished_at) = (None, None);
    copy.summary = Payload::encode(&Summary::default()).expect("JSON");
    let record = created.record(Seq::FIRST, first.at).expect("a record");
    let made = store.commit(&[Batch::create(copy, vec![record])]).await.expect("written");
    assert_eq!(made, [Verdict::Accepted]);
}

/// Everything that is wrong in the store.
pub(crate) async fn all_issues(engine: &Engine) -> Vec<Issue> {
    let (mut issues, mut after) = (Vec::new(), None);
    loop {
        let filter = IntegrityFilter { runs: 3, ..IntegrityFilter::default() };
        let found = engine.validate(&filter, after).await.expect("an answer");
        assert_eq!(found.moving, [], "nothing moves");
        issues.extend(found.issues);
        after = found.next;
        if after.is_none() {
            return issues;
        }
    }
}

pub(crate) async fn kinds(engine: &Engine) -> Vec<IssueKind> {
    let mut kinds: Vec<IssueKind> = all_issues(engine).await.into_iter().map(|issue| issue.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// The one issue of a kind.
pub(crate) async fn issue(engine: &Engine, kind: IssueKind) -> Issue {
    let mut issues = all_issues(engine).await;
    issues.retain(|issue| issue.kind == kind);
    assert_eq!(issues.len(), 1, "{issues:?}");
    issues.remove(0)
}

/// Everything that is in the store.
pub(crate) async fn everything(
    store: &Arc<impl Backend>,
) -> BTreeMap<RunKey, (Head, Vec<Record>, Vec<Message>)> {
    let mut all = BTreeMap::new();
    for tenant in [None, Some(TenantId::new("stepwell.system").expect("an id"))] {
        let query = Query { tenant, ..Query::default() };
        for head in store.scan(&query, None, 1_000).await.expect("heads").items {
            let records = records(store.as_ref(), &head.key).await;
            let inbox = store.inbox(&head.key, 1_000).await.expect("an inbox");
            all.insert(head.key.clone(), (head, records, inbox));
        }
    }
    all
}
