//! The backend: calls in, answers out, and the threads behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use stepwell_contract::{
    Backend, BackendError, Batch, Claim, Cursor, Durability, Fault, FaultKind, Head, Message, Page, Query,
    Record, RunKey, Seq, StoreInfo, Tally, Verdict, async_trait,
};
use tokio::sync::oneshot;

use crate::disk::Disk;
use crate::fault::definite;
use crate::identity;
use crate::keeper;
use crate::lock::{self, FolderLock};
use crate::opening;
use crate::options::FileOptions;
use crate::request::{Request, prepare};
use crate::store::Store;
use crate::writer::Writer;

/// While runs are due that nobody here claims, whoever waits for work looks again this often.
const UNCLAIMED_WAIT: Duration = Duration::from_millis(20);

/// A store in a folder of plain files, for one process at a time. Level D2 unless opened with
/// [`sync(false)`](FileOptions::sync).
///
/// Dropping it closes it: what was acknowledged is on the disk, and the folder can be opened again at once.
pub struct FileBackend {
    store: Arc<Store>,
    requests: Sender<Request>,
    threads: Vec<JoinHandle<()>>,
    // Dropped last: until then nobody else opens the folder.
    _lock: Option<FolderLock>,
}

impl fmt::Debug for FileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.store.disk.describe("");
        f.debug_struct("FileBackend").field("folder", &place).finish_non_exhaustive()
    }
}

impl FileBackend {
    /// Whether a store is in the folder, be it damaged: opening it makes none. Nothing is touched. A folder that cannot be looked
    /// at counts as one with a store: opening it says why.
    #[must_use]
    pub fn is_there(path: impl AsRef<Path>) -> bool {
        let folder = path.as_ref();
        let is_named = folder.join(identity::NAME).try_exists().unwrap_or(true);
        is_named || folder.join("journal").read_dir().is_ok_and(|mut segments| segments.next().is_some())
    }

    /// Opens the store in the folder, or makes both. It blocks its thread, for as long as reading the end of the
    /// journal takes.
    ///
    /// # Errors
    /// All `Definite`, and the journal is as it was. `Locked`: another process has it open. `Refused`: others
    /// could write to the folder, or a newer program wrote it. `Corrupt`: the message names file, byte and line.
    pub fn open(path: impl AsRef<Path>, options: FileOptions) -> Result<Self, BackendError> {
        let (lock, disk) = lock::open_folder(path.as_ref(), options.clock.now())?;
        Self::on_disk(Arc::new(disk), options, Some(lock))
    }

    pub(crate) fn on_disk(
        disk: Arc<dyn Disk>,
        options: FileOptions,
        lock: Option<FolderLock>,
    ) -> Result<Self, BackendError> {
        let (store, tail) = opening::open(disk, options)?;
        let (ask_keeper, tasks) = mpsc::channel();
        let (requests, calls) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&store), ask_keeper, tail);
        let kept = Arc::clone(&store);
        let mut backend = Self { store, requests, threads: Vec::new(), _lock: lock };
        backend.start("stepwell-writer", move || writer.run(&calls))?;
        backend.start("stepwell-keeper", move || keeper::run(&kept, &tasks))?;
        Ok(backend)
    }

    fn start(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), BackendError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        self.threads.push(thread.map_err(|error| definite(name, "start the thread", error))?);
        Ok(())
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, BackendError>>) -> Request,
    ) -> Result<T, BackendError> {
        let gone = || BackendError::Poisoned(Fault::new(FaultKind::Closed, "the store's writer has stopped"));
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Reads on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || read(&store)).await;
        done.map_err(|error| {
            BackendError::Definite(Fault::new(FaultKind::Other, "the read was given up").caused_by(error))
        })?
    }
}

#[async_trait]
impl Backend for FileBackend {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let (prepared, lines) = prepare(batches, self.store.clock.now())?;
        self.ask(|reply| Request::Commit(prepared, lines, reply)).await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        if let Some(run) = self.store.state().runs.get(key) {
            return Ok(Some(Head::clone(&run.head)));
        }
        let key = key.clone();
        self.read(move |store| Ok(store.find(&key)?.map(|run| Head::clone(&run.head)))).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let key = key.clone();
        self.read(move |store| store.records(&key, from, limit)).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        if self.store.state().runs.get(key).is_some_and(|run| run.inbox.is_empty()) {
            return Ok(Vec::new());
        }
        let key = key.clone();
        self.read(move |store| store.messages(&key, limit)).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let query = query.clone();
        self.read(move |store| store.page(&query, after.as_ref(), limit)).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        let keys = keys.to_vec();
        self.ask(|reply| Request::Remove(keys, reply)).await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        let state = self.store.state();
        let bytes: u64 = state.segments.values().map(|counts| counts.bytes).sum();
        let dead: u64 = state.segments.values().map(|counts| counts.dead).sum();
        let facts = [
            ("folder", self.store.disk.describe("")),
            ("journal_bytes", bytes.to_string()),
            ("journal_dead_bytes", dead.to_string()),
            ("journal_writes", state.writes.to_string()),
            ("segments", state.segments.len().to_string()),
            ("unfinished_runs", state.index.len().to_string()),
        ];
        Ok(StoreInfo {
            id: self.store.id(),
            backend: "file".to_owned(),
            durability: if self.store.options.sync { Durability::D2 } else { Durability::D1 },
            exclusive: true,
            gathers: true,
            now: self.store.clock.now(),
            health: state.health.clone(),
            facts: BTreeMap::from(facts.map(|(name, value)| (name.to_owned(), value))),
        })
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        Ok(self.store.state().tallies.list())
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let claim = claim.clone();
        self.ask(|reply| Request::Claim(claim, reply)).await
    }

    async fn changed(&self, up_to: Duration) {
        let written = self.store.written.notified();
        tokio::pin!(written);
        // From here on no write is missed, and none before it is waited for.
        written.as_mut().enable();
        let next = self.store.state().index.next_due_at();
        let until_due = next.map(|at| match at.since_ms(self.store.clock.now()) {
            0 => UNCLAIMED_WAIT,
            ms => Duration::from_millis(ms),
        });
        let wait = until_due.map_or(up_to, |due| due.min(up_to));
        // Either way it is only a hint.
        let _ = tokio::time::timeout(wait, written).await;
    }
}

impl Drop for FileBackend {
    fn drop(&mut self) {
        self.store.closing.store(true, Ordering::SeqCst);
        // The writer tells the keeper to close, as its last act.
        let _ = self.requests.send(Request::Close);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        self.store.catalogue.close();
    }
}
