//! What a step returns when it did not succeed, and the classes that decide what follows.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::run::waiting::Waiting;
use crate::workflow::policy::ms;

/// What sort of failure it was. The class alone decides what the engine does next; codes and texts are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// A passing fault, such as a reset connection: tried again by the retry policy.
    Transient,
    /// The receiver asks for a slower pace: tried again, never before the delay it named.
    Throttled,
    /// It took longer than allowed: tried again by the retry policy.
    Timeout,
    /// A dependency is down or cannot be reached: tried again by the retry policy.
    Unavailable,
    /// Credentials were refused: not tried again; the run pauses until a person has mended them.
    Auth,
    /// The surroundings are set up wrongly, such as a full disk or a missing setting: not tried again; the run
    /// pauses until a person has mended them.
    Config,
    /// The input is wrong: not tried again; the run fails, and only another input can help.
    Validation,
    /// It can never succeed with this input and code: not tried again; the run fails.
    Permanent,
    /// The code is wrong, such as a panic or an output that cannot be stored: a first attempt is tried once more,
    /// then the run pauses until the code is mended.
    Bug,
    /// The worker went away in the middle: tried again by another, as often as the policy's `crash_max` allows.
    LostWorker,
    /// It was told to stop and says so: after a request it is no failure; without one the run fails.
    Cancelled,
    /// Nobody said what it is, and the engine does not guess: tried again by the retry policy.
    #[default]
    Unclassified,
}

/// What a class means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// The same step with the same input may succeed later: the retry policy says when.
    Retryable,
    /// Another attempt would end the same way: there is none until a person asks for it.
    NonRetryable,
    /// The data is at fault: another attempt with the same input is useless, and code and surroundings are sound.
    ValidationFailure,
}

struct Rule {
    word: &'static str,
    disposition: Disposition,
    pauses: bool,
    attempts_max: Option<u32>,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [Self; 12] = [
        Self::Transient,
        Self::Throttled,
        Self::Timeout,
        Self::Unavailable,
        Self::Auth,
        Self::Config,
        Self::Validation,
        Self::Permanent,
        Self::Bug,
        Self::LostWorker,
        Self::Cancelled,
        Self::Unclassified,
    ];

    const fn rule(self) -> Rule {
        use Disposition::{NonRetryable, Retryable, ValidationFailure};
        let (word, disposition, pauses, attempts_max) = match self {
            Self::Transient => ("transient", Retryable, false, None),
            Self::Throttled => ("throttled", Retryable, false, None),
            Self::Timeout => ("timeout", Retryable, false, None),
            Self::Unavailable => ("unavailable", Retryable, false, None),
            Self::Auth => ("auth", NonRetryable, true, None),
            Self::Config => ("config", NonRetryable, true, None),
            Self::Validation => ("validation", ValidationFailure, false, None),
            Self::Permanent => ("permanent", NonRetryable, false, None),
            Self::Bug => ("bug", Retryable, true, Some(2)),
            Self::LostWorker => ("lost_worker", Retryable, false, None),
            Self::Cancelled => ("cancelled", NonRetryable, false, None),
            Self::Unclassified => ("unclassified", Retryable, false, None),
        };
        Rule { word, disposition, pauses, attempts_max }
    }

    /// What it means for the next attempt.
    #[must_use]
    pub const fn disposition(self) -> Disposition {
        self.rule().disposition
    }

    /// Whether the run pauses once there is no further attempt, whatever the step's policy says, because a person
    /// can mend the cause.
    #[must_use]
    pub const fn pauses(self) -> bool {
        self.rule().pauses
    }

    /// The number of the attempt (1 for the first) from which on none follows one that ended in this class,
    /// whatever the retry policy allows.
    #[must_use]
    pub const fn attempts_max(self) -> Option<u32> {
        self.rule().attempts_max
    }

    /// The word used in journals, listings and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.rule().word
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a step returns.
pub type StepResult<T> = Result<T, StepError>;

/// Why a step did not succeed.
///
/// `?` makes one of any error, also of `anyhow::Error`, `Box<dyn Error + Send + Sync>` and plain texts; the engine
/// then finds the class by looking at the error and its sources ([`Classifiers`](super::classify::Classifiers)).
/// What the step declares itself goes first:
///
/// ```
/// use stepwell::workflow::error::{StepError, StepResult, StepResultExt};
///
/// fn quantity(text: &str) -> StepResult<u32> {
///     let quantity: u32 = text.parse().validation()?; // wrong input: no attempt can mend it
///     if quantity > 500 {
///         return Err(StepError::permanent("more than a pallet holds").code("PALLET_FULL"));
///     }
///     Ok(quantity)
/// }
/// # assert_eq!(quantity("7").unwrap(), 7);
/// # assert!(quantity("seven").is_err() && quantity("501").is_err());
/// ```
///
/// It is not an [`Error`] itself: that is what lets `?` take every error.
pub struct StepError(Box<Parts>);

pub(super) struct Parts {
    pub(super) class: Option<ErrorClass>,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) context: Vec<String>,
    pub(super) location: &'static Location<'static>,
    pub(super) cause: Cause,
}

pub(super) enum Cause {
    Told,
    Source(Box<dyn Error + Send + Sync>),
    /// It is no error: the step waits for something, and the early return ends its attempt.
    Suspended(Box<Waiting>),
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $class:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            #[track_caller]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::told(ErrorClass::$class, message.into())
            }
        )*
    };
}

impl StepError {
    constructors! {
        /// A passing fault: [`ErrorClass::Transient`].
        transient => Transient;
        /// Something took too long: [`ErrorClass::Timeout`].
        timeout => Timeout;
        /// A dependency is down: [`ErrorClass::Unavailable`].
        unavailable => Unavailable;
        /// Credentials were refused: [`ErrorClass::Auth`].
        auth => Auth;
        /// The surroundings are set up wrongly: [`ErrorClass::Config`].
        config => Config;
        /// The input is wrong: [`ErrorClass::Validation`].
        validation => Validation;
        /// It can never succeed: [`ErrorClass::Permanent`].
        permanent => Permanent;
        /// The code is wrong: [`ErrorClass::Bug`].
        bug => Bug;
        /// The step gave up because it was asked to stop: [`ErrorClass::Cancelled`].
        cancelled => Cancelled;
    }

    /// The receiver asks for a slower pace: [`ErrorClass::Throttled`]. Takes the delay it named as a `Duration`,
    /// or `None` when it named none.
    #[must_use]
    #[track_caller]
    pub fn throttled(message: impl Into<String>, retry_after: impl Into<Option<Duration>>) -> Self {
        let mut error = Self::told(ErrorClass::Throttled, message.into());
        error.0.retry_after_ms = retry_after.into().map(ms);
        error
    }

    #[track_caller]
    fn told(class: ErrorClass, message: String) -> Self {
        Self(Box::new(Parts {
            class: Some(class),
            code: None,
            message,
            retry_after_ms: None,
            context: Vec::new(),
            location: Location::caller(),
            cause: Cause::Told,
        }))
    }

    /// Keeps the error that led to this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Cause::Source(source.into());
        self
    }

    /// Declares the class; what the engine would find by looking at the source no longer counts.
    #[must_use]
    pub fn class(mut self, class: ErrorClass) -> Self {
        self.0.class = Some(class);
        self
    }

    /// Names the failure for people, listings and alerts. A code is stable: it never holds data of one run.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// The next attempt waits at least this long, also beyond the cap of the retry policy. An error that is given
    /// a delay and no class counts as retryable: as [`ErrorClass::Transient`] where its source says nothing
    /// better.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after_ms = Some(ms(delay));
        self
    }

    /// Adds a line that says what was going on.
    #[must_use]
    pub fn note(mut self, line: impl fmt::Display) -> Self {
        self.0.context.push(line.to_string());
        self
    }

    /// The text of the error, without context and sources.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The class that the step declared; `None` when it is left to the engine to find one.
    #[must_use]
    pub fn declared_class(&self) -> Option<ErrorClass> {
        self.0.class
    }

    /// The code that the step declared.
    #[must_use]
    pub fn declared_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The delay that the step declared, in milliseconds.
    #[must_use]
    pub fn declared_retry_after_ms(&self) -> Option<u64> {
        self.0.retry_after_ms
    }

    /// The lines added with [`note`](Self::note), the innermost first.
    #[must_use]
    pub fn context_lines(&self) -> &[String] {
        &self.0.context
    }

    /// Where it was made: the place of the constructor, or of the `?` that took the error.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }

    /// The error it was made of, for looking inside with `downcast_ref`.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.cause {
            Cause::Told | Cause::Suspended(_) => None,
            Cause::Source(source) => Some(source.as_ref()),
        }
    }

    /// What ends an attempt whose step waits for something: to be passed on with `?`.
    #[track_caller]
    pub(crate) fn suspended(waiting: Waiting) -> Self {
        let message = "the step waits for something: pass this on with `?`";
        let mut error = Self::told(ErrorClass::Bug, message.to_owned());
        error.0.cause = Cause::Suspended(Box::new(waiting));
        error
    }

    /// Whether it is no error but the early return of a step that waits, for code that handles errors: pass it on.
    #[must_use]
    pub fn is_suspension(&self) -> bool {
        matches!(self.0.cause, Cause::Suspended(_))
    }

    /// What the step waits for, if that is what it says.
    pub(crate) fn into_suspension(self) -> Result<Box<Waiting>, Self> {
        match self.0.cause {
            Cause::Suspended(waiting) => Ok(waiting),
            _ => Err(self),
        }
    }

    pub(super) fn cause(&self) -> &Cause {
        &self.0.cause
    }

    pub(super) fn into_parts(self) -> Parts {
        *self.0
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for StepError {
    #[track_caller]
    fn from(source: E) -> Self {
        let source = source.into();
        Self(Box::new(Parts {
            class: None,
            code: None,
            message: source.to_string(),
            retry_after_ms: None,
            context: Vec::new(),
            location: Location::caller(),
            cause: Cause::Source(source),
        }))
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = &*self.0;
        f.debug_struct("StepError")
            .field("class", &parts.class)
            .field("code", &parts.code)
            .field("message", &parts.message)
            .field("retry_after_ms", &parts.retry_after_ms)
            .field("context", &parts.context)
            .field("location", &format_args!("{}", parts.location))
            .field("source", &self.source())
            .finish()
    }
}

/// Context lines, the outermost first, then the message.
impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.context.iter().rev() {
            write!(f, "{line}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

mod sealed {
    use super::StepError;

    pub trait Sealed {}
    impl<T, E: Into<StepError>> Sealed for Result<T, E> {}
    impl Sealed for StepError {}
}

/// Says in one word what sort of failure it is, on the way to `?`: `self.gateway.charge(card).await.permanent()?`.
/// The same words work on a [`StepError`].
pub trait StepResultExt: sealed::Sealed + Sized {
    /// What comes out: a [`StepResult`] for a result, a [`StepError`] for a `StepError`.
    type Output;

    /// Declares the class, as [`StepError::class`].
    #[track_caller]
    fn class(self, class: ErrorClass) -> Self::Output;

    /// Names the failure, as [`StepError::code`].
    #[track_caller]
    fn code(self, code: impl Into<String>) -> Self::Output;

    /// Sets the least delay, as [`StepError::retry_after`].
    #[track_caller]
    fn retry_after(self, delay: Duration) -> Self::Output;

    /// Says what was going on, as [`StepError::note`]. `format_args!` costs nothing on success.
    #[track_caller]
    fn note(self, line: impl fmt::Display) -> Self::Output;

    /// It is a passing fault: [`ErrorClass::Transient`].
    #[track_caller]
    fn transient(self) -> Self::Output {
        self.class(ErrorClass::Transient)
    }

    /// The input is wrong: [`ErrorClass::Validation`].
    #[track_caller]
    fn validation(self) -> Self::Output {
        self.class(ErrorClass::Validation)
    }

    /// It can never succeed: [`ErrorClass::Permanent`].
    #[track_caller]
    fn permanent(self) -> Self::Output {
        self.class(ErrorClass::Permanent)
    }
}

// `match` and not `map_err`: a closure would hide the caller's place.
impl<T, E: Into<StepError>> StepResultExt for Result<T, E> {
    type Output = StepResult<T>;

    #[track_caller]
    fn class(self, class: ErrorClass) -> StepResult<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().class(class)),
        }
    }

    #[track_caller]
    fn code(self, code: impl Into<String>) -> StepResult<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().code(code)),
        }
    }

    #[track_caller]
    fn retry_after(self, delay: Duration) -> StepResult<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().retry_after(delay)),
        }
    }

    #[track_caller]
    fn note(self, line: impl fmt::Display) -> StepResult<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().note(line)),
        }
    }
}

impl StepResultExt for StepError {
    type Output = Self;

    fn class(self, class: ErrorClass) -> Self {
        Self::class(self, class)
    }

    fn code(self, code: impl Into<String>) -> Self {
        Self::code(self, code)
    }

    fn retry_after(self, delay: Duration) -> Self {
        Self::retry_after(self, delay)
    }

    fn note(self, line: impl fmt::Display) -> Self {
        Self::note(self, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn every_class_has_its_consequence() {
        use Disposition::{NonRetryable, Retryable, ValidationFailure};
        let table = [
            (ErrorClass::Transient, "transient", Retryable, false, None),
            (ErrorClass::Throttled, "throttled", Retryable, false, None),
            (ErrorClass::Timeout, "timeout", Retryable, false, None),
            (ErrorClass::Unavailable, "unavailable", Retryable, false, None),
            (ErrorClass::Auth, "auth", NonRetryable, true, None),
            (ErrorClass::Config, "config", NonRetryable, true, None),
            (ErrorClass::Validation, "validation", ValidationFailure, false, None),
            (ErrorClass::Permanent, "permanent", NonRetryable, false, None),
            (ErrorClass::Bug, "bug", Retryable, true, Some(2)),
            (ErrorClass::LostWorker, "lost_worker", Retryable, false, None),
            (ErrorClass::Cancelled, "cancelled", NonRetryable, false, None),
            (ErrorClass::Unclassified, "unclassified", Retryable, false, None),
        ];
        assert_eq!(table.map(|row| row.0), ErrorClass::ALL);
        for (class, word, disposition, pauses, attempts_max) in table {
            assert_eq!(class.disposition(), disposition, "{class}");
            assert_eq!((class.pauses(), class.attempts_max()), (pauses, attempts_max), "{class}");
            assert_eq!(class.to_string(), word);
            assert_eq!(serde_json::to_value(class).unwrap(), word, "the stored word is the shown word");
        }
    }

    #[test]
    fn the_question_mark_takes_any_error_and_keeps_it_whole() {
        fn step() -> StepResult<()> {
            Err(io::Error::from(io::ErrorKind::ConnectionReset))?
        }
        fn boxed() -> StepResult<()> {
            let error: Box<dyn Error + Send + Sync> = Box::new(io::Error::from(io::ErrorKind::NotFound));
            Err(error)?
        }
        let error = step().unwrap_err();
        assert_eq!(error.declared_class(), None);
        for (error, kind) in
            [(error, io::ErrorKind::ConnectionReset), (boxed().unwrap_err(), io::ErrorKind::NotFound)]
        {
            let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            assert_eq!(source.map(io::Error::kind), Some(kind));
        }
    }

    #[test]
    fn the_words_on_a_result_and_on_an_error_say_the_same() {
        let result = || -> Result<(), io::Error> { Err(io::Error::other("no")) };
        let from_result = result()
            .permanent()
            .code("X")
            .retry_after(Duration::from_micros(1500))
            .note(format_args!("item {}", 7))
            .note("order")
            .unwrap_err();
        let from_error = StepError::from(result().unwrap_err())
            .permanent()
            .code("X")
            .retry_after(Duration::from_micros(1500))
            .note("item 7")
            .note("order");
        for error in [from_result, from_error] {
            assert_eq!(error.declared_class(), Some(ErrorClass::Permanent));
            assert_eq!(error.declared_code(), Some("X"));
            assert_eq!(error.declared_retry_after_ms(), Some(2), "rounded up");
            assert_eq!(error.to_string(), "order: item 7: no");
        }
        assert!(Ok::<_, io::Error>(1).validation().is_ok());
        assert_eq!(StepError::permanent("x").transient().declared_class(), Some(ErrorClass::Transient));
    }

    #[test]
    fn an_error_knows_the_line_that_gave_it_up() {
        fn step(way: u8) -> StepResult<u32> {
            match way {
                0 => Ok("x".parse()?),
                1 => "x".parse().validation(),
                2 => "x".parse::<u32>().note("reading"),
                _ => Err(StepError::bug("x")),
            }
        }
        let first = step(0).unwrap_err().location().line();
        for way in 0..4 {
            let location = step(way).unwrap_err().location();
            assert_eq!((location.file(), location.line()), (file!(), first + u32::from(way)));
        }
    }
}
