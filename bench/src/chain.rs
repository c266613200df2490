//! Runs of ten steps that do nothing, so many at once, beside the two references.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use stepwell_contract::Backend;

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
    /// Writes, each synced once, that the commits took.
    writes: u64,
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
    /// The most of the machine's CPU that others used meanwhile, from 0 to 1.
    others: f64,
}

/// A round in which others used more of the machine than this is made again, if that may help.
const OTHERS_MAX: f64 = 0.08;
/// At most so many times as many rounds are tried as are wanted.
const TRIES: usize = 3;

/// Measures the engine without its references, for a look at it with a profiler.
pub(crate) async fn measure_alone(
    kind: Kind,
    concurrency: usize,
    pace: Pace,
    data: &Path,
    redis: Option<&str>,
) -> Result<(), Failure> {
    for _ in 0..pace.rounds {
        let (engine, batch_bytes) = engine_round(kind, concurrency, pace, data, redis).await?;
        let round = Round { engine, ceiling_per_s: f64::NAN, floor: None, batch_bytes, others: f64::NAN };
        println!("# alone: {}", line_of(kind, concurrency, &[round]));
    }
    Ok(())
}

/// Measures one setting and prints its lines.
pub(crate) async fn measure(
    kind: Kind,
    concurrency: usize,
    pace: Pace,
    data: &Path,
    redis: Option<&str>,
) -> Result<(), Failure> {
    let (mut rounds, mut loud) = (Vec::new(), Vec::new());
    while rounds.len() < pace.rounds && rounds.len() + loud.len() < pace.rounds * TRIES {
        let (engine, batch_bytes) = engine_round(kind, concurrency, pace, data, redis).await?;
        let place = Place::new(kind, data, redis)?;
        let bare = ceiling::measure(&place, concurrency, pace).await?;
        let ceiling_per_s = bare.per_s * f64::from(STEPS);
        let place = Place::new(kind, data, redis)?;
        // A run of the engine writes once when it starts and once at the end of each step.
        let writes = STEPS as usize + 1;
        let floor = ceiling::measure_floor(&place, concurrency, pace, batch_bytes as usize, writes).await?;
        let server = engine.own.1.server_cpu - engine.own.0.server_cpu;
        let others = engine.to.others_since(&engine.from, server);
        let others = others.max(bare.to.others_since(&bare.from, Duration::ZERO));
        let round = Round { engine, ceiling_per_s, floor, batch_bytes, others };
        if others <= OTHERS_MAX { rounds.push(round) } else { loud.push(round) }
    }
    // Of the rounds that were disturbed, the least disturbed ones have to do where there are too few others.
    loud.sort_by(|a, b| a.others.total_cmp(&b.others));
    let missing = pace.rounds.saturating_sub(rounds.len());
    let quiet = rounds.len();
    rounds.extend(loud.into_iter().take(missing));
    let line = line_of(kind, concurrency, &rounds).text("rounds", rounds.len()).text("quiet_rounds", quiet);
    println!("{line}");
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
        // A store that gathers knows how often it wrote, and says so without waiting.
        let info = counted.info().now_or_never().transpose()?;
        let writes = info.and_then(|info| info.facts.get("journal_writes")?.parse().ok());
        let (server_cpu, server_written) = match process {
            Some(process) => (cpu_of(process)?, written(&process.to_string())?),
            None => Default::default(),
        };
        let counts = counted.counts();
        Ok(Outside { counts, writes: writes.unwrap_or(counts.commits), server_cpu, server_written })
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
    let writes = |round: &Round| (round.engine.own.1.writes - round.engine.own.0.writes) as f64;
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
        .figure("batches_per_sync", of(&|round| counts(round).batches as f64 / writes(round)))
        .figure(
            "commit_us",
            of(&|round| counts(round).commit_nanos as f64 / 1e3 / counts(round).commits as f64),
        )
        .figure("stored_bytes_per_batch", of(&|round| round.batch_bytes))
        .figure("claims_per_step", of(&|round| counts(round).claims as f64 / steps(round)))
        .figure("reads_per_step", of(&|round| counts(round).reads as f64 / steps(round)))
        .figure("others_cpu", of(&|round| round.others));
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
