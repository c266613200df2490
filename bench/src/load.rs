//! A closed load: so many at once, each beginning anew when it is done, measured in a window that leaves out the
//! beginning and the end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::meter::{Reading, percentile, rss_mb};

/// How long a load goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Before the window opens.
    pub(crate) warm: Duration,
    /// While it is open.
    pub(crate) window: Duration,
    /// How often each setting is measured.
    pub(crate) rounds: usize,
}

/// What the window saw.
#[derive(Debug, Clone)]
pub(crate) struct Sample<T> {
    /// Rounds of work that ended in it, for each second.
    pub(crate) per_s: f64,
    /// How many ended in it.
    pub(crate) done: f64,
    /// How long those took, in microseconds.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// At its two ends.
    pub(crate) from: Reading,
    pub(crate) to: Reading,
    /// What the caller wanted read at its two ends.
    pub(crate) own: (T, T),
    pub(crate) rss_mb: f64,
}

impl<T> Sample<T> {
    pub(crate) fn cpu_us(&self) -> f64 {
        (self.to.cpu - self.from.cpu).as_secs_f64() * 1e6
    }
}

/// Does `once` over and over, `concurrency` at once, each time with a number of its own.
pub(crate) async fn drive<F, Fut, T>(
    concurrency: usize,
    pace: Pace,
    read: impl Fn() -> Result<T, Failure>,
    once: F,
) -> Result<Sample<T>, Failure>
where
    F: Fn(u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    let once = Arc::new(once);
    let stop = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        let (once, stop, next) = (Arc::clone(&once), Arc::clone(&stop), Arc::clone(&next));
        clients.spawn(async move {
            let mut ended: Vec<(Instant, Duration)> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                once(next.fetch_add(1, Ordering::Relaxed)).await?;
                ended.push((Instant::now(), begun.elapsed()));
            }
            Ok::<_, Failure>(ended)
        });
    }
    let window = async {
        tokio::time::sleep(pace.warm).await;
        let from = (Reading::take()?, read()?);
        tokio::time::sleep(pace.window).await;
        let to = (Reading::take()?, read()?);
        Ok::<_, Failure>((from, to, rss_mb()?))
    };
    tokio::pin!(window);
    let mut all = Vec::new();
    // A client that fails ends the measurement at once instead of thinning the load out.
    let ((from, own_from), (to, own_to), rss_mb) = loop {
        tokio::select! {
            read = &mut window => break read?,
            Some(client) = clients.join_next() => all.extend(client??),
        }
    };
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        all.extend(client??);
    }
    let inside = all.iter().filter(|(at, _)| *at > from.at && *at <= to.at);
    let mut times: Vec<f64> = inside.map(|(_, took)| took.as_secs_f64() * 1e6).collect();
    let done = times.len() as f64;
    if times.is_empty() {
        return Err("nothing was done within the window: it is too short".into());
    }
    Ok(Sample {
        per_s: done / (to.at - from.at).as_secs_f64(),
        done,
        p50_us: percentile(&mut times, 50),
        p99_us: percentile(&mut times, 99),
        from,
        to,
        own: (own_from, own_to),
        rss_mb,
    })
}
