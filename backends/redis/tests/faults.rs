//! What goes wrong between a worker and Redis, and what the worker is told.

mod support;

use std::time::{Duration, Instant};

use stepwell_contract::{Backend, BackendError, Batch, FaultKind, Head, Health, Query, Seq, Status};
use stepwell_redis::test_server::TestServer;
use stepwell_redis::{RedisBackend, RedisOptions};
use support::{Proxy, claim, head, step};

async fn open(url: &str) -> RedisBackend {
    RedisBackend::open(url, RedisOptions::default()).await.expect("the store opens")
}

fn start(settings: &[(&str, &str)]) -> TestServer {
    TestServer::start(settings).unwrap_or_else(|error| panic!("{error}"))
}

async fn order(server: &TestServer, words: &[&str]) {
    let client = redis::Client::open(format!("redis+unix://{}", server.socket().display())).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server runs");
    let mut cmd = redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    cmd.query_async::<redis::Value>(&mut connection).await.expect("the server obeys");
}

#[tokio::test]
async fn a_reply_cut_after_the_write_is_indefinite_and_the_head_shows_that_it_landed() {
    let server = start(&[]);
    let proxy = Proxy::to(server.socket()).await;
    let backend = open(&proxy.url("cut")).await;
    let mut run = head("a");
    backend.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    let batch = step(&mut run, 10);
    proxy.cut_the_next_reply();
    let error = backend.commit(std::slice::from_ref(&batch)).await.expect_err("no reply");
    assert!(matches!(error, BackendError::Indefinite(_)), "{error:?}");
    let read = backend.head(&run.key).await.expect("connected anew").expect("the run");
    assert_eq!(read.version, run.version, "the head carries the version of the write");
    let again = backend.commit(&[batch]).await.expect("the same write again");
    assert!(again[0].is_accepted());
    assert_eq!(backend.journal(&run.key, Seq::FIRST, 10).await.expect("read").len(), 1, "applied once");
}

#[tokio::test]
async fn a_black_hole_is_left_within_five_seconds_of_its_end() {
    let server = start(&[]);
    let proxy = Proxy::to(server.socket()).await;
    let options = RedisOptions::default()
        .response_timeout(Duration::from_millis(300))
        .connect_timeout(Duration::from_millis(300));
    let backend = RedisBackend::open(&proxy.url("hole"), options).await.expect("opens");
    let run = head("a");
    backend.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    proxy.fall_silent();
    for _ in 0..4 {
        let error = backend.head(&run.key).await.expect_err("silence");
        assert_eq!(error.kind(), FaultKind::Timeout, "{error}");
        assert!(matches!(error, BackendError::Definite(_)), "a read changes nothing");
    }
    proxy.heal();
    let healed = Instant::now();
    while backend.head(&run.key).await.is_err() {
        assert!(healed.elapsed() < Duration::from_secs(5), "not recovered");
    }
}

#[tokio::test]
async fn an_emptied_store_is_never_written_again_by_who_had_it_open() {
    let server = start(&[]);
    let backend = open(&server.url("amnesia")).await;
    let mut run = head("a");
    backend.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    order(&server, &["FLUSHALL"]).await;
    let error = backend.head(&run.key).await.expect_err("not `None`: the run is lost, not absent");
    assert_eq!(error.kind(), FaultKind::IdentityLost);
    let scanned = backend.scan(&Query::default(), None, 10).await.expect_err("not an empty page");
    assert_eq!(scanned.kind(), FaultKind::IdentityLost);
    for batch in [step(&mut run, 10), Batch::create(head("b"), Vec::new())] {
        let error = backend.commit(&[batch]).await.expect_err("closed");
        assert!(matches!(&error, BackendError::Poisoned(_)), "{error:?}");
    }
    let error = backend.claim(&claim("w", 1, 1)).await.expect_err("closed");
    assert!(matches!(error, BackendError::Poisoned(_)));
    assert!(matches!(backend.info().await.expect("told").health, Health::Poisoned(_)));
    // Another store at the same place is not this one either.
    let other = open(&server.url("amnesia")).await;
    assert_ne!(other.info().await.expect("told").id, backend.info().await.expect("told").id);
    assert!(backend.commit(&[Batch::create(head("c"), Vec::new())]).await.is_err());
    assert_eq!(other.head(&head("c").key).await.expect("read"), None);
}

#[tokio::test]
async fn an_emptied_store_is_found_out_by_a_write_alone() {
    let server = start(&[]);
    let backend = open(&server.url("amnesia")).await;
    order(&server, &["FLUSHALL"]).await;
    let error = backend.commit(&[Batch::create(head("a"), Vec::new())]).await.expect_err("lost");
    assert!(matches!(error, BackendError::Poisoned(_)), "{error:?}");
    assert_eq!(error.kind(), FaultKind::IdentityLost);
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = start(&[]);
    let backend = open(&server.url("scripts")).await;
    let mut run = head("a");
    backend.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    order(&server, &["SCRIPT", "FLUSH"]).await;
    let verdicts = backend.commit(&[step(&mut run, 10)]).await.expect("heals by itself");
    assert!(verdicts[0].is_accepted());
    assert_eq!(backend.claim(&claim("w", 5, 1)).await.expect("claims").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_all_it_has_acknowledged() {
    let mut server = start(&[]);
    let url = server.url("crash");
    let backend = open(&url).await;
    let id = backend.info().await.expect("told").id;
    let runs: Vec<Head> = (0..20).map(|nth| head(&format!("r{nth}"))).collect();
    let births: Vec<Batch> = runs.iter().map(|run| Batch::create(run.clone(), Vec::new())).collect();
    backend.commit(&births).await.expect("made");
    let (progress, mut watch) = tokio::sync::watch::channel(0_u32);
    let writer = tokio::spawn(async move {
        let (mut acknowledged, mut next) = (runs.clone(), runs);
        loop {
            let batches: Vec<Batch> = next.iter_mut().map(|run| step(run, 50)).collect();
            if backend.commit(&batches).await.is_err() {
                return acknowledged;
            }
            acknowledged.clone_from(&next);
            progress.send_modify(|count| *count += 1);
        }
    });
    watch.wait_for(|count| *count > 30).await.expect("the writer writes");
    server.kill().expect("killed in mid-write");
    let acknowledged = writer.await.expect("the writer ends");
    server.revive().expect("starts again");
    let backend = open(&url).await;
    assert_eq!(backend.info().await.expect("told").id, id);
    for run in acknowledged {
        let read = backend.head(&run.key).await.expect("read").expect("the run is there");
        // The write in flight may have landed, nothing more.
        let ahead = read.version.counter - run.version.counter;
        assert!(ahead <= 1, "{} is at {}, acknowledged {}", run.key, read.version, run.version);
        let records = backend.journal(&run.key, Seq::FIRST, 1_000).await.expect("read");
        assert_eq!(read.next_seq, Seq::FIRST.plus(records.len()), "head and journal agree");
    }
}

#[tokio::test]
async fn a_live_backend_goes_on_after_the_server_was_started_again() {
    let mut server = start(&[]);
    let backend = open(&server.url("again")).await;
    let mut run = head("a");
    backend.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    server.kill().expect("killed");
    let error = backend.commit(&[step(&mut run.clone(), 10)]).await.expect_err("no server");
    assert_eq!(error.kind(), FaultKind::Unavailable, "{error}");
    assert!(error.is_passing());
    server.revive().expect("starts again");
    let since = Instant::now();
    while backend.head(&run.key).await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(5), "not recovered");
    }
    assert!(backend.commit(&[step(&mut run, 10)]).await.expect("goes on")[0].is_accepted());
}

#[tokio::test]
async fn a_full_server_refuses_writes_whole_and_takes_them_again_once_there_is_room() {
    let server = start(&[("maxmemory", "8mb"), ("maxmemory-policy", "noeviction")]);
    let backend = open(&server.url("full")).await;
    let (mut full, mut nth) = (None, 0);
    let mut kept = Vec::new();
    while full.is_none() {
        assert!(nth < 200, "the server never became full");
        let mut run = head(&format!("r{nth}"));
        run.status = Status::Succeeded;
        nth += 1;
        let batches = [Batch::create(run.clone(), Vec::new()), step(&mut run, 200_000)];
        match backend.commit(&batches).await {
            Ok(_) => kept.push(run),
            Err(error) => full = Some((error, run)),
        }
    }
    let (error, refused) = full.expect("full");
    assert!(matches!(error, BackendError::Definite(_)), "{error:?}");
    assert_eq!(error.kind(), FaultKind::Full);
    assert_eq!(backend.head(&refused.key).await.expect("reads go on"), None, "not applied by half");
    assert!(matches!(backend.info().await.expect("told").health, Health::Degraded(_)));
    let keys: Vec<_> = kept.iter().map(|run| run.key.clone()).collect();
    assert_eq!(backend.remove(&keys).await.expect("removing needs no room"), keys.len());
    backend.commit(&[Batch::create(head("after"), Vec::new())]).await.expect("room again");
}

#[tokio::test]
async fn what_stands_in_a_journal_behind_its_head_is_cut_off_by_the_next_write() {
    let server = start(&[]);
    let backend = open(&server.url("cut")).await;
    let mut run = head("r");
    backend.commit(&[Batch::create(run.clone(), Vec::new())]).await.expect("made");
    let mut written = Vec::new();
    for _ in 0..3 {
        // A record of a write whose head is not there, in whichever shard the run is.
        for shard in 0..4 {
            order(&server, &["RPUSH", &format!("{{cut:{shard}}}:journal:default,r"), "stray"]).await;
        }
        let batch = step(&mut run, 10);
        written.extend(batch.append.clone());
        let verdicts = backend.commit(&[batch]).await.expect("the store");
        assert!(verdicts[0].is_accepted(), "{verdicts:?}");
        assert_eq!(backend.journal(&run.key, Seq::FIRST, 100).await.expect("a journal"), written);
    }
}
