//! The clients, in a process of their own: some watch, others ask for pages at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use tokio::sync::{Barrier, Mutex, watch};
use tokio::time::MissedTickBehavior;

use super::call::Caller;
use super::world::{LONG_RUNS, long_run};
use crate::Failure;
use crate::line::Line;
use crate::meter::{Reading, percentile};

/// Streams of events that are open.
const STREAMS: usize = 200;
/// Pages asked for in a second.
const REQUESTS_PER_S: u64 = 500;
/// Connections that ask for pages.
const CONNECTIONS: usize = 50;
/// So often the clients learn which runs are the newest.
const NEWEST_EVERY: Duration = Duration::from_secs(1);

/// The longest that it may take until every stream has told something.
const OPENING_MAX: Duration = Duration::from_secs(60);

/// What happened so far.
#[derive(Debug, Default)]
struct Seen {
    events: AtomicU64,
    streams: AtomicU64,
    errors: AtomicU64,
}

impl Seen {
    fn failed(&self, what: &str, error: &Failure) {
        // The first ones tell what is the matter.
        if self.errors.fetch_add(1, Ordering::Relaxed) < 5 {
            eprintln!("{what}: {error}");
        }
    }
}

/// What a stream watches: half of them a list, the others the counts or a run.
fn watched(nth: usize) -> String {
    match nth % 8 {
        0 | 1 => "/events?q=".to_owned(),
        2 => "/events?q=status%3Arunning".to_owned(),
        3 => "/events?q=status%3Afailed".to_owned(),
        4 | 5 => "/events".to_owned(),
        _ => format!("/events?run={}&from=1", long_run(nth % LONG_RUNS)),
    }
}

/// The page of a request: half of them are of lists. `newest` are runs to look at.
fn page(nth: u64, newest: &[String]) -> (Sort, String) {
    let drawn = usize::try_from(nth / 10).unwrap_or_default();
    let run = |drawn: usize| newest.get(drawn % newest.len().max(1)).cloned().unwrap_or_else(|| long_run(0));
    match nth % 10 {
        0 | 1 => (Sort::List, "/runs".to_owned()),
        2 => (Sort::List, "/runs?q=status%3Asucceeded".to_owned()),
        3 => (Sort::List, "/runs?q=status%3Arunning+workflow%3Along".to_owned()),
        4 => (Sort::List, "/api/v1/runs".to_owned()),
        5 | 6 => (Sort::Run, format!("/runs/{}", run(drawn))),
        7 => (Sort::Run, format!("/runs/{}/timeline", run(drawn))),
        8 => (Sort::Run, format!("/runs/{}", long_run(drawn % LONG_RUNS))),
        _ => (Sort::Run, format!("/api/v1/runs/{}/progress", run(drawn))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    List,
    Run,
}

/// An answered request: of which sort, how long after it was due, and of how many bytes.
type Answered = (Sort, Duration, usize);

/// Says `open` once every stream has told something, asks for pages for so many seconds, and tells what was seen.
pub(crate) async fn crowd(address: &str, seconds: f64) -> Result<(), Failure> {
    let seen = Arc::new(Seen::default());
    let newest = Arc::new(Mutex::new(newest(&mut Caller::connect(address).await?).await?));
    let all_open = Arc::new(Barrier::new(STREAMS + 1));
    let (stop, stopped) = watch::channel(false);
    for nth in 0..STREAMS {
        let (address, seen, all_open) = (address.to_owned(), Arc::clone(&seen), Arc::clone(&all_open));
        let stopped = stopped.clone();
        tokio::spawn(async move {
            if let Err(error) = follow(&address, &watched(nth), &seen, &all_open, stopped).await {
                seen.failed("a stream", &error);
            }
        });
    }
    let opening = tokio::time::timeout(OPENING_MAX, all_open.wait());
    opening.await.map_err(|_| "the streams told nothing")?;
    println!("open");
    let (begun, from) = (Instant::now(), Reading::take()?);
    let events = seen.events.load(Ordering::Relaxed);
    let until = begun + Duration::from_secs_f64(seconds);
    let next = Arc::new(AtomicU64::new(0));
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, seen, next) = (address.to_owned(), Arc::clone(&seen), Arc::clone(&next));
        let newest = Arc::clone(&newest);
        askers.spawn(async move { ask(&address, begun, until, &next, &newest, &seen).await });
    }
    askers.spawn({
        let (address, newest) = (address.to_owned(), Arc::clone(&newest));
        async move { learn(&address, until, &newest).await }
    });
    let mut answered: Vec<Answered> = Vec::new();
    while let Some(asked) = askers.join_next().await {
        match asked? {
            Ok(some) => answered.extend(some),
            Err(error) => seen.failed("a connection", &error),
        }
    }
    let (took, to) = (begun.elapsed().as_secs_f64(), Reading::take()?);
    let streams = seen.streams.load(Ordering::Relaxed);
    stop.send_replace(true);
    let ms = |sort: Sort, percent: usize| {
        let times = answered.iter().filter(|(of, ..)| *of == sort);
        percentile(&mut times.map(|(_, took, _)| took.as_secs_f64() * 1e3).collect::<Vec<_>>(), percent)
    };
    let bytes: usize = answered.iter().map(|(.., bytes)| bytes).sum();
    println!(
        "{}",
        Line::default()
            .text("streams", streams)
            .text("errors", seen.errors.load(Ordering::Relaxed))
            .figure("requests_per_s", answered.len() as f64 / took)
            .figure("events_per_s", (seen.events.load(Ordering::Relaxed) - events) as f64 / took)
            .figure("list_p50_ms", ms(Sort::List, 50))
            .figure("list_p99_ms", ms(Sort::List, 99))
            .figure("run_p50_ms", ms(Sort::Run, 50))
            .figure("run_p99_ms", ms(Sort::Run, 99))
            .figure("page_kib", bytes as f64 / 1024.0 / answered.len().max(1) as f64)
            .figure("cores", (to.cpu - from.cpu).as_secs_f64() / took)
    );
    Ok(())
}

/// Watches until it is stopped; a stream that ends before is an error.
async fn follow(
    address: &str,
    path: &str,
    seen: &Seen,
    all_open: &Barrier,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let mut caller = Caller::connect(address).await?;
    let mut answer = caller.begin(path).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("{path} was answered with {}", answer.status()).into());
    }
    seen.streams.fetch_add(1, Ordering::Relaxed);
    let mut is_open = false;
    loop {
        let frame = tokio::select! {
            frame = answer.frame() => frame,
            _ = stopped.changed() => return Ok(()),
        };
        let Some(frame) = frame.transpose()? else {
            seen.streams.fetch_sub(1, Ordering::Relaxed);
            return Err(format!("{path} ended").into());
        };
        let events = frame.data_ref().map_or(0, |data| count(data, b"\nevent:"));
        seen.events.fetch_add(events, Ordering::Relaxed);
        if events > 0 && !is_open {
            is_open = true;
            all_open.wait().await;
        }
    }
}

/// How often a text begins a line.
fn count(data: &[u8], line: &[u8]) -> u64 {
    let first = u64::from(data.starts_with(&line[1..]));
    first + data.windows(line.len()).filter(|window| *window == line).count() as u64
}

/// Takes requests that are due, one after the other. What is answered late because others were slow counts as late.
async fn ask(
    address: &str,
    begun: Instant,
    until: Instant,
    next: &AtomicU64,
    newest: &Mutex<Vec<String>>,
    seen: &Seen,
) -> Result<Vec<Answered>, Failure> {
    let mut caller = Caller::connect(address).await?;
    let mut answered = Vec::new();
    loop {
        let nth = next.fetch_add(1, Ordering::Relaxed);
        let due = begun + Duration::from_secs_f64(nth as f64 / REQUESTS_PER_S as f64);
        if due >= until {
            return Ok(answered);
        }
        tokio::time::sleep_until(due.into()).await;
        let (sort, path) = page(nth, &newest.lock().await);
        match caller.get(&path).await {
            Ok(bytes) => answered.push((sort, due.elapsed(), bytes.len())),
            Err(error) => {
                seen.failed("a request", &error);
                caller = Caller::connect(address).await?;
            }
        }
    }
}

/// Learns the newest runs again and again.
async fn learn(address: &str, until: Instant, known: &Mutex<Vec<String>>) -> Result<Vec<Answered>, Failure> {
    let mut caller = Caller::connect(address).await?;
    let mut ticks = tokio::time::interval(NEWEST_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() + NEWEST_EVERY < until {
        ticks.tick().await;
        let found = newest(&mut caller).await?;
        *known.lock().await = found;
    }
    Ok(Vec::new())
}

/// The ids of the newest runs that have succeeded.
async fn newest(caller: &mut Caller) -> Result<Vec<String>, Failure> {
    let listed = caller.get("/api/v1/runs?q=status%3Asucceeded").await?;
    let listed: serde_json::Value = serde_json::from_slice(&listed)?;
    let runs = listed["items"].as_array().ok_or("a list without items")?;
    Ok(runs.iter().filter_map(|run| Some(run["run"].as_str()?.to_owned())).collect())
}
