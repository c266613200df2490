//! A server that is killed while it writes its append-only file leaves half a transaction there. Redis 7 then cuts off the
//! command that is not whole and keeps those before it, so that they are applied with whatever is written next, the next time
//! the file is read (<https://github.com/valkey-io/valkey/pull/4342> tells of it).

mod support;

use std::fs::OpenOptions;
use std::path::PathBuf;

use stepwell_contract::{
    Backend, Batch, Head, Kind, Message, MessageId, Payload, Query, Record, Seq, Status, Timestamp,
};
use stepwell_redis::test_server::TestServer;
use stepwell_redis::{RedisBackend, RedisOptions};
use support::{head, step};

/// The server, and its file of which the tail is torn.
struct Torn {
    server: TestServer,
    file: PathBuf,
}

impl Torn {
    fn new() -> Self {
        let server = TestServer::start(&[]).unwrap_or_else(|error| panic!("{error}"));
        let file = server.dir().join("appendonlydir/appendonly.aof.1.incr.aof");
        Self { server, file }
    }

    async fn open(&self) -> RedisBackend {
        let url = format!("{}&shards=1", self.server.url("torn"));
        RedisBackend::open(&url, RedisOptions::default()).await.expect("the store opens")
    }

    fn len_bytes(&self) -> u64 {
        std::fs::metadata(&self.file).expect("the append-only file").len()
    }

    /// Kills the server and starts it again over as much of its file as that.
    async fn cut(&mut self, len_bytes: u64) -> RedisBackend {
        self.server.kill().expect("killed");
        let file = OpenOptions::new().write(true).open(&self.file).expect("the append-only file");
        file.set_len(len_bytes).expect("cut");
        self.server.revive().expect("starts again");
        self.open().await
    }

    /// The places in the middle of each command of the file behind that place.
    fn middles(&self, from: u64) -> Vec<u64> {
        let bytes = std::fs::read(&self.file).expect("the append-only file");
        let from = usize::try_from(from).expect("a place in it");
        let is_start =
            |at: &usize| bytes[*at] == b'*' && bytes[at - 1] == b'\n' && bytes[at + 1].is_ascii_digit();
        (from..bytes.len() - 1).filter(is_start).map(|at| at as u64 + 6).collect()
    }
}

fn message(id: &str) -> Message {
    let id = MessageId::new(id).expect("an id");
    Message::new(id, Kind::of("note"), Timestamp(1), Payload::encode(&"hello").expect("small"))
}

/// What all of the store says of a run is what its head says.
async fn agree(backend: &RedisBackend, run: &Head, records: &[Record], inbox: &[&str], what: &str) {
    let stored = backend.head(&run.key).await.expect("read").expect("the run");
    assert_eq!(stored.version, run.version, "{what}: its head");
    let journal = backend.journal(&run.key, Seq::FIRST, 100).await;
    assert_eq!(journal.unwrap_or_else(|error| panic!("{what}: {error}")), records, "{what}: its journal");
    let messages = backend.inbox(&run.key, 10).await.expect("read");
    let ids: Vec<_> = messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, inbox, "{what}: its inbox");
    for status in Status::ALL {
        let query = Query { statuses: vec![status], ..Query::default() };
        let found = backend.scan(&query, None, 500).await.expect("read").items;
        let is_found = found.iter().any(|found| found.key == run.key);
        assert_eq!(is_found, status == run.status, "{what}: among those that are {status}");
    }
}

/// Who writes after the server came back.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// The same worker tries the same again.
    Same,
    /// Another one, that knows nothing of it, does something else with the run.
    Other,
    /// Nobody who has to do with the run; then, once the file was read again, the same worker after all.
    Elsewhere,
    /// Nobody who has to do with the run, ever.
    Nobody,
}

#[tokio::test]
async fn a_write_that_was_torn_off_the_file_harms_nothing_that_is_written_after_it() {
    let mut torn = Torn::new();
    let mut backend = torn.open().await;
    let (mut rounds, mut landed, mut places) = (0, 0, vec![0]);
    for next in [Next::Same, Next::Other, Next::Elsewhere, Next::Nobody] {
        let mut nth = 0;
        while nth < places.len() {
            let name = format!("{next:?}-{nth}").to_lowercase();
            let mut run = head(&name);
            run.status = Status::Running;
            let elsewhere = head(&format!("{name}-elsewhere"));
            let made = [Batch::create(run.clone(), Vec::new()), Batch::create(elsewhere.clone(), Vec::new())];
            backend.commit(&made).await.expect("made");
            backend.commit(&[Batch::post(run.key.clone(), message("first"))]).await.expect("posted");
            let first = step(&mut run, 10);
            let records = first.append.clone();
            backend.commit(&[first]).await.expect("written");

            let (before, from) = (run.clone(), torn.len_bytes());
            let mut write = step(&mut run, 10);
            run.status = Status::Succeeded;
            write.head = Some(run.clone());
            write.take = vec![MessageId::new("first").expect("an id")];
            write.post = vec![message("second")];
            backend.commit(std::slice::from_ref(&write)).await.expect("written");
            places = torn.middles(from);
            let what = format!("{next:?}, torn in command {nth}");
            backend = torn.cut(places[nth]).await;
            agree(&backend, &before, &records, &["first"], &format!("{what}, at once")).await;

            let all: Vec<Record> = records.iter().chain(&write.append).cloned().collect();
            let (expected, batch, written, inbox) = match next {
                Next::Same => (run.clone(), write.clone(), all.clone(), vec!["second"]),
                Next::Other => {
                    let mut run = before.clone();
                    run.status = Status::Waiting;
                    let mut other = step(&mut run, 20);
                    other.take = vec![MessageId::new("first").expect("an id")];
                    let written = records.iter().chain(&other.append).cloned().collect();
                    (run, other, written, vec![])
                }
                Next::Elsewhere | Next::Nobody => {
                    (before.clone(), step(&mut elsewhere.clone(), 10), records.clone(), vec!["first"])
                }
            };
            let verdicts = backend.commit(&[batch]).await.expect("written");
            assert!(verdicts[0].is_accepted(), "{what}: {verdicts:?}");
            agree(&backend, &expected, &written, &inbox, &format!("{what}, written again")).await;
            let whole = torn.len_bytes();
            backend = torn.cut(whole).await;
            let stored = backend.head(&run.key).await.expect("read").expect("the run");
            let what = format!("{what}, read again");
            match next {
                // What was begun is posted, and waits for a head that knows of it, unless that was written, too.
                Next::Elsewhere | Next::Nobody if stored.version == before.version => {
                    let inbox = backend.inbox(&run.key, 10).await.expect("read");
                    assert_eq!(inbox[0].id.as_str(), "first", "{what}: nothing is lost");
                    let inbox: Vec<_> = inbox.iter().map(|message| message.id.as_str()).collect();
                    agree(&backend, &before, &records, &inbox, &what).await;
                    if matches!(next, Next::Elsewhere) {
                        assert!(backend.commit(&[write]).await.expect("written")[0].is_accepted());
                        agree(&backend, &run, &all, &["second"], &format!("{what}, then written")).await;
                    }
                }
                Next::Elsewhere | Next::Nobody => {
                    landed += 1;
                    let inbox = backend.inbox(&run.key, 10).await.expect("read");
                    let inbox: Vec<_> = inbox.iter().map(|message| message.id.as_str()).collect();
                    assert_eq!(inbox.last(), Some(&"second"), "{what}: nothing is lost");
                    agree(&backend, &run, &all, &inbox, &what).await;
                }
                Next::Other if inbox.is_empty() => {
                    let found = backend.inbox(&run.key, 10).await.expect("read");
                    // Nobody was told that the second was posted; it may be.
                    assert!(found.iter().all(|found| found.id.as_str() == "second"), "{what}: {found:?}");
                    let found: Vec<_> = found.iter().map(|message| message.id.as_str()).collect();
                    agree(&backend, &expected, &written, &found, &what).await;
                }
                Next::Same | Next::Other => agree(&backend, &expected, &written, &inbox, &what).await,
            }
            // Whoever has the run takes all that it finds: then nothing is left to look for.
            let mut run = backend.head(&run.key).await.expect("read").expect("the run");
            let found = backend.inbox(&run.key, 10).await.expect("read");
            let mut last = step(&mut run, 10);
            last.take = found.into_iter().map(|message| message.id).collect();
            backend.commit(&[last]).await.expect("written");
            let query = Query { with_mail: true, ..Query::default() };
            let with_mail = backend.scan(&query, None, 500).await.expect("read").items;
            assert!(with_mail.iter().all(|found| found.key != run.key), "{what}: it has mail for ever");
            rounds += 1;
            nth += 1;
        }
    }
    println!("HARNESS torn_tail torn={rounds} landed={landed}");
    assert!(rounds > 30, "only {rounds} places were torn");
}

#[tokio::test]
async fn a_run_whose_making_was_torn_off_the_file_is_made_anew() {
    let mut torn = Torn::new();
    let mut backend = torn.open().await;
    let (mut nth, mut places) = (0, vec![0]);
    while nth < places.len() {
        let make = |bytes| {
            let mut run = head(&format!("run-{nth}"));
            let made = run.version;
            let records = step(&mut run, bytes).append;
            run.version = made;
            (run.clone(), records.clone(), Batch::create(run, records))
        };
        let from = torn.len_bytes();
        backend.commit(&[make(10).2]).await.expect("made");
        places = torn.middles(from);
        backend = torn.cut(places[nth]).await;
        let (run, records, batch) = make(20);
        assert_eq!(backend.head(&run.key).await.expect("read"), None, "nobody was told of it");
        backend.commit(&[batch]).await.expect("made");
        let whole = torn.len_bytes();
        backend = torn.cut(whole).await;
        agree(&backend, &run, &records, &[], &format!("torn in command {nth}")).await;
        nth += 1;
    }
    assert!(nth > 8, "only {nth} places were torn");
}
