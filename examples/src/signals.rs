//! SIGINT and SIGTERM: the first ends the work in an orderly way, the second ends the process.

use stepwell::Engine;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{self, Trouble};
use crate::progress::Progress;

/// Told by the first signal. Also a resource of the engine, so that steps which wait for others can let go.
#[derive(Debug, Clone, Default)]
pub struct Stop(pub CancellationToken);

impl Stop {
    /// Listens for signals from here on, and tells of them where `progress` does not overwrite it.
    ///
    /// # Errors
    /// [`Trouble`] when the operating system refuses a handler.
    pub fn on_signals(progress: &Progress) -> Result<Self, Trouble> {
        let stop = Self::default();
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Trouble::new(exit::FAILED, "cannot listen for signals", error, "start the program again")
            })
        };
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        tokio::spawn(listen_on(interrupt, terminate, stop.clone(), progress.clone()));
        Ok(stop)
    }

    /// Returns what `work` gives; `None` when a signal came first, after the engine has given up its runs, so that the
    /// next process takes them at once.
    ///
    /// # Cancellation
    /// As for [`Engine::shutdown`].
    pub async fn or<T>(&self, engine: &Engine, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.0.cancelled() => {
                engine.shutdown().await;
                None
            }
        }
    }
}

async fn listen_on(mut interrupt: Signal, mut terminate: Signal, stop: Stop, progress: Progress) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if stop.0.is_cancelled() {
            progress.end();
            eprintln!("stopped at once");
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        progress.aside(|| {
            eprintln!("stopping: what is at hand is finished or given up (once more to stop at once)");
        });
        stop.0.cancel();
    }
}
