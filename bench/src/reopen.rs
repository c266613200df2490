//! A store that holds much, opened again after its process was killed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Cursor, Guard, Head, MemoryBackend, Message, Page, Query, Record,
    RunId, RunKey, Seq, StoreInfo, Tally, TenantId, Timestamp, Verdict, Version, WorkerId,
};

use crate::Failure;
use crate::flow::{self, Parcel, STEPS};
use crate::line::Line;
use crate::meter::rss_mb;
use crate::place::{Kind, Place};
use crate::worker::Worker;

/// Runs that one commit of the filling carries.
const AT_ONCE: u64 = 500;
/// Unfinished runs in the store.
const OPEN_RUNS: u64 = 1_000;

/// Fills a store, kills the process that did, and measures how a new one opens it.
pub(crate) async fn measure(kind: Kind, finished: u64, data: &Path) -> Result<(), Failure> {
    let place = Place::new(kind, data, None)?;
    let begun = Instant::now();
    let mut filler = Worker::start(&["fill", &place.url(), &finished.to_string()])?;
    filler.hear("filled")?;
    let fill_s = begun.elapsed().as_secs_f64();
    filler.kill()?;
    let bytes = folder_bytes(&place.file("store"))?;
    let mut opener = Worker::start(&["reopen", &place.url()])?;
    while let Some(text) = opener.line()? {
        if let Some(measured) = text.strip_prefix("opened ") {
            let checkpoints = (finished + OPEN_RUNS / 2) * u64::from(STEPS);
            let line = Line::of("reopen", kind)
                .text("checkpoints", checkpoints)
                .text("finished_runs", finished)
                .text("open_runs", OPEN_RUNS)
                .figure("store_mb", bytes as f64 / 1048576.0)
                .figure("fill_s", fill_s);
            println!("{line} {measured}");
        }
    }
    opener.wait()
}

fn folder_bytes(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let data = entry.metadata()?;
        // Space that is set aside and not written to counts too: it is gone from the disk.
        bytes += if data.is_dir() { folder_bytes(&entry.path())? } else { data.blocks() * 512 };
    }
    Ok(bytes)
}

/// The process that is killed: writes what engines would have written, and says when it is done.
pub(crate) async fn fill(url: &str, finished: u64) -> Result<(), Failure> {
    let pattern = pattern().await?;
    let backend = stepwell_backends::open(url).await?;
    let mut first = 0;
    while first < finished {
        let runs = first..finished.min(first + AT_ONCE);
        first = runs.end;
        write(&*backend, &pattern, runs, pattern.len()).await?;
    }
    for first in (finished..finished + OPEN_RUNS).step_by(usize::try_from(AT_ONCE)?) {
        // Half way through their steps, as a crash finds them.
        write(&*backend, &pattern, first..first + AT_ONCE, pattern.len() / 2).await?;
    }
    println!("filled");
    std::future::pending().await
}

/// Writes the first `batches` batches of each of the runs.
async fn write(
    backend: &dyn Backend,
    pattern: &[Batch],
    runs: std::ops::Range<u64>,
    batches: usize,
) -> Result<(), Failure> {
    for batch in pattern.iter().take(batches) {
        let group: Vec<Batch> = runs.clone().map(|run| batch_of(batch, run)).collect::<Result<_, _>>()?;
        let verdicts = backend.commit(&group).await?;
        if !verdicts.iter().all(|verdict| verdict.is_accepted()) {
            return Err("the store refused a batch".into());
        }
    }
    Ok(())
}

/// The batch as another run would have written it.
fn batch_of(pattern: &Batch, run: u64) -> Result<Batch, Failure> {
    let key = RunKey::new(TenantId::default(), RunId::new(format!("run-{run:07}"))?);
    let version = |version: Version| Version { nonce: version.nonce ^ run, ..version };
    let guard = match pattern.guard {
        Guard::At(from) => Guard::At(version(from)),
        guard => guard,
    };
    let head = pattern.head.as_ref().map(|head| Head {
        key: key.clone(),
        version: version(head.version),
        created_at: Timestamp(head.created_at.0 + i64::try_from(run / 100).unwrap_or(0)),
        ..head.clone()
    });
    Ok(Batch { key, guard, head, append: pattern.append.clone(), post: Vec::new(), take: Vec::new() })
}

/// The batches that an engine writes for one run of the chain, in their order.
async fn pattern() -> Result<Vec<Batch>, Failure> {
    let recorder = Arc::new(Recorder { inner: MemoryBackend::new(), batches: Mutex::default() });
    let engine = flow::engine(Arc::clone(&recorder) as _, 1, 15_000, None).await?;
    let run = engine.start_run("chain", "pattern", &Parcel::of(0)).await?;
    run.result::<Parcel>().await?;
    engine.shutdown().await;
    let mut batches = recorder.batches.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *batches))
}

/// The process that opens the store and takes the runs that the dead one left.
pub(crate) async fn reopen(url: &str) -> Result<(), Failure> {
    let begun = Instant::now();
    let backend = stepwell_backends::open(url).await?;
    let open_ms = begun.elapsed().as_secs_f64() * 1e3;
    let open_rss_mb = rss_mb()?;
    let begun = Instant::now();
    let mut taken = 0;
    while taken < OPEN_RUNS {
        let claim = Claim {
            worker: WorkerId::new("w-next")?,
            ttl_ms: 15_000,
            queues: Vec::new(),
            workflows: Vec::new(),
            tenant: None,
            // As many as an engine asks for at once.
            limit: 128,
            nonce: 1_000_000 + taken,
        };
        let heads = backend.claim(&claim).await?.len() as u64;
        if heads == 0 {
            return Err(format!("only {taken} runs could be claimed").into());
        }
        taken += heads;
    }
    let claim_ms = begun.elapsed().as_secs_f64() * 1e3;
    // A run that ended long ago is found and read.
    let key = RunKey::new(TenantId::default(), RunId::new("run-0000007")?);
    let begun = Instant::now();
    let records = backend.journal(&key, Seq::FIRST, 1_000).await?.len();
    let read_ms = begun.elapsed().as_secs_f64() * 1e3;
    if records == 0 {
        return Err("a finished run is gone".into());
    }
    let line = Line::default()
        .figure("open_ms", open_ms)
        .figure("claim_ms", claim_ms)
        .figure("rss_mb", open_rss_mb)
        .figure("rss_claimed_mb", rss_mb()?)
        .figure("read_finished_ms", read_ms);
    println!("{}", line.to_string().replacen("BENCH", "opened", 1));
    Ok(())
}

/// A store that keeps what is written to it. What it claims it writes by its own `commit`, and keeps it too.
#[derive(Debug)]
struct Recorder {
    inner: MemoryBackend,
    batches: Mutex<Vec<Batch>>,
}

#[async_trait]
impl Backend for Recorder {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let verdicts = self.inner.commit(batches).await?;
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(batches);
        Ok(verdicts)
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        self.inner.head(key).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        self.inner.journal(key, from, limit).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        self.inner.inbox(key, limit).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        self.inner.scan(query, after, limit).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        self.inner.remove(keys).await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        self.inner.info().await
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        self.inner.tally().await
    }

    async fn changed(&self, up_to: Duration) {
        self.inner.changed(up_to).await;
    }
}
