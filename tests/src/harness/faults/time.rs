//! Faults of time: limits, steps that hang, lag or block, clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use stepwell::async_trait;
use stepwell::clock::Time;
use stepwell::contract::{Clock, MemoryBackend, SystemClock, Timestamp};
use stepwell::{Retry, StepError, StepPolicy, StepResult, Workflow};

use crate::cases;
use crate::harness::faults::case::Case;
use crate::harness::faults::lab::Lab;

pub(super) const CASES: &[Case] = cases! {
    a_timeout_below_what_is_usual: Fault ["SW2001"] "raise_timeout", |lab: Lab| {
        let lab = lab.policy(once().attempt_timeout(ms(200)));
        lab.plays(&["180", "185", "180", "5000"], |_, input| async move { nap(&input).await })
    };
    a_timeout_too_short_for_a_larger_input: Fault ["SW2001"] "raise_timeout", |lab: Lab| {
        let lab = lab.policy(once().attempt_timeout(ms(200)));
        let small = "x".repeat(400);
        let large = "x".repeat(4_000);
        async move {
            let inputs = [small.as_str(), small.as_str(), small.as_str(), small.as_str(), large.as_str()];
            // What it does takes as long as the input is large, and tells nothing meanwhile.
            lab.plays(&inputs, |_, input| async move {
                tokio::time::sleep(ms(input.len() as u64 / 5)).await;
                Ok(String::new())
            }).await
        }
    };
    a_step_that_gives_no_heartbeat: Fault ["SW2002"] "look_at_wait", |lab: Lab| {
        lab.policy(once().heartbeat_timeout(ms(300))).fails(|| async { std::future::pending().await })
    };
    a_step_that_hangs_unlike_before: Fault ["SW2002"] "add_call_timeouts", |lab: Lab| {
        let lab = lab.policy(once().attempt_timeout(ms(600)));
        lab.plays(&["1", "1", "1", "100000"], |_, input| async move { nap(&input).await })
    };
    a_step_that_waits_for_a_lock_nobody_gives_back: Fault ["SW2002"] "look_at_wait", |lab: Lab| {
        let lock = Arc::new(tokio::sync::Semaphore::new(4));
        let lab = lab.policy(once().attempt_timeout(ms(600)));
        lab.plays(&["a", "b", "c", "d", "e"], move |_, _| {
            let lock = Arc::clone(&lock);
            async move {
                let place = lock.acquire_owned().await?;
                place.forget();
                Ok(String::new())
            }
        })
    };
    a_step_that_is_slow_and_gets_on: Fault ["SW2003"] "find_slowdown", |lab: Lab| {
        lab.policy(once().attempt_timeout(ms(500))).plays(&["in"], |ctx, _| async move {
            for nth in 1..1_000 {
                tokio::time::sleep(ms(20)).await;
                ctx.progress(f64::from(nth) / 1_000.0, "importing");
            }
            Ok(String::new())
        })
    };
    a_step_that_blocks_its_thread: Fault ["SW2004"] "move_blocking_work", |lab: Lab| {
        lab.policy(once().attempt_timeout(ms(300))).fails(|| async {
            std::thread::sleep(ms(1_600));
            nap("5000").await
        })
    };
    a_step_that_computes_without_a_pause: Fault ["SW2004"] "move_blocking_work", |lab: Lab| {
        lab.policy(once().attempt_timeout(ms(300))).fails(|| async {
            let until = std::time::Instant::now() + ms(1_600);
            while std::time::Instant::now() < until {
                std::hint::spin_loop();
            }
            nap("5000").await
        })
    };
    a_deadline_used_up_by_an_earlier_step: Fault ["SW2005"] "look_at_step", |mut lab: Lab| async move {
        let flow = Workflow::named("w")
            .run_deadline(ms(600))
            .step_fn("import", |_, _: String| async { nap("500").await })
            .step_fn("charge", |_, _: String| async { nap("5000").await })
            .build();
        let engine = lab.engine(flow.map_err(|error| error.to_string())?).await?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_deadline_used_up_by_failures: Fault ["SW2006"] "mend_earlier_failures", |lab: Lab| {
        let retry = Retry::fixed(ms(100)).max_attempts(100);
        lab.policy(StepPolicy::default().retry(retry).deadline(ms(500))).plays(&["in"], |ctx, _| async move {
            if ctx.attempt() < 3 {
                return Err(StepError::unavailable("the warehouse is closed").code("warehouse.closed"));
            }
            nap("5000").await
        })
    };
    a_deadline_used_up_while_the_run_was_held: Fault ["SW2008"] "raise_deadline", |lab: Lab| async move {
        let flow = Workflow::named("w")
            .run_deadline(ms(600))
            .step_fn("first", |_, input: String| async { Ok::<_, StepError>(input) })
            .wait_for::<String>("go")
            .build();
        let engine = lab.engine(flow.map_err(|error| error.to_string())?).await?;
        let run = engine.start_run("w", "r-1", &"in").await.map_err(|error| error.to_string())?;
        engine.pause(run.key(), "a freeze").await.map_err(|error| error.to_string())?;
        tokio::time::sleep(ms(500)).await;
        engine.resume(run.key(), "over").await.map_err(|error| error.to_string())?;
        lab.told(&engine, run.key()).await
    };
    a_clock_that_jumps: Fault ["SW2007"] "sync_clock", |mut lab: Lab| async move {
        let clock = Jumping::default();
        let jump = clock.clone();
        let flow = Workflow::named("w")
            .run_deadline(Duration::from_secs(3_600))
            .step_fn("act", move |_, _: String| {
                let jump = jump.clone();
                async move {
                    jump.0.store(7_200_000, Ordering::SeqCst);
                    nap("5000").await
                }
            })
            .build();
        let builder = lab.on(Arc::new(MemoryBackend::with_clock(Arc::new(clock.clone()))));
        lab = builder;
        let flow = flow.map_err(|error| error.to_string())?;
        let engine = lab.builder().time(Arc::new(clock)).register(flow).start().await;
        let engine = engine.map_err(|error| error.to_string())?;
        let (run, took) = lab.rests(&engine, "w", "in").await?;
        lab.outcome(&engine, run.key(), took).await
    };
};

/// One attempt.
pub(super) fn once() -> StepPolicy {
    StepPolicy::default().retry(Retry::none())
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Does nothing for so many milliseconds.
pub(super) async fn nap(text: &str) -> StepResult<String> {
    tokio::time::sleep(ms(text.parse()?)).await;
    Ok(String::new())
}

/// A clock of the day that somebody sets forward.
#[derive(Debug, Clone, Default)]
struct Jumping(Arc<AtomicI64>);

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl Time for Jumping {
    async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(ms(10)).await;
        }
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
