//! What the dashboard and the API cost the engine in whose process they are served: the same load with and without people
//! who look, in turns.

mod call;
pub(crate) mod crowd;
pub(crate) mod large;
pub(crate) mod pages;
mod site;
mod world;

use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::line::Line;
use crate::load::{Pace, Sample, drive};
use crate::meter::median;
use crate::place::{Kind, Place};
use crate::worker::Worker;
use site::Site;

/// Runs that execute at once.
const RUNS_AT_ONCE: usize = 64;

/// What the runs are made of.
#[derive(Debug, Clone, Copy)]
enum Steps {
    /// Steps that wait a little, as for a service: the machine has time left.
    Waiting,
    /// Steps that do nothing: the engine takes all that the machine gives.
    Empty,
}

impl Steps {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Empty => "empty",
        }
    }

    fn workflow(self) -> &'static str {
        match self {
            Self::Waiting => world::WAITING,
            Self::Empty => world::EMPTY,
        }
    }
}

/// A window without clients and one with them.
struct Round {
    without: Sample<()>,
    with: Sample<()>,
    crowd: Line,
}

/// Measures both sorts of steps and prints a line for each.
pub(crate) async fn measure(
    kind: Kind,
    quick: bool,
    data: &Path,
    redis: Option<&str>,
) -> Result<(), Failure> {
    let seconds = Duration::from_secs;
    let (window, rounds) = if quick { (seconds(3), 3) } else { (seconds(5), 5) };
    let pace = Pace { warm: Duration::from_millis(1_000), window, rounds };
    for steps in [Steps::Waiting, Steps::Empty] {
        measure_one(kind, steps, pace, data, redis).await?;
    }
    Ok(())
}

async fn measure_one(
    kind: Kind,
    steps: Steps,
    pace: Pace,
    data: &Path,
    redis: Option<&str>,
) -> Result<(), Failure> {
    let place = Place::new(kind, data, redis)?;
    let engine = world::open(place.open().await?, RUNS_AT_ONCE).await?;
    let site = Site::open(&engine).await?;
    let load = async |nth_window: usize| {
        let engine = engine.clone();
        let once = move |nth: u64| {
            let engine = engine.clone();
            async move { world::once(&engine, steps.workflow(), &format!("run-{nth_window}-{nth}"), nth).await }
        };
        drive(RUNS_AT_ONCE, pace, || Ok(()), once).await
    };
    // The lists have something to show before anybody looks.
    load(0).await?;
    let mut rounds = Vec::new();
    for nth in 0..pace.rounds {
        // Neither is always the first.
        let quiet_first = nth.is_multiple_of(2);
        let mut without = None;
        if quiet_first {
            without = Some(load(3 * nth + 1).await?);
        }
        let seconds = (pace.warm + pace.window).as_secs_f64();
        let mut crowd = Worker::start(&["crowd", &site.address, &seconds.to_string()])?;
        crowd.hear("open")?;
        let with = load(3 * nth + 2).await?;
        let told = crowd.line()?.ok_or("the clients ended without a word")?;
        crowd.wait()?;
        let crowd = Line::read(&told).ok_or("the clients told something else than their figures")?;
        let without = match without {
            Some(without) => without,
            None => load(3 * nth + 3).await?,
        };
        rounds.push(Round { without, with, crowd });
    }
    println!("{}", line_of(kind, steps, &rounds));
    site.close().await?;
    engine.shutdown().await;
    Ok(())
}

fn line_of(kind: Kind, steps: Steps, rounds: &[Round]) -> Line {
    let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let told = |name: &str| of(&|round| round.crowd.number(name).unwrap_or(f64::NAN));
    let sum =
        |name: &str| -> f64 { rounds.iter().map(|round| round.crowd.number(name).unwrap_or(f64::NAN)).sum() };
    let cores = |sample: &Sample<()>| sample.cpu_us() / 1e6 / (sample.to.at - sample.from.at).as_secs_f64();
    let cpu_us_per_run = |sample: &Sample<()>| sample.cpu_us() / sample.done;
    // What a request costs this process: all its CPU that the runs do not explain.
    let beside_runs = |round: &Round| {
        let seconds = (round.with.to.at - round.with.from.at).as_secs_f64();
        let beside = round.with.cpu_us() - round.with.done * cpu_us_per_run(&round.without);
        beside / seconds / round.crowd.number("requests_per_s").unwrap_or(f64::NAN)
    };
    Line::of("surfaces", kind)
        .text("steps", steps.as_str())
        .text("concurrency", RUNS_AT_ONCE)
        .figure("runs_per_s_without", of(&|round| round.without.per_s))
        .figure("runs_per_s_with", of(&|round| round.with.per_s))
        .figure("ratio", of(&|round| round.with.per_s / round.without.per_s))
        .figure("p99_us_without", of(&|round| round.without.p99_us))
        .figure("p99_us_with", of(&|round| round.with.p99_us))
        .figure("requests_per_s", told("requests_per_s"))
        .figure("events_per_s", told("events_per_s"))
        .figure(
            "streams",
            rounds.iter().filter_map(|round| round.crowd.number("streams")).fold(f64::INFINITY, f64::min),
        )
        .figure("errors", sum("errors"))
        .figure("list_p50_ms", told("list_p50_ms"))
        .figure("list_p99_ms", told("list_p99_ms"))
        .figure("run_p50_ms", told("run_p50_ms"))
        .figure("run_p99_ms", told("run_p99_ms"))
        .figure("page_kib", told("page_kib"))
        .figure("cores_without", of(&|round| cores(&round.without)))
        .figure("cores_with", of(&|round| cores(&round.with)))
        .figure("crowd_cores", told("cores"))
        .figure("cpu_us_per_request", of(&beside_runs))
        .figure("others_cpu", of(&|round| round.without.to.others_since(&round.without.from, Duration::ZERO)))
}
