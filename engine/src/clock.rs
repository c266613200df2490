//! Time for the engine: what the store's clock says, and waiting for it.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stepwell_contract::{Clock, SystemClock, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A clock that can be waited for.
#[async_trait]
pub trait Time: Clock {
    /// Returns when the clock stands at `at` or later.
    ///
    /// # Cancellation
    /// Dropping the future has no effect.
    async fn sleep_until(&self, at: Timestamp);

    /// Returns after so much time has passed, whatever the clock is set to meanwhile.
    ///
    /// # Cancellation
    /// Dropping the future has no effect.
    async fn sleep(&self, time: Duration);

    /// How much time has passed since some moment in the past, in milliseconds, by a clock that nobody sets: beside
    /// [`now`](Clock::now) it shows when the time of day jumps. A clock that is moved by hand gives where it stands.
    fn steady_ms(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let since = START.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The longest sleep between two looks at a clock that may jump.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

#[async_trait]
impl Time for SystemClock {
    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.since_ms(self.now());
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left).min(LOOK_AGAIN)).await;
        }
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A clock for tests: it moves only when told to, and whoever waits for it wakes then. Clones share the time.
#[derive(Clone)]
pub struct SimulatedTime(Arc<watch::Sender<Timestamp>>);

impl SimulatedTime {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(start)))
    }

    /// Moves the clock on and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.send_modify(|now| *now = now.plus_ms(ms));
    }
}

impl fmt::Debug for SimulatedTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedTime({})", self.now())
    }
}

impl Clock for SimulatedTime {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }
}

#[async_trait]
impl Time for SimulatedTime {
    async fn sleep_until(&self, at: Timestamp) {
        // The sender lives in `self`: waiting for it cannot fail.
        let _ = self.0.subscribe().wait_for(|now| *now >= at).await;
    }

    async fn sleep(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.sleep_until(self.now().plus_ms(ms)).await;
    }

    fn steady_ms(&self) -> u64 {
        u64::try_from(self.now().0).unwrap_or(0)
    }
}

/// The store's time as this process knows it: its own clock, corrected by what the store said last.
#[derive(Debug)]
pub(crate) struct StoreTime {
    own: Arc<dyn Time>,
    /// Timers are the engine's own: a blocked runtime of the program must not hold them up.
    timers: Handle,
    ahead_ms: AtomicI64,
}

impl StoreTime {
    pub(crate) fn new(own: Arc<dyn Time>, timers: Handle) -> Self {
        Self { own, timers, ahead_ms: AtomicI64::new(0) }
    }

    /// Takes note of the store's clock, read by a call that began at `asked_at` by the own clock.
    pub(crate) fn correct(&self, asked_at: Timestamp, store: Timestamp) {
        let answered_at = self.own.now();
        let middle = asked_at.0 + (answered_at.0 - asked_at.0) / 2;
        let ahead = store.0 - middle;
        // Half a round trip is the error of one reading: a smaller difference says nothing.
        let noise = (answered_at.0 - asked_at.0).abs() / 2 + 1;
        if (ahead - self.ahead_ms.load(Ordering::Relaxed)).abs() > noise {
            self.ahead_ms.store(ahead, Ordering::Relaxed);
        }
    }

    /// How far the time of day, as engines tell it, is ahead of a clock that nobody sets.
    pub(crate) fn ahead_of_steady_ms(&self) -> i64 {
        self.now().0.saturating_sub(i64::try_from(self.own.steady_ms()).unwrap_or(i64::MAX))
    }

    pub(crate) fn own_now(&self) -> Timestamp {
        self.own.now()
    }

    /// How far the own clock is ahead of the store's.
    pub(crate) fn ahead_of_store_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed).saturating_neg()
    }

    pub(crate) async fn sleep_until(&self, at: Timestamp) {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        self.on_own_timers(self.own.sleep_until(Timestamp(at.0.saturating_sub(ahead)))).await;
    }

    pub(crate) async fn sleep(&self, ms: u64) {
        self.on_own_timers(self.own.sleep(Duration::from_millis(ms))).await;
    }

    /// Waits for real, also where time is simulated: for looking again at what another thread does.
    pub(crate) async fn pause(&self, time: Duration) {
        self.on_own_timers(async move { tokio::time::sleep(time).await }).await;
    }

    async fn on_own_timers(&self, sleep: impl Future<Output = ()>) {
        let mut sleep = std::pin::pin!(sleep);
        std::future::poll_fn(|cx| {
            let _inside = self.timers.enter();
            sleep.as_mut().poll(cx)
        })
        .await;
    }
}

impl Clock for StoreTime {
    fn now(&self) -> Timestamp {
        Timestamp(self.own.now().0.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }
}
