//! Stopping in good order when the operating system asks.

use crate::error::Error;
use crate::exec::engine::Engine;

/// How a process was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every run was ended or given up: exit with 0.
    InGoodOrder,
    /// A second signal came: exit now. What ran goes on as after a crash.
    Now,
}

impl Engine {
    /// Waits for SIGTERM or SIGINT and then shuts down; a second signal cuts that short.
    ///
    /// # Errors
    /// [`Error::Thread`] when the signals cannot be listened to.
    ///
    /// # Cancellation
    /// Dropping the future stops listening; a shutdown that has begun goes on.
    pub async fn shutdown_on_signal(&self) -> Result<Stopped, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Thread)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Thread)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: no more runs are taken, running steps may end");
        tokio::select! {
            () = self.shutdown() => Ok(Stopped::InGoodOrder),
            _ = terminate.recv() => Ok(Stopped::Now),
            _ = interrupt.recv() => Ok(Stopped::Now),
        }
    }
}
