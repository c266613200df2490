//! The folder of a store, and what has to be true of it before sled is let in.
//!
//! ```text
//! DATA/lock          held for as long as the store is open; says who holds it
//! DATA/store/        sled's own: db, conf, snap.*, blobs/
//! DATA/store.conf    a verified copy of sled's `conf`
//! DATA/store.making  a store being made; never opened
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::{Config, Db};
use stepwell_contract::{BackendError, FaultKind};

use crate::failure::{corrupt, definite, file, sled};
use crate::options::SledOptions;
use crate::parts::SEGMENT_BYTES;
use crate::trees::Trees;

/// Where in the folder sled's own files are.
const STORE: &str = "store";

/// Below this much free space the store is not opened: sled can be left unable to open by a disk that is full
/// while it writes a snapshot.
pub(crate) const OPEN_FREE_BYTES_MIN: u64 = 64 << 20;

/// How long sled's threads may take to let go of the file of a store that was closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// The folder, locked. Dropping it frees the lock.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Whether a store was made there.
    pub(crate) fn is_made(root: &Path) -> bool {
        root.join(STORE).try_exists().unwrap_or(true)
    }

    /// Makes the folder when it is not there, and locks it.
    ///
    /// # Errors
    /// `Locked` names the process that holds it; nothing was changed.
    pub(crate) fn lock(root: &Path) -> Result<Self, BackendError> {
        fs::create_dir_all(root)
            .map_err(|error| file(format_args!("cannot make folder {}", root.display()), error))?;
        let path = root.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(|error| file(format_args!("cannot open {}", path.display()), error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(root, &mut lock)),
            Err(TryLockError::Error(error)) => {
                return Err(file(format_args!("cannot lock {}", path.display()), error));
            }
        }
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.seek(SeekFrom::Start(0))?;
            writeln!(lock, "{}", std::process::id())
        };
        write(&mut lock).map_err(|error| file(format_args!("cannot write {}", path.display()), error))?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// The file that sled writes its log to.
    pub(crate) fn db_file(&self) -> PathBuf {
        self.store().join("db")
    }

    /// Opens the database, made first when there is none. Mends what an earlier end of the process can have left.
    ///
    /// # Errors
    /// `Full` below 64 MiB of free space, `Corrupt` with the file's name, and whatever sled says. Nothing is lost
    /// by trying again.
    pub(crate) fn open(&self, options: &SledOptions) -> Result<Trees, BackendError> {
        let free = options
            .disk
            .free_bytes(&self.root)
            .map_err(|error| file(format_args!("cannot see how full {} is", self.root.display()), error))?;
        if free < OPEN_FREE_BYTES_MIN {
            let words = format!(
                "{} has {} MiB free; a sled store is opened with {} MiB or more",
                self.root.display(),
                free >> 20,
                OPEN_FREE_BYTES_MIN >> 20
            );
            return Err(definite(FaultKind::Full, words));
        }
        let store = self.store();
        match fs::symlink_metadata(&store) {
            Ok(found) if found.is_dir() => self.mend(&store)?,
            Ok(_) => {
                return Err(definite(FaultKind::Refused, format!("{} is not a folder", store.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(&store, options)?,
            Err(error) => return Err(file(format_args!("cannot look at {}", store.display()), error)),
        }
        Trees::open(open_db(&store, options)?)
            .map_err(|error| sled(format_args!("cannot open {}", store.display()), error))
    }

    /// Makes a whole store beside its place and moves it there: a store that is half made is never opened.
    fn make(&self, store: &Path, options: &SledOptions) -> Result<(), BackendError> {
        let making = self.root.join("store.making");
        let failed = |error| file(format_args!("cannot make a store in {}", making.display()), error);
        if making.exists() {
            fs::remove_dir_all(&making).map_err(failed)?;
        }
        {
            let trees = Trees::open(open_db(&making, options)?);
            trees
                .and_then(|trees| trees.found().and_then(|()| trees.db.flush()))
                .map_err(|error| sled(format_args!("cannot make a store in {}", making.display()), error))?;
        }
        sync_files(&making).map_err(failed)?;
        self.copy_conf(&making).map_err(failed)?;
        fs::rename(&making, store).map_err(failed)?;
        sync_folder(&self.root).map_err(failed)
    }

    fn mend(&self, store: &Path) -> Result<(), BackendError> {
        // A snapshot that was being written: an older one or the log holds all it says, and sled would not open.
        let failed = |error| file(format_args!("cannot read folder {}", store.display()), error);
        for entry in fs::read_dir(store).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("snap.") && name.ends_with(".generating") {
                fs::remove_file(entry.path()).map_err(failed)?;
                tracing::warn!(file = %entry.path().display(), "an unfinished snapshot was deleted");
            }
        }
        self.mend_conf(store)
    }

    fn mend_conf(&self, store: &Path) -> Result<(), BackendError> {
        let (conf, copy) = (store.join("conf"), self.root.join("store.conf"));
        let read = |path: &Path| match fs::read(path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(file(format_args!("cannot read {}", path.display()), error)),
        };
        let (stored, spare) = (read(&conf)?, read(&copy)?);
        let failed = |error| file(format_args!("cannot write beside {}", conf.display()), error);
        match (conf_verifies(&stored), conf_verifies(&spare)) {
            (true, true) => Ok(()),
            (true, false) => self.copy_conf(store).map_err(failed),
            (false, true) => {
                tracing::warn!(file = %conf.display(), "it did not verify and was restored from its copy");
                replace(&conf, &spare).map_err(failed)
            }
            (false, false) => Err(corrupt(conf.display(), "neither it nor its copy `store.conf` verifies")),
        }
    }

    fn copy_conf(&self, store: &Path) -> io::Result<()> {
        replace(&self.root.join("store.conf"), &fs::read(store.join("conf"))?)
    }
}

fn locked(root: &Path, lock: &mut File) -> BackendError {
    let mut text = String::new();
    let holder = match lock.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim().escape_debug()),
        _ => "another process".to_owned(),
    };
    let words =
        format!("{} is open in {holder}; one process at a time can open a sled store", root.display());
    definite(FaultKind::Locked, words)
}

fn open_db(path: &Path, options: &SledOptions) -> Result<Db, BackendError> {
    // The flush every 500 ms stays on as a second net; ours comes before each acknowledgement.
    let config = Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(options.cache_mib << 20)
        .flush_every_ms(Some(500));
    let begun = Instant::now();
    loop {
        match config.clone().open() {
            // Our own lock is held, so this is a former opening of this process whose threads still end.
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && begun.elapsed() < RELEASE_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(sled(format_args!("cannot open {}", path.display()), error)),
            Ok(db) => return Ok(db),
        }
    }
}

/// sled writes its settings as text, followed by their CRC-32.
fn conf_verifies(bytes: &[u8]) -> bool {
    bytes
        .split_last_chunk::<4>()
        .is_some_and(|(text, crc)| !text.is_empty() && crc32fast::hash(text) == u32::from_le_bytes(*crc))
}

/// Puts the file in place whole, durably.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut out = File::create(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sync_files(&path)? } else { File::open(&path)?.sync_all()? }
    }
    sync_folder(folder)
}
