//! The work that goes on while workers are killed: runs whose steps take effects in the outside world.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stepwell::prelude::*;
use stepwell::{EngineOptions, RunHandle};
use stepwell_contract::{Query, Status};
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::ledger;
use crate::harness::work::UNOPENED;
use crate::report::Arguments;
use crate::witness::{Witness, WitnessedBackend};

/// Items of each run's map.
pub const ITEMS: u64 = 4;
/// Guarded effects of a run: its first step's, and those of the items.
pub const GUARDED: u64 = 1 + ITEMS;
/// Runs that each worker keeps going.
const OPEN: usize = 3;

/// The result of the run that got `n`.
#[must_use]
pub fn result_of(n: u64) -> u64 {
    (0..ITEMS).map(|item| (n + item) * 3).sum()
}

/// The way of the steps to the outside world.
#[derive(Debug, Clone)]
struct Outside {
    ledger: SocketAddr,
    witness: Witness,
}

impl Outside {
    /// Takes an effect in the outside world; `Err` when it says that this worker has been followed by another.
    async fn effect(&self, ctx: &StepContext, guarded: bool) -> StepResult<()> {
        self.witness.executes(ctx);
        let kind = if guarded { "guarded" } else { "plain" };
        let key = ctx.idempotency_key();
        let (run, fence, owner) = (ctx.run_id(), ctx.fencing_token(), std::process::id());
        let line = format!("effect {run} {key} {fence} {owner} {kind}");
        let ledger = self.ledger;
        // Long enough to be killed in.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
        let reply = tokio::task::spawn_blocking(move || ledger::ask(ledger, &line)).await??;
        match reply.as_str() {
            "new" | "known" => Ok(()),
            other => Err(StepError::transient(format!("the ledger says {other}"))),
        }
    }
}

struct Split(Outside);

#[async_trait]
impl Step for Split {
    type Input = u64;
    type Output = Vec<u64>;
    const NAME: &'static str = "split";

    async fn run(&self, ctx: &StepContext, n: u64) -> StepResult<Vec<u64>> {
        self.0.effect(ctx, true).await?;
        Ok((n..n + ITEMS).collect())
    }
}

struct Triple(Outside);

#[async_trait]
impl Step for Triple {
    type Input = u64;
    type Output = u64;
    const NAME: &'static str = "triple";

    async fn run(&self, ctx: &StepContext, n: u64) -> StepResult<u64> {
        self.0.effect(ctx, true).await?;
        ctx.checkpoint(&n, 0.5).await?;
        Ok(n * 3)
    }
}

struct Sum(Outside);

#[async_trait]
impl Step for Sum {
    type Input = Vec<u64>;
    type Output = u64;
    const NAME: &'static str = "sum";

    async fn run(&self, ctx: &StepContext, parts: Vec<u64>) -> StepResult<u64> {
        self.0.effect(ctx, false).await?;
        Ok(parts.into_iter().sum())
    }
}

/// Starts runs and sees them through until the file `--stop-file` is there or a SIGTERM comes; then gives up what it has and
/// ends with 0.
pub async fn work(arguments: &Arguments, witness: &Witness, store: Arc<WitnessedBackend>) -> u8 {
    let ledger = arguments.needed("ledger").parse().expect("an address");
    let outside = Outside { ledger, witness: witness.clone() };
    let quick = StepPolicy::default().retry(Retry::fixed(millis(50)).unlimited_attempts()).crash_max(1_000);
    let workflow = Workflow::named("soak")
        .step_policy(quick)
        .step(Split(outside.clone()))
        .map(Triple(outside.clone()), 3)
        .step(Sum(outside));
    let options = EngineOptions {
        lease_ms: arguments.value("lease-ms", 2_000),
        poll_ms: 50,
        threads: 2,
        shutdown_grace_ms: 2_000,
        ..EngineOptions::default()
    };
    let engine = Engine::builder(store).register(workflow.build().expect("a valid definition"));
    let engine = match engine.options(options).start().await {
        Ok(engine) => engine,
        Err(error) => {
            witness.tell(&format!("unstarted {}", error.to_string().replace('\n', " ")));
            return UNOPENED;
        }
    };
    let mut terminated = signal(SignalKind::terminate()).expect("a handler");
    witness.tell(&format!("up {}", std::process::id()));
    let stop: PathBuf = arguments.needed("stop-file").into();
    let lane = async || start_one_after_the_other(&engine, witness, &stop).await;
    let lanes = futures_util::future::join_all((0..OPEN).map(|_| lane()));
    tokio::select! {
        _ = lanes => {}
        _ = terminated.recv() => {
            engine.shutdown().await;
            return 0;
        }
    }
    // Nothing is started any more; what others left is still taken.
    tokio::select! {
        () = all_ended(&engine) => witness.tell(&format!("idle {}", std::process::id())),
        _ = terminated.recv() => {}
    }
    engine.shutdown().await;
    0
}

/// Returns when the store has no unfinished run.
async fn all_ended(engine: &Engine) {
    let statuses = Status::ALL.into_iter().filter(|status| !status.is_finished()).collect();
    let query = Query { statuses, ..Query::default() };
    loop {
        match engine.list(&query, None, 1).await {
            Ok(page) if page.items.is_empty() => return,
            Ok(_) => {}
            Err(error) => eprintln!("the store cannot be listed: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn start_one_after_the_other(engine: &Engine, witness: &Witness, stop: &std::path::Path) {
    while !stop.exists() {
        let n = u64::from(fastrand::u32(..)) << 8;
        let run = format!("soak-{n}");
        match engine.start_run("soak", &run, &n).await {
            Ok(handle) => {
                witness.tell(&format!("started {run} {n}"));
                see_through(&handle).await;
            }
            Err(error) => {
                witness.tell(&format!("start-failed {run} {error}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn see_through(handle: &RunHandle) {
    // The audit looks at what came of it; here it is only waited for, so that work goes on steadily.
    if let Err(error) = handle.result::<u64>().await {
        eprintln!("{}: {error}", handle.key());
    }
}
