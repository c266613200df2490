//! Clocks that can be waited for.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use stepwell_contract::{Clock, SystemClock, Timestamp};
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
