//! The one thread that writes. It takes everything that is queued, packs it into one group of the log, flushes and
//! syncs once, and only then applies it to memory and answers.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use stepwell_contract::batch::Judgement;
use stepwell_contract::{BackendError, Batch, Claim, FaultKind, Head, RunKey, Verdict};
use tokio::sync::{mpsc, oneshot};

use crate::failure::{definite, file, io_kind};
use crate::frame::{Effect, Group};
use crate::keeping::Keeping;
use crate::options::Disk;
use crate::parts;
use crate::run::Kept;
use crate::shared::Shared;
use crate::trees::Trees;

type Reply<T> = oneshot::Sender<Result<T, BackendError>>;

/// A write that somebody waits for.
#[derive(Debug)]
pub(crate) enum Job {
    Commit(Vec<Batch>, Reply<Vec<Verdict>>),
    Claim(Claim, Reply<Vec<Head>>),
    Remove(Vec<RunKey>, Reply<usize>),
}

/// Most jobs in one group; more wait for the next.
const GROUP_JOBS_MAX: usize = 4096;
/// A group that is longer is closed, and another one begun under the same flush.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Writes are refused below this much free space, so that sled itself never meets a full disk.
const WRITE_FREE_BYTES_MIN: u64 = 32 << 20;

/// Everything the thread owns.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) trees: Trees,
    pub(crate) next_group: u64,
    pub(crate) keeping: Keeping,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: PathBuf,
    /// Our own handle of sled's file; `None` at level D1.
    pub(crate) db_file: Option<File>,
}

/// Groups being filled, and what is known in them beyond memory.
#[derive(Debug)]
struct Stage {
    groups: Vec<Group>,
    heads: HashMap<RunKey, Arc<Head>>,
    touched: HashSet<RunKey>,
}

impl Stage {
    fn new(first_group: u64) -> Self {
        Self { groups: vec![Group::new(first_group)], heads: HashMap::new(), touched: HashSet::new() }
    }

    fn group(&mut self) -> &mut Group {
        let last = self.groups.len() - 1;
        if self.groups[last].bytes().len() >= GROUP_BYTES_MAX {
            let next = Group::new(self.groups[last].number + 1);
            self.groups.push(next);
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }
}

/// Answers to give once the groups are durable.
type Answers = Vec<Box<dyn FnOnce(Option<BackendError>)>>;

impl Writer {
    /// Works until the last sender is gone, then leaves the store in the state that opens quickest.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let _alarm = Alarm(Arc::clone(&self.shared));
        loop {
            let first = match jobs.try_recv() {
                Ok(job) => job,
                Err(mpsc::error::TryRecvError::Disconnected) => break,
                Err(mpsc::error::TryRecvError::Empty) if self.keep(true) => continue,
                Err(mpsc::error::TryRecvError::Empty) => match jobs.blocking_recv() {
                    Some(job) => job,
                    None => break,
                },
            };
            let mut taken = vec![first];
            while taken.len() < GROUP_JOBS_MAX
                && let Ok(job) = jobs.try_recv()
            {
                taken.push(job);
            }
            self.write(taken);
            self.keep(false);
        }
        self.close();
    }

    fn write(&mut self, jobs: Vec<Job>) {
        let (removals, jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| matches!(job, Job::Remove(..)));
        // Claims look at the memory alone, so they come before the batches that are only staged.
        let (claims, commits): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| matches!(job, Job::Claim(..)));
        if !(claims.is_empty() && commits.is_empty()) {
            self.write_group(claims.into_iter().chain(commits));
        }
        if !removals.is_empty() {
            self.write_group(removals.into_iter());
        }
    }

    fn write_group(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut stage = Stage::new(self.next_group);
        let mut answers: Answers = Vec::new();
        let refusal = |writer: &Self| writer.shared.poisoned().or_else(|| writer.is_full().err());
        for job in jobs {
            match job {
                Job::Claim(claim, reply) => {
                    let claimed = refusal(self).map_or_else(|| Ok(self.claim(&mut stage, &claim)), Err);
                    answer(&mut answers, reply, claimed);
                }
                Job::Commit(batches, reply) => {
                    let verdicts = refusal(self).map_or_else(|| self.judge(&mut stage, &batches), Err);
                    answer(&mut answers, reply, verdicts);
                }
                Job::Remove(keys, reply) => {
                    let removed = match self.shared.poisoned() {
                        Some(error) => Err(error),
                        None => self.remove(&mut stage, &keys),
                    };
                    answer(&mut answers, reply, removed);
                }
            }
        }
        let written = self.commit(&mut stage.groups);
        let error = written.err();
        for answer in answers {
            answer(error.as_ref().and_then(|_| self.shared.poisoned()));
        }
        if error.is_none() {
            self.settle(stage.touched);
        }
    }

    fn is_full(&self) -> Result<(), BackendError> {
        let free = self
            .disk
            .free_bytes(&self.root)
            .map_err(|error| file(format_args!("cannot see how full {} is", self.root.display()), error))?;
        if free >= WRITE_FREE_BYTES_MIN {
            return Ok(());
        }
        let words = format!(
            "{} has {} MiB free; a sled store is written with {} MiB or more: free some space or remove runs",
            self.root.display(),
            free >> 20,
            WRITE_FREE_BYTES_MIN >> 20
        );
        Err(definite(FaultKind::Full, words))
    }

    /// Takes due runs. They leave the index at once, so that two claims of one group never take the same.
    fn claim(&mut self, stage: &mut Stage, claim: &Claim) -> Vec<Head> {
        self.shared.claiming();
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        let taken = state.index.claim(claim, now);
        for head in &taken {
            let shared = Arc::new(head.clone());
            let former = state.index.head(&head.key).cloned();
            let has_mail = state.runs.get(&head.key).is_some_and(|run| !run.inbox.is_empty());
            state.index.put(Arc::clone(&shared), has_mail);
            stage.heads.insert(head.key.clone(), Arc::clone(&shared));
            stage.touched.insert(head.key.clone());
            stage.group().write(&head.key, former.as_deref(), Some(shared), &[], &[], &[]);
        }
        taken
    }

    /// Decides the batches of a call; those that hold go into the stage. On error none does.
    fn judge(&mut self, stage: &mut Stage, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let now = self.shared.clock.now();
        let mut heads: HashMap<&RunKey, Arc<Head>> = HashMap::new();
        let mut judged = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut current = heads.get(&batch.key).or_else(|| stage.heads.get(&batch.key)).cloned();
            if current.is_none() {
                stage.touched.insert(batch.key.clone());
                current = self.load(&batch.key)?;
            }
            let judgement = batch.judge(current.as_deref())?;
            let stamped = match (judgement, &batch.head) {
                (Judgement::Apply, Some(head)) => Some(Arc::new(head.stamped(now))),
                _ => None,
            };
            if let Some(head) = &stamped {
                heads.insert(&batch.key, Arc::clone(head));
            }
            judged.push((judgement, current, stamped));
        }
        for (key, head) in heads {
            stage.heads.insert(key.clone(), head);
        }
        let verdicts = batches.iter().zip(judged).map(|(batch, (judgement, former, head))| match judgement {
            Judgement::Reject(current) => Verdict::Rejected { current },
            Judgement::Repeat => Verdict::Accepted,
            Judgement::Apply => {
                let former = former.as_deref();
                stage.group().write(&batch.key, former, head, &batch.append, &batch.post, &batch.take);
                Verdict::Accepted
            }
        });
        Ok(verdicts.collect())
    }

    fn remove(&mut self, stage: &mut Stage, keys: &[RunKey]) -> Result<usize, BackendError> {
        let mut found = Vec::new();
        for key in keys {
            if !stage.touched.contains(key)
                && let Some(run) = self.trees.run(key, self.shared.opened_at)?
                && run.is_finished()
                && let Some(head) = run.head
            {
                found.push((head, run.extents));
            }
        }
        let mut removed = 0;
        for (head, extents) in found {
            // A key that is named twice is removed once.
            if stage.touched.insert(head.key.clone()) {
                stage.group().remove(&head, &extents);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The head of a run, brought into memory when it is only in the trees.
    pub(crate) fn load(&mut self, key: &RunKey) -> Result<Option<Arc<Head>>, BackendError> {
        if let Some(run) = self.shared.state().runs.get(key) {
            return Ok(run.head.clone());
        }
        let Some(run) = self.trees.run(key, self.shared.opened_at)? else { return Ok(None) };
        let head = run.head.clone();
        self.shared.state().load(key.clone(), run);
        Ok(head)
    }

    /// Makes the groups durable and applies them to memory.
    ///
    /// # Errors
    /// `Poisoned`: whether they are in the store is unknown, and it takes no more writes.
    pub(crate) fn commit(&mut self, groups: &mut [Group]) -> Result<(), BackendError> {
        groups.iter_mut().for_each(Group::seal);
        let groups: Vec<&Group> = groups.iter().filter(|group| !group.effects.is_empty()).collect();
        if groups.is_empty() {
            return Ok(());
        }
        for group in &groups {
            let written = parts::put_new(&self.trees.log, &group.number.to_be_bytes(), group.bytes());
            written.map_err(|error| self.broken("cannot write to the log", &error))?;
        }
        self.flush()?;
        let mut state = self.shared.state();
        for group in &groups {
            for effect in &group.effects {
                state.apply(group.number, effect);
            }
            state.tallies.merge(&group.tallies);
        }
        drop(state);
        for group in &groups {
            self.next_group = group.number + 1;
            self.keeping.wrote(group);
            for effect in &group.effects {
                if let Effect::Remove { key, created_at, .. } = effect {
                    // It was read when it was chosen; whatever is wrong with it now must not go on.
                    let shelf = self.trees.shelf_of(key);
                    let shelf = shelf.map_err(|error| self.shared.poison(error.kind(), error.to_string()))?;
                    let forgotten = self.trees.forget(key, *created_at, shelf);
                    forgotten.map_err(|error| self.broken("cannot delete an entry", &error))?;
                }
            }
        }
        self.shared.set_log_totals(self.keeping.segments.totals());
        self.shared.announce();
        Ok(())
    }

    /// Makes durable what sled was given.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub(crate) fn flush(&self) -> Result<(), BackendError> {
        self.trees.db.flush().map_err(|error| self.broken("flush failed", &error))?;
        // sled's flush writes and does not sync. A sync that failed is never tried again: the kernel may have
        // dropped the pages, and a second one would succeed without them.
        if let Some(db_file) = &self.db_file
            && let Err(error) = self.disk.sync(db_file)
        {
            return Err(self
                .shared
                .poison(io_kind(&error), format!("sync of the sled store failed: {error}")));
        }
        Ok(())
    }

    pub(crate) fn broken(&self, what: &str, error: &sled::Error) -> BackendError {
        let kind = match error {
            sled::Error::Io(error) => io_kind(error),
            sled::Error::Corruption { .. } => FaultKind::Corrupt,
            _ => FaultKind::Other,
        };
        self.shared.poison(kind, format!("{what}: {error}"))
    }

    /// Moves finished runs from memory to the trees, and notes the others for the next checkpoint.
    pub(crate) fn settle(&mut self, touched: impl IntoIterator<Item = RunKey>) {
        for key in touched {
            let state = self.shared.state();
            let Some(run) = state.runs.get(&key) else { continue };
            let Some(head) = run.head.clone() else { continue };
            let is_changed = run.applied > run.base;
            let kept = match (run.is_finished(), run.kept) {
                (true, _) if is_changed => {
                    let run = run.clone();
                    drop(state);
                    // Out of memory only when it is in the trees: a reader that misses it here finds it there.
                    self.trees.keep_finished(&run, &head).map(|()| self.shared.state().forget(&key))
                }
                (true, _) => {
                    drop(state);
                    self.shared.state().forget(&key);
                    Ok(())
                }
                (false, Kept::Finished(_)) => {
                    let run = run.clone();
                    drop(state);
                    // It is in memory already: who scans from here on finds it there.
                    self.shared.revived();
                    let kept = self.trees.keep_unfinished(&run, &head);
                    self.shared.revived();
                    if let Some(run) = self.shared.state().runs.get_mut(&key) {
                        run.kept = Kept::Unfinished;
                    }
                    kept
                }
                (false, _) => {
                    drop(state);
                    if is_changed {
                        self.keeping.dirty.insert(key.clone());
                    }
                    Ok(())
                }
            };
            if let Err(error) = kept {
                self.broken("cannot write an entry", &error);
                return;
            }
        }
    }
}

fn answer<T: 'static>(answers: &mut Answers, reply: Reply<T>, result: Result<T, BackendError>) {
    // Whoever asked may be gone; the write stands all the same.
    match result {
        Err(error) => drop(reply.send(Err(error))),
        Ok(value) => answers.push(Box::new(move |failed| {
            drop(reply.send(failed.map_or(Ok(value), Err)));
        })),
    }
}

/// Poisons the store when the thread panics, so that nobody waits for it in vain.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison(FaultKind::Other, "the writing thread of the sled store panicked".to_owned());
        }
    }
}
