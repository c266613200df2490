//! A store that stands before another one: it says only what it does otherwise, everything else is passed on.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::backend::Backend;
use crate::batch::{Batch, Verdict};
use crate::error::BackendError;
use crate::head::Head;
use crate::info::StoreInfo;
use crate::key::RunKey;
use crate::message::Message;
use crate::query::{Claim, Cursor, Page, Query};
use crate::record::{Record, Seq};
use crate::tally::Tally;

/// Makes a [`Backend`] of what stands before another one. Each call has a body that passes it on, those with a default
/// in [`Backend`] too: what the store behind does natively is never replaced by accident.
///
/// ```
/// use std::sync::Arc;
/// use stepwell_contract::pass_on::PassOn;
/// use stepwell_contract::{Backend, BackendError, Batch, Fault, FaultKind, Verdict, async_trait};
///
/// #[derive(Debug)]
/// struct ReadOnly(Arc<dyn Backend>);
///
/// #[async_trait]
/// impl PassOn for ReadOnly {
///     fn inner(&self) -> &dyn Backend {
///         &*self.0
///     }
///
///     async fn commit(&self, _: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
///         Err(BackendError::Definite(Fault::new(FaultKind::Refused, "this store is only read")))
///     }
/// }
///
/// fn open(store: Arc<dyn Backend>) -> Arc<dyn Backend> {
///     Arc::new(ReadOnly(store))
/// }
/// ```
///
/// Each method does and promises what the one of the same name in [`Backend`] does, errors and cancellation included.
#[async_trait]
pub trait PassOn: Debug + Send + Sync + 'static {
    /// The store that it stands before.
    fn inner(&self) -> &dyn Backend;

    /// See [`Backend::commit`].
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        self.inner().commit(batches).await
    }

    /// See [`Backend::head`].
    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        self.inner().head(key).await
    }

    /// See [`Backend::journal`].
    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        self.inner().journal(key, from, limit).await
    }

    /// See [`Backend::inbox`].
    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        self.inner().inbox(key, limit).await
    }

    /// See [`Backend::scan`].
    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        self.inner().scan(query, after, limit).await
    }

    /// See [`Backend::remove`].
    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        self.inner().remove(keys).await
    }

    /// See [`Backend::info`].
    async fn info(&self) -> Result<StoreInfo, BackendError> {
        self.inner().info().await
    }

    /// See [`Backend::tally`].
    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        self.inner().tally().await
    }

    /// See [`Backend::claim`].
    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        self.inner().claim(claim).await
    }

    /// See [`Backend::changed`].
    async fn changed(&self, up_to: Duration) {
        self.inner().changed(up_to).await;
    }
}

#[async_trait]
impl<T: PassOn> Backend for T {
    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        PassOn::commit(self, batches).await
    }

    async fn head(&self, key: &RunKey) -> Result<Option<Head>, BackendError> {
        PassOn::head(self, key).await
    }

    async fn journal(&self, key: &RunKey, from: Seq, limit: usize) -> Result<Vec<Record>, BackendError> {
        PassOn::journal(self, key, from, limit).await
    }

    async fn inbox(&self, key: &RunKey, limit: usize) -> Result<Vec<Message>, BackendError> {
        PassOn::inbox(self, key, limit).await
    }

    async fn scan(
        &self,
        query: &Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Head>, BackendError> {
        PassOn::scan(self, query, after, limit).await
    }

    async fn remove(&self, keys: &[RunKey]) -> Result<usize, BackendError> {
        PassOn::remove(self, keys).await
    }

    async fn info(&self) -> Result<StoreInfo, BackendError> {
        PassOn::info(self).await
    }

    async fn tally(&self) -> Result<Vec<Tally>, BackendError> {
        PassOn::tally(self).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Head>, BackendError> {
        PassOn::claim(self, claim).await
    }

    async fn changed(&self, up_to: Duration) {
        PassOn::changed(self, up_to).await;
    }
}
