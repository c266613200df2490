//! Removed runs give their disk space back, and take nothing else along.

use std::path::Path;
use std::sync::Arc;

use stepwell_contract::{
    Backend, Batch, Fence, Head, Kind, ManualClock, Name, Payload, Query, Record, RunId, RunKey, Seq, Status,
    TenantId, Timestamp, Version,
};
use stepwell_file::{FileBackend, FileOptions};

fn open(path: &Path) -> FileBackend {
    let options = FileOptions::default()
        .clock(Arc::new(ManualClock::at(Timestamp(1_000_000))))
        .segment_bytes(16 << 10)
        .recent_runs_max(20)
        .replay_bytes_max(32 << 10);
    FileBackend::open(path, options).expect("opens")
}

fn key(nth: usize) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(format!("run-{nth}")).expect("an id"))
}

fn head(nth: usize, counter: u64, status: Status) -> Head {
    Head {
        key: key(nth),
        version: Version { counter, nonce: counter },
        workflow: Name::new("order").expect("a name"),
        workflow_version: 1,
        queue: Name::new("default").expect("a name"),
        priority: 0,
        status,
        wake_at: None,
        lease: None,
        fence: Fence(0),
        next_seq: Seq(counter + 1),
        created_at: Timestamp(i64::try_from(nth).expect("small")),
        updated_at: Timestamp(0),
        finished_at: None,
        tags: Arc::default(),
        summary: Payload::null(),
    }
}

fn record(nth: usize, seq: u64) -> Record {
    let payload = Payload::encode(&format!("{nth}/{seq} {}", "x".repeat(100))).expect("JSON");
    Record::new(Seq(seq), Kind::of("step_succeeded"), Timestamp(0), 1, payload)
}

/// Writes four records of a run and finishes it.
async fn finish(store: &FileBackend, nth: usize) {
    for counter in 1..=4 {
        let status = if counter == 4 { Status::Succeeded } else { Status::Running };
        let next = head(nth, counter, status);
        let records = vec![record(nth, counter)];
        let batch = match counter {
            1 => Batch::create(next, records),
            _ => Batch::replace(Version { counter: counter - 1, nonce: counter - 1 }, next, records),
        };
        let verdicts = store.commit(&[batch]).await.expect("commits");
        assert!(verdicts[0].is_accepted());
    }
}

async fn fact(store: &FileBackend, name: &str) -> u64 {
    store.info().await.expect("tells").facts[name].parse().expect("a number")
}

async fn check(store: &FileBackend, there: &dyn Fn(usize) -> bool, runs: usize) {
    for nth in 0..runs {
        let journal = store.journal(&key(nth), Seq::FIRST, 10).await.expect("reads");
        let expected: Vec<Record> = (1..=4).map(|seq| record(nth, seq)).collect();
        assert_eq!(journal, if there(nth) { expected } else { Vec::new() }, "run {nth}");
        assert_eq!(store.head(&key(nth)).await.expect("reads").is_some(), there(nth), "run {nth}");
    }
    let mut listed = 0;
    let mut after = None;
    loop {
        let page = store.scan(&Query::default(), after, 50).await.expect("scans");
        listed += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, (0..runs).filter(|nth| there(*nth)).count());
}

fn folder_bytes(path: &Path) -> u64 {
    let files = std::fs::read_dir(path.join("journal")).expect("reads");
    files.map(|file| file.expect("reads").metadata().expect("is there").len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_follows_what_is_kept_while_the_store_goes_on_writing() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = 600;
    let there = |nth: usize| nth % 10 == 3 || nth >= runs - 20;
    {
        let store = open(folder.path());
        for nth in 0..runs {
            finish(&store, nth).await;
            // Retention follows at some distance.
            if nth >= 20 && !there(nth - 20) {
                assert_eq!(store.remove(&[key(nth - 20)]).await.expect("removes"), 1);
            }
        }
        // The keeper works beside; it is asked again with each write that leaves something to do.
        let mut more = runs;
        while fact(&store, "journal_dead_bytes").await * 2 > fact(&store, "journal_bytes").await {
            finish(&store, more).await;
            assert_eq!(store.remove(&[key(more)]).await.expect("removes"), 1);
            more += 1;
            assert!(more < runs + 3000, "dead lines stay: {:?}", store.info().await);
        }
        check(&store, &there, runs).await;
        // A removed id can be used again.
        finish(&store, 0).await;
    }
    let there = |nth: usize| nth == 0 || there(nth);
    for with_index in [true, false] {
        if !with_index {
            std::fs::remove_file(folder.path().join("index.redb")).expect("is there");
        }
        let store = open(folder.path());
        check(&store, &there, runs).await;
        let (bytes, dead) = (fact(&store, "journal_bytes").await, fact(&store, "journal_dead_bytes").await);
        assert!(folder_bytes(folder.path()) <= 3 * (bytes - dead) + (32 << 10), "{bytes} {dead}");
        assert_eq!(folder_bytes(folder.path()), bytes, "every byte is accounted for");
    }
}
