//! The laws of the contract, on a Redis server that keeps what it acknowledges.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use stepwell_contract::conformance::Harness;
use stepwell_contract::{Backend, BackendError, async_trait};
use stepwell_redis::test_server::shared_url;
use stepwell_redis::{RedisBackend, RedisOptions};

struct RedisHarness {
    url: String,
    shift_ms: Arc<AtomicI64>,
}

impl RedisHarness {
    fn new() -> Self {
        let prefix = format!("law-{}", uuid::Uuid::new_v4().simple());
        let url = shared_url(&prefix).unwrap_or_else(|error| panic!("{error}"));
        Self { url, shift_ms: Arc::default() }
    }
}

#[async_trait]
impl Harness for RedisHarness {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        let options = RedisOptions::default().clock_shift_ms(Arc::clone(&self.shift_ms));
        Ok(Arc::new(RedisBackend::open(&self.url, options).await?))
    }

    fn advance_ms(&self, ms: i64) {
        self.shift_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

stepwell_contract::conformance!(RedisHarness::new());
