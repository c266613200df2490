//! The four stores: opened, left, and opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use stepwell_contract::{Backend, BackendError, Clock, FaultKind, MemoryBackend, SystemClock};
use stepwell_file::{FileBackend, FileOptions};
use stepwell_redis::{RedisBackend, RedisOptions, test_server};
use stepwell_sled::{SledBackend, SledOptions};
use tempfile::TempDir;

use crate::clock::MovedClock;
use crate::wait::wait_until;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// In memory.
    Memory,
    /// In plain files.
    File,
    /// In an embedded sled database.
    Sled,
    /// In Redis.
    Redis,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::File, Self::Sled, Self::Redis];
    /// Those that one process owns.
    pub const EXCLUSIVE: [Self; 3] = [Self::Memory, Self::File, Self::Sled];
    /// Those whose files a process of ours writes.
    pub const ON_DISK: [Self; 2] = [Self::File, Self::Sled];

    /// The word for it, as in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File => "file",
            Self::Sled => "sled",
            Self::Redis => "redis",
        }
    }
}

/// Makes a test for each kind of store of an `async fn(Kind)`, in a module of the function's name.
#[macro_export]
macro_rules! on_every_store {
    ($test:ident) => {
        $crate::on_stores!($test: memory Memory, file File, sled Sled, redis Redis);
    };
}

/// As [`on_every_store`](crate::on_every_store), for the stores that one process owns.
#[macro_export]
macro_rules! on_exclusive_stores {
    ($test:ident) => {
        $crate::on_stores!($test: memory Memory, file File, sled Sled);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! on_stores {
    ($test:ident: $($name:ident $kind:ident),+) => {
        mod $test {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$test($crate::place::Kind::$kind).await;
                }
            )+
        }
    };
}

/// Where a store of some kind is, for as long as this value lives.
#[derive(Debug)]
pub struct Place {
    kind: Kind,
    folder: TempDir,
    clock: Arc<dyn Clock>,
    redis_ahead_ms: Arc<AtomicI64>,
    memory: Arc<MemoryBackend>,
    prefix: String,
}

impl Place {
    /// An empty place. Its folder is in memory where the machine has such: what dies here are processes, not disks.
    ///
    /// # Panics
    /// When there is no room for a folder.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self::with_clock(kind, Arc::new(SystemClock))
    }

    /// An empty place whose store takes its time from `clock`; Redis has its own.
    ///
    /// # Panics
    /// As for [`new`](Self::new).
    #[must_use]
    pub fn with_clock(kind: Kind, clock: Arc<dyn Clock>) -> Self {
        Self::with_clocks(kind, clock, Arc::default())
    }

    /// An empty place whose store, also in Redis, has the time of `clock`.
    ///
    /// # Panics
    /// As for [`new`](Self::new).
    #[must_use]
    pub fn moved(kind: Kind, clock: &MovedClock) -> Self {
        Self::with_clocks(kind, Arc::new(clock.clone()), clock.ahead_ms())
    }

    fn with_clocks(kind: Kind, clock: Arc<dyn Clock>, redis_ahead_ms: Arc<AtomicI64>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let memory = Arc::new(MemoryBackend::with_clock(Arc::clone(&clock)));
        let prefix = format!("t{}-{nth}", std::process::id());
        Self { kind, folder: folder_in_memory(), clock, redis_ahead_ms, memory, prefix }
    }

    /// What kind of store is there.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Opens the store; every earlier opening has to be dropped before, for a store that one process owns. A store in
    /// memory is then a new opening of what was there.
    ///
    /// # Panics
    /// When it does not open: that is what these tests are about.
    pub async fn open(&mut self) -> Arc<dyn Backend> {
        let path = self.folder.path().join("store");
        let clock = Arc::clone(&self.clock);
        match self.kind {
            Kind::Memory => {
                self.memory = Arc::new(self.memory.reopened());
                Arc::clone(&self.memory) as Arc<dyn Backend>
            }
            Kind::File => {
                patiently(|| FileBackend::open(&path, FileOptions::default().clock(Arc::clone(&clock)))).await
            }
            Kind::Sled => {
                patiently(|| SledBackend::open(&path, SledOptions::default().clock(Arc::clone(&clock)))).await
            }
            Kind::Redis => {
                let url = test_server::shared_url(&self.prefix).expect("a redis-server");
                let options = RedisOptions::default().clock_shift_ms(Arc::clone(&self.redis_ahead_ms));
                Arc::new(RedisBackend::open(&url, options).await.expect("redis opens"))
            }
        }
    }
}

/// A folder in memory, or on the disk where there is no such.
///
/// # Panics
/// When there is no room for it.
#[must_use]
pub fn folder_in_memory() -> TempDir {
    let in_memory = tempfile::Builder::new().prefix("stepwell-").tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Opens an exclusive store as soon as its last owner has let go of it, which an engine does in the background.
async fn patiently<B: Backend>(open: impl Fn() -> Result<B, BackendError>) -> Arc<dyn Backend> {
    let opened = wait_until("the lock of the store", Duration::from_secs(20), async || match open() {
        Ok(backend) => Some(Ok(backend)),
        Err(error) if error.kind() == FaultKind::Locked => None,
        Err(error) => Some(Err(error)),
    });
    Arc::new(opened.await.expect("the lock is free").expect("the store opens"))
}
