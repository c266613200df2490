//! Kills Redis itself, and its clients, at random moments. With `appendfsync always` nothing acknowledged is lost.

use std::process::{Command, ExitCode};
use std::time::Duration;

use stepwell_redis::test_server::TestServer;

use crate::audit::Audit;
use crate::harness::lanes::in_lanes;
use crate::harness::trial::{PATIENCE, Trial};
use crate::place::Kind;
use crate::process::{Watched, binary};
use crate::report::{Arguments, Report};
use crate::wait::wait_for;

/// Runs, at once, and steps of each.
const SIZE: (u32, u32) = (12, 10);
/// Stores whose clients are killed side by side; a dead client's runs are free only after their lease.
const CLIENT_LANES: u32 = 8;

/// Runs the harness. `--kills N` kills the server so many times, and clients so many times.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("redis_kills", arguments);
    fastrand::seed(arguments.seed());
    let kills: u32 = arguments.value("kills", 40);
    let mut audits = Audit::default();
    match kill_server(kills) {
        Ok((killed, audit)) => {
            report.count_at_least("server_killed", killed, 30);
            audits.add(audit);
        }
        Err(error) => report.violations([format!("while the server is killed: {error}")]),
    }
    match kill_clients(kills) {
        Ok((killed, audit)) => {
            report.count_at_least("clients_killed", killed, 30);
            audits.add(audit);
        }
        Err(error) => report.violations([format!("while clients are killed: {error}")]),
    }
    report.count("acknowledged", audits.acknowledged);
    report.count("executed", audits.executed);
    report.count("repeated", audits.repeated);
    report.violations(audits.violations);
    report.finish()
}

fn trial(url: String) -> Trial {
    Trial::new(Kind::Redis, SIZE, &["--at-once", "true", "--lease-ms", "1000"]).at(url)
}

fn start(trial: &Trial) -> Result<Watched, String> {
    Watched::start(trial.arguments(&mut Command::new(binary("worker")))).map_err(|error| error.to_string())
}

/// Returns once the witness holds `bytes` more, or the worker has ended: then `false`.
fn witnessed(trial: &Trial, worker: &mut Watched, bytes: u64) -> Result<bool, String> {
    let witness = trial.beside("witness");
    let len = || witness.metadata().map_or(0, |metadata| metadata.len());
    let enough = len() + bytes;
    let waited = wait_for("more work", PATIENCE, || match len() >= enough {
        true => Some(true),
        false => worker.ended().map(|_| false),
    });
    waited.map_err(|late| format!("{late}: {}", worker.last_words()))
}

/// One worker, which sees the server die again and again and starts over with fresh runs when it is done.
fn kill_server(kills: u32) -> Result<(u32, Audit), String> {
    let mut server = TestServer::start(&[]).map_err(|error| error.to_string())?;
    let mut killed = 0;
    let mut audits = Audit::default();
    let mut store = 0;
    while killed < kills {
        store += 1;
        let trial = trial(server.url(&format!("server-{store}")));
        let mut worker = start(&trial)?;
        while killed < kills && witnessed(&trial, &mut worker, fastrand::u64(1..3_000))? {
            server.kill().map_err(|error| error.to_string())?;
            server.revive().map_err(|error| error.to_string())?;
            killed += 1;
        }
        let status = worker.wait(PATIENCE)?;
        if !status.success() {
            let said = worker.last_words();
            audits
                .violations
                .push(format!("the worker ended with {status} after its server came back: {said}"));
        }
        audits.add(trial.finish()?);
    }
    Ok((killed, audits))
}

fn kill_clients(kills: u32) -> Result<(u32, Audit), String> {
    let server = TestServer::start(&[]).map_err(|error| error.to_string())?;
    let lanes =
        (1..=CLIENT_LANES).map(|nth| (server.url(&format!("client-{nth}")), fastrand::u64(..))).collect();
    let sums = in_lanes(lanes, move |(url, seed)| {
        let mut random = fastrand::Rng::with_seed(seed);
        let trial = trial(url);
        let mut killed = 0;
        while killed < kills.div_ceil(CLIENT_LANES) {
            let mut worker = start(&trial)?;
            if !witnessed(&trial, &mut worker, random.u64(1..6_000))? {
                break;
            }
            // Between two lines as well as right after one.
            std::thread::sleep(Duration::from_micros(random.u64(..3_000)));
            worker.kill();
            killed += 1;
        }
        Ok::<_, String>((killed, trial.finish()?))
    });
    let mut killed = 0;
    let mut audits = Audit::default();
    for sum in sums {
        let (of_lane, audit) = sum?;
        killed += of_lane;
        audits.add(audit);
    }
    Ok((killed, audits))
}
