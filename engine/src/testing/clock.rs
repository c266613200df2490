//! Time that stands still until it is moved to the next moment that somebody waits for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use stepwell_contract::{Clock, Timestamp};
use tokio::sync::watch;

use crate::clock::{SimulatedTime, Time};
use crate::lock::lock;

/// When every rehearsal begins: noon UTC on 1 January 2030.
pub(crate) const START: Timestamp = Timestamp(1_893_499_200_000);

/// Tells that something has moved. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<watch::Sender<u64>>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn beat(&self) {
        self.0.send_modify(|beats| *beats += 1);
    }

    pub(crate) fn beats(&self) -> u64 {
        *self.0.borrow()
    }

    /// Returns once it has beaten more often than `beats`.
    pub(crate) async fn after(&self, beats: u64) {
        // The sender lives in `self`: waiting for it cannot fail.
        let _ = self.0.subscribe().wait_for(|now| *now > beats).await;
    }
}

/// Simulated time that knows who waits for it.
pub(crate) struct SkippingTime {
    time: SimulatedTime,
    sleepers: Mutex<BTreeMap<u64, Timestamp>>,
    named: AtomicU64,
    pulse: Pulse,
}

impl SkippingTime {
    pub(crate) fn new(pulse: Pulse) -> Self {
        let time = SimulatedTime::at(START);
        Self { time, sleepers: Mutex::default(), named: AtomicU64::new(0), pulse }
    }

    /// The earliest moment that somebody waits for.
    pub(crate) fn next_sleep(&self) -> Option<Timestamp> {
        self.lock().values().min().copied()
    }

    /// Moves the clock on to `at`.
    pub(crate) fn skip_to(&self, at: Timestamp) {
        self.time.advance(Duration::from_millis(at.since_ms(self.now())));
        self.pulse.beat();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Timestamp>> {
        lock(&self.sleepers)
    }
}

impl fmt::Debug for SkippingTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.time.fmt(f)
    }
}

impl Clock for SkippingTime {
    fn now(&self) -> Timestamp {
        self.time.now()
    }
}

#[async_trait]
impl Time for SkippingTime {
    async fn sleep_until(&self, at: Timestamp) {
        if self.now() >= at {
            return;
        }
        let name = self.named.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(name, at);
        let _sleeper = Sleeper { time: self, name };
        self.pulse.beat();
        self.time.sleep_until(at).await;
    }

    async fn sleep(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.sleep_until(self.now().plus_ms(ms)).await;
    }

    fn steady_ms(&self) -> u64 {
        self.time.steady_ms()
    }
}

/// Somebody who waits, until dropped.
struct Sleeper<'a> {
    time: &'a SkippingTime,
    name: u64,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.time.lock().remove(&self.name);
        self.time.pulse.beat();
    }
}

/// Waits for real, on timers that are nobody else's: those of the test may be paused, those of the engine may be gone.
///
/// # Panics
/// When the system refuses a thread.
pub(crate) fn really(time: Duration) -> tokio::time::Sleep {
    static TIMERS: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let timers = TIMERS.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("stepwell-testing")
            .enable_time()
            .build()
            .expect("a thread for the timers of tests")
    });
    let _inside = timers.enter();
    tokio::time::sleep(time)
}
