//! Several processes on one store.

mod support;

use std::time::Duration;

use stepwell_contract::{
    Backend, BackendError, Batch, FaultKind, Head, Kind, Message, MessageId, Payload, Timestamp,
};
use stepwell_redis::test_server::shared_url;
use stepwell_redis::{RedisBackend, RedisOptions};
use support::{claim, head, step};

fn shared(prefix: &str) -> String {
    let prefix = format!("{prefix}-{}", uuid::Uuid::new_v4().simple());
    shared_url(&prefix).unwrap_or_else(|error| panic!("{error}"))
}

async fn open(url: &str) -> RedisBackend {
    RedisBackend::open(url, RedisOptions::default()).await.expect("opens")
}

#[tokio::test]
async fn a_contradiction_leaves_every_shard_untouched_also_for_who_never_saw_the_runs() {
    let url = shared("whole");
    let mut runs: Vec<Head> = (0..40).map(|nth| head(&format!("r{nth}"))).collect();
    let births: Vec<Batch> = runs.iter().map(|run| Batch::create(run.clone(), Vec::new())).collect();
    open(&url).await.commit(&births).await.expect("made");
    let newcomer = open(&url).await;
    let before = runs.clone();
    // The last of many, over all shards, leaves a gap in its journal.
    runs[39].next_seq = runs[39].next_seq.plus(1);
    let batches: Vec<Batch> = runs.iter_mut().map(|run| step(run, 10)).collect();
    let error = newcomer.commit(&batches).await.expect_err("a gap");
    assert!(matches!(error, BackendError::Definite(_)), "{error:?}");
    assert_eq!(error.kind(), FaultKind::Invalid);
    for run in before {
        assert_eq!(newcomer.head(&run.key).await.expect("read"), Some(run));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_backends_on_one_store_never_claim_the_same_run() {
    let url = shared("share");
    let one = open(&url).await;
    let two = open(&url).await;
    let births: Vec<Batch> =
        (0..300).map(|nth| Batch::create(head(&format!("r{nth}")), Vec::new())).collect();
    one.commit(&births).await.expect("made");
    let drain = async |backend: RedisBackend, worker: &str| {
        let mut claimed = Vec::new();
        for nonce in 0.. {
            let heads = backend.claim(&claim(worker, 10, nonce * 100)).await.expect("claims");
            if heads.is_empty() {
                break;
            }
            claimed.extend(heads.into_iter().map(|head| head.key));
        }
        claimed
    };
    let (mut all, theirs) = tokio::join!(drain(one, "w1"), drain(two, "w2"));
    all.extend(theirs);
    all.sort();
    assert_eq!(all.len(), 300);
    all.dedup();
    assert_eq!(all.len(), 300, "each run has one claimer");
}

#[tokio::test]
async fn who_waits_is_told_of_mail_from_another_process() {
    let url = shared("hint");
    let reader = open(&url).await;
    let writer = open(&url).await;
    let mut run = head("a");
    run.wake_at = None;
    writer.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    let waiting = async {
        while reader.claim(&claim("w", 1, 5)).await.expect("claims").is_empty() {
            reader.changed(Duration::from_secs(3_600)).await;
        }
    };
    let posting = async {
        let id = MessageId::new("go").expect("valid");
        let message = Message::new(id, Kind::of("signal"), Timestamp(1), Payload::null());
        writer.commit(&[Batch::post(run.key.clone(), message)]).await.expect("posted");
    };
    let both = async { tokio::join!(waiting, posting) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("no need to wait for the hour");
}
