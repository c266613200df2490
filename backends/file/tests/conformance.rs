//! Every law of the contract, on a store as it is opened by default, and on one whose limits are so small that segments
//! end, runs leave memory and dead lines are cleared away all the time.

use std::sync::Arc;

use stepwell_contract::conformance::Harness;
use stepwell_contract::{Backend, BackendError, ManualClock, Timestamp, async_trait};
use stepwell_file::{FileBackend, FileOptions};
use tempfile::TempDir;

struct FileHarness {
    folder: TempDir,
    clock: ManualClock,
    options: FileOptions,
}

impl FileHarness {
    fn new(options: FileOptions) -> Self {
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        let options = options.clock(Arc::new(clock.clone()));
        Self { folder: tempfile::tempdir().expect("a folder"), clock, options }
    }
}

#[async_trait]
impl Harness for FileHarness {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        Ok(Arc::new(FileBackend::open(self.folder.path(), self.options.clone())?))
    }

    fn advance_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
    }
}

mod as_by_default {
    use super::*;
    stepwell_contract::conformance!(FileHarness::new(FileOptions::default()));
}

mod crowded {
    use super::*;
    stepwell_contract::conformance!(FileHarness::new(
        FileOptions::default().segment_bytes(4096).recent_runs_max(2).replay_bytes_max(4096)
    ));
}
