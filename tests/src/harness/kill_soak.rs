//! Workers at work are killed, told to stop and put to sleep at random, over a hundred times, on three stores at once.
//!
//! Their steps take effects in a ledger that is never killed. When the killing has stopped every run that was
//! acknowledged as started has to end, each guarded effect has happened once, and the stores are audited.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use fastrand::Rng;
use stepwell_contract::{Record, RunId, RunKey, TenantId};
use stepwell_redis::test_server::TestServer;

use crate::audit::{audit, journal};
use crate::harness::harm::{Blow, Harm, Victim, strike};
use crate::harness::ledger::{self, Figures};
use crate::harness::soaked::{GUARDED, result_of};
use crate::harness::trial::panics;
use crate::place::folder_in_memory;
use crate::process::{Signal, Watched, binary, was_ended_by};
use crate::report::{Arguments, Report};
use crate::wait::wait_for;
use crate::witness::{self, Line};

/// How long a lease lasts.
const LEASE_MS: u64 = 1_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long after the killing, beyond a lease, the last run may end.
const SLACK: Duration = Duration::from_secs(20);

/// A store with its workers.
#[derive(Debug)]
struct Team {
    name: &'static str,
    url: String,
    folder: PathBuf,
    workers: Vec<Victim>,
}

impl Team {
    fn new(
        name: &'static str,
        url: String,
        folder: &Path,
        size: usize,
        outside: SocketAddr,
    ) -> Result<Self, String> {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let mut team = Self { name, url, folder, workers: Vec::new() };
        for _ in 0..size {
            let process = team.hire(outside)?;
            team.workers.push(Victim::new(process));
        }
        Ok(team)
    }

    fn hire(&self, outside: SocketAddr) -> Result<Watched, String> {
        let mut command = Command::new(binary("worker"));
        command.args(["soak", "--store", &self.url, "--lease-ms", &LEASE_MS.to_string()]);
        command.arg("--witness").arg(self.witness()).arg("--stop-file").arg(self.folder.join("stop"));
        command.args(["--ledger", &outside.to_string()]);
        Watched::start(&mut command).map_err(|error| error.to_string())
    }

    fn witness(&self) -> PathBuf {
        self.folder.join("witness")
    }

    fn witnessed_bytes(&self) -> u64 {
        self.witness().metadata().map_or(0, |metadata| metadata.len())
    }

    fn lines(&self) -> Result<Vec<Line>, String> {
        witness::read(&self.witness()).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Harms one worker as soon as the team has done a little more, and puts another in its place. Returns what is wrong
    /// with how it ended.
    fn harm(
        &mut self,
        random: &mut Rng,
        harm: &mut Harm,
        outside: SocketAddr,
    ) -> Result<Option<String>, String> {
        let enough = self.witnessed_bytes() + random.u64(50..4_000);
        wait_for(&format!("work of the team on {}", self.name), PATIENCE, || {
            self.workers.iter_mut().for_each(Victim::wake_when_due);
            (self.witnessed_bytes() >= enough).then_some(())
        })
        .map_err(|late| {
            let words: Vec<_> = self.workers.iter().map(|worker| worker.process.last_words()).collect();
            format!("{late}: {words:?}")
        })?;
        let nth = random.usize(..self.workers.len());
        let wrong = match strike(&mut self.workers, nth, random, LEASE_MS, PATIENCE, harm)? {
            Blow::Asleep => return Ok(None),
            Blow::Killed => None,
            // One that was not up yet dies of the signal like any program.
            Blow::Ended(status) if status.success() || was_ended_by(status, Signal::TERM) => None,
            Blow::Ended(status) => {
                let said = self.workers[nth].process.last_words();
                Some(format!("{}: told to stop it ended with {status}: {said}", self.name))
            }
        };
        self.workers[nth] = Victim::new(self.hire(outside)?);
        Ok(wrong)
    }

    /// Wakes all, lets nothing new begin, waits until every run in the store has ended, and stops the workers.
    fn come_to_rest(&mut self) -> Result<(), String> {
        self.workers.iter_mut().for_each(Victim::wake);
        std::fs::write(self.folder.join("stop"), "").map_err(|error| error.to_string())?;
        let limit = Duration::from_millis(LEASE_MS) + SLACK;
        let is_idle = |line: &Line| matches!(line, Line::Said(words) if words[0] == "idle");
        let rested = wait_for(&format!("{}: the end of all runs", self.name), limit, || {
            self.lines().ok()?.iter().any(is_idle).then_some(())
        });
        for worker in &mut self.workers {
            worker.process.signal(Signal::TERM);
            worker.process.wait(PATIENCE)?;
        }
        rested
    }
}

/// The runs that were started, with their inputs.
fn started(lines: &[Line]) -> Vec<(String, u64)> {
    let of = |line: &Line| match line {
        Line::Said(words) if words[0] == "started" => Some((words[1].clone(), words[2].parse().ok()?)),
        _ => None,
    };
    let mut runs: Vec<_> = lines.iter().filter_map(of).collect();
    runs.sort();
    runs.dedup();
    runs
}

/// Runs the harness. `--kills N` harms workers so many times.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("kill_soak", arguments);
    if let Err(error) = soak(arguments, &mut report) {
        report.violations([error]);
    }
    report.finish()
}

fn soak(arguments: &Arguments, report: &mut Report) -> Result<(), String> {
    let kills = arguments.value("kills", 130);
    let folder = folder_in_memory();
    let server = TestServer::start(&[]).map_err(|error| error.to_string())?;
    let port_file = folder.path().join("ledger");
    let mut command = Command::new(binary("ledger"));
    let _outside =
        Watched::start(command.arg("--port-file").arg(&port_file)).map_err(|error| error.to_string())?;
    let outside: SocketAddr =
        wait_for("the ledger", PATIENCE, || std::fs::read_to_string(&port_file).ok()?.parse().ok())?;
    let on_disk = |scheme: &str| format!("{scheme}:{}/{scheme}/store", folder.path().display());
    let mut teams = vec![
        Team::new("redis", server.url("soak"), folder.path(), 3, outside)?,
        Team::new("file", on_disk("file"), folder.path(), 1, outside)?,
        Team::new("sled", on_disk("sled"), folder.path(), 1, outside)?,
    ];
    let mut random = Rng::with_seed(arguments.seed());
    let mut harm = Harm::default();
    while harm.total() < kills {
        // The team of three is harmed as often as the other two.
        let nth = if random.bool() { 0 } else { random.usize(1..teams.len()) };
        report.violations(teams[nth].harm(&mut random, &mut harm, outside)?);
    }
    report.count_at_least("harmed", harm.total(), 100);
    report.count("killed", harm.killed);
    report.count("terminated", harm.terminated);
    report.count("paused", harm.paused);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let mut runs = 0;
    let mut stuck = 0_u64;
    let mut takeovers = Vec::new();
    let mut acknowledged = 0;
    for team in &mut teams {
        if let Err(late) = team.come_to_rest() {
            // Which ones the audit tells.
            stuck += 1;
            report.violations([late]);
        }
        let lines = team.lines()?;
        runs += started(&lines).len() as u64;
        let (violations, acked, gaps) = runtime.block_on(inspect(team, &lines))?;
        report.violations(violations);
        acknowledged += acked;
        if team.name == "redis" {
            takeovers = gaps;
        }
    }
    let figures = ledger::figures(outside).map_err(|error| error.to_string())?;
    report.count_at_least("runs", runs, 60);
    report.count("acknowledged", acknowledged);
    report.count("stuck", stuck);
    takeovers.sort_unstable();
    report.count_at_least("takeovers", takeovers.len(), 10);
    report.count("takeover_p50_ms", percentile(&takeovers, 50));
    report.count("takeover_p99_ms", percentile(&takeovers, 99));
    judge(report, &figures, runs);
    Ok(())
}

fn judge(report: &mut Report, figures: &Figures, runs: u64) {
    report.count("guarded", figures.guarded);
    report.count("dropped_repeats", figures.dropped);
    report.count("stale_refused", figures.stale);
    report.count("unguarded_reruns", figures.reruns);
    // A run whose start was not acknowledged may be there all the same, and has its effects too.
    if figures.guarded < runs * GUARDED || figures.plain < runs {
        report.violations([format!(
            "{runs} runs have {} guarded and {} other effects: some are lost",
            figures.guarded, figures.plain
        )]);
    }
    if figures.shared_fences > 0 {
        report.violations([format!("{} times two owners had one fence", figures.shared_fences)]);
    }
}

pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(0)
}

/// Audits a store at rest. Returns what is broken, how many records were acknowledged, and how long each takeover took.
async fn inspect(team: &Team, lines: &[Line]) -> Result<(Vec<String>, u64, Vec<u64>), String> {
    let backend = stepwell_backends::open(&team.url).await.map_err(|error| error.to_string())?;
    let key = |run: &str| RunKey::new(TenantId::default(), RunId::new(run).expect("an id"));
    let expected: Vec<_> =
        started(lines).into_iter().map(|(run, n)| (key(&run), result_of(n).to_string())).collect();
    let audit = audit(backend.as_ref(), &expected, lines).await;
    let mut violations: Vec<String> =
        audit.violations.iter().map(|what| format!("{}: {what}", team.name)).collect();
    violations.extend(panics(lines));
    let mut gaps = Vec::new();
    for (key, _) in &expected {
        let records = journal(backend.as_ref(), key).await.map_err(|error| error.to_string())?;
        gaps.extend(takeovers(&records));
    }
    Ok((violations, audit.acknowledged, gaps))
}

/// How long each takeover from a lost worker took, in milliseconds since that worker's last sign of life in the journal.
pub(crate) fn takeovers(records: &[Record]) -> Vec<u64> {
    let is_takeover = |record: &Record| {
        let fields: serde_json::Value = record.payload.decode().unwrap_or_default();
        record.kind.as_str() == "run_taken" && !fields["lost"].is_null()
    };
    let pairs = records.windows(2).filter(|pair| is_takeover(&pair[1]));
    pairs.map(|pair| pair[1].at.since_ms(pair[0].at)).collect()
}
