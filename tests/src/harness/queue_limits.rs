//! Four workers share queues with limits and are killed while they work. An outside counter sees every step from when it
//! is entered until it is left or its process is gone: never one more than the limit, for the queue and for each key,
//! never more starts in a stretch of time than the rate allows, and no tenant waits for all runs of another.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use stepwell::{Engine, StartRun};
use stepwell_contract::{Name, Query, Status, TenantId};
use stepwell_redis::test_server::TestServer;

use crate::harness::limited::{LIMIT, LIMIT_PER_KEY, RATE, workflow};
use crate::harness::trial::panics;
use crate::place::folder_in_memory;
use crate::process::{Watched, binary};
use crate::report::{Arguments, Report};
use crate::wait::wait_for;
use crate::witness;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// Runs of each queue.
const FULL: usize = 300;
const RATED: usize = 120;
const BIG: usize = 300;
const SMALL: usize = 3;
/// Workers.
const TEAM: usize = 4;
/// How much later than it was let in a run may be seen to begin: a stretch of time is looked at that much shorter.
const SEEN_LATE: Duration = Duration::from_millis(200);

/// What the outside world has seen.
#[derive(Debug, Default)]
struct Seen {
    inside: usize,
    of_key: HashMap<String, usize>,
    most: usize,
    most_of_key: usize,
    /// How often a run entered the last place there was.
    filled: u64,
    entered: u64,
    cut_short: u64,
    violations: Vec<String>,
    begun: Vec<Instant>,
    fair: Vec<String>,
    /// When the last run of queue `full` was left.
    full_until: Option<Instant>,
}

impl Seen {
    fn enter(&mut self, words: &[&str]) {
        self.entered += 1;
        match words {
            ["full", key, run, ..] => {
                self.inside += 1;
                let of_key = self.of_key.entry((*key).to_owned()).or_default();
                *of_key += 1;
                self.most = self.most.max(self.inside);
                self.most_of_key = self.most_of_key.max(*of_key);
                self.filled += u64::from(self.inside == LIMIT);
                if self.inside > LIMIT || *of_key > LIMIT_PER_KEY {
                    let line =
                        format!("{run} is one of {} runs at once, {of_key} with key {key}", self.inside);
                    self.violations.push(line);
                }
            }
            ["rated", _, _, "first", "1"] => self.begun.push(Instant::now()),
            ["fair", _, run, "first", ..] => self.fair.push((*run).to_owned()),
            _ => {}
        }
    }

    fn leave(&mut self, words: &[&str]) {
        if let ["full", key, ..] = words {
            self.full_until = Some(Instant::now());
            self.inside -= 1;
            if let Some(of_key) = self.of_key.get_mut(*key) {
                *of_key -= 1;
            }
        }
    }

    /// Most starts in any stretch of so long.
    fn most_begun_in(&self, stretch: Duration) -> usize {
        let within = |nth: usize, from: &Instant| {
            self.begun[nth..].iter().take_while(|at| at.duration_since(*from) < stretch).count()
        };
        self.begun.iter().enumerate().map(|(nth, from)| within(nth, from)).max().unwrap_or(0)
    }
}

/// The outside world: a listener, and what it has seen.
#[derive(Debug, Clone)]
struct Counter(Arc<Mutex<Seen>>);

impl Counter {
    fn start() -> Result<(Self, SocketAddr), std::io::Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let counter = Self(Arc::default());
        let own = counter.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                // It ends with its step, or with the process of that.
                std::thread::spawn(move || own.watch(stream));
            }
        });
        Ok((counter, address))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, mut stream: TcpStream) {
        let Ok(read) = stream.try_clone() else { return };
        let mut read = BufReader::new(read);
        let mut line = String::new();
        if !matches!(read.read_line(&mut line), Ok(n) if n > 0) {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        self.seen().enter(&words);
        let mut end = String::new();
        let is_told = stream.write_all(b"+").is_ok();
        let has_left = is_told && matches!(read.read_line(&mut end), Ok(n) if n > 0);
        let mut seen = self.seen();
        seen.leave(&words);
        seen.cut_short += u64::from(!has_left);
        drop(seen);
        // It may be gone.
        let _ = stream.write_all(b"-");
    }
}

/// Runs the harness. `--kills N` kills workers so many times.
#[must_use]
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut report = Report::new("queue_limits", arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run(arguments, &mut report)));
    if let Err(error) = ended {
        report.violations([error]);
    }
    report.finish()
}

fn hire(url: &str, folder: &Path, outside: SocketAddr, concurrency: usize) -> Result<Watched, String> {
    let mut command = Command::new(binary("worker"));
    command.args(["limited", "--store", url, "--outside", &outside.to_string()]);
    command.args(["--concurrency", &concurrency.to_string()]).arg("--witness").arg(folder.join("witness"));
    Watched::start(&mut command).map_err(|error| error.to_string())
}

async fn starter(url: &str) -> Result<Engine, String> {
    let backend = stepwell_backends::open(url).await.map_err(|error| error.to_string())?;
    let (workflow, queues) = workflow(None);
    let mut builder = Engine::builder(backend).register(workflow);
    for queue in queues {
        builder = builder.queue(queue);
    }
    builder.build().await.map_err(|error| error.to_string())
}

async fn start(engine: &Engine, queue: &str, key: &str, run: &str, tenant: &str) -> Result<(), String> {
    let named = |text: &str| Name::new(text).map_err(|error| error.to_string());
    let tenant = TenantId::new(tenant).map_err(|error| error.to_string())?;
    let run = StartRun::new("limited", run, &(queue, key)).map_err(|error| error.to_string())?;
    let run = run.queue(named(queue)?).limit_key(named(key)?).tenant(tenant);
    engine.start_with(run).await.map(|_| ()).map_err(|error| error.to_string())
}

/// How many runs have not ended, and how many ended without success.
async fn unfinished(engine: &Engine) -> Result<(usize, usize), String> {
    let count = async |statuses: Vec<Status>| {
        let query = Query { statuses, ..Query::default() };
        let page = engine.list(&query, None, 1_000).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(page.items.len())
    };
    let open = Status::ALL.into_iter().filter(|status| !status.is_finished()).collect();
    Ok((count(open).await?, count(vec![Status::Failed, Status::Cancelled, Status::Paused]).await?))
}

async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), String> {
    let kills: u64 = arguments.value("kills", 16);
    let began = Instant::now();
    let mut random = Rng::with_seed(arguments.seed());
    let folder = folder_in_memory();
    let server = TestServer::start(&[]).map_err(|error| error.to_string())?;
    let (counter, outside) = Counter::start().map_err(|error| error.to_string())?;
    let url = server.url("limits");
    let engine = starter(&url).await?;
    for nth in 0..FULL {
        let key = ["a", "b", "c", "d"][random.usize(..4)];
        start(&engine, "full", key, &format!("full-{nth}"), "default").await?;
    }
    for nth in 0..RATED {
        start(&engine, "rated", "any", &format!("rated-{nth}"), "default").await?;
    }
    let working = Instant::now();
    let mut team = Vec::new();
    for _ in 0..TEAM {
        team.push(hire(&url, folder.path(), outside, 16)?);
    }
    let mut killed = 0;
    let until = Instant::now() + PATIENCE;
    loop {
        let entered = counter.seen().entered;
        let more = entered + random.u64(5..60);
        let worked =
            wait_for("more work", Duration::from_secs(5), || (counter.seen().entered >= more).then_some(()));
        if unfinished(&engine).await?.0 == 0 {
            break;
        }
        if Instant::now() > until {
            return Err(format!("{:?} runs have not ended: {worked:?}", unfinished(&engine).await?));
        }
        if killed < kills && worked.is_ok() {
            let nth = random.usize(..TEAM);
            team[nth].kill();
            killed += 1;
            team[nth] = hire(&url, folder.path(), outside, 16)?;
        }
    }
    let limited_ms = began.elapsed().as_millis();
    // Everybody lets go of what it held.
    let rest = Instant::now();
    loop {
        let queues = engine.queues().await.map_err(|error| error.to_string())?;
        if queues.iter().all(|queue| queue.counted.is_empty() && queue.parked == 0 && queue.running == 0) {
            break;
        }
        if rest.elapsed() > Duration::from_secs(5) {
            // What a killed worker had taken is found by whoever needs it.
            report
                .count("left_counted", queues.iter().flat_map(|queue| queue.counted.values()).sum::<usize>());
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(team);
    let (_, wrong) = unfinished(&engine).await?;
    report.violations((wrong > 0).then(|| format!("{wrong} runs did not succeed")));
    let fair = starve(&engine, &url, folder.path(), outside, &counter).await?;
    let lines = witness::read(&folder.path().join("witness")).map_err(|error| error.to_string())?;
    report.violations(panics(&lines));
    let seen = counter.seen();
    report.violations(seen.violations.iter().cloned());
    report.count_at_least("runs", FULL + RATED + BIG + SMALL, 700);
    report.count_at_least("killed", killed, kills.min(10));
    report.count_at_least("cut_short", seen.cut_short, 3);
    report.count("entered", seen.entered);
    report.count_at_least("filled", seen.filled, 20);
    report.count_at_least("most_at_once", seen.most, LIMIT as u64);
    report.count_at_least("most_of_key", seen.most_of_key, LIMIT_PER_KEY as u64);
    let stretch = Duration::from_secs(1).saturating_sub(SEEN_LATE);
    let most_begun = seen.most_begun_in(stretch);
    report.count_at_least("rated_begun", seen.begun.len(), RATED as u64 - kills);
    report.count("rate_most", most_begun);
    report.count("rate_most_in_a_second", seen.most_begun_in(Duration::from_secs(1)));
    if most_begun > RATE {
        report.violations([format!("{most_begun} runs began within {} ms", stretch.as_millis())]);
    }
    report.count("small_after_big", fair);
    if fair > BIG / 3 {
        report.violations([format!(
            "{fair} of {BIG} runs of the big tenant began before the last of the small one"
        )]);
    }
    let full_ms = seen.full_until.map_or(0, |until| until.duration_since(working).as_millis());
    report.count("full_ms", full_ms as u64);
    report.count("limited_ms", limited_ms as u64);
    report.count("took_ms", began.elapsed().as_millis() as u64);
    Ok(())
}

/// A tenant with a hundred times as many runs, all of them older. Returns how many of them began before the last run of
/// the small tenant.
async fn starve(
    engine: &Engine,
    url: &str,
    folder: &Path,
    outside: SocketAddr,
    counter: &Counter,
) -> Result<usize, String> {
    for nth in 0..BIG {
        start(engine, "fair", "any", &format!("big-{nth}"), "big").await?;
    }
    for nth in 0..SMALL {
        start(engine, "fair", "any", &format!("small-{nth}"), "small").await?;
    }
    let _team: Vec<_> = (0..TEAM).map(|_| hire(url, folder, outside, 2)).collect::<Result<_, _>>()?;
    let until = Instant::now() + PATIENCE;
    loop {
        let (open, _) = unfinished(engine).await?;
        if open == 0 {
            break;
        }
        if Instant::now() > until {
            return Err(format!("{open} runs of queue fair have not ended"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = counter.seen();
    let last = seen.fair.iter().rposition(|run| run.starts_with("small")).unwrap_or(usize::MAX);
    Ok(seen.fair.iter().take(last).filter(|run| run.starts_with("big")).count())
}
