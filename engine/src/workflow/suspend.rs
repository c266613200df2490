//! Waiting in the middle of a step: the attempt ends by an early return, the run is given up, and when what it waits for has
//! come the step is run again and has the answer at once.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stepwell_contract::{Name, Payload, Timestamp};

use crate::run::suspended::wait_key;
use crate::run::token::Token;
use crate::run::waiting::Waiting;
use crate::workflow::child::{Child, check_part};
use crate::workflow::context::StepContext;
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::policy::ms;
use crate::workflow::step::decode;

/// What a step waits for: whichever comes first.
///
/// ```
/// # use stepwell::prelude::*;
/// # use stepwell::{Wait, Woken};
/// # async fn demo(ctx: &StepContext) -> StepResult<()> {
/// match ctx.wait("answer", Wait::new().signal("approved").signal("refused").within(days(2))).await? {
///     Woken::Signal(heard) => ctx.info(format!("{}: {}", heard.signal, heard.said)),
///     Woken::Child(_) => {}
///     Woken::Time => ctx.warn("nobody answered"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Wait {
    signals: Vec<String>,
    children: Vec<String>,
    until: Option<Timestamp>,
    within_ms: Option<u64>,
}

impl Wait {
    /// Nothing yet; waiting for nothing is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Or a signal of that name. One that came before, and that nothing has waited for, counts.
    pub fn signal(mut self, name: impl Into<String>) -> Self {
        self.signals.push(name.into());
        self
    }

    /// Or the end of a run that the step has started.
    pub fn child<T>(mut self, child: &Child<T>) -> Self {
        self.children.push(child.part().to_owned());
        self
    }

    /// Like [`child`](Self::child), by the name that the step gave it.
    pub(crate) fn child_named(mut self, part: &str) -> Self {
        self.children.push(part.to_owned());
        self
    }

    /// Or this time, by the store's clock.
    pub fn until(mut self, at: Timestamp) -> Self {
        self.until = Some(at);
        self
    }

    /// Or so long from when the wait is recorded.
    pub fn within(mut self, time: Duration) -> Self {
        self.within_ms = Some(ms(time));
        self
    }
}

/// What ended a wait.
#[derive(Debug, Clone, PartialEq)]
pub enum Woken {
    /// A signal.
    Signal(Heard),
    /// The end of a run that the step has started, by the name it gave it.
    Child(String),
    /// The time was over.
    Time,
}

/// One of several signals that were waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Its name.
    pub signal: Name,
    /// What it says.
    pub said: serde_json::Value,
}

impl Heard {
    /// What it says, as a type.
    ///
    /// # Errors
    /// Class `validation` when it is something else.
    pub fn said<T: DeserializeOwned>(&self) -> StepResult<T> {
        T::deserialize(&self.said).map_err(|error| {
            StepError::validation(format!("signal {} says something else: {error}", self.signal))
        })
    }
}

#[derive(Deserialize)]
struct Ended {
    child: String,
}

impl StepContext {
    /// Waits for whichever comes first, under a name that no other wait of the step has. The attempt ends with an early
    /// return, which is to be passed on with `?`; the run is given up, and costs no thread and no lease until then. When it
    /// has come, the step is run again from its beginning, and this returns the recorded answer at once. What lies before it
    /// is run again too: wrap what must not be in [`once`](Self::once).
    ///
    /// # Errors
    /// The early return, [`StepError::is_suspension`]; class `bug` when it waits for nothing or a name is not one.
    ///
    /// # Cancellation
    /// Nothing is written before the attempt has ended.
    pub async fn wait(&self, part: &str, wait: Wait) -> StepResult<Woken> {
        check_part(part)?;
        if let Some(answer) = self.memo(&wait_key(part)) {
            return woken(part, &answer);
        }
        let signals: Result<Vec<Name>, _> = wait.signals.iter().map(Name::new).collect();
        let signals = signals.map_err(|error| StepError::bug(format!("wait {part:?}: {error}")))?;
        let within = wait.within_ms.map(|ms| self.now().plus_ms(ms));
        let until = wait.until.into_iter().chain(within).min();
        if signals.is_empty() && wait.children.is_empty() && until.is_none() {
            return Err(StepError::bug(format!("wait {part:?} waits for nothing, and would never end")));
        }
        let part = part.to_owned();
        Err(StepError::suspended(Waiting {
            part,
            signals,
            children: wait.children,
            outside: false,
            until,
            made: Vec::new(),
        }))
    }

    /// Lets time pass, under a name that no other wait of the step has; see [`wait`](Self::wait).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub async fn sleep(&self, part: &str, time: Duration) -> StepResult<()> {
        self.wait(part, Wait::new().within(time)).await.map(|_| ())
    }

    /// Lets time pass until a time, by the store's clock; see [`wait`](Self::wait).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub async fn sleep_until(&self, part: &str, at: Timestamp) -> StepResult<()> {
        self.wait(part, Wait::new().until(at)).await.map(|_| ())
    }

    /// Waits for a signal of that name, for ever, and gives what it says; see [`wait`](Self::wait). A step that waits for the
    /// same signal again gives the later wait a name of its own there.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait); class `validation` when the signal says something else.
    pub async fn wait_for<T: DeserializeOwned>(&self, signal: &str) -> StepResult<T> {
        match self.wait(signal, Wait::new().signal(signal)).await? {
            Woken::Signal(heard) => heard.said(),
            other => Err(StepError::bug(format!("wait {signal:?} was ended by {other:?}"))),
        }
    }

    /// Like [`wait_for`](Self::wait_for), for a limited time; `None` after it.
    ///
    /// # Errors
    /// As for [`wait_for`](Self::wait_for).
    pub async fn wait_for_within<T: DeserializeOwned>(
        &self,
        signal: &str,
        time: Duration,
    ) -> StepResult<Option<T>> {
        match self.wait(signal, Wait::new().signal(signal).within(time)).await? {
            Woken::Signal(heard) => heard.said().map(Some),
            _ => Ok(None),
        }
    }

    /// What someone outside names this attempt by who is to tell how it ended; see
    /// [`report_later`](Self::report_later).
    #[must_use]
    pub fn token(&self) -> Token {
        Token { run: self.key().clone(), place: self.place().clone(), attempt: self.attempt() }
    }

    /// Ends the attempt and leaves the step to someone outside, who got its [`token`](Self::token) and reports with
    /// [`Engine::report`](crate::Engine::report): a result ends the step, a failure is followed by what its policy says, and so
    /// is silence for `within`. `return ctx.report_later(hours(2));`
    ///
    /// # Errors
    /// The early return, always.
    pub fn report_later<T>(&self, within: impl Into<Option<Duration>>) -> StepResult<T> {
        let until = within.into().map(|time| self.now().plus_ms(ms(time)));
        Err(StepError::suspended(Waiting { outside: true, until, ..Waiting::default() }))
    }
}

fn woken(part: &str, answer: &Payload) -> StepResult<Woken> {
    if answer.text() == "null" {
        return Ok(Woken::Time);
    }
    if let Ok(ended) = answer.decode::<Ended>() {
        return Ok(Woken::Child(ended.child));
    }
    let heard = decode(answer, &format!("answer to wait {part:?}"));
    heard.map(Woken::Signal).map_err(|failure| StepError::bug(failure.to_string()))
}
