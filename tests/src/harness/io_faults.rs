//! Lets writes and syncs of a store fail, one by one and from one on, and fills its disk.
//!
//! A worker under `strace` gets the error at a chosen call. Whatever it does then, it must not panic, must say what is
//! wrong, must acknowledge nothing after a sync that failed, and everything that it did acknowledge is there when the
//! next worker opens the store.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::audit::Audit;
use crate::harness::kill_points::{record, spread};
use crate::harness::lanes::in_lanes;
use crate::harness::trial::{PATIENCE, Trial, panics};
use crate::harness::work::{GAVE_UP, POISONED, UNOPENED};
use crate::place::{Kind, folder_in_memory};
use crate::process::{Watched, binary};
use crate::report::{Arguments, Report};
use crate::strace::{self, Point, Traced};
use crate::wait::wait_for;
use crate::witness::{self, Line};

/// Runs of the workflow, one after the other, and steps of each.
const SIZE: (u32, u32) = (2, 5);
/// How patient the worker is with a store that fails.
const IMPATIENT: [&str; 6] = ["--commit-patience-ms", "300", "--lease-ms", "1000", "--patience-ms", "3000"];
/// The calls that fail, each with its errors: calls by which the stores write and little else does.
const FAULTS: [(&str, &[&str]); 9] = [
    ("pwrite64", &["EIO", "ENOSPC", "EROFS"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("fsync", &["EIO"]),
    ("sync_file_range", &["EIO"]),
    ("fallocate", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO"]),
    ("openat", &["EIO", "ENOSPC", "EMFILE"]),
    ("renameat", &["EIO"]),
    ("unlinkat", &["EIO"]),
];

/// One error at one call.
#[derive(Debug, Clone)]
struct Fault {
    kind: Kind,
    point: Point,
    error: &'static str,
    from_then_on: bool,
}

impl Fault {
    fn place(&self) -> String {
        let Self { kind, point, error, from_then_on } = self;
        let on = if *from_then_on { " and on" } else { "" };
        format!("{} with {error} at {} {}{on}", kind.as_str(), point.call, point.nth)
    }
}

/// How the worker took it.
#[derive(Debug, Default)]
struct Taken {
    fired: bool,
    done: bool,
    told: bool,
    audit: Audit,
}

/// Runs the harness. `--points N` takes at most so many points for each call and error.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("io_faults", arguments);
    let most = arguments.value("points", 6);
    let more: Vec<String> = arguments
        .text("plant")
        .into_iter()
        .flat_map(|plant| ["--plant".to_owned(), plant.to_owned()])
        .chain(IMPATIENT.map(str::to_owned))
        .collect();
    let mut faults = Vec::new();
    for kind in Kind::ON_DISK {
        match record(kind, SIZE, &words(&more)) {
            Ok(points) => faults.extend(faults_of(kind, &points, most)),
            Err(error) => {
                report.violations([format!("{}: not one worker finished: {error}", kind.as_str())]);
            }
        }
    }
    let points = faults.len();
    let taken = in_lanes(faults, move |fault| {
        meet(&fault, &words(&more)).unwrap_or_else(|error| Taken {
            audit: Audit { violations: vec![format!("{}: {error}", fault.place())], ..Audit::default() },
            ..Taken::default()
        })
    });
    report.count("points", points);
    let sum = |of: fn(&Taken) -> bool| taken.iter().filter(|taken| of(taken)).count();
    report.count_at_least("fired", sum(|taken| taken.fired), arguments.value("least", 60));
    report.count_at_least("told", sum(|taken| taken.told), 20);
    report.count("went_on", sum(|taken| taken.done));
    for taken in taken {
        report.violations(taken.audit.violations);
    }
    for kind in Kind::ON_DISK {
        match fill(kind) {
            Ok((disk, refused, violations)) => {
                eprintln!("{}: full disk by {disk}", kind.as_str());
                report.count_at_least(&format!("{}_full", kind.as_str()), refused, 1);
                report.violations(violations);
            }
            Err(error) => report.violations([format!("{} on a full disk: {error}", kind.as_str())]),
        }
    }
    report.finish()
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn faults_of(kind: Kind, points: &[Point], most: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, errors) in FAULTS {
        let of_call: Vec<Point> = points.iter().filter(|point| point.call == call).cloned().collect();
        for &error in errors {
            let once = spread(of_call.clone(), most);
            faults.extend(once.into_iter().map(|point| Fault { kind, point, error, from_then_on: false }));
            // Without any open call the worker would not even start.
            let on = if call == "openat" { Vec::new() } else { spread(of_call.clone(), 2) };
            faults.extend(on.into_iter().map(|point| Fault { kind, point, error, from_then_on: true }));
        }
    }
    faults
}

/// Lets a worker meet the fault, and a second one find what is left.
fn meet(fault: &Fault, more: &[&str]) -> Result<Taken, String> {
    let trial = Trial::new(fault.kind, SIZE, more);
    let log = trial.beside("strace");
    let Fault { point, error, from_then_on, .. } = fault;
    let mut command = strace::failing(binary("worker"), point, error, *from_then_on, strace::WRITES, &log);
    let mut worker = Watched::start(trial.arguments(&mut command)).map_err(|error| error.to_string())?;
    let status = worker.wait(PATIENCE)?;
    let traced = strace::read(&log).map_err(|error| error.to_string())?;
    let lines = trial.lines()?;
    let fired = traced.iter().any(|call| call.injected);
    let told = lines.iter().any(|line| match line {
        Line::Failed { .. } => true,
        Line::Said(words) => matches!(words[0].as_str(), "unopened" | "unstarted"),
        _ => false,
    });
    // sled panics on threads of its own; what has to hold is that the store around it says so.
    let ours = |panic: &String| !panic.contains("/sled-0.34");
    let mut violations: Vec<String> = panics(&lines).filter(ours).collect();
    violations.extend(acknowledged_after_a_failed_sync(&traced, &trial.store()));
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => {}
        Some(Ok(POISONED | GAVE_UP | UNOPENED)) if told => {}
        Some(Ok(POISONED | GAVE_UP | UNOPENED)) => {
            violations.push(format!("it ended with {status} and told no error: {}", worker.last_words()));
        }
        _ => violations.push(format!("it ended with {status}: {}", worker.last_words())),
    }
    let mut audit = trial.finish()?;
    audit.violations.retain(ours);
    audit.violations.extend(violations);
    audit.violations.iter_mut().for_each(|what| *what = format!("{}: {what}", fault.place()));
    Ok(Taken { fired, told, done: status.success(), audit })
}

/// After a sync of the store's data has failed nobody knows what is on the disk, and nothing may be acknowledged.
fn acknowledged_after_a_failed_sync(traced: &[Traced], store: &Path) -> Option<String> {
    let data = [store.join("journal").display().to_string(), format!("{}/db", store.display())];
    let failed = traced.iter().position(|call| {
        call.injected && call.call == "fdatasync" && data.iter().any(|data| call.text.contains(data.as_str()))
    })?;
    let mut after = traced[failed..].iter();
    let told = after.find(|call| call.call == "write" && call.text.contains("/witness>, \"ack "))?;
    Some(format!("after a failed sync it acknowledged: {}", told.text))
}

/// Fills the disk under a worker, and frees it once the worker was refused. Returns what kind of disk it was, how
/// often the worker was refused, and what it broke.
fn fill(kind: Kind) -> Result<(&'static str, usize, Vec<String>), String> {
    let disk = SmallDisk::mount();
    match disk {
        Some(disk) => fill_disk(kind, &disk).map(|(refused, violations)| ("tmpfs", refused, violations)),
        None => fill_by_injection(kind).map(|(refused, violations)| ("injection", refused, violations)),
    }
}

/// A worker whose results need more room than there is, until some is made.
fn fill_disk(kind: Kind, disk: &SmallDisk) -> Result<(usize, Vec<String>), String> {
    // sled stops writing by itself while there is still some room.
    let left = match kind {
        Kind::Sled => 66 << 20,
        _ => 1 << 20,
    };
    let ballast = disk.fill_up_to(left).map_err(|error| error.to_string())?;
    let more = ["--padding", "200000", "--commit-patience-ms", "30000"];
    let runs = if kind == Kind::Sled { 40 } else { 4 };
    let trial = Trial::new(kind, (runs, 5), &more).on(disk.path());
    let mut command = Command::new(binary("worker"));
    let mut worker = Watched::start(trial.arguments(&mut command)).map_err(|error| error.to_string())?;
    let witness = trial.beside("witness");
    let refused = wait_for("a refusal for lack of room", PATIENCE, || {
        let lines = witness::read(&witness).ok()?;
        let count = lines.iter().filter(|line| is_full(line)).count();
        (count > 0 || worker.ended().is_some()).then_some(count)
    })?;
    std::fs::remove_file(ballast).map_err(|error| error.to_string())?;
    let mut violations = Vec::new();
    let status = worker.wait(PATIENCE)?;
    if !status.success() {
        violations.push(format!("with room again it ended with {status}: {}", worker.last_words()));
    }
    violations.extend(trial.finish()?.violations);
    Ok((refused, violations))
}

/// The same where no disk can be mounted: writes find no room for a while.
fn fill_by_injection(kind: Kind) -> Result<(usize, Vec<String>), String> {
    let trial = Trial::new(kind, SIZE, &["--commit-patience-ms", "30000"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64"]);
    command.args(["-e", "inject=pwrite64:error=ENOSPC:when=9..14", "--"]).arg(binary("worker"));
    let mut worker = Watched::start(trial.arguments(&mut command)).map_err(|error| error.to_string())?;
    let status = worker.wait(PATIENCE)?;
    let refused = trial.lines()?.iter().filter(|line| is_full(line)).count();
    let mut violations = trial.finish()?.violations;
    if kind == Kind::File && !status.success() {
        violations.push(format!("with room again it ended with {status}: {}", worker.last_words()));
    }
    Ok((refused, violations))
}

fn is_full(line: &Line) -> bool {
    matches!(line, Line::Failed { class, kind } if class == "Definite" && kind == "Full")
}

/// A file system in memory that holds little. It is gone with this value.
#[derive(Debug)]
struct SmallDisk(tempfile::TempDir);

/// Its size in bytes.
const DISK_BYTES: u64 = 512 << 20;

impl SmallDisk {
    /// `None` where this process may not mount anything.
    fn mount() -> Option<Self> {
        let folder = folder_in_memory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES},mode=0700"), "none"]).arg(folder.path());
        mount.output().ok()?.status.success().then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves `left` bytes free; the file returned holds the rest.
    fn fill_up_to(&self, left: u64) -> std::io::Result<PathBuf> {
        let path = self.path().join("ballast");
        let mut file = File::create(&path)?;
        let block = vec![0; 1 << 20];
        for _ in 0..(DISK_BYTES - left) >> 20 {
            file.write_all(&block)?;
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).output();
        if !unmounted.is_ok_and(|output| output.status.success()) {
            eprintln!("{} stays mounted", self.0.path().display());
        }
    }
}
