//! A worker is killed in the middle of its work, and another one finishes it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stepwell_contract::{Backend, RunId, RunKey, Seq, TenantId};

use crate::Failure;
use crate::flow::{self, Parcel, STEPS};
use crate::ledger::{Execution, Ledger};
use crate::line::Line;
use crate::place::{Kind, Place};
use crate::worker::Worker;

/// Short, so that a shared store gives the dead worker's runs away soon.
const LEASE_MS: u64 = 1_000;

/// Kills a process that has `runs` in flight and measures how another one goes on.
pub(crate) async fn measure(kind: Kind, runs: u64, data: &Path, redis: Option<&str>) -> Result<(), Failure> {
    let place = Place::new(kind, data, redis)?;
    let (before, after) = (place.file("before"), place.file("after"));
    let worker = |role: &str, ledger: &Path| {
        let arguments = [role, &place.url(), &ledger.display().to_string(), &runs.to_string()];
        Worker::start(&arguments)
    };
    let mut first = worker("work", &before)?;
    first.hear("midway")?;
    first.kill()?;
    let done_before = {
        // A look from a copy: opening the store itself would tidy up what the crash left.
        let copy = place.copied()?;
        recorded(&*stepwell_backends::open(&copy).await?, runs).await?
    };
    let begun = Instant::now();
    let mut second = worker("finish", &after)?;
    second.hear("open")?;
    let open_ms = begun.elapsed().as_secs_f64() * 1e3;
    second.hear("done")?;
    let done_ms = begun.elapsed().as_secs_f64() * 1e3;
    second.wait()?;
    let (executed, again) = (Ledger::read(&before)?, Ledger::read(&after)?);
    let lost = done_before.intersection(&again).count();
    let twice = executed.intersection(&again).count();
    let line = Line::of("recovery", kind)
        .text("runs", runs)
        .text("recorded_steps", done_before.len())
        .text("executed_steps", executed.len())
        .text("recorded_steps_lost", lost)
        .text("steps_run_again", twice)
        .figure("open_ms", open_ms)
        .figure("all_done_ms", done_ms);
    println!("{}", if kind.is_embedded() { line } else { line.text("lease_ms", LEASE_MS) });
    Ok(())
}

/// The steps whose results are in the store.
async fn recorded(backend: &dyn Backend, runs: u64) -> Result<HashSet<Execution>, Failure> {
    let mut done = HashSet::new();
    for nth in 0..runs {
        let records = backend.journal(&key_of(nth)?, Seq::FIRST, 1_000).await?;
        let results = records.iter().filter(|record| record.kind.as_str() == "step_succeeded").count();
        let first = Parcel::of(nth);
        done.extend((0..u32::try_from(results)?).map(|step| (first.run, first.step + step)));
    }
    Ok(done)
}

fn name_of(nth: u64) -> String {
    format!("run-{nth}")
}

fn key_of(nth: u64) -> Result<RunKey, Failure> {
    Ok(RunKey::new(TenantId::default(), RunId::new(name_of(nth))?))
}

/// The process that is killed: starts all runs at once and says when half of the steps were executed and every start
/// was acknowledged.
pub(crate) async fn work(url: &str, ledger: &Path, runs: u64) -> Result<(), Failure> {
    let ledger = Arc::new(Ledger::open(ledger)?);
    let backend = stepwell_backends::open(url).await?;
    let engine = flow::engine(backend, usize::try_from(runs)?, LEASE_MS, Some(Arc::clone(&ledger))).await?;
    let mut starts = tokio::task::JoinSet::new();
    for nth in 0..runs {
        let engine = engine.clone();
        starts.spawn(async move { engine.start_run("chain", &name_of(nth), &Parcel::of(nth)).await });
    }
    while let Some(start) = starts.join_next().await {
        start??;
    }
    while ledger.noted() < runs * u64::from(STEPS) / 2 {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    println!("midway");
    std::future::pending().await
}

/// The process that goes on: says when the store is open and when every run has its result.
pub(crate) async fn finish(url: &str, ledger: &Path, runs: u64) -> Result<(), Failure> {
    let ledger = Arc::new(Ledger::open(ledger)?);
    let backend = stepwell_backends::open(url).await?;
    println!("open");
    let engine = flow::engine(backend, usize::try_from(runs)?, LEASE_MS, Some(ledger)).await?;
    let mut results = tokio::task::JoinSet::new();
    for nth in 0..runs {
        let engine = engine.clone();
        results.spawn(async move {
            let run = engine.find(&key_of(nth)?).await?;
            let parcel: Parcel = run.result().await?;
            let wanted = Parcel::of(nth).step + STEPS;
            if parcel.step == wanted { Ok::<_, Failure>(()) } else { Err("a wrong result".into()) }
        });
    }
    while let Some(result) = results.join_next().await {
        result??;
    }
    println!("done");
    engine.shutdown().await;
    Ok(())
}
