//! When a failed step is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::Disposition;
use super::failure::Failure;
use super::policy::{PolicyError, ms};

/// How the delay between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// The same before every attempt.
    Fixed {
        /// The delay in milliseconds.
        delay_ms: u64,
    },
    /// One step longer each time.
    Linear {
        /// The first delay, and what each further one adds, in milliseconds.
        step_ms: u64,
    },
    /// A constant factor longer each time.
    Exponential {
        /// The first delay in milliseconds.
        first_ms: u64,
        /// What each delay is multiplied with to get the next; at least 1.
        factor: f64,
    },
}

/// How a delay is spread, so that many runs that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Evenly between nothing and the whole delay.
    Full,
}

impl Jitter {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// When a failed step is tried again, and when no more. Stored as written here; what is missing is not limited.
///
/// By default: five attempts, after 200 ms, 400 ms, 800 ms …, never more than a minute, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How the delay grows.
    pub backoff: Backoff,
    /// The longest delay in milliseconds; only a delay that the error itself names may be longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_ms: Option<u64>,
    /// How the delay is spread.
    #[serde(default, skip_serializing_if = "Jitter::is_none")]
    pub jitter: Jitter,
    /// The most attempts, the first included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// No attempt begins later than this after the first one began, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_elapsed_ms: Option<u64>,
}

const ATTEMPTS_DEFAULT: u32 = 5;
const CAP_DEFAULT_MS: u64 = 60_000;
const FIRST_DEFAULT_MS: u64 = 200;
const FACTOR_DEFAULT: f64 = 2.0;

impl Default for Retry {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(FIRST_DEFAULT_MS)).jitter()
    }
}

impl Retry {
    /// The same delay before every attempt, five attempts, no jitter.
    #[must_use]
    pub fn fixed(delay: Duration) -> Self {
        Self::growing(Backoff::Fixed { delay_ms: ms(delay) }, ms(delay))
    }

    /// Delays of one, two, three … times `step`, at most a minute or `step`, five attempts, no jitter.
    #[must_use]
    pub fn linear(step: Duration) -> Self {
        Self::growing(Backoff::Linear { step_ms: ms(step) }, ms(step))
    }

    /// Delays that begin with `first` and double, at most a minute or `first`, five attempts, no jitter.
    #[must_use]
    pub fn exponential(first: Duration) -> Self {
        let backoff = Backoff::Exponential { first_ms: ms(first), factor: FACTOR_DEFAULT };
        Self::growing(backoff, ms(first))
    }

    /// One attempt and no other.
    #[must_use]
    pub fn none() -> Self {
        Self { max_attempts: Some(1), ..Self::growing(Backoff::Fixed { delay_ms: 0 }, 0) }
    }

    fn growing(backoff: Backoff, first_ms: u64) -> Self {
        Self {
            backoff,
            cap_ms: Some(first_ms.max(CAP_DEFAULT_MS)),
            jitter: Jitter::None,
            max_attempts: Some(ATTEMPTS_DEFAULT),
            max_elapsed_ms: None,
        }
    }

    /// At most `n` attempts, the first included.
    #[must_use]
    pub fn max_attempts(mut self, n: u32) -> Self {
        self.max_attempts = Some(n);
        self
    }

    /// As many attempts as it takes: only `max_elapsed` and the step's deadline end it.
    #[must_use]
    pub fn unlimited_attempts(mut self) -> Self {
        self.max_attempts = None;
        self
    }

    /// No attempt begins later than `limit` after the first one began.
    #[must_use]
    pub fn max_elapsed(mut self, limit: Duration) -> Self {
        self.max_elapsed_ms = Some(ms(limit));
        self
    }

    /// No delay is longer than `longest`, save one that the error itself names.
    #[must_use]
    pub fn cap(mut self, longest: Duration) -> Self {
        self.cap_ms = Some(ms(longest));
        self
    }

    /// Spreads each delay evenly between nothing and its whole length ([`Jitter::Full`]).
    #[must_use]
    pub fn jitter(mut self) -> Self {
        self.jitter = Jitter::Full;
        self
    }

    /// What each exponential delay is multiplied with to get the next. Other kinds of backoff have no factor.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        if let Backoff::Exponential { factor: current, .. } = &mut self.backoff {
            *current = factor;
        }
        self
    }

    /// Finds settings that cannot be meant.
    ///
    /// # Errors
    /// [`PolicyError`] says which setting and what to write instead.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.max_attempts == Some(0) {
            return Err(PolicyError::Zero {
                limit: "retry.max_attempts",
                instead: "1, or Retry::none(), for a single attempt",
            });
        }
        if self.max_elapsed_ms == Some(0) {
            return Err(PolicyError::Zero {
                limit: "retry.max_elapsed",
                instead: "Retry::none() for a single attempt",
            });
        }
        if self.cap_ms == Some(0) {
            return Err(PolicyError::Zero {
                limit: "retry.cap",
                instead: "Retry::fixed(…) for delays that do not grow",
            });
        }
        match self.backoff {
            Backoff::Exponential { factor, .. } if !(factor.is_finite() && factor >= 1.0) => {
                Err(PolicyError::Factor { factor })
            }
            _ => Ok(()),
        }
    }

    /// What follows a failed attempt. Pure: the same question has the same answer.
    ///
    /// A delay that the failure names is a floor. With jitter the spread is added on top of it, so that runs that
    /// were turned away together do not come back together.
    #[must_use]
    pub fn decide(&self, asked: RetryAsk<'_>) -> RetryDecision {
        let RetryAsk { attempt, elapsed_ms, failure, random } = asked;
        if failure.class.disposition() != Disposition::Retryable {
            return RetryDecision::Never;
        }
        if self.max_attempts.is_some_and(|max| attempt >= max) {
            return RetryDecision::Exhausted { limit: "max_attempts" };
        }
        if failure.class.attempts_max().is_some_and(|max| attempt >= max) {
            return RetryDecision::Exhausted { limit: "class" };
        }
        let longest_ms = self.delay_ms(attempt);
        let floor_ms = failure.retry_after_ms.unwrap_or(0);
        let delay_ms = match self.jitter {
            Jitter::None => longest_ms.max(floor_ms),
            Jitter::Full => {
                let spread_ms = (longest_ms as f64 * random.clamp(0.0, 1.0)) as u64;
                // A float near the largest integer may have been rounded up.
                floor_ms.saturating_add(spread_ms.min(longest_ms))
            }
        };
        if self.max_elapsed_ms.is_some_and(|max| elapsed_ms.saturating_add(delay_ms) > max) {
            return RetryDecision::Exhausted { limit: "max_elapsed" };
        }
        RetryDecision::Again { delay_ms }
    }

    /// The delay after this attempt (1, 2, 3, …), in milliseconds, under the cap and before jitter.
    fn delay_ms(&self, attempt: u32) -> u64 {
        let delay_ms = match self.backoff {
            Backoff::Fixed { delay_ms } => delay_ms,
            Backoff::Linear { step_ms } => step_ms.saturating_mul(u64::from(attempt.max(1))),
            Backoff::Exponential { first_ms: 0, .. } => 0,
            // Floats saturate: an infinite product becomes the largest integer. `max` also heals a factor that is
            // no number.
            Backoff::Exponential { first_ms, factor } => {
                (first_ms as f64 * factor.max(1.0).powf(f64::from(attempt.saturating_sub(1)))) as u64
            }
        };
        self.cap_ms.map_or(delay_ms, |cap_ms| delay_ms.min(cap_ms))
    }
}

/// What is asked after a failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct RetryAsk<'a> {
    /// Which attempt failed: 1 for the first.
    pub attempt: u32,
    /// Time since the first attempt began, in milliseconds.
    pub elapsed_ms: u64,
    /// How it failed: its class decides whether, its `retry_after_ms` when.
    pub failure: &'a Failure,
    /// A random number from 0 (included) to 1 (excluded), for the jitter.
    pub random: f64,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Another attempt.
    Again {
        /// After this many milliseconds.
        delay_ms: u64,
    },
    /// The failure could pass, but there were attempts enough.
    Exhausted {
        /// What ended it: `max_attempts`, `max_elapsed`, or `class` where [`ErrorClass::attempts_max`] did.
        ///
        /// [`ErrorClass::attempts_max`]: super::error::ErrorClass::attempts_max
        limit: &'static str,
    },
    /// Another attempt would fail the same way.
    Never,
}

#[cfg(test)]
mod tests {
    use super::super::error::ErrorClass;
    use super::*;

    fn failure(class: ErrorClass) -> Failure {
        Failure { class, ..Failure::default() }
    }

    fn ask(failure: &Failure, attempt: u32) -> RetryAsk<'_> {
        RetryAsk { attempt, elapsed_ms: 0, failure, random: 0.5 }
    }

    fn delays(retry: Retry) -> Vec<u64> {
        let failure = failure(ErrorClass::Transient);
        let mut delays = Vec::new();
        while let RetryDecision::Again { delay_ms } = retry.decide(ask(&failure, delays.len() as u32 + 1)) {
            delays.push(delay_ms);
        }
        delays
    }

    #[test]
    fn delays_follow_the_backoff_up_to_the_cap_and_the_attempts() {
        let second = Duration::from_secs(1);
        assert_eq!(delays(Retry::fixed(second)), [1000; 4]);
        assert_eq!(delays(Retry::linear(second).max_attempts(4)), [1000, 2000, 3000]);
        assert_eq!(delays(Retry::exponential(second).cap(second * 3)), [1000, 2000, 3000, 3000]);
        assert_eq!(delays(Retry::exponential(second).factor(3.0).max_attempts(4)), [1000, 3000, 9000]);
        assert_eq!(
            delays(Retry::exponential(second * 120).max_attempts(3)),
            [120_000; 2],
            "first over a minute"
        );
        assert_eq!(delays(Retry::default()), [100, 200, 400, 800], "half of each, as drawn");
        assert!(delays(Retry::none()).is_empty());
    }

    #[test]
    fn the_class_decides_whether_there_is_another_attempt() {
        let retry = Retry::fixed(Duration::ZERO).unlimited_attempts();
        for class in ErrorClass::ALL {
            let failure = failure(class);
            let expected = match (class, class.disposition()) {
                (ErrorClass::Bug, _) => RetryDecision::Exhausted { limit: "class" },
                (_, Disposition::Retryable) => RetryDecision::Again { delay_ms: 0 },
                _ => RetryDecision::Never,
            };
            assert_eq!(retry.decide(ask(&failure, 2)), expected, "{class}");
        }
        assert_eq!(
            retry.decide(ask(&failure(ErrorClass::Bug), 1)),
            RetryDecision::Again { delay_ms: 0 },
            "a bug is tried once more"
        );
    }

    #[test]
    fn a_delay_named_by_the_receiver_is_never_cut_short() {
        let throttled = Failure { retry_after_ms: Some(90_000), ..failure(ErrorClass::Throttled) };
        let plain = Retry::exponential(Duration::from_secs(1));
        assert_eq!(plain.decide(ask(&throttled, 1)), RetryDecision::Again { delay_ms: 90_000 });
        assert_eq!(plain.jitter().decide(ask(&throttled, 1)), RetryDecision::Again { delay_ms: 90_500 });
    }

    #[test]
    fn no_attempt_begins_after_max_elapsed() {
        let retry = Retry::fixed(Duration::from_secs(1)).max_elapsed(Duration::from_secs(10));
        let failure = failure(ErrorClass::Timeout);
        let at = |elapsed_ms| retry.decide(RetryAsk { elapsed_ms, ..ask(&failure, 1) });
        assert_eq!(at(9_000), RetryDecision::Again { delay_ms: 1000 });
        assert_eq!(at(9_001), RetryDecision::Exhausted { limit: "max_elapsed" });
        assert_eq!(at(u64::MAX), RetryDecision::Exhausted { limit: "max_elapsed" });
    }

    #[test]
    fn delays_are_bounded_and_grow_for_any_settings() {
        let mut random = fastrand::Rng::with_seed(7);
        let failure = failure(ErrorClass::Transient);
        for _ in 0..2_000 {
            let first_ms = random.u64(..) >> random.u32(..64);
            let cap_ms = random.u64(..) >> random.u32(..64);
            let retry = Retry {
                backoff: match random.u8(..3) {
                    0 => Backoff::Fixed { delay_ms: first_ms },
                    1 => Backoff::Linear { step_ms: first_ms },
                    _ => Backoff::Exponential { first_ms, factor: 1.0 + random.f64() * 10.0 },
                },
                cap_ms: random.bool().then_some(cap_ms),
                jitter: Jitter::None,
                max_attempts: None,
                max_elapsed_ms: None,
            };
            let mut before_ms = 0;
            for attempt in [0, 1, 2, 3, 5, 100, 10_000, u32::MAX] {
                let drawn = random.f64();
                let RetryDecision::Again { delay_ms } = retry.decide(ask(&failure, attempt)) else {
                    panic!("nothing limits it: {retry:?}");
                };
                let spread = retry.jitter().decide(RetryAsk { random: drawn, ..ask(&failure, attempt) });
                assert!(delay_ms >= before_ms, "{retry:?} at {attempt}");
                assert!(retry.cap_ms.is_none_or(|cap| delay_ms <= cap), "{retry:?} at {attempt}");
                assert!(
                    matches!(spread, RetryDecision::Again { delay_ms: spread_ms } if spread_ms <= delay_ms),
                    "{retry:?} at {attempt}: {spread:?}"
                );
                before_ms = delay_ms;
            }
        }
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let second = Duration::from_secs(1);
        for retry in [
            Retry::fixed(second).max_attempts(0),
            Retry::fixed(second).max_elapsed(Duration::ZERO),
            Retry::fixed(second).cap(Duration::ZERO),
            Retry::exponential(second).factor(0.5),
            Retry::exponential(second).factor(f64::NAN),
            Retry::exponential(second).factor(f64::INFINITY),
        ] {
            assert!(retry.check().is_err(), "{retry:?}");
        }
        for retry in [Retry::default(), Retry::none(), Retry::fixed(Duration::ZERO)] {
            assert_eq!(retry.check(), Ok(()));
        }
    }

    #[test]
    fn a_policy_is_stored_small_and_read_back_the_same() {
        for retry in
            [Retry::default(), Retry::none(), Retry::linear(Duration::from_secs(1)).unlimited_attempts()]
        {
            let text = serde_json::to_string(&retry).unwrap();
            assert_eq!(serde_json::from_str::<Retry>(&text).unwrap(), retry, "{text}");
        }
        assert_eq!(
            serde_json::to_string(&Retry::default()).unwrap(),
            r#"{"backoff":{"exponential":{"first_ms":200,"factor":2.0}},"cap_ms":60000,"jitter":"full","max_attempts":5}"#
        );
    }
}
