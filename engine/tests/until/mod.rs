//! Waiting for what another thread does.

use std::time::Duration;

/// Returns once something that another thread does is seen; a test that waits in vain fails.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What another thread brings about; a test that waits in vain fails.
pub(crate) async fn soon<T>(what: &str, waited_for: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(Duration::from_secs(30), waited_for).await;
    come.unwrap_or_else(|_| panic!("does not happen: {what}"))
}
