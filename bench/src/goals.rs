//! What is aimed at, and whether it was met.

use crate::line::Line;

/// An aim: a figure of some lines, and the bound it should keep.
struct Goal {
    workload: &'static str,
    backend: &'static str,
    /// Only of lines with this value; empty for all.
    concurrency: &'static str,
    says: &'static str,
    figure: fn(&Line) -> Option<f64>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

const fn chain(
    backend: &'static str,
    concurrency: &'static str,
    says: &'static str,
    figure: fn(&Line) -> Option<f64>,
    bound: Bound,
) -> Goal {
    Goal { workload: "chain", backend, concurrency, says, figure, bound }
}

const fn other(
    workload: &'static str,
    backend: &'static str,
    says: &'static str,
    figure: fn(&Line) -> Option<f64>,
    bound: Bound,
) -> Goal {
    Goal { workload, backend, concurrency: "", says, figure, bound }
}

fn ratio(line: &Line) -> Option<f64> {
    line.number("ratio")
}

fn time_of_ceiling(line: &Line) -> Option<f64> {
    Some(1.0 / ratio(line)?)
}

fn spread(line: &Line) -> Option<f64> {
    Some(line.number("p99_us")? / line.number("p50_us")?)
}

fn open_and_claim_s(line: &Line) -> Option<f64> {
    Some((line.number("open_ms")? + line.number("claim_ms")?) / 1e3)
}

const GOALS: &[Goal] = &[
    chain("file", "1", "a lone run takes this many times the ceiling", time_of_ceiling, Bound::AtMost(1.3)),
    chain("file", "64", "steps/s as a share of the ceiling", ratio, Bound::AtLeast(0.5)),
    chain("file", "1000", "steps/s as a share of the ceiling", ratio, Bound::AtLeast(0.5)),
    chain("file", "64", "CPU in µs for a step", |line| line.number("cpu_us_per_step"), Bound::AtMost(20.0)),
    chain("file", "64", "p99 as a multiple of p50", spread, Bound::AtMost(3.0)),
    chain("file", "1000", "p99 as a multiple of p50", spread, Bound::AtMost(3.0)),
    chain("sled", "64", "steps/s as a share of the ceiling", ratio, Bound::AtLeast(0.28)),
    chain("sled", "1000", "steps/s as a share of the ceiling", ratio, Bound::AtLeast(0.4)),
    chain("redis", "64", "steps/s as a share of the ceiling", ratio, Bound::AtLeast(0.2)),
    chain("redis", "1000", "steps/s as a share of the ceiling", ratio, Bound::AtLeast(0.2)),
    other("map", "file", "1,000 items in ms", |line| line.number("ms_1000"), Bound::AtMost(25.0)),
    other(
        "map",
        "file",
        "10,000 items as a multiple of that",
        |line| line.number("growth"),
        Bound::AtMost(12.0),
    ),
    other("reopen", "file", "open and claim in s", open_and_claim_s, Bound::AtMost(2.5)),
    other("reopen", "file", "memory in MiB", |line| line.number("rss_claimed_mb"), Bound::AtMost(400.0)),
    other(
        "recovery",
        "file",
        "all done, in s",
        |line| Some(line.number("all_done_ms")? / 1e3),
        Bound::AtMost(1.0),
    ),
    other(
        "recovery",
        "file",
        "recorded steps lost",
        |line| line.number("recorded_steps_lost"),
        Bound::AtMost(0.0),
    ),
    other(
        "recovery",
        "sled",
        "recorded steps lost",
        |line| line.number("recorded_steps_lost"),
        Bound::AtMost(0.0),
    ),
    other(
        "recovery",
        "redis",
        "recorded steps lost",
        |line| line.number("recorded_steps_lost"),
        Bound::AtMost(0.0),
    ),
];

/// Prints each aim that the lines tell something about.
pub(crate) fn print(lines: &[Line]) {
    println!("#");
    println!("# {:<34} {:<38} {:>8}  {:>8}  met", "what", "aim", "aimed at", "measured");
    for goal in GOALS {
        let fits = |line: &&Line| {
            line.get("workload") == Some(goal.workload)
                && line.get("backend") == Some(goal.backend)
                && (goal.concurrency.is_empty() || line.get("concurrency") == Some(goal.concurrency))
        };
        for line in lines.iter().filter(fits) {
            let Some(value) = (goal.figure)(line) else { continue };
            let what = format!("{} {} {}", goal.workload, goal.backend, goal.concurrency);
            let (sign, bound) = match goal.bound {
                Bound::AtLeast(bound) => (">=", bound),
                Bound::AtMost(bound) => ("<=", bound),
            };
            let met = if goal.bound.is_met(value) { "yes" } else { "NO" };
            println!("# {what:<34} {:<38} {sign:>3} {bound:>5}  {value:>8.2}  {met}", goal.says);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_includes_its_own_value() {
        assert!(Bound::AtLeast(0.5).is_met(0.5) && !Bound::AtLeast(0.5).is_met(0.49));
        assert!(Bound::AtMost(20.0).is_met(20.0) && !Bound::AtMost(20.0).is_met(20.1));
    }
}
