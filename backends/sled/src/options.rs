//! How a store is opened, and the two places where it touches the operating system in a way that tests replace.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use stepwell_contract::{Clock, SystemClock};

/// How a sled store is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    pub(crate) sync: bool,
    pub(crate) cache_mib: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pace: Pace,
}

/// How often the store keeps house.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A checkpoint begins after this much of the log, or this many groups; it bounds what an opening replays.
    pub(crate) checkpoint_bytes: u64,
    pub(crate) checkpoint_groups: u64,
    /// The log is freed in stretches of at most this many groups, or about this many bytes.
    pub(crate) segment_groups: u64,
    pub(crate) segment_bytes: u64,
    /// The stretch that is being filled is closed early to free it when it has this many bytes.
    pub(crate) early_bytes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 32 << 20,
            checkpoint_groups: 8192,
            segment_groups: 1024,
            segment_bytes: 4 << 20,
            early_bytes: 64 << 10,
        }
    }
}

impl Default for SledOptions {
    /// Level D2, a cache of 128 MiB, the system's clock.
    fn default() -> Self {
        Self {
            sync: true,
            cache_mib: 128,
            clock: Arc::new(SystemClock),
            disk: Arc::new(SystemDisk),
            pace: Pace::default(),
        }
    }
}

impl SledOptions {
    /// Whether each acknowledgement waits for the disk: level D2 when true, D1 when false.
    #[must_use]
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// The size of sled's page cache in MiB, kept between 64 and 256.
    #[must_use]
    pub fn cache_mib(mut self, mib: u64) -> Self {
        self.cache_mib = mib.clamp(64, 256);
        self
    }

    /// The clock by which leases end and runs become due.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    #[cfg(test)]
    pub(crate) fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    #[cfg(test)]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }
}

/// What the store asks of the disk beside sled itself.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Bytes that are free for this process where `path` is.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Makes the file's content durable.
    fn sync(&self, file: &File) -> io::Result<()>;
}

#[derive(Debug)]
struct SystemDisk;

impl Disk for SystemDisk {
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
