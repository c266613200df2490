//! What a store in a folder promises beyond the laws that every backend keeps.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use stepwell_contract::{
    Backend, BackendError, Batch, Claim, FaultKind, Fence, Head, Kind, ManualClock, Message, MessageId, Name,
    Order, Payload, Query, Record, RunId, RunKey, Seq, Status, TenantId, Timestamp, Version, WorkerId,
};
use stepwell_file::{FileBackend, FileOptions};

fn options() -> FileOptions {
    FileOptions::default().clock(Arc::new(ManualClock::at(Timestamp(1_000_000))))
}

fn open(path: &Path) -> FileBackend {
    FileBackend::open(path, options()).expect("opens")
}

fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

fn head(run: &str, counter: u64, next_seq: u64, status: Status) -> Head {
    Head {
        key: key(run),
        version: Version { counter, nonce: counter * 7 },
        workflow: Name::new("order").expect("a name"),
        workflow_version: 1,
        queue: Name::new("default").expect("a name"),
        priority: 0,
        status,
        wake_at: Some(Timestamp(0)),
        lease: None,
        fence: Fence(0),
        next_seq: Seq(next_seq),
        created_at: Timestamp(i64::try_from(run.len()).expect("short")),
        updated_at: Timestamp(0),
        finished_at: status.is_finished().then_some(Timestamp(5)),
        tags: Arc::default(),
        summary: Payload::null(),
    }
}

fn record(seq: u64, text: &str) -> Record {
    let payload = Payload::encode(text).expect("JSON");
    Record::new(Seq(seq), Kind::of("step_succeeded"), Timestamp(0), 1, payload)
}

/// A run of one record, and then finished.
async fn finish(store: &FileBackend, run: &str, text: &str) {
    let first = head(run, 1, 2, Status::Running);
    let last = head(run, 2, 3, Status::Succeeded);
    let batches = [
        Batch::create(first.clone(), vec![record(1, text)]),
        Batch::replace(first.version, last, vec![record(2, text)]),
    ];
    let verdicts = store.commit(&batches).await.expect("commits");
    assert!(verdicts.iter().all(|verdict| verdict.is_accepted()), "{verdicts:?}");
}

fn journal_file(folder: &Path) -> std::path::PathBuf {
    folder.join("journal/00000001.jsonl")
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again_with_and_without_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    {
        let store = open(&path);
        for nth in 0..50 {
            finish(&store, &format!("done-{nth}"), "text").await;
        }
        let waiting = head("waiting", 1, 2, Status::Waiting);
        store.commit(&[Batch::create(waiting, vec![record(1, "x")])]).await.expect("commits");
        let message = Message::new(
            MessageId::new("m").expect("an id"),
            Kind::of("signal"),
            Timestamp(1),
            Payload::null(),
        );
        let post = Batch::post(key("done-7"), message);
        store.commit(&[post.clone(), post]).await.expect("commits");
    }
    for with_index in [true, false] {
        if !with_index {
            std::fs::remove_file(path.join("index.redb")).expect("is there");
        }
        let store = open(&path);
        let journal = store.journal(&key("done-7"), Seq(2), 10).await.expect("reads");
        assert_eq!(journal, [record(2, "text")]);
        assert_eq!(store.inbox(&key("done-7"), 10).await.expect("reads").len(), 1);
        let mut seen = 0;
        let mut after = None;
        loop {
            let query = Query { order: Order::Oldest, ..Query::default() };
            let page = store.scan(&query, after, 7).await.expect("scans");
            seen += page.items.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, 51);
        let claim = Claim {
            worker: WorkerId::new("w").expect("an id"),
            ttl_ms: 1000,
            queues: Vec::new(),
            workflows: Vec::new(),
            tenant: None,
            limit: 10,
            nonce: 99,
        };
        let claimed = store.claim(&claim).await.expect("claims");
        assert_eq!(claimed.len(), 1, "its lease ended with the process that had it");
    }
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_store_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    finish(&store, "a", "text").await;
    let before = std::fs::read(journal_file(folder.path())).expect("reads");
    let error = FileBackend::open(folder.path(), options()).expect_err("is locked");
    assert!(matches!(error, BackendError::Definite(_)) && error.kind() == FaultKind::Locked, "{error}");
    let said = error.to_string();
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
    assert_eq!(std::fs::read(journal_file(folder.path())).expect("reads"), before);
    drop(store);
    drop(open(folder.path()));
}

#[tokio::test]
async fn every_line_of_the_journal_is_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    finish(&store, "a", "line\nbreak \u{2028} and {\"crc\":\"").await;
    let text = std::fs::read_to_string(journal_file(folder.path())).expect("UTF-8");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "a header and two batches, and no space set aside is seen: {text}");
    assert_eq!(lines[2]["head"]["status"], "succeeded");
    drop(store);
}

#[test]
fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/store");
    drop(open(&path));
    let mode = |path: &Path| std::fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in ["lock", "store.json", "index.redb", "journal/00000001.jsonl"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).expect("is ours");
    let error = FileBackend::open(folder.path(), options()).expect_err("is refused");
    assert_eq!(error.kind(), FaultKind::Refused, "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 0, "nothing was made");
}

#[test]
fn a_link_planted_in_the_folder_is_not_followed() {
    for name in ["lock", "store.json", "journal", "journal/00000001.jsonl", "index.redb"] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        drop(open(&path));
        let target = folder.path().join("target");
        std::fs::rename(path.join(name), &target).expect("is there");
        symlink(&target, path.join(name)).expect("links");
        let error = FileBackend::open(&path, options()).expect_err(name);
        assert!(error.to_string().contains("link"), "{name}: {error}");
    }
}

#[test]
fn a_store_of_a_later_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    let file = folder.path().join("store.json");
    let text = std::fs::read_to_string(&file).expect("reads");
    let body = text[16..].trim_end().replace("\"format\":1", "\"format\":2");
    let crc = crc32fast::hash(body.as_bytes());
    std::fs::write(&file, format!("{{\"crc\":\"{crc:08x}{body}\n")).expect("writes");
    let error = FileBackend::open(folder.path(), options()).expect_err("is refused");
    assert_eq!(error.kind(), FaultKind::Refused, "{error}");
    assert!(error.to_string().contains("newer program"), "{error}");
}
