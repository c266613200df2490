//! The conformance kit: one named test per law of [`Backend`], for any backend, in one line.
//!
//! Say how your store is opened and how its clock is moved, and invoke the macro at the top of a test file:
//!
//! ```
//! use std::sync::Arc;
//! use stepwell_contract::conformance::Harness;
//! use stepwell_contract::{Backend, BackendError, ManualClock, MemoryBackend, Timestamp, async_trait};
//!
//! struct MyStore {
//!     clock: ManualClock, // and, for a store on disk, its temporary folder
//! }
//!
//! impl MyStore {
//!     fn new() -> Self {
//!         Self { clock: ManualClock::at(Timestamp(1_700_000_000_000)) }
//!     }
//! }
//!
//! #[async_trait]
//! impl Harness for MyStore {
//!     async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
//!         // Yours instead. This one forgets everything when it is closed, and the laws would say so.
//!         Ok(Arc::new(MemoryBackend::with_clock(Arc::new(self.clock.clone()))))
//!     }
//!     fn advance_ms(&self, ms: i64) {
//!         self.clock.advance_ms(ms);
//!     }
//! }
//!
//! stepwell_contract::conformance!(MyStore::new());
//! # fn main() {}
//! ```
//!
//! That makes the tests `laws::commit::…`, `laws::lease::…` and so on, and the same ones again in
//! `laws_inside_the_fault_decorator`, where calls fail, get lost or lose their replies and are repeated: what the
//! laws say about repeating must hold too. The expression makes a fresh, empty store for each test; it may use
//! `.await`. The crate needs `stepwell-contract` with the feature `conformance` as a dev-dependency, nothing else.
//!
//! # What a store is free to do
//!
//! No law is skipped; where stores may differ, [`info`](Backend::info) says which half is asserted: an `exclusive`
//! store ends leases at opening and refuses a second opener, a shared one keeps leases and lets both see the same.
//! Its clock may stand still or run: the laws measure with `info().now` and leave room for the time that calls take.
//!
//! # Repeating a failure
//!
//! The laws in [`model`] do random work from a seed, which a failure prints with the command that repeats it. They
//! read `STEPWELL_SEED` (a number, or `random` for a new one at each run) and `STEPWELL_STEPS`.

pub mod claim;
pub mod clock;
pub mod commit;
pub mod concurrency;
pub mod durability;
pub mod guard;
pub mod inbox;
pub mod isolation;
pub mod journal;
mod laws;
pub mod lease;
pub mod model;
pub mod payload;
pub mod remove;
pub mod sample;
pub mod scan;
mod shaken;
pub mod size;
pub mod store;
pub mod tally;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::Backend;
use crate::error::BackendError;

pub use laws::LAWS;
pub use shaken::Shaken;

/// One store under test, made fresh for each test. The expression given to `conformance!` makes it.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// Opens the store: makes it at the first call, opens the same one again at each later call. Once every
    /// handle that this returned has been dropped, the store counts as closed.
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError>;

    /// Moves the store's clock by `ms` milliseconds, backwards when negative.
    fn advance_ms(&self, ms: i64);
}

/// Runs one law on the store that `make` makes, on a runtime of its own with two workers.
///
/// # Panics
/// When the law does not hold.
pub fn check<H: Harness>(make: impl Future<Output = H>, law: impl AsyncFnOnce(&dyn Harness)) {
    on_two_workers(async {
        let harness = make.await;
        law(&harness).await;
    });
}

/// Runs one law as [`check`] does, with a [`FaultBackend`](crate::fault::FaultBackend) around every opened backend
/// and someone who repeats what failed.
///
/// # Panics
/// When the law does not hold, or when no fault fired.
pub fn check_inside_the_fault_decorator<H: Harness>(
    make: impl Future<Output = H>,
    law: impl AsyncFnOnce(&dyn Harness),
) {
    on_two_workers(async {
        let harness = Shaken::new(make.await);
        law(&harness).await;
        assert!(harness.fired() > 0, "the fault decorator hit no call: this run showed nothing");
    });
}

/// Far above what any law takes on any store: only a store that hangs meets it.
const LAW_TIMEOUT: Duration = Duration::from_secs(300);

fn on_two_workers(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime with two threads can be made");
    let outcome = runtime.block_on(async { tokio::time::timeout(LAW_TIMEOUT, work).await });
    assert!(outcome.is_ok(), "the store hangs: the law was not decided within {LAW_TIMEOUT:?}");
}
