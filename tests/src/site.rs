//! A store with a clock that can be moved, and the workers that come to it one after the other.

use std::sync::Arc;
use std::time::Duration;

use stepwell::{Engine, EngineBuilder, EngineOptions, RunHandle};
use stepwell_contract::limits::PAGE_ITEMS_MAX;
use stepwell_contract::{Backend, Clock, Query, RunId, RunKey, Status, TenantId, Timestamp};

use crate::audit::{check_journal, journal};
use crate::clock::MovedClock;
use crate::hold::PATIENCE;
use crate::place::{Kind, Place};
use crate::wait::wait_until;

/// How long a lease of a worker of these lasts.
const LEASE_MS: u64 = 60_000;

/// A store, its clock and its present opening.
#[derive(Debug)]
pub struct Site {
    place: Place,
    time: MovedClock,
    backend: Option<Arc<dyn Backend>>,
}

impl Site {
    /// An empty store whose clock stands at `start`.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn at(kind: Kind, start: Timestamp) -> Self {
        let time = MovedClock::at(start);
        let mut place = Place::moved(kind, &time);
        let backend = Some(place.open().await);
        Self { place, time, backend }
    }

    /// An engine under construction on the present opening.
    pub fn builder(&self) -> EngineBuilder {
        let options =
            EngineOptions { lease_ms: LEASE_MS, poll_ms: 10, threads: 2, ..EngineOptions::default() };
        Engine::builder(Arc::clone(self.backend())).options(options).time(Arc::new(self.time.clone()))
    }

    /// The present opening.
    ///
    /// # Panics
    /// Never: there is one from the beginning on.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.backend.as_ref().expect("it is open")
    }

    /// The workers die as they stand, and whoever comes next finds a store that was opened anew, with their leases over.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn die(&mut self, workers: impl IntoIterator<Item = Engine>) {
        drop(workers.into_iter().collect::<Vec<_>>());
        // Only the engines still hold the store, until their threads have ended.
        self.backend = None;
        self.backend = Some(self.place.open().await);
        // Whoever waits for room looks again some time after that.
        self.pass(Duration::from_millis(LEASE_MS * 2));
    }

    /// The time by the clock of the store.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Lets so much time pass.
    pub fn pass(&self, time: Duration) {
        self.time.pass(time);
    }

    /// Lets time pass until then.
    pub fn pass_until(&self, at: Timestamp) {
        self.time.pass_until(at);
    }

    /// Returns once no run is advanced or due: then time can pass without ending a lease. Looks at what is durable; a list
    /// may know of a claim earlier than the head.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn rests(&self, engine: &Engine) {
        until("nobody works", async || {
            let runs = engine.list(&Query::default(), None, PAGE_ITEMS_MAX).await.expect("a page").items;
            for key in runs.into_iter().map(|head| head.key) {
                let head = engine.get(&key).await.expect("a head").expect("the run");
                let has_mail = !self.backend().inbox(&key, 1).await.expect("an inbox").is_empty();
                if !head.status.is_finished() && (head.lease.is_some() || head.is_due(has_mail, self.now())) {
                    return false;
                }
            }
            engine.running() == 0
        })
        .await;
    }

    /// What is wrong with the journals of these runs.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn faults(&self, runs: impl IntoIterator<Item = RunKey>) -> Vec<String> {
        let mut faults = Vec::new();
        for key in runs {
            let records = journal(self.backend().as_ref(), &key).await.expect("a journal");
            faults.extend(check_journal(&key, &records));
        }
        faults
    }
}

/// The key of a run of the default tenant.
///
/// # Panics
/// When it is not an id.
#[must_use]
pub fn key(run: &str) -> RunKey {
    RunKey::new(TenantId::default(), RunId::new(run).expect("an id"))
}

/// Returns once something is seen.
///
/// # Panics
/// When it does not come.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let seen = wait_until(what, PATIENCE, async || holds().await.then_some(())).await;
    seen.unwrap_or_else(|late| panic!("{late}"));
}

/// Returns once the run has come to that status.
///
/// # Panics
/// When it does not.
pub async fn comes_to(engine: &Engine, key: &RunKey, status: Status) {
    let what = format!("{key} is {status}");
    until(&what, async || engine.get(key).await.expect("a head").is_some_and(|head| head.status == status))
        .await;
}

/// The result of a run that comes to its end.
///
/// # Panics
/// When it does not, or otherwise.
pub async fn result<T: serde::de::DeserializeOwned>(run: &RunHandle) -> T {
    let ended = tokio::time::timeout(PATIENCE, run.result::<T>()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{} does not end", run.key()));
    ended.unwrap_or_else(|error| panic!("{}: {error}", run.key()))
}
