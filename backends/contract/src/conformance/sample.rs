//! Heads, records, messages, batches and claims to try a store with.

use std::sync::Arc;

use serde_json::json;

use crate::batch::{Batch, Guard};
use crate::clock::Timestamp;
use crate::head::{Fence, Head, Lease, Status, Version};
use crate::key::{MessageId, Name, RunId, RunKey, TenantId, WorkerId};
use crate::message::Message;
use crate::query::{Claim, WorkflowRef};
use crate::record::{Kind, Payload, Record, Seq};

const VALID: &str = "samples use valid ids";

/// The key of a run of the default tenant.
#[must_use]
pub fn key(run: &str) -> RunKey {
    key_of("default", run)
}

/// The key of a run of a tenant.
#[must_use]
pub fn key_of(tenant: &str, run: &str) -> RunKey {
    RunKey::new(TenantId::new(tenant).expect(VALID), RunId::new(run).expect(VALID))
}

/// A name.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::new(text).expect(VALID)
}

/// A worker id.
#[must_use]
pub fn worker(text: &str) -> WorkerId {
    WorkerId::new(text).expect(VALID)
}

/// A message id.
#[must_use]
pub fn message_id(text: &str) -> MessageId {
    MessageId::new(text).expect(VALID)
}

/// A workflow and its version.
#[must_use]
pub fn workflow(text: &str, version: u32) -> WorkflowRef {
    WorkflowRef { name: name(text), version }
}

/// A number that no other write of this process drew.
#[must_use]
pub fn nonce() -> u64 {
    fastrand::u64(..)
}

/// A value as payload.
#[must_use]
pub fn payload(value: &serde_json::Value) -> Payload {
    Payload::encode(value).expect("samples encode")
}

/// A JSON string whose text, quotes included, is `bytes` long.
#[must_use]
pub fn payload_of(bytes: usize) -> Payload {
    Payload::encode(&"x".repeat(bytes - 2)).expect("samples encode")
}

/// The first head of a run made at `at`: queued, and waiting for a message only, so that nobody may claim it yet.
#[must_use]
pub fn idle(key: RunKey, at: Timestamp) -> Head {
    Head {
        key,
        version: Version { counter: 1, nonce: nonce() },
        workflow: name("order"),
        workflow_version: 1,
        queue: name("default"),
        priority: 0,
        status: Status::Queued,
        wake_at: None,
        lease: None,
        fence: Fence(0),
        next_seq: Seq::FIRST,
        created_at: at,
        updated_at: at,
        finished_at: None,
        tags: Arc::default(),
        summary: payload(&json!({"done": 0})),
    }
}

/// The first head of a run made at `at` that may be claimed from then on.
#[must_use]
pub fn ready(key: RunKey, at: Timestamp) -> Head {
    Head { wake_at: Some(at), ..idle(key, at) }
}

/// A head with changes.
#[must_use]
pub fn with(mut head: Head, edit: impl FnOnce(&mut Head)) -> Head {
    edit(&mut head);
    head
}

/// The lease that a batch asks for. What it says of the end is wrong on purpose: the store has to set it.
#[must_use]
pub fn lease(by: &str, ttl_ms: u64) -> Lease {
    Lease { worker: worker(by), ttl_ms, expires_at: Timestamp(1) }
}

/// The tags of one name and value.
#[must_use]
pub fn tag(tag: &str, value: &str) -> Arc<std::collections::BTreeMap<Name, String>> {
    Arc::new(std::collections::BTreeMap::from([(name(tag), value.to_owned())]))
}

/// `n` records from `from` on.
#[must_use]
pub fn records(from: Seq, n: usize) -> Vec<Record> {
    (0..n)
        .map(|i| {
            let seq = from.plus(i);
            let said = payload(&json!({"record": seq.0, "said": "a step succeeded"}));
            Record::new(seq, Kind::of("step_succeeded"), Timestamp(1_000 + seq.0 as i64), 1, said)
        })
        .collect()
}

/// A message of this id.
#[must_use]
pub fn message(id: &str) -> Message {
    let said = payload(&json!({"message": id}));
    Message::new(message_id(id), Kind::of("approved"), Timestamp(2_000), said)
}

/// A batch that makes a run with `n` records.
#[must_use]
pub fn creation(head: Head, n: usize) -> Batch {
    let records = records(head.next_seq, n);
    let head = with(head, |head| head.next_seq = head.next_seq.plus(n));
    Batch::create(head, records)
}

/// A batch that replaces a head by an edited one of the next version.
#[must_use]
pub fn edited(head: &Head, edit: impl FnOnce(&mut Head)) -> Batch {
    let mut next = head.clone();
    next.version = head.version.next(nonce());
    edit(&mut next);
    Batch::replace(head.version, next, Vec::new())
}

/// A batch that adds `n` records to the journal.
#[must_use]
pub fn extended(head: &Head, n: usize) -> Batch {
    let mut batch = edited(head, |next| next.next_seq = head.next_seq.plus(n));
    batch.append = records(head.next_seq, n);
    batch
}

/// A batch that posts messages of these ids.
#[must_use]
pub fn posting(key: &RunKey, ids: &[&str]) -> Batch {
    Batch {
        key: key.clone(),
        guard: Guard::Exists,
        head: None,
        append: Vec::new(),
        post: ids.iter().map(|id| message(id)).collect(),
        take: Vec::new(),
    }
}

/// A batch that takes the messages of these ids and changes nothing else of the head.
#[must_use]
pub fn taking(head: &Head, ids: &[&str]) -> Batch {
    let mut batch = edited(head, |_| {});
    batch.take = ids.iter().map(|id| message_id(id)).collect();
    batch
}

/// A request of a worker for any due runs, with leases of one minute.
#[must_use]
pub fn claim(by: &str, limit: usize) -> Claim {
    Claim {
        worker: worker(by),
        ttl_ms: 60_000,
        queues: Vec::new(),
        workflows: Vec::new(),
        tenant: None,
        limit,
        nonce: nonce(),
    }
}
