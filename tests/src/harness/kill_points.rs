//! Kills a worker at each system call by which its store changes the disk, and sees what is left.
//!
//! A first run under `strace` tells the points. For each of them a fresh worker is killed there; another one then
//! takes over, finishes all runs, and the store is audited against what both have witnessed. Taking over is a life
//! with its own points: for a store that was left in the middle the second worker is killed too, at each of those.

use std::path::Path;
use std::process::ExitCode;

use crate::audit::Audit;
use crate::harness::lanes::in_lanes;
use crate::harness::trial::{PATIENCE, Trial};
use crate::place::Kind;
use crate::process::{Signal, Watched, binary, was_ended_by};
use crate::report::{Arguments, Report};
use crate::strace::{self, Point, Traced};

/// Runs of the workflow, one after the other, and steps of each: fifty in all.
const SIZE: (u32, u32) = (5, 10);

/// What the workers of one store came to.
#[derive(Debug, Default)]
struct Sum {
    killed: u64,
    unopenable: u64,
    audit: Audit,
}

/// Runs the harness. `--points N` takes at most so many points for each store, evenly spread; `--plant NAME` goes
/// to the workers.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("kill_points", arguments);
    let most: usize = arguments.value("points", usize::MAX);
    let more: Vec<&str> = arguments.text("plant").map_or(Vec::new(), |plant| vec!["--plant", plant]);
    let only = arguments.text("store");
    let mut all = 0;
    let mut killed = 0;
    let mut audits = Audit::default();
    let mut unopenable = 0;
    for kind in Kind::ON_DISK.into_iter().filter(|kind| only.is_none_or(|only| only == kind.as_str())) {
        let deaths = match deaths(kind, &more, most) {
            Ok(deaths) => deaths,
            Err(error) => {
                report.violations([format!("{}: not one worker finished: {error}", kind.as_str())]);
                continue;
            }
        };
        all += deaths.len();
        let sum = kill_all(kind, &more, deaths);
        report.count(&format!("{}_killed", kind.as_str()), sum.killed);
        killed += sum.killed;
        unopenable += sum.unopenable;
        audits.add(sum.audit);
    }
    report.count("points", all);
    report.count_at_least("killed", killed, arguments.value("least", 500));
    report.count("acknowledged", audits.acknowledged);
    report.count("executed", audits.executed);
    report.count("repeated", audits.repeated);
    report.count("unopenable", unopenable);
    report.violations(audits.violations);
    report.finish()
}

/// Where workers die, one after the other, before one is let live.
type Deaths = Vec<Point>;

/// All ways to die: once at each point, and twice, the second time while taking over.
fn deaths(kind: Kind, more: &[&str], most: usize) -> Result<Vec<Deaths>, String> {
    let points = record(kind, SIZE, more)?;
    let syncs: Vec<&Point> = points.iter().filter(|point| point.call == "fdatasync").collect();
    let middle = syncs.get(syncs.len() / 2).copied().cloned().ok_or("the store never syncs")?;
    let again = record_after(kind, SIZE, more, Some(&middle))?;
    let once = spread(points, most).into_iter().map(|point| vec![point]);
    let twice = spread(again, most / 2).into_iter().map(|point| vec![middle.clone(), point]);
    Ok(once.chain(twice).collect())
}

/// The points of a whole life of a store, from its making to its closing.
///
/// # Errors
/// When the worker does not do its work.
pub fn record(kind: Kind, size: (u32, u32), more: &[&str]) -> Result<Vec<Point>, String> {
    record_after(kind, size, more, None)
}

/// The points of the life of a worker that comes to a store where one has died before, if `death` says so.
fn record_after(
    kind: Kind,
    size: (u32, u32),
    more: &[&str],
    death: Option<&Point>,
) -> Result<Vec<Point>, String> {
    let trial = Trial::new(kind, size, more);
    if let Some(point) = death {
        die(&trial, point)?;
    }
    let log = trial.beside("strace");
    let mut command = strace::recording(binary("worker"), strace::WRITES, &log);
    let mut worker = Watched::start(trial.arguments(&mut command)).map_err(|error| error.to_string())?;
    let status = worker.wait(PATIENCE)?;
    if !status.success() {
        return Err(format!("{status}: {}", worker.last_words()));
    }
    let violations = trial.audit()?.violations;
    if !violations.is_empty() {
        return Err(violations.join("; "));
    }
    let traced = strace::read(&log).map_err(|error| error.to_string())?;
    if let Some(violation) = acknowledged_before_synced(&traced, &trial.store()) {
        return Err(violation);
    }
    Ok(strace::points(&traced, &trial.store()).into_iter().collect())
}

/// A kill does not lose what the system has not yet put on the disk; a power cut does. The order of the calls shows it:
/// between a write to the journal and the acknowledgement stands a sync. Now and then a write for somebody else slips
/// in between; never does it most times.
fn acknowledged_before_synced(traced: &[Traced], store: &Path) -> Option<String> {
    let journal = store.join("journal").display().to_string();
    let (mut is_synced, mut acknowledged, mut early) = (true, 0, 0);
    for call in traced {
        let is_journal = call.text.contains(&journal);
        match call.call.as_str() {
            "pwrite64" if is_journal => is_synced = false,
            "fdatasync" if is_journal => is_synced = true,
            "write" if call.text.contains("/witness>, \"ack ") => {
                acknowledged += 1;
                early += u32::from(!is_synced);
            }
            _ => {}
        }
    }
    (early * 4 > acknowledged)
        .then(|| format!("{early} of {acknowledged} acknowledgements came before the sync of the journal"))
}

/// At most `most` of the points, evenly spread.
#[must_use]
pub fn spread(points: Vec<Point>, most: usize) -> Vec<Point> {
    let step = points.len().div_ceil(most.max(1)).max(1);
    points.into_iter().step_by(step).collect()
}

/// Lets workers die in each of these ways.
fn kill_all(kind: Kind, more: &[&str], ways: Vec<Deaths>) -> Sum {
    let more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
    let killed = in_lanes(ways, move |deaths| {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let places: Vec<_> = deaths.iter().map(|point| format!("{} {}", point.call, point.nth)).collect();
        let place = format!("{} at {}", kind.as_str(), places.join(", then at "));
        match kill(kind, &more, &deaths) {
            Ok((was_killed, audit)) => {
                let violations = audit.violations.iter().map(|what| format!("{place}: {what}")).collect();
                Sum { killed: u64::from(was_killed), unopenable: 0, audit: Audit { violations, ..audit } }
            }
            Err(error) => {
                let audit = Audit { violations: vec![format!("{place}: {error}")], ..Audit::default() };
                Sum { killed: 0, unopenable: 1, audit }
            }
        }
    });
    let mut all = Sum::default();
    for sum in killed {
        all.killed += sum.killed;
        all.unopenable += sum.unopenable;
        all.audit.add(sum.audit);
    }
    all
}

/// Whether all of them died where they should, and what the one after them found.
fn kill(kind: Kind, more: &[&str], deaths: &[Point]) -> Result<(bool, Audit), String> {
    let trial = Trial::new(kind, SIZE, more);
    let mut all_died = true;
    for point in deaths {
        all_died &= die(&trial, point)?;
    }
    Ok((all_died, trial.finish()?))
}

/// Kills a worker at the point; `false` when it was done before it got there.
fn die(trial: &Trial, point: &Point) -> Result<bool, String> {
    let mut command = strace::killing(binary("worker"), point);
    let mut worker = Watched::start(trial.arguments(&mut command)).map_err(|error| error.to_string())?;
    let status = worker.wait(PATIENCE)?;
    let was_killed = was_ended_by(status, Signal::KILL);
    if !was_killed && !status.success() {
        return Err(format!("neither killed nor done, but {status}: {}", worker.last_words()));
    }
    Ok(was_killed)
}
