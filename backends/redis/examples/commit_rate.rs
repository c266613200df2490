//! How many batches a second one committer writes, as a step commit does: replace the head under a renewed lease, append
//! two records.
//!
//! ```sh
//! cargo run --release -p stepwell-redis --features test-server --example commit_rate [SECONDS] [SHARDS] [BATCHES A CALL]
//! ```

use std::time::{Duration, Instant};

use stepwell_contract::{
    Backend, Batch, Fence, Head, Kind, Lease, Name, Payload, Record, RunId, RunKey, Seq, Status, TenantId,
    Timestamp, Version, WorkerId,
};
use stepwell_redis::test_server::shared_url;
use stepwell_redis::{RedisBackend, RedisOptions};

type Failure = Box<dyn std::error::Error>;

fn head(run: usize) -> Result<Head, Failure> {
    Ok(Head {
        key: RunKey::new(TenantId::default(), RunId::new(format!("order-{run}"))?),
        version: Version { counter: 1, nonce: run as u64 },
        workflow: Name::new("order")?,
        workflow_version: 1,
        queue: Name::new("default")?,
        priority: 0,
        status: Status::Running,
        wake_at: Some(Timestamp(0)),
        lease: Some(Lease { worker: WorkerId::new("worker-1")?, ttl_ms: 30_000, expires_at: Timestamp(0) }),
        fence: Fence(1),
        next_seq: Seq(1),
        created_at: Timestamp(1_790_000_000_000 + run as i64),
        updated_at: Timestamp(0),
        finished_at: None,
        tags: Default::default(),
        summary: Payload::from_text(r#"{"step":"charge","done":3,"of":10}"#)?,
    })
}

fn step(head: &mut Head, payload: &Payload) -> Batch {
    let from = head.version;
    head.version = from.next(from.nonce.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let record =
        |nth| Record::new(head.next_seq.plus(nth), Kind::of("step"), Timestamp(1), 1, payload.clone());
    let records = vec![record(0), record(1)];
    head.next_seq = head.next_seq.plus(2);
    Batch::replace(from, head.clone(), records)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let shards: u16 = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let sizes = arguments.map(|text| text.parse::<usize>()).collect::<Result<Vec<_>, _>>()?;
    let sizes = if sizes.is_empty() { vec![1, 40, 400] } else { sizes };
    let payload = Payload::encode(&"x".repeat(100))?;
    for size in sizes {
        for round in 0..3 {
            let url = shared_url(&format!("rate-{size}-{round}-{shards}"))?;
            let backend = RedisBackend::open(&url, RedisOptions::default().shards(shards)).await?;
            let mut heads = (0..size).map(head).collect::<Result<Vec<_>, _>>()?;
            let births: Vec<Batch> =
                heads.iter().map(|head| Batch::create(head.clone(), Vec::new())).collect();
            backend.commit(&births).await?;
            let (begin, mut calls) = (Instant::now(), 0);
            while begin.elapsed() < Duration::from_secs(seconds) {
                let batches: Vec<Batch> = heads.iter_mut().map(|head| step(head, &payload)).collect();
                let verdicts = backend.commit(&batches).await?;
                if !verdicts.iter().all(|verdict| verdict.is_accepted()) {
                    return Err("a batch was rejected".into());
                }
                calls += 1;
            }
            let took = begin.elapsed().as_secs_f64();
            println!(
                "{size:4} batches a call: {:8.0} batches/s, {:7.0} µs a call",
                f64::from(calls) * size as f64 / took,
                took * 1e6 / f64::from(calls)
            );
        }
    }
    Ok(())
}
