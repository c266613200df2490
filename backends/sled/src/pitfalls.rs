//! What sled does not survive by itself, and what the store promises all the same.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stepwell_contract::head::{Fence, Lease, Status, Version};
use stepwell_contract::query::{Claim, Cursor, Order, Query};
use stepwell_contract::record::{Kind, Payload, Record, Seq};
use stepwell_contract::{
    Backend, BackendError, Batch, Durability, FaultKind, Head, Health, ManualClock, MemoryBackend, Message,
    Name, RunId, RunKey, TenantId, Timestamp, Verdict, WorkerId,
};
use tempfile::TempDir;

use crate::options::{Disk, Pace};
use crate::parts::PART_BYTES;
use crate::{SledBackend, SledOptions};

const START: Timestamp = Timestamp(1_700_000_000_000);

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn open(folder: &TempDir) -> SledBackend {
    SledBackend::open(data(folder), SledOptions::default()).expect("opens")
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("valid"))
}

fn head(run: &str, counter: u64, status: Status, next_seq: u64) -> Head {
    Head {
        key: key(run),
        version: Version { counter, nonce: counter * 7 },
        workflow: Name::new("order").expect("valid"),
        workflow_version: 1,
        queue: Name::new("default").expect("valid"),
        priority: 0,
        status,
        wake_at: Some(START),
        lease: None,
        fence: Fence(0),
        next_seq: Seq(next_seq),
        created_at: START,
        updated_at: START,
        finished_at: status.is_finished().then_some(START),
        tags: Arc::default(),
        summary: Payload::null(),
    }
}

fn record(seq: u64, bytes: usize) -> Record {
    let payload = Payload::encode(&"x".repeat(bytes)).expect("within the limit");
    Record::new(Seq(seq), Kind::of("tried"), START, 1, payload)
}

fn finished(run: &str, bytes: usize) -> Batch {
    Batch::create(head(run, 1, Status::Succeeded, 2), vec![record(1, bytes)])
}

async fn write(backend: &dyn Backend, batches: &[Batch]) {
    let verdicts = backend.commit(batches).await.expect("commit");
    assert!(verdicts.iter().all(|verdict| verdict.is_accepted()), "{verdicts:?}");
}

/// A disk that is as full, and fails as often, as it is told to.
#[derive(Debug)]
struct TestDisk {
    free: AtomicU64,
    fails: AtomicBool,
    syncs: AtomicU64,
}

impl TestDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            free: AtomicU64::new(1 << 40),
            fails: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
        })
    }

    fn options(self: &Arc<Self>) -> SledOptions {
        SledOptions::default().disk(Arc::clone(self) as Arc<dyn Disk>)
    }
}

impl Disk for TestDisk {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        file.sync_data()
    }
}

#[tokio::test]
async fn a_torn_snapshot_is_deleted_and_the_store_opens_with_everything() {
    let folder = TempDir::new().expect("folder");
    write(&open(&folder), &[finished("a", 10)]).await;
    let torn = data(&folder).join("store/snap.00000000000000FF.generating");
    fs::write(&torn, b"torn").expect("write");
    let backend = open(&folder);
    assert!(!torn.exists());
    assert_eq!(backend.journal(&key("a"), Seq::FIRST, 10).await.expect("journal"), [record(1, 10)]);
}

#[tokio::test]
async fn a_damaged_conf_is_restored_from_its_copy() {
    let folder = TempDir::new().expect("folder");
    write(&open(&folder), &[finished("a", 10)]).await;
    let conf = data(&folder).join("store/conf");
    let whole = fs::read(&conf).expect("read");
    for damaged in [&whole[..whole.len() - 4], &whole[..0], b"segment_size: 4096\n????".as_slice()] {
        fs::write(&conf, damaged).expect("write");
        assert!(open(&folder).head(&key("a")).await.expect("head").is_some());
        assert_eq!(fs::read(&conf).expect("read"), whole);
    }
    fs::write(&conf, b"x").expect("write");
    fs::write(data(&folder).join("store.conf"), b"y").expect("write");
    let error = SledBackend::open(data(&folder), SledOptions::default()).expect_err("both are damaged");
    assert_eq!(error.kind(), FaultKind::Corrupt, "{error}");
    assert!(error.to_string().contains("store/conf"), "{error}");
}

#[tokio::test]
async fn a_second_opener_is_told_the_holder_and_changes_nothing() {
    let folder = TempDir::new().expect("folder");
    let backend = open(&folder);
    write(&backend, &[finished("a", 10)]).await;
    let bystander = data(&folder).join("store/snap.00000000000000FF.generating");
    fs::write(&bystander, b"torn").expect("write");
    let lock = fs::read(data(&folder).join("lock")).expect("read");
    let error = SledBackend::open(data(&folder), SledOptions::default()).expect_err("it is open");
    assert!(matches!(error, BackendError::Definite(_)) && error.kind() == FaultKind::Locked, "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(bystander.exists());
    assert_eq!(fs::read(data(&folder).join("lock")).expect("read"), lock);
    drop(backend);
    open(&folder);
}

#[tokio::test]
async fn a_store_that_was_half_made_is_made_anew() {
    let folder = TempDir::new().expect("folder");
    let making = data(&folder).join("store.making");
    fs::create_dir_all(&making).expect("folder");
    fs::write(making.join("conf"), b"segment_si").expect("write");
    write(&open(&folder), &[finished("a", 10)]).await;
    assert!(!making.exists());
    assert!(open(&folder).head(&key("a")).await.expect("head").is_some());
}

#[tokio::test]
async fn large_payloads_come_back_and_sled_keeps_none_outside_its_log() {
    let folder = TempDir::new().expect("folder");
    let sizes = [1, PART_BYTES - 200, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES, 1_000_000];
    let records: Vec<Record> =
        sizes.iter().enumerate().map(|(nth, bytes)| record(nth as u64 + 1, *bytes)).collect();
    let backend = open(&folder);
    for run in 0..20 {
        let head = head(&format!("run-{run}"), 1, Status::Queued, 7);
        write(&backend, &[Batch::create(head, records.clone())]).await;
    }
    drop(backend);
    let backend = open(&folder);
    for run in 0..20 {
        let key = key(&format!("run-{run}"));
        assert!(backend.journal(&key, Seq::FIRST, 10).await.expect("journal") == records);
        assert!(backend.journal(&key, Seq(5), 1).await.expect("journal") == records[4..5]);
    }
    // Files in there are never synced by sled, so level D2 would be a lie.
    let outside = fs::read_dir(data(&folder).join("store/blobs")).expect("folder").count();
    assert_eq!(outside, 0);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_and_everything_is_read() {
    let folder = TempDir::new().expect("folder");
    let disk = TestDisk::new();
    let backend = SledBackend::open(data(&folder), disk.options()).expect("opens");
    write(&backend, &[finished("a", 10)]).await;
    disk.fails.store(true, Ordering::SeqCst);
    let error = backend.commit(&[finished("b", 10)]).await.expect_err("the disk fails");
    assert!(matches!(error, BackendError::Poisoned(_)), "{error}");
    disk.fails.store(false, Ordering::SeqCst);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    let error = backend.commit(&[finished("c", 10)]).await.expect_err("a failed sync is not tried again");
    assert!(matches!(error, BackendError::Poisoned(_)), "{error}");
    assert!(matches!(backend.remove(&[key("a")]).await, Err(BackendError::Poisoned(_))));
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs);
    assert_eq!(backend.journal(&key("a"), Seq::FIRST, 10).await.expect("journal").len(), 1);
    assert!(backend.head(&key("b")).await.expect("head").is_none(), "what is not durable is not shown");
    assert!(matches!(backend.info().await.expect("info").health, Health::Poisoned(_)));
    drop(backend);
    write(&open(&folder), &[finished("c", 10)]).await;
}

#[tokio::test]
async fn a_store_that_does_not_sync_says_so() {
    let folder = TempDir::new().expect("folder");
    let disk = TestDisk::new();
    let backend = SledBackend::open(data(&folder), disk.options().sync(false)).expect("opens");
    write(&backend, &[finished("a", 10)]).await;
    assert_eq!(backend.info().await.expect("info").durability, Durability::D1);
    assert_eq!(disk.syncs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_full_disk_is_refused_and_passes() {
    let folder = TempDir::new().expect("folder");
    let disk = TestDisk::new();
    disk.free.store(63 << 20, Ordering::SeqCst);
    let error = SledBackend::open(data(&folder), disk.options()).expect_err("no space");
    assert_eq!(error.kind(), FaultKind::Full, "{error}");
    assert!(!data(&folder).join("store").exists());
    disk.free.store(1 << 30, Ordering::SeqCst);
    let backend = SledBackend::open(data(&folder), disk.options()).expect("opens");
    write(&backend, &[finished("a", 10)]).await;
    disk.free.store(1 << 20, Ordering::SeqCst);
    let error = backend.commit(&[finished("b", 10)]).await.expect_err("no space");
    assert!(matches!(error, BackendError::Definite(_)) && error.kind() == FaultKind::Full, "{error}");
    assert!(matches!(backend.info().await.expect("info").health, Health::Degraded(_)));
    assert_eq!(backend.remove(&[key("a")]).await.expect("removing frees space"), 1);
    disk.free.store(1 << 30, Ordering::SeqCst);
    write(&backend, &[finished("b", 10)]).await;
}

#[tokio::test]
async fn damage_in_the_log_is_reported_with_its_place_and_other_runs_go_on() {
    let folder = TempDir::new().expect("folder");
    let backend = open(&folder);
    write(&backend, &[finished("a", 10)]).await;
    write(&backend, &[finished("b", 10)]).await;
    drop(backend);
    let config =
        sled::Config::new().path(data(&folder).join("store")).segment_size(crate::parts::SEGMENT_BYTES);
    let log = config.open().expect("sled opens").open_tree("log").expect("tree");
    let (place, stored) = log.first().expect("first").expect("a group");
    let mut damaged = stored.to_vec();
    damaged[20] ^= 1;
    log.insert(place, damaged).expect("insert");
    drop((log, config));
    let backend = open(&folder);
    let error = backend.journal(&key("a"), Seq::FIRST, 10).await.expect_err("damaged");
    assert!(matches!(error, BackendError::Definite(_)) && error.kind() == FaultKind::Corrupt, "{error}");
    assert!(error.to_string().contains("log group 1 part 0"), "{error}");
    assert_eq!(backend.journal(&key("b"), Seq::FIRST, 10).await.expect("journal").len(), 1);
}

fn busy() -> SledOptions {
    let pace = Pace {
        checkpoint_bytes: 1 << 20,
        checkpoint_groups: 5,
        segment_groups: 4,
        segment_bytes: 16 << 10,
        early_bytes: 1 << 10,
    };
    SledOptions::default().pace(pace)
}

/// Waits until the writer, between its groups, has freed the log down to `bytes`; a write that changes nothing
/// gives it its turn.
async fn freed(backend: &SledBackend, bytes: u64) {
    for _ in 0..10_000 {
        if backend.info().await.expect("info").facts["log_bytes"].parse::<u64>().expect("number") <= bytes {
            return;
        }
        backend.remove(&[]).await.expect("nothing");
    }
    panic!("the log was not freed: {:?}", backend.info().await);
}

#[tokio::test]
async fn retention_frees_the_log_and_keeps_every_other_record() {
    let folder = TempDir::new().expect("folder");
    let backend = SledBackend::open(data(&folder), SledOptions::default()).expect("opens");
    let runs: Vec<Batch> = (0..1_500).map(|run| finished(&format!("run-{run}"), 1_000)).collect();
    for runs in runs.chunks(100) {
        write(&backend, runs).await;
    }
    let old: Vec<RunKey> = runs
        .iter()
        .enumerate()
        .filter(|(nth, _)| nth % 10 != 0)
        .map(|(_, batch)| batch.key.clone())
        .collect();
    assert_eq!(backend.remove(&old).await.expect("remove"), old.len());
    freed(&backend, 400_000).await;
    drop(backend);
    let backend = open(&folder);
    for run in 0..1_500 {
        let records = backend.journal(&key(&format!("run-{run}")), Seq::FIRST, 10).await.expect("journal");
        assert_eq!(records.len(), usize::from(run % 10 == 0), "run-{run}");
    }
}

#[tokio::test]
async fn what_retention_freed_is_used_again() {
    let folder = TempDir::new().expect("folder");
    let backend = open(&folder);
    let runs: Vec<Batch> = (0..1_500).map(|run| finished(&format!("run-{run}"), 1_000)).collect();
    let keys: Vec<RunKey> = runs.iter().map(|batch| batch.key.clone()).collect();
    // Written and removed 8 times over; each time is about 5 MB of sled's log.
    for _ in 0..8 {
        for runs in runs.chunks(100) {
            write(&backend, runs).await;
        }
        assert_eq!(backend.remove(&keys).await.expect("remove"), keys.len());
        freed(&backend, 100_000).await;
    }
    let size = backend.info().await.expect("info").facts["size_bytes"].parse::<u64>().expect("number");
    assert!(size <= 24 << 20, "{size}");
}

/// Copies a store that is open: what a kill would leave.
fn image(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            image(&entry.path(), &target);
        } else {
            // Files that sled renames or deletes while we look belong to no acknowledged write.
            let _ = fs::copy(entry.path(), target);
        }
    }
}

async fn assert_same(backend: &dyn Backend, reference: &dyn Backend, when: &str) {
    let counted = reference.tally().await.expect("tally");
    assert_eq!(backend.tally().await.expect("tally"), counted, "{when}");
    for order in [Order::Oldest, Order::Newest] {
        let query = Query { order, ..Query::default() };
        let (all, expected) = (all(backend, &query).await, all(reference, &query).await);
        assert_eq!(all, expected, "{when}");
        for head in &all {
            let journal = backend.journal(&head.key, Seq::FIRST, 1000).await.expect("journal");
            let other = reference.journal(&head.key, Seq::FIRST, 1000).await.expect("journal");
            assert_eq!(journal, other, "{when}: journal of {}", head.key);
            let inbox = backend.inbox(&head.key, 1000).await.expect("inbox");
            assert_eq!(inbox, reference.inbox(&head.key, 1000).await.expect("inbox"), "{when}");
        }
    }
}

async fn all(backend: &dyn Backend, query: &Query) -> Vec<Head> {
    let mut heads = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = backend.scan(query, after, 3).await.expect("scan");
        heads.extend(page.items);
        after = page.next;
        if after.is_none() {
            return heads;
        }
    }
}

#[tokio::test]
async fn a_store_of_the_form_without_shelves_is_counted_and_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let backend = open(&folder);
    write(&backend, &[finished("a", 10), finished("b", 10)]).await;
    let mut failed = finished("c", 10);
    if let Some(head) = &mut failed.head {
        head.status = Status::Failed;
    }
    let open_one = Batch::create(head("d", 1, Status::Waiting, 1), Vec::new());
    write(&backend, &[failed, open_one]).await;
    let any = Query::default();
    let (tally, heads) = (backend.tally().await.expect("tally"), all(&backend, &any).await);
    drop(backend);
    let config =
        sled::Config::new().path(data(&folder).join("store")).segment_size(crate::parts::SEGMENT_BYTES);
    let db = config.open().expect("opens");
    let (shelves, by_age) =
        (db.open_tree("shelves").expect("a tree"), db.open_tree("by_age").expect("a tree"));
    for row in &shelves {
        let (key, head) = row.expect("reads");
        by_age.insert(crate::shelf::age_of(&key), head).expect("writes");
    }
    assert_eq!(by_age.len(), 3, "the heads of finished runs");
    for tree in ["shelves", "sorts"] {
        db.open_tree(tree).expect("a tree").clear().expect("writes");
    }
    let counted = db.open_tree("meta").expect("a tree").remove(crate::parts::part_key(b"tally", 0));
    assert!(counted.expect("writes").is_some());
    db.flush().expect("writes");
    drop((shelves, by_age, db));
    for _ in 0..2 {
        let backend = open(&folder);
        assert_eq!(backend.tally().await.expect("tally"), tally);
        assert_eq!(all(&backend, &any).await, heads);
        let failed = Query { statuses: vec![Status::Failed], ..Query::default() };
        assert_eq!(all(&backend, &failed).await.len(), 1);
    }
}

/// Runs are made, advanced, mailed, finished, revived, claimed and removed at random, with checkpoints and freeing
/// every few groups; the store is compared with the reference, also as a kill would leave it.
#[tokio::test]
async fn a_busy_store_is_like_memory_also_after_each_crash() {
    for seed in 1..=4_u64 {
        let folder = TempDir::new().expect("folder");
        let clock = ManualClock::at(START);
        let options = || busy().clock(Arc::new(clock.clone()));
        let mut path = data(&folder);
        let mut backend = SledBackend::open(&path, options()).expect("opens");
        let mut reference = MemoryBackend::with_clock(Arc::new(clock.clone()));
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for round in 0..240_u64 {
            let name = format!("run-{}", random(12));
            let current = reference.head(&key(&name)).await.expect("head");
            let nonce = random(u64::MAX);
            let bytes = [3, 300, 3_000, 300, 3, 40_000][random(6) as usize];
            let batch = match (&current, random(10)) {
                (None, _) => {
                    let mut head = head(&name, 1, Status::Queued, 2);
                    head.version.nonce = nonce;
                    head.created_at = START.plus_ms(round / 2);
                    Some(Batch::create(head, vec![record(1, bytes)]))
                }
                (Some(_), 0..=2) => {
                    let id = format!("m-{}", random(30)).parse().expect("valid");
                    let payload = Payload::encode(&round).expect("small");
                    Some(Batch::post(key(&name), Message::new(id, Kind::of("hello"), START, payload)))
                }
                (Some(_), 3) => None,
                (Some(present), _) => {
                    let mut head = present.clone();
                    head.version = present.version.next(nonce);
                    let appended = random(3);
                    head.next_seq = present.next_seq.plus(appended as usize);
                    head.status = [Status::Running, Status::Waiting, Status::Succeeded, Status::Failed]
                        [random(4) as usize];
                    head.finished_at = head.status.is_finished().then_some(START);
                    let worker = WorkerId::new("w").expect("valid");
                    head.lease =
                        (random(2) == 0).then_some(Lease { worker, ttl_ms: 1_000, expires_at: Timestamp(0) });
                    let records = (0..appended).map(|nth| record(present.next_seq.0 + nth, bytes)).collect();
                    let mut batch = Batch::replace(present.version, head, records);
                    let inbox = reference.inbox(&key(&name), 2).await.expect("inbox");
                    batch.take = inbox.into_iter().map(|message| message.id).collect();
                    Some(batch)
                }
            };
            if let Some(batch) = batch {
                let verdicts = backend.commit(std::slice::from_ref(&batch)).await.expect("commit");
                assert_eq!(verdicts, [Verdict::Accepted]);
                reference.commit(&[batch]).await.expect("commit");
            } else {
                let keys = [key(&name), key("unknown")];
                let removed = backend.remove(&keys).await.expect("remove");
                assert_eq!(removed, reference.remove(&keys).await.expect("remove"));
            }
            if random(8) == 0 {
                clock.advance_ms(random(2_000) as i64);
                let claim = Claim {
                    worker: WorkerId::new("w").expect("valid"),
                    ttl_ms: 500,
                    queues: Vec::new(),
                    workflows: Vec::new(),
                    tenant: None,
                    limit: 2,
                    nonce,
                };
                let claimed = backend.claim(&claim).await.expect("claim");
                assert_eq!(claimed, reference.claim(&claim).await.expect("claim"));
            }
            if round % 40 == 39 {
                let when = format!("seed {seed}, round {round}");
                assert_same(&backend, &reference, &when).await;
                reference = reference.reopened();
                let next = folder.path().join(format!("image-{round}"));
                if random(2) == 0 {
                    image(&path, &next);
                    drop(backend);
                    path = next;
                } else {
                    drop(backend);
                }
                backend = SledBackend::open(&path, options()).expect("opens");
                assert_same(&backend, &reference, &format!("{when}, opened again")).await;
            }
        }
    }
}
