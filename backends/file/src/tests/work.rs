//! A sequence of calls that goes through everything the store does, and what it leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use stepwell_contract::tally::Tallies;
use stepwell_contract::{
    Backend, BackendError, Batch, Fence, Head, Kind, ManualClock, Message, MessageId, Name, Payload, Query,
    Record, RunId, RunKey, Seq, Status, TenantId, Timestamp, Version,
};

use crate::backend::FileBackend;
use crate::disk::sim::SimDisk;
use crate::options::FileOptions;

/// A run as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    pub(crate) records: Vec<Record>,
    pub(crate) inbox: Vec<Message>,
}

pub(crate) type States = BTreeMap<RunKey, Seen>;

/// One call.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Commit(Vec<Batch>),
    Remove(Vec<RunKey>),
}

/// Calls, and the state after each; the first state is the empty one.
pub(crate) struct Work {
    pub(crate) calls: Vec<Call>,
    pub(crate) states: Vec<States>,
    /// For each call, what it may leave when it is not answered: its batches are applied one by one, each whole.
    pub(crate) in_flight: Vec<Vec<States>>,
}

impl Work {
    pub(crate) fn new(seed: u64, calls: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut work = Self { calls: Vec::new(), states: vec![States::new()], in_flight: Vec::new() };
        for _ in 0..calls {
            let mut state = work.states.last().expect("never empty").clone();
            let finished: Vec<RunKey> = state
                .iter()
                .filter(|(_, seen)| seen.head.status.is_finished())
                .map(|(key, _)| key.clone())
                .collect();
            let mut steps = Vec::new();
            let call = if finished.len() > 4 || (!finished.is_empty() && rng.u8(..8) == 0) {
                let keys: Vec<RunKey> = finished.into_iter().filter(|_| rng.u8(..4) > 0).collect();
                for key in &keys {
                    state.remove(key);
                }
                steps.push(state.clone());
                Call::Remove(keys)
            } else {
                let mut batches = Vec::new();
                for _ in 0..rng.usize(1..4) {
                    batches.push(batch(&mut rng, &mut state));
                    steps.push(state.clone());
                }
                Call::Commit(batches)
            };
            work.calls.push(call);
            work.in_flight.push(steps);
            work.states.push(state);
        }
        work
    }
}

fn batch(rng: &mut Rng, state: &mut States) -> Batch {
    let run = RunId::new(format!("run-{}", rng.u8(..12))).expect("an id");
    let key = RunKey::new(TenantId::default(), run);
    let payload = |rng: &mut Rng| {
        let text: String = (0..rng.usize(0..700)).map(|_| rng.alphanumeric()).collect();
        Payload::encode(&text).expect("JSON")
    };
    let Some(seen) = state.get_mut(&key) else {
        let records = vec![Record::new(Seq(1), Kind::of("created"), Timestamp(1), 1, payload(rng))];
        let head = Head {
            key: key.clone(),
            version: Version { counter: 1, nonce: rng.u64(..) },
            workflow: Name::new("order").expect("a name"),
            workflow_version: 1,
            queue: Name::new("default").expect("a name"),
            priority: 0,
            status: Status::Running,
            wake_at: None,
            lease: None,
            fence: Fence(0),
            next_seq: Seq(2),
            created_at: Timestamp(rng.i64(0..5)),
            updated_at: Timestamp(0),
            finished_at: None,
            tags: Arc::default(),
            summary: Payload::null(),
        };
        state.insert(key, Seen { head: head.clone(), records: records.clone(), inbox: Vec::new() });
        return Batch::create(head, records);
    };
    if rng.u8(..4) == 0 {
        let id = MessageId::new(format!("m-{}", rng.u32(..))).expect("an id");
        let message = Message::new(id, Kind::of("signal"), Timestamp(1), payload(rng));
        seen.inbox.push(message.clone());
        return Batch::post(key, message);
    }
    let from = seen.head.version;
    seen.head.version = from.next(rng.u64(..));
    seen.head.status = if rng.u8(..3) == 0 { Status::Succeeded } else { Status::Running };
    let records: Vec<Record> = (0..rng.u64(0..3))
        .map(|nth| {
            let seq = Seq(seen.head.next_seq.0 + nth);
            Record::new(seq, Kind::of("step"), Timestamp(1), 1, payload(rng))
        })
        .collect();
    seen.head.next_seq = seen.head.next_seq.plus(records.len());
    seen.records.extend(records.iter().cloned());
    let taken = if rng.bool() { std::mem::take(&mut seen.inbox) } else { Vec::new() };
    let take = taken.into_iter().map(|message| message.id).collect();
    Batch { take, ..Batch::replace(from, seen.head.clone(), records) }
}

/// Opens the store on the disk, with limits so small that everything happens often.
pub(crate) fn open(disk: &SimDisk) -> Result<FileBackend, BackendError> {
    open_keeping(disk, 2)
}

/// Opens the store with `recent` finished runs in memory.
pub(crate) fn open_keeping(disk: &SimDisk, recent: usize) -> Result<FileBackend, BackendError> {
    let options = FileOptions::default()
        .clock(Arc::new(ManualClock::at(Timestamp(1_000))))
        .segment_bytes(4 << 10)
        .recent_runs_max(recent)
        .replay_bytes_max(6 << 10)
        .index_cache_bytes(256 << 10);
    FileBackend::on_disk(Arc::new(disk.clone()), options, None)
}

pub(crate) async fn carry_out(store: &FileBackend, call: &Call) -> Result<(), BackendError> {
    match call {
        Call::Commit(batches) => {
            let verdicts = store.commit(batches).await?;
            assert!(verdicts.iter().all(|verdict| verdict.is_accepted()), "{verdicts:?}");
        }
        Call::Remove(keys) => {
            store.remove(keys).await?;
        }
    }
    Ok(())
}

/// Everything that the store shows.
pub(crate) async fn read_all(store: &FileBackend) -> Result<States, BackendError> {
    let mut states = States::new();
    let mut after = None;
    loop {
        let page = store.scan(&Query::default(), after, 5).await?;
        for head in page.items {
            let records = store.journal(&head.key, Seq::FIRST, 1000).await?;
            let inbox = store.inbox(&head.key, 1000).await?;
            let alone = store.head(&head.key).await?;
            assert_eq!(alone.as_ref(), Some(&head), "a scan shows what `head` shows");
            states.insert(head.key.clone(), Seen { head, records, inbox });
        }
        after = page.next;
        if after.is_none() {
            let counted: Tallies = states.values().map(|seen| &seen.head).collect();
            assert_eq!(store.tally().await?, counted.list(), "the tally is what a walk counts");
            return Ok(states);
        }
    }
}

/// Whether what was found is the acknowledged state, or one that the call in flight leads through.
pub(crate) fn fits(found: &States, acknowledged: &States, in_flight: &[States]) -> Result<(), String> {
    if found == acknowledged || in_flight.contains(found) {
        return Ok(());
    }
    for key in found.keys().chain(acknowledged.keys()) {
        let (now, then) = (found.get(key), acknowledged.get(key));
        if now != then && in_flight.iter().all(|state| state.get(key) != now) {
            return Err(format!("{key}: found {now:?}\nacknowledged {then:?}"));
        }
    }
    Err("each run is as it was at some time, but not all at the same time".to_owned())
}

pub(crate) fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("starts").block_on(work)
}
