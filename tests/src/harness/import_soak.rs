//! The example `import` is killed, told to stop and put to sleep at random, on three stores at once: three processes that
//! share a Redis store and one library, and one process each on files and on sled.
//!
//! Its outside world is never killed: this process. It filled the folders and knows what has to come of them; it sees in
//! the kernel's own notices each name that comes into a library; and it is the ledger that is told of each copy by its
//! idempotency key. When a session has ended, every process has to have ended with the same, right counts, and the
//! library has to hold every content once, whole and catalogued. Then the next session begins over another folder, until
//! there were kills enough.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use fastrand::Rng;
use stepwell::run::state::State;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Query, Status};
use stepwell_redis::test_server::TestServer;

use crate::audit::{check_journal, is_of_users, journal};
use crate::harness::eyewitness::Eyewitness;
use crate::harness::harm::{Blow, Harm, Victim, strike};
use crate::harness::kill_soak::{percentile, takeovers};
use crate::harness::ledger;
use crate::harness::library::{Found, audit};
use crate::harness::source::{Counts, fill, folders, sha256};
use crate::place::folder_in_memory;
use crate::process::{Signal, Watched, was_ended_by};
use crate::report::Report;
use crate::wait::wait_for;

/// How long a lease lasts.
const LEASE_MS: u64 = 1_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kills in all.
const KILLS: u64 = 100;
/// The lanes: store, processes, kills.
const LANES: [(&str, usize, u64); 3] = [("redis", 3, 52), ("file", 1, 26), ("sled", 1, 26)];
/// The code of a process that was stopped by a signal, and of one that could not import everything.
const STOPPED: i32 = 130;
/// How many records and messages of a run that did not end are shown.
const LAST_WORDS: usize = 12;
const SOME_FAILED: i32 = 1;

/// A store, a library, and the processes that import into it.
#[derive(Debug)]
struct Lane {
    name: &'static str,
    size: usize,
    import: PathBuf,
    store: String,
    ledger: SocketAddr,
    folder: PathBuf,
    random: Rng,
    /// What the library holds, by hash.
    held: BTreeSet<String>,
    strangers: BTreeMap<PathBuf, String>,
    eyewitness: Eyewitness,
    sessions: usize,
    victims: Vec<Victim>,
    done: Done,
}

/// What was done and found on a lane.
#[derive(Debug, Default)]
struct Done {
    harm: Harm,
    counts: Counts,
    /// Processes that ended by themselves, with the counts of their session.
    ended: u64,
    found: Found,
    stuck: u64,
}

/// Runs the harness with the `import` binary at this path.
#[must_use]
pub fn main(import: &Path) -> ExitCode {
    let mut report = Report::of_test("import_soak", "stepwell-examples");
    if let Err(error) = soak(import, &mut report) {
        report.violations([error]);
    }
    report.finish()
}

fn soak(import: &Path, report: &mut Report) -> Result<(), String> {
    let folder = folder_in_memory();
    let server = TestServer::start(&[]).map_err(|error| error.to_string())?;
    let port_file = folder.path().join("ledger");
    std::thread::spawn({
        let port_file = port_file.clone();
        move || ledger::serve(&port_file)
    });
    let ledger: SocketAddr =
        wait_for("the ledger", PATIENCE, || std::fs::read_to_string(&port_file).ok()?.parse().ok())?;
    let seed = report.seed();
    let lanes: Vec<_> = LANES
        .into_iter()
        .zip(seed..)
        .map(|((name, size, kills), seed)| {
            let folder = folder.path().join(name);
            let store = if name == "redis" {
                server.url("imports")
            } else {
                format!("{name}:{}/store", folder.display())
            };
            let import = import.to_owned();
            std::thread::spawn(move || {
                let mut lane = Lane::new(name, size, import, store, ledger, folder, Rng::with_seed(seed))?;
                let came_to_an_end = lane.soak(kills);
                Ok::<_, String>((lane, came_to_an_end))
            })
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let (mut all, mut sessions, mut files, mut runs) = (Done::default(), 0, 0, 0);
    let mut gaps = Vec::new();
    for lane in lanes {
        let (mut lane, came_to_an_end) = lane.join().map_err(|_| "a lane panicked")??;
        report.violations(came_to_an_end.err().map(|error| format!("{}: {error}", lane.name)));
        lane.victims.clear();
        let store = runtime.block_on(inspect(&lane.store))?;
        report.violations(
            lane.done
                .found
                .violations
                .drain(..)
                .chain(store.violations)
                .map(|what| format!("{}: {what}", lane.name)),
        );
        report.count_at_least(&format!("killed_{}", lane.name), lane.done.harm.killed, 20);
        sessions += lane.sessions;
        all.harm.add(lane.done.harm);
        all.ended += lane.done.ended;
        all.stuck += lane.done.stuck + store.unfinished;
        all.found.twice += lane.done.found.twice;
        all.found.lost += lane.done.found.lost;
        all.found.void_claims += lane.done.found.void_claims;
        let Counts { imported, duplicates, failed } = lane.done.counts;
        all.counts.imported += imported;
        all.counts.duplicates += duplicates;
        all.counts.failed += failed;
        files += imported + duplicates + failed;
        runs += store.runs;
        if lane.name == "redis" {
            gaps = store.takeovers;
        }
    }
    gaps.sort_unstable();
    let figures = ledger::figures(ledger).map_err(|error| error.to_string())?;
    let Done { harm, counts, ended, found, stuck } = all;
    report.count_at_least("killed", harm.killed, KILLS);
    report.count("terminated", harm.terminated);
    report.count("paused", harm.paused);
    report.count_at_least("sessions", sessions, 3);
    report.count_at_least("files", files, 1_000);
    report.count("imported", counts.imported);
    report.count("duplicates", counts.duplicates);
    report.count("failed", counts.failed);
    report.count("ended_with_counts", ended);
    report.count("runs", runs);
    report.count_at_least("takeovers", gaps.len(), 10);
    report.count("takeover_p50_ms", percentile(&gaps, 50));
    report.count("ledger_keys", figures.guarded);
    report.count("ledger_repeats_dropped", figures.dropped);
    report.count("ledger_stale_refused", figures.stale);
    report.count("void_claims", found.void_claims);
    report.count("copied_twice", found.twice);
    report.count("lost", found.lost);
    report.count("stuck", stuck);
    if figures.guarded != counts.imported {
        report.violations([format!(
            "the ledger was told of {} copies by key, and {} were made",
            figures.guarded, counts.imported
        )]);
    }
    if figures.shared_fences > 0 {
        report.violations([format!("{} times two owners had one fence", figures.shared_fences)]);
    }
    if stuck > 0 {
        report.violations([format!("{stuck} runs or sessions did not end")]);
    }
    Ok(())
}

impl Lane {
    /// A library with files of somebody else in it, whose names the imports will want.
    fn new(
        name: &'static str,
        size: usize,
        import: PathBuf,
        store: String,
        ledger: SocketAddr,
        folder: PathBuf,
        random: Rng,
    ) -> Result<Self, String> {
        let in_words = |error: std::io::Error| error.to_string();
        let files = folder.join("library/files");
        let mut watched = vec![files.clone()];
        let mut strangers = BTreeMap::new();
        for (nth, below) in folders().into_iter().enumerate() {
            let watch = files.join(&below);
            std::fs::create_dir_all(&watch).map_err(in_words)?;
            let text = format!("somebody else's {nth}");
            std::fs::write(watch.join(format!("{nth}.bin")), &text).map_err(in_words)?;
            strangers
                .insert(Path::new("files").join(below).join(format!("{nth}.bin")), sha256(text.as_bytes()));
            watched.push(watch);
        }
        Ok(Self {
            name,
            size,
            import,
            store,
            ledger,
            folder,
            random,
            held: BTreeSet::new(),
            strangers,
            eyewitness: Eyewitness::of(&watched).map_err(in_words)?,
            sessions: 0,
            victims: Vec::new(),
            done: Done::default(),
        })
    }

    /// One session after the other, until there were so many kills.
    fn soak(&mut self, kills: u64) -> Result<(), String> {
        while self.done.harm.killed < kills {
            let nth = self.sessions;
            self.sessions += 1;
            let folder = self.folder.join(format!("in{nth}"));
            let counts = fill(&folder, nth, &mut self.random, &mut self.held);
            let counts = counts.map_err(|error| error.to_string())?;
            for _ in 0..self.size {
                let process = self.hire(nth)?;
                self.victims.push(Victim::new(process));
            }
            while self.done.harm.killed < kills && self.may_go_on()? {
                self.harm(nth)?;
            }
            self.come_to_an_end(counts)?;
        }
        Ok(())
    }

    fn hire(&self, nth: usize) -> Result<Watched, String> {
        let mut command = Command::new(&self.import);
        command.current_dir(&self.folder).env_remove("STEPWELL_STORE").env_remove("RUST_LOG");
        command.arg(format!("in{nth}")).args(["--into", "library", "--store", &self.store]);
        command.args(["--session", &format!("{}-{nth}", self.name), "--lease-ms", &LEASE_MS.to_string()]);
        command.args(["--ledger", &self.ledger.to_string()]);
        Watched::start(&mut command).map_err(|error| error.to_string())
    }

    fn words(&self) -> Vec<String> {
        self.victims.iter().map(|victim| victim.process.last_words()).collect()
    }

    /// Lets the processes work on for a while, some of them less than they need to come up. `false` when one ended by
    /// itself: then the session is over.
    fn may_go_on(&mut self) -> Result<bool, String> {
        let in_words = |error: std::io::Error| error.to_string();
        let before = self.eyewitness.look().map_err(in_words)?;
        let (enough, until) = if self.random.u32(..4) == 0 {
            (u64::MAX, Instant::now() + Duration::from_millis(self.random.u64(5..200)))
        } else {
            (before + self.random.u64(1..30), Instant::now() + PATIENCE)
        };
        loop {
            self.victims.iter_mut().for_each(Victim::wake_when_due);
            if self.victims.iter_mut().any(|victim| victim.process.ended().is_some()) {
                return Ok(false);
            }
            let late = Instant::now() >= until;
            if late && enough != u64::MAX {
                self.done.stuck += 1;
                return Err(format!("no copy came within {PATIENCE:?}: {:?}", self.words()));
            }
            if late || self.eyewitness.look().map_err(in_words)? >= enough {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Harms one process and puts another in its place.
    fn harm(&mut self, nth: usize) -> Result<(), String> {
        let at = self.random.usize(..self.size);
        let struck = strike(&mut self.victims, at, &mut self.random, LEASE_MS, PATIENCE, &mut self.done.harm);
        match struck.inspect_err(|_| self.done.stuck += 1)? {
            Blow::Asleep => return Ok(()),
            Blow::Killed => {}
            Blow::Ended(status) => {
                // One that was not up yet dies of the signal like any program; one that was done has ended in its own way.
                let is_right = status.code() == Some(STOPPED)
                    || status.code() == Some(SOME_FAILED)
                        && summary(&self.victims[at].process.last_words()).is_some()
                    || was_ended_by(status, Signal::TERM);
                if !is_right {
                    let said = self.victims[at].process.last_words();
                    self.done.found.violations.push(format!("told to stop it ended with {status}: {said}"));
                }
            }
        }
        self.victims[at] = Victim::new(self.hire(nth)?);
        Ok(())
    }

    /// Waits for the end of all processes of a session, and audits what they say and have left.
    fn come_to_an_end(&mut self, counts: Counts) -> Result<(), String> {
        self.victims.iter_mut().for_each(Victim::wake);
        let until = Instant::now() + PATIENCE;
        while let Some(mut victim) = self.victims.pop() {
            let status = victim.process.wait(until.saturating_duration_since(Instant::now()));
            let status = status.inspect_err(|_| self.done.stuck += 1)?;
            self.eyewitness.look().map_err(|error| error.to_string())?;
            match check_end(status, &victim.process.last_words(), counts) {
                Ok(()) => self.done.ended += 1,
                Err(wrong) => self.done.found.violations.push(wrong),
            }
        }
        let found = audit(&self.folder.join("library"), &self.held, &self.strangers, &self.eyewitness);
        let all = &mut self.done.found;
        (all.twice, all.lost, all.void_claims) =
            (all.twice + found.twice, all.lost + found.lost, found.void_claims);
        all.violations.extend(found.violations);
        all.violations.extend(self.eyewitness.take_wrong());
        self.done.counts.imported += counts.imported;
        self.done.counts.duplicates += counts.duplicates;
        self.done.counts.failed += counts.failed;
        Ok(())
    }
}

/// A process that ends by itself tells the counts of its whole session.
fn check_end(status: ExitStatus, said: &str, counts: Counts) -> Result<(), String> {
    let right = if counts.failed > 0 { SOME_FAILED } else { 0 };
    match summary(said) {
        Some(told) if told == counts && status.code() == Some(right) => Ok(()),
        told => Err(format!("it ended with {status} and {told:?}, not {counts:?}: {said}")),
    }
}

/// The counts in the last line of an import.
fn summary(said: &str) -> Option<Counts> {
    let line = said.lines().rev().find(|line| line.starts_with("imported="))?;
    let field = |name: &str| {
        let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
        fields.find(|(found, _)| *found == name)?.1.parse().ok()
    };
    Some(Counts { imported: field("imported")?, duplicates: field("duplicates")?, failed: field("failed")? })
}

/// What the runs in a store say.
#[derive(Debug, Default)]
struct Inspected {
    runs: u64,
    unfinished: u64,
    takeovers: Vec<u64>,
    violations: Vec<String>,
}

/// Reads every run of a store at rest: it has ended, and its journal is sound.
async fn inspect(url: &str) -> Result<Inspected, String> {
    let backend = stepwell_backends::open(url).await.map_err(|error| error.to_string())?;
    let mut inspected = Inspected::default();
    let mut after = None;
    loop {
        let page = backend.scan(&Query::default(), after, PAGE_ITEMS_MAX).await;
        let page = page.map_err(|error| error.to_string())?;
        for head in page.items.into_iter().filter(|head| is_of_users(&head.key)) {
            let key = &head.key;
            inspected.runs += 1;
            let is_at_its_end = matches!(head.status, Status::Succeeded | Status::Failed);
            inspected.unfinished += u64::from(!is_at_its_end);
            let records = journal(backend.as_ref(), key).await.map_err(|error| error.to_string())?;
            inspected.violations.extend(check_journal(key, &records));
            match State::fold(&records) {
                Ok(state) if state.status == head.status && is_at_its_end => {}
                Ok(state) => {
                    let last: Vec<_> = records.iter().rev().take(LAST_WORDS).rev().collect();
                    let mail = backend.inbox(key, LAST_WORDS).await.map_err(|error| error.to_string())?;
                    inspected.violations.push(format!(
                        "{key}: it is {}, and by its journal {}: {head:?}; mail {mail:?}; last records {last:?}",
                        head.status, state.status
                    ));
                }
                Err(error) => {
                    inspected.violations.push(format!("{key}: the journal makes no state: {error}"));
                }
            }
            inspected.takeovers.extend(takeovers(&records));
        }
        after = page.next;
        if after.is_none() {
            return Ok(inspected);
        }
    }
}
