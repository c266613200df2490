//! A store that programs write to which do not count.

mod support;

use std::collections::BTreeMap;

use stepwell_contract::{Backend, Batch, Name, Query, Status, Tally, Timestamp};
use stepwell_redis::test_server::TestServer;
use stepwell_redis::{RedisBackend, RedisOptions};
use support::head;

async fn runs_by_status(backend: &dyn Backend) -> Vec<(Status, u64)> {
    let tally = backend.tally().await.expect("counted");
    tally.into_iter().map(|Tally { status, runs, .. }| (status, runs)).collect()
}

#[tokio::test]
async fn runs_of_a_program_that_does_not_count_are_counted_anew() {
    let server = TestServer::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let backend = RedisBackend::open(&server.url("old"), RedisOptions::default()).await.expect("opens");
    let client = redis::Client::open(server.url("old")).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server runs");
    let make = async |names: std::ops::Range<u32>, status: Status| {
        let births = names.map(|nth| {
            let mut run = head(&format!("r{nth}"));
            run.status = status;
            run.finished_at = status.is_finished().then_some(Timestamp(1));
            Batch::create(run, Vec::new())
        });
        backend.commit(&births.collect::<Vec<_>>()).await.expect("made");
    };
    make(0..40, Status::Queued).await;
    make(40..45, Status::Failed).await;
    // As a program leaves it that has never counted.
    for shard in 0..4 {
        let forget = redis::cmd("DEL").arg(format!("{{old:{shard}}}:tally")).to_owned();
        let _: u32 = forget.query_async(&mut connection).await.expect("deleted");
    }
    make(45..48, Status::Failed).await;
    for _ in 0..2 {
        assert_eq!(runs_by_status(&backend).await, [(Status::Queued, 40), (Status::Failed, 8)]);
    }
    // A head that a server without memory threw away is not counted, and costs nobody a count each time.
    let lost = redis::cmd("DEL")
        .arg((0..4).map(|shard| format!("{{old:{shard}}}:head:default,r40")).collect::<Vec<_>>())
        .to_owned();
    let gone: u32 = lost.query_async(&mut connection).await.expect("deleted");
    assert_eq!(gone, 1);
    for shard in 0..4 {
        let forget = redis::cmd("DEL").arg(format!("{{old:{shard}}}:tally")).to_owned();
        let _: u32 = forget.query_async(&mut connection).await.expect("deleted");
    }
    assert_eq!(runs_by_status(&backend).await, [(Status::Queued, 40), (Status::Failed, 7)]);
    make(48..49, Status::Failed).await;
    assert_eq!(runs_by_status(&backend).await, [(Status::Queued, 40), (Status::Failed, 8)]);
}

/// What is written while runs are counted from the beginning is counted once, whether the count has been there or not.
#[tokio::test]
async fn a_store_goes_on_while_it_is_counted_from_the_beginning() {
    const RUNS: u32 = 10_000;
    let server = TestServer::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let options = RedisOptions::default();
    let backend = RedisBackend::open(&server.url("busy"), options).await.expect("opens");
    let client = redis::Client::open(server.url("busy")).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server runs");
    let run = |nth: u32, workflow: &str, status: Status| {
        let mut run = head(&format!("r{nth:05}"));
        run.workflow = Name::new(workflow).expect("a name");
        run.status = status;
        run.finished_at = status.is_finished().then_some(Timestamp(1));
        run
    };
    let births: Vec<Batch> =
        (0..RUNS).map(|nth| Batch::create(run(nth, "old", Status::Queued), Vec::new())).collect();
    backend.commit(&births).await.expect("made");
    for shard in 0..4 {
        let forget = redis::cmd("DEL").arg(format!("{{busy:{shard}}}:tally")).to_owned();
        let _: u32 = forget.query_async(&mut connection).await.expect("deleted");
    }
    let writes = async {
        for nth in 0..200 {
            // Behind the place that the count has come to, and before it.
            let moved = [nth, RUNS - 1 - nth].map(|nth| {
                let old = run(nth, "old", Status::Queued);
                let mut new = run(nth, if nth % 2 == 0 { "old" } else { "new" }, Status::Failed);
                new.version = old.version.next(7);
                new.fence = old.fence;
                Batch::replace(old.version, new, Vec::new())
            });
            let born = Batch::create(run(RUNS + nth, "new", Status::Succeeded), Vec::new());
            let verdicts = backend.commit(&[moved.as_slice(), &[born]].concat()).await.expect("written");
            assert!(verdicts.iter().all(|verdict| verdict.is_accepted()));
        }
    };
    let (_, counted) = tokio::join!(writes, backend.tally());
    counted.expect("counted");
    // As it was counted along; a tally that found it wrong would count it from the beginning again.
    let mut by_status = BTreeMap::new();
    for shard in 0..4 {
        let get = redis::cmd("HGETALL").arg(format!("{{busy:{shard}}}:tally")).to_owned();
        let kept: Vec<(String, u64)> = get.query_async(&mut connection).await.expect("told");
        for (sort, runs) in kept {
            *by_status.entry(sort.split(',').nth(1).expect("a status").to_owned()).or_insert(0) += runs;
        }
        let left = redis::cmd("EXISTS").arg(format!("{{busy:{shard}}}:recount")).to_owned();
        let left: u32 = left.query_async(&mut connection).await.expect("told");
        assert_eq!(left, 0);
    }
    let expected = [("queued", u64::from(RUNS) - 400), ("succeeded", 200), ("failed", 400)];
    assert_eq!(by_status, expected.map(|(status, runs)| (status.to_owned(), runs)).into());
    let of_new = Query { workflow: Some(Name::new("new").expect("a name")), ..Query::default() };
    let (mut found, mut after) = (0, None);
    loop {
        let page = backend.scan(&of_new, after, 1_000).await.expect("listed");
        found += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, 200 + 200);
}
