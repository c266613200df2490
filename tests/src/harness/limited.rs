//! The work that goes on in queues with limits: steps that tell the outside world when they are entered, and stay in sight
//! for as long as they run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stepwell::prelude::*;
use stepwell::{EngineOptions, Queue};
use stepwell_contract::Backend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::work::UNOPENED;
use crate::report::Arguments;
use crate::witness::{Witness, WitnessedBackend};

/// Runs of queue `full` at once, and of one key of it.
pub const LIMIT: usize = 5;
/// Runs of queue `full` with the same key at once.
pub const LIMIT_PER_KEY: usize = 2;
/// Runs of queue `rated` that begin in a second.
pub const RATE: usize = 20;
/// How long a lease lasts.
pub const LEASE_MS: u64 = 1_000;

/// A way to the outside world; none in the process that only starts runs.
type Outside = Option<SocketAddr>;

/// Tells the outside world that a step is entered, and of nothing more: it sees the end of the connection, which is also
/// the end of a process that is killed.
async fn stay(outside: Outside, ctx: &StepContext, input: &(String, String), step: &str) -> StepResult<()> {
    let outside = outside.ok_or_else(|| StepError::bug("only workers run steps"))?;
    let (queue, key) = input;
    let line = format!("{queue} {key} {} {step} {}\n", ctx.run_id(), ctx.attempt());
    let mut stream = TcpStream::connect(outside).await?;
    stream.set_nodelay(true)?;
    stream.write_all(line.as_bytes()).await?;
    // Not before it is seen does it go on.
    stream.read_exact(&mut [0]).await?;
    tokio::time::sleep(Duration::from_millis(fastrand::u64(15..50))).await;
    // Nor does it end before its end is seen: the next one may enter at once.
    stream.write_all(b"left\n").await?;
    stream.read_exact(&mut [0]).await?;
    Ok(())
}

/// The workflow, and the queues with their limits.
///
/// # Panics
/// Never: the definition is valid.
pub fn workflow(outside: Outside) -> (Workflow<(String, String), ()>, [Queue; 3]) {
    let quick = StepPolicy::default().retry(Retry::fixed(millis(50)).unlimited_attempts()).crash_max(1_000);
    let workflow = Workflow::named("limited")
        .step_policy(quick)
        .step_fn("first", move |ctx: StepContext, input: (String, String)| async move {
            stay(outside, &ctx, &input, "first").await?;
            Ok(input)
        })
        .step_fn("second", move |ctx: StepContext, input: (String, String)| async move {
            stay(outside, &ctx, &input, "second").await
        })
        .build()
        .expect("a valid definition");
    let named = |name: &str| Queue::named(name).expect("a name");
    let full = named("full").concurrency(5).per_key(2);
    (workflow, [full, named("rated").rate(20, secs(1)), named("fair")])
}

/// Advances runs until it is killed, or told to stop.
pub async fn work(arguments: &Arguments, witness: &Witness, store: Arc<WitnessedBackend>) -> u8 {
    let outside = arguments.needed("outside").parse().expect("an address");
    let (workflow, queues) = workflow(Some(outside));
    let options = EngineOptions {
        lease_ms: LEASE_MS,
        poll_ms: 50,
        threads: 2,
        concurrency: arguments.value("concurrency", 16),
        shutdown_grace_ms: 2_000,
        ..EngineOptions::default()
    };
    let mut builder = Engine::builder(store as Arc<dyn Backend>).register(workflow).options(options);
    for queue in queues {
        builder = builder.queue(queue);
    }
    let engine = match builder.start().await {
        Ok(engine) => engine,
        Err(error) => {
            witness.tell(&format!("unstarted {}", error.to_string().replace('\n', " ")));
            return UNOPENED;
        }
    };
    let mut terminated = signal(SignalKind::terminate()).expect("a handler");
    witness.tell(&format!("up {}", std::process::id()));
    let _ = terminated.recv().await;
    engine.shutdown().await;
    0
}
