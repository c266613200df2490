//! Runs of ten steps that do nothing, so many at once, beside the two references.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::Failure;
use crate::bare::Server;
use crate::ceiling;
use crate::count::{Counted, Counts};
use crate::flow::{self, Parcel, STEPS};
use crate::line::Line;
use crate::load::{Pace, Sample, drive};
use crate::meter::{Written, cpu_of, median, written};
use crate::place::{Kind, Place};

/// What is read at both ends of the window beside the process itself.
#[derive(Debug, Clone, Copy, Default)]
struct Outside {
    counts: Counts,
    server_cpu: Duration,
    server_written: Written,
}

/// The figures of one round.
#[derive(Debug)]
struct Round {
    engine: Sample<Outside>,
    ceiling_per_s: f64,
    floor: Option<Sample<()>>,
    /// Bytes in the store for each batch.
    batch_bytes: f64,
}

/// Measures one setting and prints its lines.
pub(crate) async fn measure(
    kind: Kind,
    concurrency: usize,
    pace: Pace,
    data: &Path,
    redis: Option<&str>,
) -> Result<(), Failure> {
    let mut rounds = Vec::new();
    for _ in 0..pace.rounds {
        let (engine, batch_bytes) = engine_round(kind, concurrency, pace, data, redis).await?;
        let place = Place::new(kind, data, redis)?;
        let ceiling_per_s = ceiling::measure(&place, concurrency, pace).await?.per_s * f64::from(STEPS);
        let place = Place::new(kind, data, redis)?;
        // A run of the engine writes once when it starts and once at the end of each step.
        let writes = STEPS as usize + 1;
        let floor = ceiling::measure_floor(&place, concurrency, pace, batch_bytes as usize, writes).await?;
        rounds.push(Round { engine, ceiling_per_s, floor, batch_bytes });
    }
    println!("{}", line_of(kind, concurrency, &rounds));
    if let Some(line) = floor_line_of(kind, concurrency, &rounds) {
        println!("{line}");
    }
    Ok(())
}

/// The engine on a new store.
async fn engine_round(
    kind: Kind,
    concurrency: usize,
    pace: Pace,
    data: &Path,
    redis: Option<&str>,
) -> Result<(Sample<Outside>, f64), Failure> {
    let place = Place::new(kind, data, redis)?;
    let mut server = match (kind, redis) {
        (Kind::Redis, Some(url)) => Some(Server::at(url)?),
        _ => None,
    };
    let log_before = server.as_mut().map(Server::log_bytes).transpose()?;
    let counted = Arc::new(Counted::new(place.open().await?));
    let engine = flow::engine(Arc::clone(&counted) as _, concurrency, 15_000, None).await?;
    let process = server.as_ref().map(|server| server.process);
    let read = || {
        let (server_cpu, server_written) = match process {
            Some(process) => (cpu_of(process)?, written(&process.to_string())?),
            None => Default::default(),
        };
        Ok(Outside { counts: counted.counts(), server_cpu, server_written })
    };
    let started = engine.clone();
    let once = move |nth: u64| {
        let engine = started.clone();
        async move {
            let run = engine.start_run("chain", &format!("run-{nth}"), &Parcel::of(nth)).await?;
            let parcel: Parcel = run.result().await?;
            if parcel.step == Parcel::of(nth).step + STEPS { Ok(()) } else { Err("a wrong result".into()) }
        }
    };
    let sample = drive(concurrency, pace, read, once).await?;
    engine.shutdown().await;
    let own = sample.own;
    let batches = own.1.counts.since(own.0.counts).batches as f64;
    let batch_bytes = match (server.as_mut(), log_before) {
        (Some(server), Some(before)) => {
            (server.log_bytes()? - before) as f64 / counted.counts().batches as f64
        }
        _ => sample.to.written.since(sample.from.written).calls as f64 / batches,
    };
    Ok((sample, batch_bytes))
}

fn line_of(kind: Kind, concurrency: usize, rounds: &[Round]) -> Line {
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let steps = |round: &Round| round.engine.done * f64::from(STEPS);
    let counts = |round: &Round| round.engine.own.1.counts.since(round.engine.own.0.counts);
    let device = |round: &Round| {
        let own = round.engine.to.written.since(round.engine.from.written).device;
        let server = round.engine.own.1.server_written.since(round.engine.own.0.server_written).device;
        (own + server) as f64 / steps(round)
    };
    let mut line = Line::of("chain", kind)
        .text("concurrency", concurrency)
        .figure("steps_per_s", of(&|round| round.engine.per_s * f64::from(STEPS)))
        .figure("ceiling_per_s", of(&|round| round.ceiling_per_s))
        .figure("ratio", of(&|round| round.engine.per_s * f64::from(STEPS) / round.ceiling_per_s))
        .figure("p50_us", of(&|round| round.engine.p50_us))
        .figure("p99_us", of(&|round| round.engine.p99_us))
        .figure("cpu_us_per_step", of(&|round| round.engine.cpu_us() / steps(round)))
        .figure("commits_per_step", of(&|round| counts(round).commits as f64 / steps(round)))
        .figure("bytes_per_step", of(&device))
        .figure("rss_mb", of(&|round| round.engine.rss_mb))
        .figure("batches_per_step", of(&|round| counts(round).batches as f64 / steps(round)))
        .figure(
            "batches_per_commit",
            of(&|round| counts(round).batches as f64 / counts(round).commits as f64),
        )
        .figure(
            "commit_us",
            of(&|round| counts(round).commit_nanos as f64 / 1e3 / counts(round).commits as f64),
        )
        .figure("stored_bytes_per_batch", of(&|round| round.batch_bytes))
        .figure("claims_per_step", of(&|round| counts(round).claims as f64 / steps(round)))
        .figure("reads_per_step", of(&|round| counts(round).reads as f64 / steps(round)));
    if kind == Kind::Redis {
        let server = |round: &Round| {
            (round.engine.own.1.server_cpu - round.engine.own.0.server_cpu).as_secs_f64() * 1e6 / steps(round)
        };
        line = line.figure("server_cpu_us_per_step", of(&server));
    }
    line
}

fn floor_line_of(kind: Kind, concurrency: usize, rounds: &[Round]) -> Option<Line> {
    let pairs: Vec<(&Round, &Sample<()>)> =
        rounds.iter().filter_map(|round| Some((round, round.floor.as_ref()?))).collect();
    pairs.first()?;
    let of = |figure: &dyn Fn(&Round, &Sample<()>) -> f64| {
        median(pairs.iter().map(|(round, floor)| figure(round, floor)))
    };
    let per_s = |floor: &Sample<()>| floor.per_s * f64::from(STEPS);
    Some(
        Line::of("floor", kind)
            .text("concurrency", concurrency)
            .figure("steps_per_s", of(&|_, floor| per_s(floor)))
            .figure("ceiling_per_s", of(&|round, _| round.ceiling_per_s))
            .figure("ratio", of(&|round, floor| per_s(floor) / round.ceiling_per_s))
            .figure("p50_us", of(&|_, floor| floor.p50_us))
            .figure("p99_us", of(&|_, floor| floor.p99_us))
            .figure("cpu_us_per_step", of(&|_, floor| floor.cpu_us() / (floor.done * f64::from(STEPS))))
            .figure("chain_to_floor", of(&|round, floor| round.engine.per_s / floor.per_s)),
    )
}
