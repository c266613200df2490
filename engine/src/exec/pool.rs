//! The threads that user code runs on. A step that blocks its thread costs a thread, not another run: the pool
//! notices and adds one in its place.
//!
//! tokio's own scheduler ties tasks to a fixed set of threads, so that as many blocking steps as there are threads
//! would stop every other run. Here all tasks are in one executor that any number of threads serve.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_executor::{Executor, Task};
use stepwell_contract::RunKey;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// A poll that takes this long counts as blocking.
const BLOCKED_AFTER_MS: u64 = 150;
/// How many blockings are kept.
const BLOCKS_MAX: usize = 64;
/// Most threads, those added for blocked ones included.
const THREADS_MAX: usize = 512;

thread_local! {
    static SEAT: RefCell<Option<Arc<Seat>>> = const { RefCell::new(None) };
}

/// The threads that user code runs on.
#[derive(Debug)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Gone once the engine is: what is left of its tasks is dropped with the last thread that serves it.
    executor: Mutex<Option<Arc<Executor<'static>>>>,
    /// The user's tokio runtime, so that timers and sockets work inside steps.
    runtime: Handle,
    wanted: usize,
    seats: Mutex<Vec<Arc<Seat>>>,
    named: AtomicUsize,
    started: Instant,
    /// Milliseconds since `started`, coarse: one store by the keeper instead of a clock read at each poll.
    tick: Arc<AtomicU64>,
    blocks: Arc<Mutex<Blocks>>,
}

/// The longest that tasks have kept a thread, each by where it lies in memory, as the keeper saw it: the tick at which that poll
/// began, and for how long. Only of those that blocked, the latest [`BLOCKS_MAX`].
type Blocks = VecDeque<(usize, u64, u64)>;

/// One thread.
#[derive(Debug)]
struct Seat {
    /// The tick at which the present poll began, plus one; 0 between polls.
    busy_since: AtomicU64,
    /// Whose run is being polled.
    run: Mutex<Option<RunKey>>,
    /// Which task is being polled, by where it lies in memory.
    task: AtomicUsize,
    blocks: Arc<Mutex<Blocks>>,
    /// Told to leave once it is free.
    leave: CancellationToken,
    told: AtomicU64,
    tick: Arc<AtomicU64>,
}

/// The longest that one poll of the present task has kept its thread in the last `within_ms` milliseconds, if that counts as
/// blocking.
pub(crate) fn blocked_ms(within_ms: u64) -> Option<u64> {
    SEAT.with_borrow(|seat| {
        let seat = seat.as_ref()?;
        let now = seat.tick.load(Ordering::Relaxed);
        // A task of before may have lain in the same place.
        let (task, since) =
            (seat.task.load(Ordering::Relaxed), now.saturating_sub(within_ms + BLOCKED_AFTER_MS));
        let earlier = lock(&seat.blocks)
            .iter()
            .filter(|(other, began, _)| *other == task && *began >= since)
            .map(|(.., ms)| *ms)
            .max();
        earlier.into_iter().chain([seat.blocked_ms(now)]).max().filter(|ms| *ms >= BLOCKED_AFTER_MS)
    })
}

/// Whether this is a thread for steps.
pub(crate) fn is_here() -> bool {
    SEAT.with_borrow(Option::is_some)
}

impl Pool {
    /// Starts `threads` threads. Tasks run inside `runtime`.
    pub(crate) fn start(threads: usize, runtime: Handle) -> std::io::Result<Self> {
        let pool = Self(Arc::new(Shared {
            executor: Mutex::new(Some(Arc::new(Executor::new()))),
            runtime,
            wanted: threads.max(1),
            seats: Mutex::default(),
            named: AtomicUsize::new(1),
            started: Instant::now(),
            tick: Arc::default(),
            blocks: Arc::default(),
        }));
        for _ in 0..pool.0.wanted {
            pool.0.add_thread()?;
        }
        Ok(pool)
    }

    /// Runs a future of a run to its end; dropping the task stops it at its next await.
    pub(crate) fn spawn<F>(&self, run: RunKey, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let work = Watched { run, tick: Arc::clone(&self.0.tick), future: Box::pin(future) };
        match &*lock(&self.0.executor) {
            Some(executor) => executor.spawn(work),
            // The engine is gone: the task is never begun, and whoever awaits it is gone too.
            None => Executor::new().spawn(work),
        }
    }

    /// Moves the coarse clock on and replaces blocked threads. The keeper calls it some fifty times a second.
    pub(crate) fn look(&self) {
        let shared = &self.0;
        let now = u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        shared.tick.store(now, Ordering::Relaxed);
        let mut seats = lock(&shared.seats);
        seats.retain(|seat| !(seat.leave.is_cancelled() && Arc::strong_count(seat) == 1));
        let blocked = seats.iter().filter(|seat| seat.blocked_ms(now) >= BLOCKED_AFTER_MS).count();
        for seat in seats.iter() {
            seat.keep_if_blocked(now);
            seat.tell_if_blocked(now);
        }
        let staying = seats.iter().filter(|seat| !seat.leave.is_cancelled()).count();
        let wanted = (shared.wanted + blocked).min(THREADS_MAX);
        if staying > wanted {
            let free = seats.iter().filter(|seat| !seat.leave.is_cancelled() && seat.blocked_ms(now) == 0);
            for seat in free.take(staying - wanted) {
                seat.leave.cancel();
            }
        }
        drop(seats);
        for _ in staying..wanted {
            if let Err(error) = shared.add_thread() {
                tracing::error!(%error, "cannot add a thread for steps in place of a blocked one");
                break;
            }
        }
    }

    /// Lets the threads go once they are free; a blocked one goes when its poll returns.
    pub(crate) fn stop(&self) {
        // Under the lock of the seats: a thread that is just being added is told too, or finds no executor.
        let seats = lock(&self.0.seats);
        let executor = lock(&self.0.executor).take();
        for seat in seats.iter() {
            seat.leave.cancel();
        }
        drop(seats);
        // Tasks hold the engine and so this pool: without this they would keep each other for ever.
        drop(executor);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn add_thread(self: &Arc<Self>) -> std::io::Result<()> {
        let seat = Arc::new(Seat {
            busy_since: AtomicU64::new(0),
            run: Mutex::default(),
            task: AtomicUsize::new(0),
            blocks: Arc::clone(&self.blocks),
            leave: CancellationToken::new(),
            told: AtomicU64::new(0),
            tick: Arc::clone(&self.tick),
        });
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        let (shared, own) = (Arc::clone(self), Arc::clone(&seat));
        {
            let mut seats = lock(&self.seats);
            if lock(&self.executor).is_none() {
                return Ok(());
            }
            seats.push(Arc::clone(&seat));
        }
        let begun = std::thread::Builder::new().name(format!("stepwell-step-{number}")).spawn(move || {
            let _inside = shared.runtime.enter();
            SEAT.set(Some(Arc::clone(&own)));
            let leave = own.leave.clone();
            let executor = lock(&shared.executor).clone();
            if let Some(executor) = executor {
                futures_lite::future::block_on(executor.run(leave.cancelled()));
            }
        });
        if begun.is_err() {
            // Nobody took the seat: the next look puts it away.
            seat.leave.cancel();
        }
        begun.map(|_| ())
    }
}

impl Seat {
    fn blocked_ms(&self, now: u64) -> u64 {
        match self.busy_since.load(Ordering::Relaxed) {
            0 => 0,
            since => now.saturating_sub(since - 1),
        }
    }

    /// Keeps how long a task blocks its thread, for when it fails after that.
    fn keep_if_blocked(&self, now: u64) {
        let (ms, task) = (self.blocked_ms(now), self.task.load(Ordering::Relaxed));
        if ms < BLOCKED_AFTER_MS {
            return;
        }
        let began = now - ms;
        let mut blocks = lock(&self.blocks);
        match blocks.iter_mut().find(|(other, since, _)| *other == task && *since == began) {
            Some((.., known_ms)) => *known_ms = ms,
            None => {
                blocks.push_back((task, began, ms));
                if blocks.len() > BLOCKS_MAX {
                    blocks.pop_front();
                }
            }
        }
    }

    /// Says once for each doubling of the time that a step blocks its thread.
    fn tell_if_blocked(&self, now: u64) {
        let blocked_ms = self.blocked_ms(now);
        let told = self.told.load(Ordering::Relaxed);
        if blocked_ms < 1_000.max(told.saturating_mul(2)) {
            return;
        }
        self.told.store(blocked_ms, Ordering::Relaxed);
        let run = lock(&self.run).as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            run,
            blocked_ms,
            "a step blocks its thread: use `tokio::task::spawn_blocking` for such work"
        );
    }
}

/// A task that tells its thread whose it is while it is polled.
struct Watched<F> {
    run: RunKey,
    tick: Arc<AtomicU64>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        SEAT.with_borrow(|seat| {
            let Some(seat) = seat else { return };
            *lock(&seat.run) = Some(self.run.clone());
            seat.task.store(std::ptr::from_ref(&*self.future).addr(), Ordering::Relaxed);
            seat.busy_since.store(self.tick.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        });
        let _free_again = FreeAgain;
        self.future.as_mut().poll(cx)
    }
}

/// Marks the thread as free when a poll ends, also by a panic.
struct FreeAgain;

impl Drop for FreeAgain {
    fn drop(&mut self) {
        SEAT.with_borrow(|seat| {
            let Some(seat) = seat else { return };
            seat.busy_since.store(0, Ordering::Relaxed);
            seat.told.store(0, Ordering::Relaxed);
        });
    }
}

/// How often the keeper is to call [`Pool::look`].
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
