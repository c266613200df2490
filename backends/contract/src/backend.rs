//! The trait a store implements, and its laws.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::batch::{Batch, Verdict};
use crate::error::BackendError;
use crate::head::Head;
use crate::info::StoreInfo;
use crate::key::RunKey;
use crate::limits::{CLAIM_RUNS_MAX, PAGE_ITEMS_MAX};
use crate::message::Message;
use crate::query::{Claim, Cursor, Page, Query};
use crate::record::{Record, Seq};
use crate::tally::{Tallies, Tally};

/// A store of runs.
///
/// The engine calls [`commit`](Self::commit) from one committer, which gathers what all runs have to write; the next
/// call may come while one is being synced, and a store that [gathers](StoreInfo::gathers) gets many calls at once. So
/// does each other engine that shares the store; everything else may be called from anywhere at any time. The trait is pull-only: whatever watches,
/// retries or schedules lives above it. [`MemoryBackend`](crate::MemoryBackend) is the reference in code.
///
/// # Laws
///
/// Each is a named test of the conformance kit.
///
/// *Writing*
/// 1. After `commit` returns `Accepted` for a batch, `head`, `journal` and `inbox` show it, even if the process
///    or, at level D2, the machine stops right away.
/// 2. A batch is applied whole or not at all, and the batches of one call in their order.
/// 3. A batch whose guard does not hold is `Rejected` with the present version and leaves no trace; the others of
///    the same call are not affected.
/// 4. `Guard::Absent` holds only when there is no such run, `Guard::At(v)` only when the head has exactly version
///    `v`, counter and nonce, `Guard::Exists` only when there is such a run.
/// 5. Of any number of batches that write a head under the same guard `At(v)` or `Absent`, at most one is applied.
/// 6. A batch whose head's version *is* the present one is `Accepted` without effect: it was applied before.
/// 7. An error is about the whole call. `Definite`: no batch was applied. `Indefinite`: any of them may have been,
///    each whole. `Poisoned`: no later write of this opening is ever accepted.
/// 8. A batch that contradicts itself or is over a limit fails the call as `Definite` (`Invalid`, `TooLarge`)
///    before anything is written.
///
/// *Journal*
/// 9. Records are returned in the order of `seq`, from 1 on, without gap or repeat, byte for byte as written.
///
/// *Inbox*
/// 10. A message is delivered at most once per id and run: posting an id again has no effect, also after it was
///     taken.
/// 11. Messages are returned in the order in which they were posted.
/// 12. Posting never changes the head, so no outsider can make the owner's next batch fail.
/// 13. Messages are taken only together with a write of the head: a stale owner takes nothing.
///
/// *Leases and claims*
/// 14. A lease ends at `now + ttl_ms`, where `now` is the store's clock at the write of the head that carries it.
/// 15. A run is due exactly when [`Head::is_due`] says so by the store's clock. A run with mail is due: no wake-up
///     is lost.
/// 16. `claim` returns due runs only, each to one claimer only, each with the fence raised by one, a new version
///     and a lease to the claimer, highest priority first, oldest first among equals, at most `limit`; runs of
///     other tenants, queues, workflows or versions than asked for are left alone.
/// 17. An exclusive store ends every lease when it is opened, so that a dead owner's runs are due at once; a shared
///     store keeps them. Either way the head keeps the worker's name and its version.
///
/// *Reading*
/// 18. `scan` returns the heads that fit, ordered by `created_at` and key, each once, a page of at most `limit`;
///     following `next` to the end visits every run that was there throughout.
/// 19. No read reaches a run of another tenant than its key or query names.
///
/// *Keeping*
/// 20. What was acknowledged is there after the store is closed and opened again, and its identity is the same.
/// 21. A second opening of an exclusive store fails at once as `Locked`, names the holder and changes nothing.
/// 22. `remove` deletes finished runs whole, leaves unfinished and unknown ones alone, and says how many it deleted;
///     the id can be used again.
/// 23. The clock may jump: no lease is lost to another claimer before its end by the store's clock, and whatever
///     becomes due does so again when the clock has passed it.
/// 24. A payload is opaque: it comes back as it was, whatever it says.
///
/// *Counting*
/// 25. `tally` counts every run once, by tenant, workflow, queue and status, each such sort once and none without runs.
///     Taken while nothing is written it is exact, also after the store was opened again. Taken among writes, it still
///     counts a run that is there throughout once, as its head was at some moment of the call; one that is made or removed
///     meanwhile is counted or not. It need not be of one moment for all runs.
///
/// # Cancellation
///
/// Dropping the future of a call that writes leaves its outcome unknown, as an `Indefinite` error does.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// Applies each batch whole or not at all, in the order given, and returns when those applied are durable.
    /// There is one verdict for each batch, in the same order.
    ///
    /// # Errors
    /// See law 7. After `Indefinite` the engine reads the heads back: one that carries the version it was writing
    /// was written.
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError>;

    /// Returns the head of a run; `None` when there is no such run.
    ///
    /// # Errors
    /// `Definite`: read again later, or mend what it says is corrupt.
    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError>;

    /// Returns up to `limit` records of a run from `from` on; empty when there are none or no such run.
    /// Fewer than `limit` are returned only at the end of the journal; a `limit` over [`PAGE_ITEMS_MAX`] is read as it.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError>;

    /// Returns up to `limit` messages that wait for a run, oldest first; a `limit` over [`PAGE_ITEMS_MAX`] is read as it.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError>;

    /// Returns the page of heads behind `after` that fit the query. Reads the index only, never a payload.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError>;

    /// Deletes finished runs with their journals and inboxes, durably, and returns how many it deleted.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit): after `Indefinite` call it again.
    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError>;

    /// Returns what the store says of itself now.
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    async fn info(&self) -> Result<StoreInfo, BackendError>;

    /// Returns how many runs there are of each tenant, workflow, queue and status, in no particular order.
    ///
    /// The default walks all heads by [`scan`](Self::scan), which is right and slow: a listing that shows counts asks
    /// for them each time, so a store of many runs counts along with its writes ([`Tallies`]).
    ///
    /// # Errors
    /// As for [`head`](Self::head).
    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        let mut tallies = Tallies::default();
        let mut after = None;
        loop {
            let page = self.scan(&Query::default(), after, PAGE_ITEMS_MAX).await?;
            tallies.merge(&page.items.iter().collect());
            after = page.next;
            if after.is_none() {
                return Ok(tallies.list());
            }
        }
    }

    /// Leases up to `limit` due runs to a worker and returns their heads as they are then.
    ///
    /// The default is made of [`scan`](Self::scan) and [`commit`](Self::commit); a store that can do it in one
    /// move overrides it. A claim whose reply is lost costs its runs one lease period, nothing else.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit); after `Indefinite` claim again.
    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        let query = Query { tenant: claim.tenant.clone(), due: true, ..Query::default() };
        let mut due = Vec::new();
        let mut after = None;
        loop {
            let page = self.scan(&query, after, PAGE_ITEMS_MAX).await?;
            due.extend(page.items.into_iter().filter(|head| claim.wants(head)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        due.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| Cursor::of(a).cmp(&Cursor::of(b))));
        due.truncate(claim.limit.min(CLAIM_RUNS_MAX));
        let now = self.info().await?.now;
        let taken: Vec<Head> =
            due.iter().enumerate().map(|(nth, head)| claim.taken(head, nth, now)).collect();
        let batches: Vec<Batch> = due
            .iter()
            .zip(&taken)
            .map(|(head, taken)| Batch::replace(head.version, taken.clone(), Vec::new()))
            .collect();
        let verdicts = self.commit(&batches).await?;
        let won = taken.into_iter().zip(verdicts).filter(|(_, verdict)| verdict.is_accepted());
        Ok(won.map(|(head, _)| head).collect())
    }

    /// Returns when there may be something new to claim or to read, at the latest after `up_to`. Only a hint:
    /// it may return early for nothing, and what it misses is found by asking again.
    async fn changed(&self, up_to: Duration) {
        tokio::time::sleep(up_to).await;
    }
}
