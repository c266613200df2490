//! The store: one JSON file holds everything, and memory has a copy of it.
//!
//! Every write makes the file anew: beside the old one, synced, then renamed over it, so that it is always there as it
//! was before or as it is after. Whether a change is allowed is not decided here: [`Batch::judge`] decides, for every
//! store alike. It is made to be read, not to be fast: a write costs as much as all that is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{
    Backend, BackendError, Batch, Clock, Cursor, Durability, Fault, FaultKind, Head, Health, Judgement,
    Message, MessageId, Order, Page, Query, Record, RunKey, Seq, StoreId, StoreInfo, Verdict, async_trait,
};

/// A store in one file, held by one process.
#[derive(Debug)]
pub(crate) struct JsonFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    id: StoreId,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held while the store is open; the kernel lets it go when the process ends, however it ends.
    _lock: File,
}

#[derive(Debug)]
struct State {
    runs: Runs,
    /// Why the file must not be written any more.
    poisoned: Option<String>,
}

type Runs = BTreeMap<RunKey, Arc<Run>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    head: Head,
    journal: Vec<Record>,
    inbox: Vec<Message>,
    /// The id of every message that ever came: each is delivered once.
    seen: BTreeSet<MessageId>,
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Content {
    id: StoreId,
    runs: Vec<Arc<Run>>,
}

impl JsonFile {
    /// Opens the store in a file, or makes it.
    pub(crate) fn open(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, BackendError> {
        let path = path.into();
        let lock = take_lock(&beside(&path, ".lock"))?;
        let content = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let why = format!("{} cannot be read: {error}; restore it from a backup", path.display());
                BackendError::Definite(Fault::new(FaultKind::Corrupt, why))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Content { id: StoreId(uuid::Uuid::new_v4()), runs: Vec::new() }
            }
            Err(error) => return Err(definite(&path, error)),
        };
        // Whoever held a lease died with the process that had the store open.
        let reopened = |run: Arc<Run>| Run { head: run.head.clone().with_lease_ended(), ..Run::clone(&run) };
        let runs = content.runs.into_iter().map(|run| (run.head.key.clone(), Arc::new(reopened(run))));
        let state = State { runs: runs.collect(), poisoned: None };
        let store = Shared { path, id: content.id, clock, state: Mutex::new(state), _lock: lock };
        // At once, so that a new store has its identity from its first opening on.
        store.change(|_| Ok(()))?;
        Ok(Self(Arc::new(store)))
    }

    /// Changes the store where waiting for the disk holds up nobody.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Runs) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let store = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || store.change(change)).await.unwrap_or_else(|error| {
            let fault = Fault::new(FaultKind::Other, "the write did not come to its end").caused_by(error);
            Err(BackendError::Indefinite(fault))
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state changes in one go that cannot panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a changed copy of the runs durable, then lets it be seen. After an error there is no trace of it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Runs) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let mut state = self.state();
        if let Some(why) = &state.poisoned {
            return Err(BackendError::Poisoned(Fault::new(FaultKind::Other, why.clone())));
        }
        let mut runs = state.runs.clone();
        let answer = change(&mut runs)?;
        let unfinished = beside(&self.path, ".tmp");
        let content = Content { id: self.id, runs: runs.values().cloned().collect() };
        write_synced(&unfinished, &content).map_err(|error| definite(&unfinished, error))?;
        // From here on it is not known what the disk has when something fails: only opening it again tells.
        if let Err(error) = fs::rename(&unfinished, &self.path).and_then(|()| sync_folder_of(&self.path)) {
            let why = format!("{}: {error}; open the store again", self.path.display());
            state.poisoned = Some(why.clone());
            return Err(BackendError::Poisoned(Fault::new(FaultKind::Other, why).caused_by(error)));
        }
        state.runs = runs;
        Ok(answer)
    }
}

impl Run {
    fn take_in(&mut self, batch: &Batch) {
        self.journal.extend_from_slice(&batch.append);
        self.inbox.retain(|message| !batch.take.contains(&message.id));
        for message in &batch.post {
            if self.seen.insert(message.id.clone()) {
                self.inbox.push(message.clone());
            }
        }
    }
}

#[async_trait]
impl Backend for JsonFile {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let (batches, now) = (batches.to_vec(), self.0.clock.now());
        self.change(move |runs| {
            let mut verdicts = Vec::with_capacity(batches.len());
            for batch in &batches {
                batch.check()?;
                let present = runs.get(&batch.key).map(|run| &run.head);
                verdicts.push(match batch.judge(present)? {
                    Judgement::Reject(current) => Verdict::Rejected { current },
                    Judgement::Repeat => Verdict::Accepted,
                    Judgement::Apply => {
                        apply(runs, batch, batch.head.as_ref().map(|head| head.stamped(now)));
                        Verdict::Accepted
                    }
                });
            }
            Ok(verdicts)
        })
        .await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        Ok(self.0.state().runs.get(key).map(|run| run.head.clone()))
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        let state = self.0.state();
        let Some(run) = state.runs.get(key) else { return Ok(Vec::new()) };
        let from = run.journal.partition_point(|record| record.seq < from);
        Ok(run.journal[from..].iter().take(limit.min(PAGE_ITEMS_MAX)).cloned().collect())
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        let state = self.0.state();
        let Some(run) = state.runs.get(key) else { return Ok(Vec::new()) };
        Ok(run.inbox.iter().take(limit.min(PAGE_ITEMS_MAX)).cloned().collect())
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        let (state, now) = (self.0.state(), self.0.clock.now());
        let fits = |run: &&Arc<Run>| query.fits(&run.head, !run.inbox.is_empty(), now);
        let heads = state.runs.values().filter(fits).map(|run| &run.head);
        let mut found: Vec<&Head> = heads.filter(|head| query.is_after(head, after.as_ref())).collect();
        found.sort_by_key(|head| Cursor::of(head));
        if query.order == Order::Newest {
            found.reverse();
        }
        let items: Vec<Head> = found.iter().take(limit.min(PAGE_ITEMS_MAX)).copied().cloned().collect();
        let next = if found.len() > items.len() { items.last().map(Cursor::of) } else { None };
        Ok(Page { items, next })
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        let keys = keys.to_vec();
        self.change(move |runs| {
            let before = runs.len();
            for key in &keys {
                if runs.get(key).is_some_and(|run| run.head.status.is_finished()) {
                    runs.remove(key);
                }
            }
            Ok(before - runs.len())
        })
        .await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        Ok(StoreInfo {
            id: self.0.id,
            backend: "json-file".to_owned(),
            durability: Durability::D2,
            exclusive: true,
            gathers: false,
            now: self.0.clock.now(),
            health: self.0.state().poisoned.clone().map_or(Health::Ok, Health::Poisoned),
            facts: [("path".to_owned(), self.0.path.display().to_string())].into(),
        })
    }
}

/// Changes a run as a batch says that was judged to apply.
fn apply(runs: &mut Runs, batch: &Batch, head: Option<Head>) {
    match (runs.get_mut(&batch.key).map(Arc::make_mut), head) {
        (Some(run), head) => {
            run.head = head.unwrap_or_else(|| run.head.clone());
            run.take_in(batch);
        }
        (None, Some(head)) => {
            let mut run = Run { head, journal: Vec::new(), inbox: Vec::new(), seen: BTreeSet::new() };
            run.take_in(batch);
            runs.insert(batch.key.clone(), Arc::new(run));
        }
        // Only a batch with a head applies where there is no run.
        (None, None) => {}
    }
}

/// Takes the store for this process, or says who has it.
fn take_lock(path: &Path) -> Result<File, BackendError> {
    let options = File::options().create(true).truncate(false).write(true).open(path);
    let mut lock = options.map_err(|error| definite(path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(definite(path, error)),
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(path).unwrap_or_default();
            let why = format!("process {} has {}", holder.trim(), path.display());
            return Err(BackendError::Definite(Fault::new(FaultKind::Locked, why)));
        }
    }
    let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    noted.map_err(|error| definite(path, error))?;
    Ok(lock)
}

fn beside(path: &Path, tail: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(tail);
    path.into()
}

fn write_synced(path: &Path, content: &Content) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.sync_all()
}

/// Makes the name of a file durable.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    // A relative path of one part is in the working folder.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn definite(path: &Path, error: io::Error) -> BackendError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FaultKind::Full,
        io::ErrorKind::ReadOnlyFilesystem => FaultKind::ReadOnly,
        _ => FaultKind::Other,
    };
    BackendError::Definite(Fault::new(kind, format!("{}: {error}", path.display())).caused_by(error))
}
