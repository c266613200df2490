//! Every law of the contract, on the JSON file.

use std::sync::Arc;

use stepwell_contract::conformance::Harness;
use stepwell_contract::{Backend, BackendError, ManualClock, Timestamp, async_trait};
use tempfile::TempDir;

use crate::json_file::JsonFile;

struct InAFolder {
    folder: TempDir,
    clock: ManualClock,
}

impl InAFolder {
    fn new() -> Self {
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        Self { folder: tempfile::tempdir().expect("a folder"), clock }
    }
}

#[async_trait]
impl Harness for InAFolder {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        Ok(Arc::new(JsonFile::open(self.folder.path().join("runs.json"), Arc::new(self.clock.clone()))?))
    }

    fn advance_ms(&self, ms: i64) {
        self.clock.advance_ms(ms);
    }
}

stepwell_contract::conformance!(InAFolder::new());
