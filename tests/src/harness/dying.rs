//! A store that ends its process at a chosen write, with nothing torn down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stepwell_contract::pass_on::PassOn;
use stepwell_contract::{Backend, BackendError, Batch, Claim, Head, Verdict, async_trait};

/// Where the process dies. The calls are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Before the n-th commit is carried out.
    BeforeCommit(u64),
    /// After the n-th commit was, and before whoever asked for it hears of it.
    AfterCommit(u64),
    /// After the n-th claim that took something, and before the engine knows what.
    AfterClaim(u64),
}

impl Death {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (side, nth) = text.rsplit_once('-')?;
        let nth = nth.parse().ok()?;
        match side {
            "before-commit" => Some(Self::BeforeCommit(nth)),
            "after-commit" => Some(Self::AfterCommit(nth)),
            "after-claim" => Some(Self::AfterClaim(nth)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BeforeCommit(nth) => write!(f, "before-commit-{nth}"),
            Self::AfterCommit(nth) => write!(f, "after-commit-{nth}"),
            Self::AfterClaim(nth) => write!(f, "after-claim-{nth}"),
        }
    }
}

/// The store around another one.
#[derive(Debug)]
pub struct DyingBackend {
    inner: Arc<dyn Backend>,
    death: Option<Death>,
    commits: AtomicU64,
    claims: AtomicU64,
}

impl DyingBackend {
    /// Stands around `inner`; without a death it only counts.
    #[must_use]
    pub fn new(inner: Arc<dyn Backend>, death: Option<Death>) -> Self {
        Self { inner, death, commits: AtomicU64::new(0), claims: AtomicU64::new(0) }
    }

    /// How many commits, and how many claims that took something, there were.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.commits.load(Ordering::SeqCst), self.claims.load(Ordering::SeqCst))
    }

    fn comes_to(&self, here: Death) {
        if self.death == Some(here) {
            // No destructor runs, no buffer is flushed, no lock is let go of by hand.
            std::process::abort();
        }
    }
}

#[async_trait]
impl PassOn for DyingBackend {
    fn inner(&self) -> &dyn Backend {
        &*self.inner
    }

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        let nth = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        self.comes_to(Death::BeforeCommit(nth));
        let answer = self.inner.commit(batches).await;
        self.comes_to(Death::AfterCommit(nth));
        answer
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let answer = self.inner.claim(claim).await;
        if answer.as_ref().is_ok_and(|taken| !taken.is_empty()) {
            let nth = self.claims.fetch_add(1, Ordering::SeqCst) + 1;
            self.comes_to(Death::AfterClaim(nth));
        }
        answer
    }
}
