//! Injects faults of all kinds, each with a label: the diagnosis that is right and an action that helps. Then asks the engine.
//!
//! A case is an engine with a step that fails: because of a real disk, right, port, server, process or limit wherever the machine
//! allows, and of something told in its stead where not. Three sorts: faults; the same in other words and error types; decoys,
//! which only resemble a fault and must be called what they are, or unknown.

pub mod case;
mod children;
mod code;
mod decoys;
mod files;
mod flow;
pub mod lab;
mod memory;
mod network;
mod programs;
mod servers;
mod stores;
pub mod surroundings;
mod time;
mod wordings;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stepwell::diagnosis::Confidence;

use crate::harness::faults::case::{Case, Judged, Sort};
use crate::harness::faults::lab::Lab;
use crate::harness::faults::surroundings::{FOUND, Surroundings};
use crate::report::{Arguments, Report};

/// Fewer cases than these show nothing.
const LEAST: [(Sort, u64); 3] = [(Sort::Fault, 40), (Sort::Wording, 14), (Sort::Decoy, 15)];
/// Parts of a hundred that must be right.
const RIGHT_PERCENT: usize = 95;
/// What judging alone, and a diagnosis with its look around, may take, in microseconds.
const LIMITS_US: [u64; 2] = [5_000, 250_000];
/// A machine that is busy with other things may be this many times as slow, and this often slower still.
const SLOW_TIMES: u64 = 4;
const SLOWER_MAX: usize = 3;
/// How long one case may take.
const CASE: Duration = Duration::from_secs(30);

fn cases() -> impl Iterator<Item = &'static Case> {
    let all = [
        files::CASES,
        network::CASES,
        time::CASES,
        code::CASES,
        flow::CASES,
        stores::CASES,
        children::CASES,
        wordings::CASES,
        programs::CASES,
        decoys::CASES,
    ];
    all.into_iter().flatten()
}

/// Runs the harness. `--only NAME` runs the cases whose names contain that, and tells of each.
///
/// # Panics
/// When there is no runtime.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    match arguments.word() {
        "child" => child(arguments.needed("in")),
        "worker" => children::work(arguments),
        _ => parent(arguments),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runtime.block_on(work);
    // A step that hangs for good must not hold up the others.
    runtime.shutdown_background();
    done
}

async fn judge(case: &Case, probes: bool) -> Judged {
    let played = tokio::time::timeout(CASE, (case.play)(Lab::new(probes))).await;
    Judged::of(case, played.unwrap_or_else(|_| Err("takes too long".to_owned())))
}

/// In a child: the cases of its surroundings, each told in a line.
fn child(word: &str) -> ExitCode {
    block_on(async {
        for case in cases().filter(|case| case.surroundings.as_str() == word) {
            let judged = judge(case, true).await;
            match serde_json::to_string(&judged) {
                Ok(line) => println!("{FOUND}{line}"),
                Err(error) => eprintln!("{}: {error}", case.name),
            }
        }
    });
    ExitCode::SUCCESS
}

/// A case with what it came to.
struct Done {
    case: &'static Case,
    judged: Judged,
}

fn parent(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("faults", arguments);
    let began = Instant::now();
    let only = arguments.text("only").unwrap_or_default();
    let wanted: Vec<_> = cases().filter(|case| case.name.contains(only)).collect();
    let (done, bare) = play_all(&wanted, &mut report);
    if !only.is_empty() {
        for Done { case, judged } in &done {
            println!(
                "{}: {} {} {:?}\n  {}",
                case.name, judged.code, judged.confidence, judged.actions, judged.text
            );
        }
    }
    for (sort, least) in LEAST {
        let count = done.iter().filter(|done| done.case.sort == sort).count();
        let name = format!("{}s", sort.as_str());
        if only.is_empty() { report.count_at_least(&name, count, least) } else { report.count(&name, count) }
    }
    confusion(&done);
    let stand_ins = done.iter().filter_map(|done| Some((done.case.name, done.judged.stand_in.as_ref()?)));
    let stand_ins: Vec<_> = stand_ins.map(|(name, what)| format!("{name}: {what}")).collect();
    if !stand_ins.is_empty() {
        println!("not real on this machine: {}", stand_ins.join("; "));
    }
    let right = done.iter().filter(|done| done.judged.is_right(done.case)).count();
    let unknown = done.iter().filter(|done| done.judged.code == "SW9001").count();
    report.count("stood_in", stand_ins.len());
    report.count("right", right);
    report.count("percent", right * 100 / done.len().max(1));
    report.count("unknown", unknown);
    if right * 100 < done.len() * RIGHT_PERCENT {
        report.violations([format!(
            "{right} of {} are right, which is less than {RIGHT_PERCENT} %",
            done.len()
        )]);
    }
    let sure = done.iter().chain(&bare).filter(|done| done.judged.is_wrong_and_sure(done.case));
    let sure: Vec<_> = sure
        .map(|done| {
            format!("{}: {} is wrong, and sure: {}", done.case.name, done.judged.code, done.judged.text)
        })
        .collect();
    report.count("wrong_and_sure", sure.len());
    report.violations(sure);
    times("judging", done.iter().map(|done| done.judged.judging_us), LIMITS_US[0], &mut report);
    times("probed", done.iter().map(|done| done.judged.took_us), LIMITS_US[1], &mut report);
    // With its write and whatever else the machine does meanwhile: told, and nothing is held against it.
    let mut bare: Vec<_> = bare.iter().filter_map(|done| done.judged.took_us).collect();
    bare.sort_unstable();
    report.count("bare_p50_us", share(&bare, 50));
    report.count("ms", began.elapsed().as_millis());
    report.finish()
}

/// All cases where they belong, then the quick ones again without a look around.
fn play_all(wanted: &[&'static Case], report: &mut Report) -> (Vec<Done>, Vec<Done>) {
    let of = |place| wanted.iter().copied().filter(move |case| case.surroundings == place);
    let (mut done, mut bare) = (Vec::new(), Vec::new());
    block_on(async {
        for case in of(Surroundings::Here) {
            let judged = judge(case, true).await;
            done.push(Done { case, judged });
        }
        for case in of(Surroundings::Here).filter(|case| case.is_quick) {
            let judged = judge(case, false).await;
            bare.push(Done { case, judged });
        }
    });
    for place in Surroundings::CHILDREN {
        if of(place).next().is_none() {
            continue;
        }
        match place.run() {
            Ok(found) => done.extend(of(place).filter_map(|case| {
                let judged = found.iter().find(|judged| judged.name == case.name)?.clone();
                Some(Done { case, judged })
            })),
            Err(why) => report.violations([why]),
        }
    }
    (done, bare)
}

/// What was said in place of what is right.
fn confusion(done: &[Done]) {
    let mut table: BTreeMap<(&str, &str, Confidence), Vec<&Done>> = BTreeMap::new();
    for it in done.iter().filter(|done| !done.judged.is_right(done.case)) {
        table.entry((it.case.codes[0], it.judged.code.as_str(), it.judged.confidence)).or_default().push(it);
    }
    println!("expected → said (confidence): cases");
    for ((expected, said, confidence), cases) in table {
        let names: Vec<_> =
            cases.iter().map(|it| format!("{} ({})", it.case.name, it.case.sort.as_str())).collect();
        println!("{expected} → {said} ({confidence}): {}", names.join(", "));
        for it in cases {
            println!("    {}", it.judged.text);
        }
    }
}

/// How long it took, where that was measured.
fn times(name: &str, times: impl Iterator<Item = Option<u64>>, limit_us: u64, report: &mut Report) {
    let mut times: Vec<_> = times.flatten().collect();
    times.sort_unstable();
    report.count(&format!("{name}_p50_us"), share(&times, 50));
    report.count(&format!("{name}_p99_us"), share(&times, 99));
    let over = |limit: u64| times.iter().filter(|time| **time > limit).count();
    report.count(&format!("{name}_over_limit"), over(limit_us));
    let slow = over(limit_us * SLOW_TIMES);
    if slow > SLOWER_MAX {
        report.violations([format!(
            "{slow} diagnoses took more than {} ms ({name})",
            limit_us * SLOW_TIMES / 1_000
        )]);
    }
}

/// The time that so many in a hundred do not exceed; 0 when there is none.
fn share(sorted: &[u64], percent: usize) -> u64 {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(0)
}
