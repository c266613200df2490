//! The trait on top of the two threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::record::Seq;
use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Cursor, Durability, Fault, FaultKind, Head, Health, Message, Page,
    Query, Record, RunKey, StoreInfo, Tally, Verdict,
};
use tokio::sync::{mpsc, oneshot};

use crate::failure::{closed, definite, file};
use crate::folder::{Folder, OPEN_FREE_BYTES_MIN};
use crate::opening;
use crate::options::{Disk, SledOptions};
use crate::reader::{self, Desk, Reader};
use crate::shared::Shared;
use crate::writer::Job;

/// Writes and reads that may wait for their thread; whoever comes then waits to get in.
const QUEUE_JOBS_MAX: usize = 4096;
/// Above this size of sled's file a store opens slowly, and slower each day.
const LARGE_BYTES: u64 = 1 << 30;
/// The store warns below twice the space that it needs to open.
const LOW_BYTES: u64 = 2 * OPEN_FREE_BYTES_MIN;

/// A store in one folder, kept by sled, open in this process alone.
///
/// Level D2 by default: an acknowledged write survives a power cut, because the store syncs sled's file itself
/// after each flush; level D1 with [`SledOptions::sync`]`(false)`.
///
/// Unfinished runs are held in memory (head, inbox, places of the records); finished ones cost disk only.
/// Dropping the last handle ends both threads, brings the store into the state that opens quickest, and frees the
/// lock before it returns: the store can be opened again at once. It waits for the disk meanwhile.
#[derive(Debug)]
pub struct SledBackend {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    root: PathBuf,
    db_path: PathBuf,
    durability: Durability,
    cache_mib: u64,
    opened_in: Duration,
    threads: Option<Threads>,
}

#[derive(Debug)]
struct Threads {
    jobs: mpsc::Sender<Job>,
    desk: Desk,
    writing: JoinHandle<()>,
    reading: JoinHandle<()>,
}

impl SledBackend {
    /// Whether a store is in the folder `path`, be it damaged: opening it makes none. Nothing is touched. A folder that cannot be
    /// looked at counts as one with a store: opening it says why.
    #[must_use]
    pub fn is_there(path: impl AsRef<Path>) -> bool {
        Folder::is_made(path.as_ref())
    }

    /// Opens the store in the folder `path`; the folder and the store are made when they are not there. Every lease
    /// of an earlier opening has ended. Waits for the disk: call it where that is allowed.
    ///
    /// # Errors
    /// All `Definite`, with nothing acknowledged lost. `Locked` names the process that has the store open, and
    /// nothing was changed; `Full` below 64 MiB of free space; `Corrupt` names the file or the key; `Refused` when
    /// the store is of another format or the folder is not what it should be.
    pub fn open(path: impl AsRef<Path>, options: SledOptions) -> Result<Self, BackendError> {
        let begun = Instant::now();
        let root = path.as_ref().to_owned();
        let folder = Folder::lock(&root)?;
        let db_path = folder.db_file();
        let (opened, opening) = std::sync::mpsc::channel();
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let asked = options.clone();
        let writing = spawn("stepwell-sled-write", move || {
            match opening::open(&folder, &asked) {
                Err(error) => drop(opened.send(Err(error))),
                Ok(writer) => {
                    let reader = Reader { shared: Arc::clone(&writer.shared), trees: writer.trees.clone() };
                    // When nobody takes it, the queue is closed already and the writer ends at once.
                    drop(opened.send(Ok(reader)));
                    writer.run(queue);
                }
            }
            // Last of all, with sled closed: whoever opens the store next finds it at rest.
            drop(folder);
        })?;
        let reader = match opening.recv() {
            Ok(Ok(reader)) => reader,
            Ok(Err(error)) => {
                join(writing);
                return Err(error);
            }
            Err(_) => {
                join(writing);
                return Err(definite(FaultKind::Corrupt, format!("sled panicked at {}", root.display())));
            }
        };
        let shared = Arc::clone(&reader.shared);
        let (desk, tasks) = mpsc::channel(QUEUE_JOBS_MAX);
        let reading = spawn("stepwell-sled-read", move || reader::run(&reader, tasks))?;
        let backend = Self {
            shared,
            disk: options.disk,
            root,
            db_path,
            durability: if options.sync { Durability::D2 } else { Durability::D1 },
            cache_mib: options.cache_mib,
            opened_in: begun.elapsed(),
            threads: Some(Threads { jobs, desk: Desk(desk), writing, reading }),
        };
        tracing::info!(
            path = %backend.root.display(),
            open_ms = u64::try_from(backend.opened_in.as_millis()).unwrap_or(u64::MAX),
            "sled store opened"
        );
        Ok(backend)
    }

    fn threads(&self) -> Result<&Threads, BackendError> {
        self.threads.as_ref().ok_or_else(closed)
    }

    async fn write<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, BackendError>>) -> Job,
    ) -> Result<T, BackendError> {
        let (reply, answer) = oneshot::channel();
        if self.threads()?.jobs.send(job(reply)).await.is_err() {
            return Err(self.shared.poisoned().unwrap_or_else(closed));
        }
        answer.await.unwrap_or_else(|_| {
            let words = "the writing thread of the sled store ended before it answered";
            Err(BackendError::Indefinite(Fault::new(FaultKind::Closed, words)))
        })
    }

    fn health(&self, size: u64, free: u64) -> Health {
        if let Some(error) = self.shared.poisoned() {
            return Health::Poisoned(error.fault().to_string());
        }
        let mut why = Vec::new();
        if size > LARGE_BYTES {
            why.push(format!(
                "the store has {} MiB and opens slowly above {} MiB: remove finished runs",
                size >> 20,
                LARGE_BYTES >> 20
            ));
        }
        if free < LOW_BYTES {
            why.push(format!(
                "{} MiB of disk are free; below {} MiB the store does not open",
                free >> 20,
                OPEN_FREE_BYTES_MIN >> 20
            ));
        }
        if let Some(stuck) = self.shared.stuck() {
            why.push(format!("no space is freed: {stuck}"));
        }
        if why.is_empty() { Health::Ok } else { Health::Degraded(why.join("; ")) }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, BackendError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|error| file(format_args!("cannot start thread {name}"), error))
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        // The panic itself was printed by the hook, and the store is poisoned.
        tracing::error!("a thread of the sled store panicked");
    }
}

impl Drop for SledBackend {
    fn drop(&mut self) {
        let Some(Threads { jobs, desk, writing, reading }) = self.threads.take() else { return };
        // The reader first: the database closes with its last handle, and the writer's has to be that one.
        drop(desk);
        join(reading);
        drop(jobs);
        join(writing);
    }
}

#[async_trait]
impl Backend for SledBackend {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        batches.iter().try_for_each(Batch::check)?;
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let batches = batches.to_vec();
        self.write(|reply| Job::Commit(batches, reply)).await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        if let Some(run) = self.shared.state().runs.get(key) {
            return Ok(run.head.as_deref().cloned());
        }
        let key = key.clone();
        let head = self.threads()?.desk.read(move |reader| reader.run(&key, |run| run.head.clone())).await?;
        Ok(head.flatten().map(Arc::unwrap_or_clone))
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let (key, limit) = (key.clone(), limit.min(PAGE_ITEMS_MAX));
        self.threads()?.desk.read(move |reader| reader.journal(&key, from, limit)).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX);
        if let Some(run) = self.shared.state().runs.get(key) {
            return Ok(run.inbox.iter().take(limit).cloned().collect());
        }
        let key = key.clone();
        self.threads()?.desk.read(move |reader| reader.inbox(&key, limit)).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let limit = limit.min(PAGE_ITEMS_MAX);
        if limit == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        if query.is_unfinished_only() {
            let now = self.shared.clock.now();
            return Ok(self.shared.state().index.scan(query, after.as_ref(), limit, now));
        }
        let query = query.clone();
        self.threads()?.desk.read(move |reader| reader.scan(&query, after.as_ref(), limit)).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        let keys = keys.to_vec();
        self.write(|reply| Job::Remove(keys, reply)).await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        let (disk, root, db_path) = (Arc::clone(&self.disk), self.root.clone(), self.db_path.clone());
        let look = move |_: &Reader| {
            let size = std::fs::metadata(&db_path)
                .map_err(|error| file(format_args!("cannot look at {}", db_path.display()), error))?;
            let free = disk
                .free_bytes(&root)
                .map_err(|error| file(format_args!("cannot see how full {} is", root.display()), error))?;
            Ok((size.len(), free))
        };
        let (size, free) = self.threads()?.desk.read(look).await?;
        let (log_bytes, live_bytes) = self.shared.log_totals();
        let unfinished = self.shared.state().runs.len();
        let facts = [
            ("folder", self.root.display().to_string()),
            ("size_bytes", size.to_string()),
            ("free_bytes", free.to_string()),
            ("log_bytes", log_bytes.to_string()),
            ("log_live_bytes", live_bytes.to_string()),
            ("open_ms", self.opened_in.as_millis().to_string()),
            ("cache_mib", self.cache_mib.to_string()),
            ("unfinished_runs", unfinished.to_string()),
        ];
        Ok(StoreInfo {
            id: self.shared.id,
            backend: "sled".to_owned(),
            durability: self.durability,
            exclusive: true,
            gathers: false,
            now: self.shared.clock.now(),
            health: self.health(size, free),
            facts: facts.map(|(name, fact)| (name.to_owned(), fact)).into_iter().collect::<BTreeMap<_, _>>(),
        })
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        Ok(self.shared.state().tallies.list())
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let claim = claim.clone();
        self.write(|reply| Job::Claim(claim, reply)).await
    }

    async fn changed(&self, up_to: Duration) {
        let written = self.shared.written.notified();
        tokio::pin!(written);
        // Registered before looking, so that a write in between wakes it.
        written.as_mut().enable();
        if self.shared.is_news() {
            return;
        }
        let next = self.shared.state().index.next_due_at();
        // What is due already was left alone by the last claim; only news or time can change that.
        let due = next
            .filter(|at| at.0 != i64::MIN)
            .map(|at| Duration::from_millis(at.since_ms(self.shared.clock.now()).max(1)));
        let wait = due.map_or(up_to, |due| due.min(up_to));
        // Which of the two it was does not matter: the caller asks again.
        drop(tokio::time::timeout(wait, written).await);
    }
}
