//! A disk in memory that writes down what was done to it, fails when told to, and shows what a power cut at any moment
//! could have left.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use rustix::io::Errno;

use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// What was done, in order.
#[derive(Debug, Clone)]
enum Op {
    Create(String, usize),
    Write(usize, usize, Vec<u8>),
    Truncate(usize, usize),
    Sync(usize),
    Rename(String, String),
    Remove(String),
    SyncFolder(String),
    /// The index as it is on the disk from now on.
    SyncIndex(Arc<Vec<u8>>),
    /// The caller got this many answers.
    Answered(usize),
}

#[derive(Debug, Default)]
struct Content {
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    log: Vec<Op>,
    /// How many operations may still succeed before one fails with the error.
    plan: Option<(usize, Errno)>,
    fired: bool,
    index: Vec<u8>,
    /// Whether it writes nothing down.
    is_quiet: bool,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Content>>);

/// What of the unsynced work a power cut keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All of it: the process was killed, not the machine.
    All,
    /// Nothing of it.
    Nothing,
    /// The lengths, but zeros where the bytes should be.
    Lengths,
    /// Any sectors of it, any length, and the names up to some moment.
    Some(u64),
}

impl SimDisk {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("no test panics under it")
    }

    /// Lets `after` more operations succeed, and the next one fail.
    pub(crate) fn fail_after(&self, after: usize, error: Errno) {
        self.content().plan = Some((after, error));
    }

    /// Whether an operation has failed as planned; none will from now on.
    pub(crate) fn end_plan(&self) -> bool {
        let mut content = self.content();
        content.plan = None;
        content.fired
    }

    /// Writes down that the caller got another answer.
    pub(crate) fn answered(&self, answers: usize) {
        self.content().log.push(Op::Answered(answers));
    }

    /// How many operations there were.
    pub(crate) fn len(&self) -> usize {
        self.content().log.len()
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.content().names.keys().cloned().collect()
    }

    /// The bytes of a file, to be damaged.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.content();
        let inode = content.names[name];
        change(&mut content.files[inode]);
    }

    /// A copy, without its past.
    pub(crate) fn copy(&self) -> Self {
        let content = self.content();
        Self(Arc::new(Mutex::new(Content {
            files: content.files.clone(),
            names: content.names.clone(),
            index: content.index.clone(),
            is_quiet: true,
            ..Content::default()
        })))
    }

    /// Drops the index.
    pub(crate) fn lose_index(&self) {
        self.content().index.clear();
    }

    /// A hash of all files.
    pub(crate) fn fingerprint(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let content = self.content();
        let mut hasher = DefaultHasher::new();
        for (name, inode) in &content.names {
            (name, &content.files[*inode]).hash(&mut hasher);
        }
        content.index.hash(&mut hasher);
        hasher.finish()
    }

    /// The disk as a power cut after the first `ops` operations could leave it, and how many answers the caller had.
    pub(crate) fn after_crash(&self, ops: usize, keep: Keep) -> (Self, usize) {
        let content = self.content();
        let mut rng = Rng::with_seed(if let Keep::Some(seed) = keep { seed } else { 0 });
        let mut durable: Vec<Vec<u8>> = Vec::new();
        let mut pending: Vec<Vec<&Op>> = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut pending_names: Vec<&Op> = Vec::new();
        let mut answers = 0;
        let mut index = Vec::new();
        for op in &content.log[..ops] {
            match op {
                Op::Create(_, inode) => {
                    durable.resize(*inode + 1, Vec::new());
                    pending.resize(*inode + 1, Vec::new());
                    pending_names.push(op);
                }
                Op::Rename(..) | Op::Remove(_) => pending_names.push(op),
                Op::Write(inode, ..) | Op::Truncate(inode, _) => pending[*inode].push(op),
                Op::Sync(inode) => {
                    for op in pending[*inode].drain(..) {
                        apply(&mut durable[*inode], op, |_| true);
                    }
                }
                Op::SyncFolder(folder) => {
                    pending_names.retain(|op| {
                        let is_in = folder_of(op) == folder;
                        if is_in {
                            rename(&mut names, op);
                        }
                        !is_in
                    });
                }
                Op::SyncIndex(bytes) => index.clone_from(bytes),
                Op::Answered(count) => answers = *count,
            }
        }
        let kept_names = match keep {
            Keep::All | Keep::Lengths => pending_names.len(),
            Keep::Nothing => 0,
            Keep::Some(_) => rng.usize(0..=pending_names.len()),
        };
        for op in &pending_names[..kept_names] {
            rename(&mut names, op);
        }
        for (file, ops) in durable.iter_mut().zip(&pending) {
            let synced_len = file.len();
            for op in ops {
                match keep {
                    Keep::All => apply(file, op, |_| true),
                    Keep::Nothing => {}
                    Keep::Lengths => apply(file, op, |_| false),
                    Keep::Some(_) => {
                        if matches!(op, Op::Write(..)) || rng.bool() {
                            apply(file, op, |_| rng.bool());
                        }
                    }
                }
            }
            if matches!(keep, Keep::Some(_)) && file.len() > synced_len && rng.bool() {
                file.truncate(rng.usize(synced_len..=file.len()));
            }
        }
        // With the index as it was last synced, or without it.
        if matches!(keep, Keep::Some(_)) && rng.bool() {
            index.clear();
        }
        let image = Content { files: durable, names, index, is_quiet: true, ..Content::default() };
        (Self(Arc::new(Mutex::new(image))), answers)
    }
}

fn folder_of(op: &Op) -> &str {
    match op {
        Op::Create(name, _) | Op::Rename(name, _) | Op::Remove(name) => folder(name),
        _ => "",
    }
}

fn folder(name: &str) -> &str {
    name.split_once('/').map_or("", |(folder, _)| folder)
}

fn rename(names: &mut BTreeMap<String, usize>, op: &Op) {
    match op {
        Op::Create(name, inode) => drop(names.insert(name.clone(), *inode)),
        Op::Remove(name) => drop(names.remove(name)),
        Op::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        _ => {}
    }
}

/// Applies a write or a cut to a file; of a write, the sectors that `keeps` wants, and zeros in place of the others.
fn apply(file: &mut Vec<u8>, op: &Op, mut keeps: impl FnMut(usize) -> bool) {
    match op {
        Op::Truncate(_, len) => file.truncate(*len),
        Op::Write(_, offset, bytes) => {
            let end = offset + bytes.len();
            file.resize(file.len().max(end), 0);
            let mut at = *offset;
            while at < end {
                let next = ((at / SECTOR + 1) * SECTOR).min(end);
                if keeps(at / SECTOR) {
                    file[at..next].copy_from_slice(&bytes[at - offset..next - offset]);
                }
                at = next;
            }
        }
        _ => {}
    }
}

impl Content {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.plan {
            Some((0, error)) if !self.fired => {
                self.fired = true;
                Err((*error).into())
            }
            Some((left, _)) => {
                *left = left.saturating_sub(1);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for SimDisk {
    fn list_journal(&self) -> io::Result<Vec<String>> {
        let mut content = self.content();
        content.step()?;
        Ok(content.names.keys().filter_map(|name| name.strip_prefix("journal/")).map(str::to_owned).collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.content();
        content.step()?;
        if content.names.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        let inode = content.files.len();
        content.files.push(Vec::new());
        content.names.insert(name.to_owned(), inode);
        content.log.push(Op::Create(name.to_owned(), inode));
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.content();
        content.step()?;
        let inode = *content.names.get(name).ok_or(Errno::NOENT)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut content = self.content();
        content.step()?;
        let op = Op::Rename(from.to_owned(), to.to_owned());
        rename(&mut content.names, &op);
        content.log.push(op);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if name == crate::catalogue::INDEX {
            self.lose_index();
            return Ok(());
        }
        let mut content = self.content();
        content.step()?;
        content.names.remove(name).ok_or(Errno::NOENT)?;
        content.log.push(Op::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, name: &str) -> io::Result<()> {
        let mut content = self.content();
        content.step()?;
        content.log.push(Op::SyncFolder(folder(name).to_owned()));
        Ok(())
    }

    fn open_index(
        &self,
        _name: &str,
        settings: &redb::Builder,
    ) -> Result<redb::Database, redb::DatabaseError> {
        settings.create_with_backend(SimIndex(self.clone()))
    }

    fn describe(&self, name: &str) -> String {
        format!("sim/{name}")
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.content().files[self.inode].len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        content.step()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let found = content.files[self.inode].get(offset..offset + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let failure = content.step();
        // A write that fails has written a part.
        let bytes = if failure.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let op = Op::Write(self.inode, offset, bytes.to_vec());
        apply(&mut content.files[self.inode], &op, |_| true);
        content.log.push(op);
        failure
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.disk.content();
        content.step()?;
        content.log.push(Op::Sync(self.inode));
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        content.step()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let op = Op::Truncate(self.inode, len);
        apply(&mut content.files[self.inode], &op, |_| true);
        content.log.push(op);
        Ok(())
    }

    fn allocate(&self, _offset: u64, _len: u64) -> io::Result<()> {
        self.disk.content().step()
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The index's bytes on this disk.
#[derive(Debug)]
struct SimIndex(SimDisk);

impl redb::StorageBackend for SimIndex {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.content().index.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.0.content();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let found = content.index.get(offset..offset + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.0.content();
        content.step()?;
        content.index.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut content = self.0.content();
        content.step()?;
        if !content.is_quiet {
            let image = Arc::new(content.index.clone());
            content.log.push(Op::SyncIndex(image));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.0.content();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let place = content.index.get_mut(offset..offset + data.len());
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}
