//! The fault decorator under the laws: calls are refused, lost, or carried out with their reply lost, and a patient
//! caller repeats them, which by law 6 must make no difference.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::RwLock;

use super::Harness;
use crate::backend::Backend;
use crate::batch::{Batch, Verdict};
use crate::error::{BackendError, FaultKind};
use crate::fault::{Calls, Effect, FaultBackend, FaultPlan};
use crate::head::Head;
use crate::info::StoreInfo;
use crate::key::RunKey;
use crate::message::Message;
use crate::query::{Claim, Cursor, Page, Query};
use crate::record::{Record, Seq};
use crate::tally::Tally;

/// A harness whose every opened backend stands behind a [`FaultBackend`] and a caller who repeats what failed.
pub struct Shaken<H> {
    harness: H,
    openings: Mutex<Openings>,
    /// Held alone by a call from its fault to its repetition, so that nobody writes in between: a batch whose version
    /// was overwritten cannot be repeated.
    turn: Arc<RwLock<()>>,
}

#[derive(Default)]
struct Openings {
    number: u64,
    /// What the faults of closed backends came to; those of open ones are asked.
    fired: Arc<Mutex<u64>>,
}

impl<H> std::fmt::Debug for Shaken<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shaken")
    }
}

impl<H: Harness> Shaken<H> {
    /// Puts the decorator around what `harness` opens.
    pub fn new(harness: H) -> Self {
        Self { harness, openings: Mutex::default(), turn: Arc::default() }
    }

    /// How many calls were hit at backends that are closed by now.
    pub fn fired(&self) -> u64 {
        let openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        *openings.fired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<H: Harness> Harness for Shaken<H> {
    async fn open(&self) -> Result<Arc<dyn Backend>, BackendError> {
        let backend = self.harness.open().await?;
        let mut openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        openings.number += 1;
        Ok(Arc::new(Patient {
            faulty: FaultBackend::new(backend, plan(openings.number)),
            turn: Arc::clone(&self.turn),
            fired: Arc::clone(&openings.fired),
        }))
    }

    fn advance_ms(&self, ms: i64) {
        self.harness.advance_ms(ms);
    }
}

fn plan(seed: u64) -> FaultPlan {
    let unavailable = || Effect::Refuse(FaultKind::Unavailable);
    FaultPlan::seeded(seed)
        .nth(Calls::Any, 1, unavailable())
        .nth_commit_that(can_be_repeated, 1, Effect::LoseReply)
        .chance_of_commit_that(can_be_repeated, 0.25, Effect::LoseReply)
        .chance(Calls::Writes, 0.1, Effect::Drop)
        .chance(Calls::Any, 0.1, unavailable())
}

/// Whether the same call again changes nothing and is answered alike: when it writes each run once only. Of two
/// batches for one run the second may hide the version of the first.
fn can_be_repeated(batches: &[Batch]) -> bool {
    let mut seen = HashSet::new();
    batches.iter().all(|batch| seen.insert(&batch.key))
}

/// Repeats what failed in a passing way, at once, until it works.
#[derive(Debug)]
struct Patient {
    faulty: FaultBackend,
    turn: Arc<RwLock<()>>,
    fired: Arc<Mutex<u64>>,
}

impl Drop for Patient {
    fn drop(&mut self) {
        *self.fired.lock().unwrap_or_else(PoisonError::into_inner) += self.faulty.counts().fired_in_all();
    }
}

/// Whether the injected fault, and not the store, failed the call.
fn is_injected(error: &BackendError) -> bool {
    error.to_string().contains("injected fault")
}

macro_rules! repeated {
    ($call:expr) => {
        loop {
            match $call.await {
                Err(error) if is_injected(&error) => {}
                outcome => return outcome,
            }
        }
    };
}

#[async_trait]
impl Backend for Patient {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let _alone = self.turn.write().await;
        repeated!(self.faulty.commit(batches))
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        repeated!(self.faulty.head(key))
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        repeated!(self.faulty.journal(key, from, limit))
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        repeated!(self.faulty.inbox(key, limit))
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        repeated!(self.faulty.scan(query, after.clone(), limit))
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        let _others = self.turn.read().await;
        repeated!(self.faulty.remove(keys))
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        repeated!(self.faulty.info())
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        repeated!(self.faulty.tally())
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let _others = self.turn.read().await;
        repeated!(self.faulty.claim(claim))
    }

    async fn changed(&self, up_to: Duration) {
        self.faulty.changed(up_to).await;
    }
}
