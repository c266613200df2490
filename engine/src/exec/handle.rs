//! A run as its starter holds it.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use stepwell_contract::{Head, Payload, RunKey};

use crate::error::{Error, RunError};
use crate::exec::core::Core;
use crate::exec::outcome::Outcome;
use crate::exec::requests;
use crate::run::forms::bring_up;
use crate::workflow::step::decode;

/// How often a run that another process may advance is looked at, at first; the pause doubles up to a second.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_secs(1);

/// A run that was started or found. Dropping it changes nothing: the run goes on.
#[derive(Debug, Clone)]
pub struct RunHandle {
    core: Arc<Core>,
    key: RunKey,
    is_new: bool,
}

impl RunHandle {
    pub(crate) fn new(core: &Arc<Core>, key: RunKey, is_new: bool) -> Self {
        Self { core: Arc::clone(core), key, is_new }
    }

    /// The run.
    #[must_use]
    pub fn key(&self) -> &RunKey {
        &self.key
    }

    /// Whether this call made the run; `false` when it was there before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The run's head as it is now.
    ///
    /// # Errors
    /// [`Error::NoSuchRun`] when it was removed meanwhile; [`Error::Store`].
    pub async fn head(&self) -> Result<Head, Error> {
        requests::head_of(&self.core, &self.key).await
    }

    /// Waits until the run comes to rest and returns its result. Any process may bring it there.
    ///
    /// # Errors
    /// [`RunError::Failed`], [`RunError::Paused`] and [`RunError::Cancelled`] tell how it came to rest without a
    /// result; a paused run goes on when a person lets it, and `result` can be called again.
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        let output = self.output().await?;
        decode(&output, "result of the run").map_err(RunError::Undecodable)
    }

    /// Like [`result`](Self::result), as JSON.
    ///
    /// # Errors
    /// As for [`result`](Self::result).
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn output(&self) -> Result<Payload, RunError> {
        let mut look = LOOK_FIRST;
        let _forget = ForgetWaiter { core: &self.core, key: &self.key };
        loop {
            // Asked for before looking: what happens between the two is told.
            let told = self.core.registry.wait_for(&self.key);
            let head = self.head().await?;
            if let Some(error) = self.core.committer.poison()
                && !head.status.is_finished()
            {
                return Err(Error::from(error).into());
            }
            let is_at_rest = head.status.is_finished() || head.status == stepwell_contract::Status::Paused;
            if self.core.is_stopping() && !is_at_rest && self.core.registry.slot(&self.key).is_none() {
                return Err(Error::ShuttingDown.into());
            }
            let outcome = if is_at_rest {
                let mut state = requests::load_state(&self.core, &self.key).await?;
                if let Some(registered) = self.core.definition_of(&head) {
                    // What has no present form is given as it was stored.
                    bring_up(&registered.definition, &mut state);
                }
                Outcome::of(&state).map_err(Error::from)?
            } else if self.core.registry.slot(&self.key).is_some() {
                // This process drives it and will tell, unless it gives the run up or loses it.
                match tokio::time::timeout(LOOK_LAST, told).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) | Err(_) => continue,
                }
            } else {
                match tokio::time::timeout(look, told).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) | Err(_) => {
                        look = (look * 2).min(LOOK_LAST);
                        continue;
                    }
                }
            };
            return match outcome {
                Outcome::Succeeded(output) => Ok(output),
                Outcome::Failed { place, failure, said } => Err(RunError::Failed { place, failure, said }),
                Outcome::Paused { reason, place, message, failure, said } => {
                    Err(RunError::Paused { reason, place, message, failure, said })
                }
                Outcome::Cancelled => Err(RunError::Cancelled),
                Outcome::Released => continue,
            };
        }
    }
}

/// Takes a waiter back when whoever waited has its answer, or has gone.
struct ForgetWaiter<'a> {
    core: &'a Core,
    key: &'a RunKey,
}

impl Drop for ForgetWaiter<'_> {
    fn drop(&mut self) {
        self.core.registry.forget_waiters(self.key);
    }
}
