//! What can be set when a store is opened.

use std::sync::Arc;

use stepwell_contract::{Clock, SystemClock};

/// How a [`FileBackend`](crate::FileBackend) is opened.
#[derive(Debug, Clone)]
pub struct FileOptions {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) segment_bytes: u32,
    pub(crate) sync: bool,
    pub(crate) cache_bytes: usize,
    pub(crate) recent_runs_max: usize,
    pub(crate) replay_bytes_max: u64,
}

impl Default for FileOptions {
    /// The system's clock, segments of 64 MiB, every write synced.
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            segment_bytes: 64 << 20,
            sync: true,
            cache_bytes: 48 << 20,
            recent_runs_max: 16_384,
            replay_bytes_max: 64 << 20,
        }
    }
}

impl FileOptions {
    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Begins a new segment once one has this many bytes; from 4 KiB to 1 GiB.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.segment_bytes = bytes.clamp(4 << 10, 1 << 30);
        self
    }

    /// Whether each write is synced before it is acknowledged. Without it the store is of level D1: what was
    /// acknowledged survives the death of the process, not a power cut.
    #[must_use]
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// How much of the index of finished runs is kept in memory.
    #[must_use]
    pub fn index_cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// After how many finished runs the index takes them over from memory.
    #[must_use]
    pub fn recent_runs_max(mut self, runs: usize) -> Self {
        self.recent_runs_max = runs.max(1);
        self
    }

    /// After how many journal bytes the index is brought up to date: so much is read again at most when the store is opened.
    #[must_use]
    pub fn replay_bytes_max(mut self, bytes: u64) -> Self {
        self.replay_bytes_max = bytes.max(4 << 10);
        self
    }
}
