//! A store that programs write to which do not count.

mod support;

use stepwell_contract::{Backend, Batch, Status, Tally, Timestamp};
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
