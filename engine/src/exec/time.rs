//! The store's time, and timers that a blocked runtime of the program does not hold up.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use stepwell_contract::{Clock, Timestamp};
use tokio::runtime::Handle;

use crate::clock::Time;
use crate::exec::pool;

/// The store's time as this process knows it: its own clock, corrected by what the store said last.
#[derive(Debug)]
pub(crate) struct StoreTime {
    own: Arc<dyn Time>,
    /// Timers are the engine's own: a blocked runtime of the program must not hold them up.
    timers: Handle,
    /// Whether the timers are about to end. Read while one is asked, so that none ends meanwhile.
    over: RwLock<bool>,
    ahead_ms: AtomicI64,
}

impl StoreTime {
    pub(crate) fn new(own: Arc<dyn Time>, timers: Handle) -> Self {
        Self { own, timers, over: RwLock::new(false), ahead_ms: AtomicI64::new(0) }
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

    /// Ends what is waited for on the threads of steps, before the runtime of the timers is.
    pub(crate) fn end(&self) {
        *self.over.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    async fn on_own_timers(&self, sleep: impl Future<Output = ()>) {
        let mut sleep = std::pin::pin!(sleep);
        std::future::poll_fn(|cx| {
            let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
            // A task that waits on a thread for steps is dropped with them; a timer that has ended would panic.
            if *over && pool::is_here() {
                return Poll::Pending;
            }
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
