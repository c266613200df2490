//! The limits of steps and runs, and which of several places they come from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::retry::Retry;

// ---- durations

/// `n` milliseconds.
#[must_use]
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `n` seconds.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
#[must_use]
pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3_600))
}

/// `n` days of 24 hours.
#[must_use]
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(86_400))
}

/// Whole milliseconds, rounded up so that a short duration never becomes zero, which would mean something else.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

// ---- what a step or workflow says

/// What happens when a step runs twice, which a crash can bring about at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It changes nothing outside.
    Pure,
    /// The receiver recognises a repetition, by the idempotency key for instance.
    #[default]
    Idempotent,
    /// A repetition does harm: after a crash in the middle the run pauses as *in doubt*, and a person decides.
    NotIdempotent,
}

/// What a run does when a step that could succeed later has used up its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// It pauses with its diagnosis and can be resumed at this step.
    #[default]
    Pause,
    /// It fails.
    Fail,
}

/// What a worker does with a run that began under another definition of its workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// A run stays with the version of the workflow that it began with; a changed definition of that version goes on with it
    /// where it fits what is recorded.
    #[default]
    Pin,
    /// The same, and the worker takes over runs of the older versions that the workflow lists; those that fit go on as runs
    /// of this one.
    Migrate,
    /// A changed definition under the same version holds the run, also where it would fit.
    Refuse,
}

impl OnChange {
    fn is_pin(&self) -> bool {
        *self == Self::Pin
    }
}

/// The value of a limit of time that says: no limit, whatever is said further out.
const NO_LIMIT_MS: u64 = u64::MAX;

/// The limits of a step. `None` everywhere at first: not said here, so the workflow, then the engine, then the
/// built-in default decides ([`effective`]).
///
/// ```
/// use stepwell::workflow::policy::{Effect, StepPolicy, millis, mins, secs};
/// use stepwell::workflow::retry::Retry;
///
/// let policy = StepPolicy::default()
///     .attempt_timeout(secs(30))
///     .deadline(mins(10))
///     .retry(Retry::exponential(millis(200)).max_attempts(5).jitter())
///     .effect(Effect::Idempotent);
/// assert_eq!(policy.check(), Ok(()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct StepPolicy {
    /// How long one attempt may take, in milliseconds. `u64::MAX`: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    /// How long all attempts and the delays between them may take together, in milliseconds. `u64::MAX`: without
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How long an attempt may go without a sign of life, in milliseconds. `u64::MAX`: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout_ms: Option<u64>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What a repetition does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// What the run does when the attempts are used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// At how many lost workers in this step the run pauses instead of taking down one more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash_max: Option<u32>,
    /// How long an attempt is likely to take, in milliseconds: for estimates before there is experience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
}

impl StepPolicy {
    /// This policy, and where it says nothing the other one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            attempt_timeout_ms: self.attempt_timeout_ms.or(other.attempt_timeout_ms),
            deadline_ms: self.deadline_ms.or(other.deadline_ms),
            heartbeat_timeout_ms: self.heartbeat_timeout_ms.or(other.heartbeat_timeout_ms),
            retry: self.retry.or(other.retry),
            effect: self.effect.or(other.effect),
            on_exhausted: self.on_exhausted.or(other.on_exhausted),
            crash_max: self.crash_max.or(other.crash_max),
            estimate_ms: self.estimate_ms.or(other.estimate_ms),
        }
    }

    /// One attempt may take this long.
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout_ms = Some(ms(limit));
        self
    }

    /// One attempt may take as long as it likes, whatever the workflow and the engine say.
    #[must_use]
    pub fn no_attempt_timeout(mut self) -> Self {
        self.attempt_timeout_ms = Some(NO_LIMIT_MS);
        self
    }

    /// All attempts and the delays between them may take this long together.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline_ms = Some(ms(limit));
        self
    }

    /// There is no deadline, whatever the workflow and the engine say.
    #[must_use]
    pub fn no_deadline(mut self) -> Self {
        self.deadline_ms = Some(NO_LIMIT_MS);
        self
    }

    /// An attempt may go this long without a sign of life.
    #[must_use]
    pub fn heartbeat_timeout(mut self, limit: Duration) -> Self {
        self.heartbeat_timeout_ms = Some(ms(limit));
        self
    }

    /// An attempt need not show signs of life, whatever the workflow and the engine say.
    #[must_use]
    pub fn no_heartbeat_timeout(mut self) -> Self {
        self.heartbeat_timeout_ms = Some(NO_LIMIT_MS);
        self
    }

    /// When it is tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// What a repetition does.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// What the run does when the attempts are used up.
    #[must_use]
    pub fn on_exhausted(mut self, then: OnExhausted) -> Self {
        self.on_exhausted = Some(then);
        self
    }

    /// At `n` lost workers in this step the run pauses.
    #[must_use]
    pub fn crash_max(mut self, n: u32) -> Self {
        self.crash_max = Some(n);
        self
    }

    /// How long an attempt is likely to take.
    #[must_use]
    pub fn estimate(mut self, likely: Duration) -> Self {
        self.estimate_ms = Some(ms(likely));
        self
    }

    /// Finds settings that cannot be meant.
    ///
    /// # Errors
    /// [`PolicyError`] says which setting and what to write instead.
    pub fn check(&self) -> Result<(), PolicyError> {
        for (value, limit, instead) in [
            (self.attempt_timeout_ms, "attempt_timeout", "no_attempt_timeout() for no limit"),
            (self.deadline_ms, "deadline", "no_deadline() for no limit"),
            (self.heartbeat_timeout_ms, "heartbeat_timeout", "no_heartbeat_timeout() for no limit"),
            (self.crash_max.map(u64::from), "crash_max", "1 to pause at the first lost worker"),
            (self.estimate_ms, "estimate", "nothing when there is no estimate"),
        ] {
            nonzero(value, limit, instead)?;
        }
        let limited = |ms: Option<u64>| ms.filter(|ms| *ms != NO_LIMIT_MS);
        let attempt_ms = limited(self.attempt_timeout_ms);
        let over = |(inner, inner_ms): (&'static str, Option<u64>),
                    (outer, outer_ms): (&'static str, Option<u64>)| {
            match (limited(inner_ms), limited(outer_ms)) {
                (Some(inner_ms), Some(outer_ms)) if inner_ms > outer_ms => {
                    Err(PolicyError::NeverReached { inner, inner_ms, outer, outer_ms })
                }
                _ => Ok(()),
            }
        };
        over(("attempt_timeout", attempt_ms), ("deadline", self.deadline_ms))?;
        over(("heartbeat_timeout", self.heartbeat_timeout_ms), ("attempt_timeout", attempt_ms))?;
        over(("heartbeat_timeout", self.heartbeat_timeout_ms), ("deadline", self.deadline_ms))?;
        self.retry.map_or(Ok(()), |retry| retry.check())
    }
}

/// The limits of a run and of all steps of its workflow.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RunPolicy {
    /// How long the run may take from its start to its end, pauses included, in milliseconds. A delayed one starts when its
    /// delay is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_deadline_ms: Option<u64>,
    /// How long the run may wait for its first worker, in milliseconds. A delayed one waits once its delay is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_wait_ms: Option<u64>,
    /// What becomes of runs that began under another definition.
    #[serde(default, skip_serializing_if = "OnChange::is_pin")]
    pub on_change: OnChange,
    /// What holds for each step that does not say otherwise.
    #[serde(default, skip_serializing_if = "StepPolicy::says_nothing")]
    pub step: StepPolicy,
}

impl StepPolicy {
    fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl RunPolicy {
    /// The run may take this long from its start to its end.
    #[must_use]
    pub fn run_deadline(mut self, limit: Duration) -> Self {
        self.run_deadline_ms = Some(ms(limit));
        self
    }

    /// The run may wait this long for its first worker.
    #[must_use]
    pub fn queue_wait(mut self, limit: Duration) -> Self {
        self.queue_wait_ms = Some(ms(limit));
        self
    }

    /// What becomes of runs that began under another definition.
    #[must_use]
    pub fn on_change(mut self, then: OnChange) -> Self {
        self.on_change = then;
        self
    }

    /// What holds for each step that does not say otherwise.
    #[must_use]
    pub fn step(mut self, policy: StepPolicy) -> Self {
        self.step = policy;
        self
    }

    /// Finds settings that cannot be meant.
    ///
    /// # Errors
    /// [`PolicyError`] says which setting and what to write instead.
    pub fn check(&self) -> Result<(), PolicyError> {
        nonzero(self.run_deadline_ms, "run_deadline", "nothing for no limit")?;
        nonzero(self.queue_wait_ms, "queue_wait", "nothing for no limit")?;
        self.step.check()
    }
}

fn nonzero(value: Option<u64>, limit: &'static str, instead: &'static str) -> Result<(), PolicyError> {
    if value == Some(0) { Err(PolicyError::Zero { limit, instead }) } else { Ok(()) }
}

/// A setting that cannot be meant.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A limit of zero lets nothing happen.
    #[error("{limit} is zero, which lets nothing happen; write {instead}")]
    Zero {
        /// Which limit.
        limit: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// A limit lies beyond the one around it, so it never takes effect.
    #[error(
        "{inner} of {inner_ms} ms is longer than {outer} of {outer_ms} ms and never takes effect; \
         shorten {inner} or lengthen {outer}"
    )]
    NeverReached {
        /// The limit without effect.
        inner: &'static str,
        /// Its value in milliseconds.
        inner_ms: u64,
        /// The limit around it.
        outer: &'static str,
        /// Its value in milliseconds.
        outer_ms: u64,
    },
    /// Delays would shrink, or not be numbers.
    #[error("retry.factor of {factor} would make delays shrink or endless; write a number of at least 1")]
    Factor {
        /// The factor.
        factor: f64,
    },
}

// ---- what holds in the end

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The step.
    Step,
    /// Its workflow.
    Workflow,
    /// The configuration of the engine.
    Engine,
    /// Nobody: it is built in.
    Default,
}

impl Origin {
    /// The word used in journals and texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Workflow => "workflow",
            Self::Engine => "engine",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A limit and who set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit<T> {
    /// The limit.
    pub value: T,
    /// Who set it.
    pub from: Origin,
}

/// The limits that hold for a step, each with who set it. `None` in a limit of time: there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effective {
    /// How long one attempt may take, in milliseconds.
    pub attempt_timeout_ms: Limit<Option<u64>>,
    /// How long all attempts and the delays between them may take together, in milliseconds.
    pub deadline_ms: Limit<Option<u64>>,
    /// How long an attempt may go without a sign of life, in milliseconds.
    pub heartbeat_timeout_ms: Limit<Option<u64>>,
    /// When it is tried again.
    pub retry: Limit<Retry>,
    /// What a repetition does.
    pub effect: Limit<Effect>,
    /// What the run does when the attempts are used up.
    pub on_exhausted: Limit<OnExhausted>,
    /// At how many lost workers in this step the run pauses.
    pub crash_max: Limit<u32>,
    /// How long an attempt is likely to take, in milliseconds.
    pub estimate_ms: Limit<Option<u64>>,
}

/// The limits that somebody set, by name: what a journal keeps of [`Effective`].
pub type Stated = BTreeMap<String, Limit<Value>>;

/// How long one attempt may take when nobody says otherwise.
pub const ATTEMPT_TIMEOUT_DEFAULT: Duration = mins(10);
/// At how many lost workers in one step a run pauses when nobody says otherwise.
pub const CRASH_MAX_DEFAULT: u32 = 5;

/// The limits that hold for a step: of each limit the nearest word counts. When nobody says anything, an attempt
/// may take ten minutes, there is no deadline and no heartbeat, the retry policy is [`Retry::default`], the step
/// counts as idempotent, and the run pauses when its attempts are used up or five workers were lost in it.
#[must_use]
pub fn effective(step: &StepPolicy, workflow: &StepPolicy, engine: &StepPolicy) -> Effective {
    let said = [(step, Origin::Step), (workflow, Origin::Workflow), (engine, Origin::Engine)];

    fn nearest<T>(
        said: [(&StepPolicy, Origin); 3],
        read: impl Fn(&StepPolicy) -> Option<T>,
        default: T,
    ) -> Limit<T> {
        said.into_iter()
            .find_map(|(policy, from)| Some(Limit { value: read(policy)?, from }))
            .unwrap_or(Limit { value: default, from: Origin::Default })
    }

    let time = |read: fn(&StepPolicy) -> Option<u64>, default_ms| {
        let Limit { value, from } = nearest(said, read, default_ms);
        Limit { value: (value != NO_LIMIT_MS).then_some(value), from }
    };

    Effective {
        attempt_timeout_ms: time(|policy| policy.attempt_timeout_ms, ms(ATTEMPT_TIMEOUT_DEFAULT)),
        deadline_ms: time(|policy| policy.deadline_ms, NO_LIMIT_MS),
        heartbeat_timeout_ms: time(|policy| policy.heartbeat_timeout_ms, NO_LIMIT_MS),
        retry: nearest(said, |policy| policy.retry, Retry::default()),
        effect: nearest(said, |policy| policy.effect, Effect::default()),
        on_exhausted: nearest(said, |policy| policy.on_exhausted, OnExhausted::default()),
        crash_max: nearest(said, |policy| policy.crash_max, CRASH_MAX_DEFAULT),
        estimate_ms: time(|policy| policy.estimate_ms, NO_LIMIT_MS),
    }
}

impl Effective {
    /// The limits that somebody set, without the built-in ones, such as
    /// `{"attempt_timeout_ms":{"value":30000,"from":"step"}}`.
    #[must_use]
    pub fn stated(&self) -> Stated {
        fn keep<T: Serialize>(stated: &mut Stated, name: &str, limit: &Limit<T>) {
            if limit.from != Origin::Default {
                let value =
                    serde_json::to_value(&limit.value).expect("numbers and plain enums have a JSON form");
                stated.insert(name.to_owned(), Limit { value, from: limit.from });
            }
        }
        // All fields by name: a new limit that is not kept would not compile.
        let Self {
            attempt_timeout_ms,
            deadline_ms,
            heartbeat_timeout_ms,
            retry,
            effect,
            on_exhausted,
            crash_max,
            estimate_ms,
        } = self;
        let mut stated = Stated::new();
        keep(&mut stated, "attempt_timeout_ms", attempt_timeout_ms);
        keep(&mut stated, "deadline_ms", deadline_ms);
        keep(&mut stated, "heartbeat_timeout_ms", heartbeat_timeout_ms);
        keep(&mut stated, "retry", retry);
        keep(&mut stated, "effect", effect);
        keep(&mut stated, "on_exhausted", on_exhausted);
        keep(&mut stated, "crash_max", crash_max);
        keep(&mut stated, "estimate_ms", estimate_ms);
        stated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts_and_is_named() {
        let step = StepPolicy::default().attempt_timeout(secs(30));
        let workflow = StepPolicy::default().attempt_timeout(secs(60)).deadline(mins(5)).crash_max(2);
        let engine = StepPolicy::default().deadline(mins(9)).retry(Retry::none()).effect(Effect::Pure);
        let held = effective(&step, &workflow, &engine);
        assert_eq!(held.attempt_timeout_ms, Limit { value: Some(30_000), from: Origin::Step });
        assert_eq!(held.deadline_ms, Limit { value: Some(300_000), from: Origin::Workflow });
        assert_eq!(held.crash_max, Limit { value: 2, from: Origin::Workflow });
        assert_eq!(held.retry, Limit { value: Retry::none(), from: Origin::Engine });
        assert_eq!(held.effect, Limit { value: Effect::Pure, from: Origin::Engine });
        assert_eq!(held.on_exhausted, Limit { value: OnExhausted::Pause, from: Origin::Default });
    }

    #[test]
    fn without_a_word_the_defaults_hold_and_nothing_is_stated() {
        let nothing = StepPolicy::default();
        let held = effective(&nothing, &nothing, &nothing);
        let from = Origin::Default;
        let expected = Effective {
            attempt_timeout_ms: Limit { value: Some(600_000), from },
            deadline_ms: Limit { value: None, from },
            heartbeat_timeout_ms: Limit { value: None, from },
            retry: Limit { value: Retry::default(), from },
            effect: Limit { value: Effect::Idempotent, from },
            on_exhausted: Limit { value: OnExhausted::Pause, from },
            crash_max: Limit { value: 5, from },
            estimate_ms: Limit { value: None, from },
        };
        assert_eq!(held, expected);
        assert!(held.stated().is_empty());
    }

    #[test]
    fn a_step_can_lift_a_limit_set_further_out() {
        let step = StepPolicy::default().no_attempt_timeout().no_deadline().no_heartbeat_timeout();
        let workflow =
            StepPolicy::default().attempt_timeout(secs(60)).deadline(mins(5)).heartbeat_timeout(secs(5));
        assert_eq!(step.check(), Ok(()));
        let held = effective(&step, &workflow, &StepPolicy::default());
        for limit in [held.attempt_timeout_ms, held.deadline_ms, held.heartbeat_timeout_ms] {
            assert_eq!(limit, Limit { value: None, from: Origin::Step });
        }
    }

    #[test]
    fn the_journal_keeps_what_was_stated_and_by_whom() {
        let step = StepPolicy::default().attempt_timeout(secs(30)).no_deadline();
        let engine = StepPolicy::default().on_exhausted(OnExhausted::Fail);
        let stated = effective(&step, &StepPolicy::default(), &engine).stated();
        let text = serde_json::to_string(&stated).unwrap();
        assert_eq!(
            text,
            r#"{"attempt_timeout_ms":{"value":30000,"from":"step"},"deadline_ms":{"value":null,"from":"step"},"on_exhausted":{"value":"fail","from":"engine"}}"#
        );
        assert_eq!(serde_json::from_str::<Stated>(&text).unwrap(), stated);
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused_with_advice() {
        let policy = StepPolicy::default;
        for (policy, advice) in [
            (policy().attempt_timeout(Duration::ZERO), "write no_attempt_timeout()"),
            (policy().deadline(Duration::ZERO), "write no_deadline()"),
            (policy().heartbeat_timeout(Duration::ZERO), "write no_heartbeat_timeout()"),
            (policy().estimate(Duration::ZERO), "estimate is zero"),
            (policy().crash_max(0), "write 1 to pause"),
            (policy().retry(Retry::fixed(secs(1)).max_attempts(0)), "Retry::none()"),
            (policy().retry(Retry::exponential(secs(1)).factor(0.9)), "at least 1"),
            (
                policy().attempt_timeout(secs(20)).deadline(secs(10)),
                "shorten attempt_timeout or lengthen deadline",
            ),
            (policy().attempt_timeout(secs(20)).heartbeat_timeout(secs(30)), "shorten heartbeat_timeout"),
        ] {
            let error = RunPolicy::default().step(policy).check().expect_err(advice).to_string();
            assert!(error.contains(advice), "{error:?} does not say {advice:?}");
        }
        assert!(RunPolicy::default().queue_wait(Duration::ZERO).check().is_err());
        assert!(RunPolicy::default().run_deadline(Duration::ZERO).check().is_err());
        assert_eq!(policy().no_attempt_timeout().deadline(secs(10)).check(), Ok(()));
    }

    #[test]
    fn durations_are_rounded_up_and_never_overflow() {
        assert_eq!([Duration::ZERO, Duration::from_nanos(1), millis(1)].map(ms), [0, 1, 1]);
        assert_eq!(ms(days(u64::MAX)), u64::MAX);
        assert_eq!(mins(2), secs(120));
        assert_eq!((hours(24), days(1)), (days(1), secs(86_400)));
    }

    #[test]
    fn a_policy_that_says_nothing_is_stored_as_nothing() {
        assert_eq!(serde_json::to_string(&RunPolicy::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<RunPolicy>("{}").unwrap(), RunPolicy::default());
        let policy =
            RunPolicy::default().step(StepPolicy::default().no_deadline().effect(Effect::NotIdempotent));
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(text, r#"{"step":{"deadline_ms":18446744073709551615,"effect":"not_idempotent"}}"#);
        assert_eq!(serde_json::from_str::<RunPolicy>(&text).unwrap(), policy);
    }
}
