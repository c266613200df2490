//! A clock for all stores: it runs on by itself and can be moved ahead, so that nobody waits for hours.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use stepwell::clock::Time;
use stepwell_contract::{Clock, SystemClock, Timestamp, async_trait};
use tokio::sync::watch;

/// The time of this machine, some way off. Clones are the same clock. Redis, whose clock is its server's, is given the same
/// way off.
#[derive(Debug, Clone)]
pub struct MovedClock {
    ahead_ms: Arc<AtomicI64>,
    moved: Arc<watch::Sender<()>>,
}

impl Default for MovedClock {
    /// One that has not been moved.
    fn default() -> Self {
        Self { ahead_ms: Arc::default(), moved: Arc::new(watch::Sender::new(())) }
    }
}

impl MovedClock {
    /// A clock that stands at `start` now.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        let clock = Self::default();
        clock.ahead_ms.store(start.0 - SystemClock.now().0, Ordering::SeqCst);
        clock
    }

    /// Lets so much time pass at once.
    ///
    /// # Panics
    /// When that is more than there is.
    pub fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("a time that there is");
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
        self.moved.send_replace(());
    }

    /// Lets time pass until then; a time that has gone by changes nothing.
    pub fn pass_until(&self, at: Timestamp) {
        self.pass(Duration::from_millis(at.since_ms(self.now())));
    }

    /// How far it is ahead of the machine's, in milliseconds.
    #[must_use]
    pub fn ahead_ms(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.ahead_ms)
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.ahead_ms.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Time for MovedClock {
    async fn sleep_until(&self, at: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            let left = at.since_ms(self.now());
            if left == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left)) => {}
                // The sender lives in `self`.
                _ = moved.changed() => {}
            }
        }
    }

    async fn sleep(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.sleep_until(self.now().plus_ms(ms)).await;
    }
}
