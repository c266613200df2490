//! Work on files, beside the threads that steps run on, and told to give up when nobody waits for it any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stepwell::prelude::*;

use crate::fault::{FileFault, FileResult};

/// Whether the attempt that a piece of work belongs to is still wanted.
pub(crate) struct Alive {
    ctx: StepContext,
    dropped: Arc<AtomicBool>,
}

impl Alive {
    /// To be called often: shows life, and says when to give up.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.ctx.heartbeat();
        if self.dropped.load(Ordering::Relaxed) || self.ctx.cancelled().is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "told to stop"));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self { ctx: StepContext::for_test(), dropped: Arc::default() }
    }
}

/// Sets the flag when the future that holds it is dropped: its thread cannot be.
struct Tell(Arc<AtomicBool>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs work that waits for the disk on a thread made for such.
pub(crate) async fn on_disk<T: Send + 'static>(
    ctx: &StepContext,
    work: impl FnOnce(&Alive) -> FileResult<T> + Send + 'static,
) -> StepResult<T> {
    let dropped = Arc::new(AtomicBool::new(false));
    let _tell = Tell(Arc::clone(&dropped));
    let alive = Alive { ctx: ctx.clone(), dropped };
    // A panic would pause the run until the code is mended; one odd file must not hold a whole import.
    let done = tokio::task::spawn_blocking(move || work(&alive)).await.permanent()?;
    done.map_err(FileFault::into_step_error)
}
