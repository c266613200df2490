//! A sled store keeps every law of the contract.

use std::path::PathBuf;
use std::sync::Arc;

use stepwell_contract::conformance::Harness;
use stepwell_contract::{Backend, BackendError, ManualClock, Timestamp, async_trait};
use stepwell_sled::{SledBackend, SledOptions};
use tempfile::TempDir;

struct SledHarness {
    folder: TempDir,
    clock: ManualClock,
}

impl SledHarness {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder for the test");
        Self { folder, clock: ManualClock::at(Timestamp(1_700_000_000_000)) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

#[async_trait]
impl Harness for SledHarness {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        let options = SledOptions::default().clock(Arc::new(self.clock.clone()));
        Ok(Arc::new(SledBackend::open(self.path(), options)?))
    }

    fn advance_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
    }
}

stepwell_contract::conformance!(SledHarness::new());
