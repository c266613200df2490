//! One attempt of a step: run it within its limits, and say how it ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::{Either, FutureExt, select};
use stepwell_contract::{Clock, Payload, Timestamp};

use crate::exec::panics;
use crate::exec::time::StoreTime;
use crate::exec::witness::{Told, Witness};
use crate::run::seen::Seen;
use crate::run::waiting::Waiting;
use crate::workflow::classify::Classifiers;
use crate::workflow::context::StepContext;
use crate::workflow::failure::{Failure, payload_of_panic};
use crate::workflow::links::links;
use crate::workflow::policy::{Effective, Origin};
use crate::workflow::step::{RawError, SharedStep};

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a result.
    Succeeded(Payload),
    /// In the middle of the step, which waits for something.
    Suspended(Box<Waiting>),
    /// With an error.
    Failed(Box<Failing>),
    /// It was told to stop and did not end by itself: it was dropped.
    Dropped,
}

/// How an attempt failed.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) failure: Failure,
    /// When it ended: what is seen of it is gathered afterwards.
    pub(crate) ended_at: Timestamp,
    pub(crate) seen: Box<Seen>,
}

/// What an attempt needs.
pub(crate) struct Attempt {
    pub(crate) step: SharedStep,
    pub(crate) ctx: StepContext,
    pub(crate) input: Payload,
    pub(crate) bounds: Bounds,
    pub(crate) time: Arc<StoreTime>,
    pub(crate) classifiers: Classifiers,
    /// How long it may go on after it was told to stop.
    pub(crate) stop_grace_ms: u64,
    pub(crate) witness: Arc<Witness>,
    /// Whether this is the only run under way in this process.
    pub(crate) is_alone: bool,
}

/// How an attempt came to its end.
enum Came {
    Over(Ended),
    Failed(Failure, Told),
}

/// When an attempt is cut off.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    /// After so many milliseconds, for this limit.
    pub(crate) end: Option<(u64, Cut)>,
    /// When it has not shown life for this long.
    pub(crate) heartbeat: Option<(u64, Origin)>,
}

/// The limit that cuts an attempt off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    limit: &'static str,
    value_ms: u64,
    from: Origin,
}

impl Bounds {
    /// The bounds of an attempt that begins now, of a step whose first attempt began at `began_at`.
    pub(crate) fn of(limits: &Effective, began_at: Timestamp, now: Timestamp) -> Self {
        let attempt = limits.attempt_timeout_ms.value.map(|value_ms| {
            (value_ms, Cut { limit: "attempt_timeout", value_ms, from: limits.attempt_timeout_ms.from })
        });
        let deadline = limits.deadline_ms.value.map(|value_ms| {
            (
                began_at.plus_ms(value_ms).since_ms(now),
                Cut { limit: "deadline", value_ms, from: limits.deadline_ms.from },
            )
        });
        let heartbeat = limits.heartbeat_timeout_ms.value.map(|ms| (ms, limits.heartbeat_timeout_ms.from));
        let end = attempt.into_iter().chain(deadline).min_by_key(|(after_ms, _)| *after_ms);
        Self { end, heartbeat }
    }

    /// After how many milliseconds the attempt is cut off at the latest.
    pub(crate) fn end_ms(&self) -> Option<u64> {
        self.end.map(|(after_ms, _)| after_ms)
    }
}

impl Attempt {
    /// Runs the step to its end, to a limit, or until it is told to stop; of one that fails it then sees what there is to see.
    ///
    /// # Cancellation
    /// Dropping the future drops the step's.
    pub(crate) async fn run(self) -> Ended {
        let began = self.witness.begin(&self.ctx, self.is_alone);
        let (failure, told) = match self.work().await {
            Came::Over(ended) => return ended,
            Came::Failed(failure, told) => (failure, told),
        };
        let ended_at = self.time.now();
        let seen = self.witness.see(&failure, told, &self.ctx, &self.input, began, &self.time).await;
        Ended::Failed(Box::new(Failing { failure, ended_at, seen: Box::new(seen) }))
    }

    async fn work(&self) -> Came {
        // Classifying runs code of users too: their classifiers, and how their errors print.
        let work = async {
            match self.step.run_raw(&self.ctx, &self.input).await {
                Ok(output) => Came::Over(Ended::Succeeded(output)),
                Err(RawError::Value(failure)) => Came::Failed(failure, Told::default()),
                Err(RawError::Step(error)) => match error.into_suspension() {
                    Ok(waiting) => Came::Over(Ended::Suspended(waiting)),
                    Err(error) => {
                        let told = Told { chain: links(&error), ..Told::default() };
                        Came::Failed(Failure::from_step_error(error, &self.classifiers), told)
                    }
                },
            }
        };
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        // Most steps that do nothing but compute are done at the first poll and never need a timer.
        let ended = match futures_util::poll!(work.as_mut()) {
            std::task::Poll::Ready(ended) => ended,
            std::task::Poll::Pending => match select(work, Box::pin(self.cut_off())).await {
                Either::Left((ended, _)) => ended,
                Either::Right((cut, work)) => {
                    // What the step has spawned may hold the token too.
                    self.ctx.cancelled().cancel();
                    // Dropping runs code of the step as well.
                    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(work))) {
                        let (text, place) =
                            (payload_of_panic(panic), panics::take().map(|panic| panic.place));
                        tracing::warn!(step = %self.ctx.place(), panic = text, ?place, "a step panicked while it was dropped");
                    }
                    return cut;
                }
            },
        };
        match ended {
            Ok(came) => came,
            Err(panic) => {
                let text = payload_of_panic(panic);
                let told = Told { panic: panics::take(), ..Told::default() };
                Came::Failed(Failure::panic(text, told.panic.as_ref().map(|panic| panic.place.clone())), told)
            }
        }
    }

    /// Returns how the attempt ends when the step does not end by itself.
    async fn cut_off(&self) -> Came {
        let stopped = async {
            self.ctx.cancelled().cancelled().await;
            self.time.sleep(self.stop_grace_ms).await;
            Came::Over(Ended::Dropped)
        };
        let late = async {
            match self.bounds.end {
                None => std::future::pending().await,
                Some((after_ms, cut)) => {
                    self.time.sleep(after_ms).await;
                    cut_by(Failure::timeout(cut.limit, cut.value_ms, cut.from.as_str()))
                }
            }
        };
        let silent = async {
            let Some((limit_ms, from)) = self.bounds.heartbeat else { return std::future::pending().await };
            loop {
                let dead_at = self.ctx.last_beat().plus_ms(limit_ms);
                if self.time.now() >= dead_at {
                    return cut_by(Failure::timeout("heartbeat_timeout", limit_ms, from.as_str()));
                }
                self.time.sleep_until(dead_at).await;
            }
        };
        futures_util::future::select_all([stopped.boxed(), late.boxed(), silent.boxed()]).await.0
    }
}

fn cut_by(failure: Failure) -> Came {
    Came::Failed(failure, Told::default())
}
