//! Word from others that there may be something to do. Never the truth: a hint that is missed, or that never comes because
//! the connection is dead, costs the wait that the caller asked for, nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Client, RedisError};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// How long to wait before listening again after the connection broke.
const AGAIN: Duration = Duration::from_secs(1);

/// Listens on a connection of its own, from the first use until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    told: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

impl Hints {
    /// Completes at the next hint.
    pub(crate) fn told(&self) -> &Notify {
        &self.told
    }

    /// Begins to listen, unless it does already.
    pub(crate) fn listen(&self, client: &Client, channel: String, connect_timeout: Duration) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (client, told) = (client.clone(), Arc::clone(&self.told));
        let listening = tokio::spawn(async move {
            loop {
                if let Err(error) = hear(&client, &channel, &told, connect_timeout).await {
                    tracing::debug!(%error, "no hints from Redis");
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        *task = Some(listening.abort_handle());
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

/// Passes hints on until the connection ends.
async fn hear(
    client: &Client,
    channel: &str,
    told: &Notify,
    connect_timeout: Duration,
) -> Result<(), RedisError> {
    let connect = async {
        let mut listener = client.get_async_pubsub().await?;
        listener.subscribe(channel).await?;
        Ok::<_, RedisError>(listener)
    };
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let listener = timeout(connect_timeout, connect).await.map_err(late)??;
    let mut messages = listener.into_on_message();
    // What came while nobody listened.
    told.notify_waiters();
    while messages.next().await.is_some() {
        told.notify_waiters();
    }
    Ok(())
}
