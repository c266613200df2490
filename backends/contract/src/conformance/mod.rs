//! The conformance kit: one named test per law of [`Backend`](crate::Backend), for any backend, in one line.
//!
//! ```ignore
//! stepwell_contract::conformance!(MyHarness::new());
//! ```

use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::Backend;
use crate::error::BackendError;

/// One store under test, made fresh for each test. The expression given to `conformance!` makes it.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// Opens the store: makes it at the first call, opens the same one again at each later call. Once every
    /// handle that this returned has been dropped, the store counts as closed.
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError>;

    /// Moves the store's clock by `ms` milliseconds, backwards when negative.
    fn advance_ms(&self, ms: i64);
}
