//! A step: the unit of work that a user writes.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stepwell_contract::limits::PAYLOAD_BYTES_MAX;
use stepwell_contract::{Payload, PayloadError};

use crate::workflow::context::StepContext;
use crate::workflow::error::{StepError, StepResult};
use crate::workflow::failure::Failure;
use crate::workflow::finite;
use crate::workflow::policy::StepPolicy;

/// Room that the record of a result needs beside the result itself.
const RECORD_BYTES: usize = 4 << 10;
/// The longest input or output of a step, in bytes of JSON.
pub const VALUE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - RECORD_BYTES;

/// A unit of work whose result is recorded once.
///
/// A step may run more than once: an attempt whose result was not yet recorded when its worker died runs again.
/// Its result is recorded at most once, and from then on it never runs again. A step is a plain struct: call
/// [`run`](Step::run) from a test with [`StepContext::for_test`].
///
/// ```
/// use stepwell::prelude::*;
///
/// struct Greet;
///
/// #[async_trait]
/// impl Step for Greet {
///     type Input = String;
///     type Output = String;
///     const NAME: &'static str = "greet";
///
///     async fn run(&self, _ctx: &StepContext, name: String) -> StepResult<String> {
///         Ok(format!("Hello, {name}"))
///     }
/// }
/// # tokio_test::block_on(async {
/// let greeting = Greet.run(&StepContext::for_test(), "Ada".to_owned()).await.unwrap();
/// assert_eq!(greeting, "Hello, Ada");
/// # });
/// ```
#[async_trait]
pub trait Step: Send + Sync + 'static {
    /// What it takes: the output of what stands before it, stored as JSON.
    type Input: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What it gives, stored as JSON of at most [`VALUE_BYTES_MAX`] bytes. A number in it that is not finite fails the
    /// step: JSON has no word for it.
    type Output: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// The durable identity of the step in its workflow: results are kept under it, so it outlives renamed types and
    /// moved code.
    const NAME: &'static str;
    /// The version of the form of its output, from 1: raise it when what is stored of older runs no longer means the same, and
    /// say with [`migrate`](crate::workflow::builder::WorkflowBuilder::migrate) how the old form becomes the new one.
    const VERSION: u32 = 1;

    /// The limits of the step. What it does not say, the workflow says, then the engine, then the defaults.
    fn policy(&self) -> StepPolicy {
        StepPolicy::default()
    }

    /// Does the work.
    ///
    /// # Errors
    /// Whatever goes wrong. `?` takes any error and the engine classifies it; `.permanent()`, `.validation()` and the
    /// like say it better. The class decides whether the step is tried again.
    ///
    /// # Cancellation
    /// The future is dropped at its next `.await` when its time is over or the run is stopped.
    async fn run(&self, ctx: &StepContext, input: Self::Input) -> StepResult<Self::Output>;
}

/// A step with its types put aside.
#[async_trait]
pub(crate) trait ErasedStep: Send + Sync {
    async fn run_raw(&self, ctx: &StepContext, input: &Payload) -> Result<Payload, RawError>;

    /// Whether the step can read that input; nothing of it runs.
    fn check_input(&self, input: &Payload) -> Result<(), Undecodable>;
}

/// How an attempt of an erased step ends without a result.
pub(crate) enum RawError {
    /// The step said so.
    Step(StepError),
    /// Its input could not be decoded or its output not be stored.
    Value(Failure),
}

/// Puts the types of a step aside.
pub(crate) struct Erased<S>(pub(crate) S);

#[async_trait]
impl<S: Step> ErasedStep for Erased<S> {
    async fn run_raw(&self, ctx: &StepContext, input: &Payload) -> Result<Payload, RawError> {
        let input = read(input, "input").map_err(RawError::Value)?;
        let output = self.0.run(ctx, input).await.map_err(RawError::Step)?;
        encode(&output).map_err(RawError::Value)
    }

    fn check_input(&self, input: &Payload) -> Result<(), Undecodable> {
        examine::<S::Input>(input).map(drop)
    }
}

/// A closure as a step.
pub(crate) struct StepFn<F, I> {
    run: F,
    types: PhantomData<fn(I)>,
}

impl<F, I> StepFn<F, I> {
    pub(crate) fn new(run: F) -> Self {
        Self { run, types: PhantomData }
    }
}

#[async_trait]
impl<F, I, O, Fut> ErasedStep for StepFn<F, I>
where
    F: Fn(StepContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StepResult<O>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + Sync + 'static,
{
    async fn run_raw(&self, ctx: &StepContext, input: &Payload) -> Result<Payload, RawError> {
        let input = read(input, "input").map_err(RawError::Value)?;
        let output = (self.run)(ctx.clone(), input).await.map_err(RawError::Step)?;
        encode(&output).map_err(RawError::Value)
    }

    fn check_input(&self, input: &Payload) -> Result<(), Undecodable> {
        examine::<I>(input).map(drop)
    }
}

/// A closure that decides something about what flows in.
pub(crate) struct Decision<F, C> {
    decide: F,
    types: PhantomData<fn(C)>,
}

impl<F, C> Decision<F, C> {
    pub(crate) fn new(decide: F) -> Self {
        Self { decide, types: PhantomData }
    }
}

#[async_trait]
impl<F, C, W> ErasedStep for Decision<F, C>
where
    F: Fn(&C) -> W + Send + Sync + 'static,
    C: DeserializeOwned + Send + 'static,
    W: Serialize + 'static,
{
    async fn run_raw(&self, _ctx: &StepContext, input: &Payload) -> Result<Payload, RawError> {
        let given: C = read(input, "input").map_err(RawError::Value)?;
        encode(&(self.decide)(&given)).map_err(RawError::Value)
    }

    fn check_input(&self, input: &Payload) -> Result<(), Undecodable> {
        examine::<C>(input).map(drop)
    }
}

/// The code of a step that has none: a sleep or a wait.
pub(crate) struct Passive;

#[async_trait]
impl ErasedStep for Passive {
    async fn run_raw(&self, ctx: &StepContext, _input: &Payload) -> Result<Payload, RawError> {
        Err(RawError::Step(StepError::bug(format!("{} waits and has no code to run", ctx.place()))))
    }

    fn check_input(&self, _input: &Payload) -> Result<(), Undecodable> {
        Ok(())
    }
}

/// Where in a JSON text its value does not fit a type, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {path}: {why}")]
pub(crate) struct Undecodable {
    /// The place, such as `lines[2].price`; `.` for the whole.
    pub(crate) path: String,
    pub(crate) why: String,
}

/// The value of a payload.
pub(crate) fn examine<T: DeserializeOwned>(payload: &Payload) -> Result<T, Undecodable> {
    payload.decode().map_err(|_| {
        // Only a failure pays for knowing the path.
        let mut from = serde_json::Deserializer::from_str(payload.text());
        match serde_path_to_error::deserialize::<_, T>(&mut from) {
            Err(error) => Undecodable { path: error.path().to_string(), why: error.inner().to_string() },
            Ok(_) => Undecodable { path: ".".to_owned(), why: "it has more than one JSON value".to_owned() },
        }
    })
}

/// The value of a stored payload; a failure names the place in the JSON where it does not fit.
pub(crate) fn decode<T: DeserializeOwned>(payload: &Payload, what: &str) -> Result<T, Failure> {
    examine(payload).map_err(|undecodable| Failure::undecodable(what, undecodable))
}

/// The value of a payload that a run has stored.
pub(crate) fn read<T: DeserializeOwned>(payload: &Payload, what: &str) -> Result<T, Failure> {
    decode(payload, what).map_err(Failure::unread)
}

fn encode<T: Serialize>(value: &T) -> Result<Payload, Failure> {
    let payload = match finite::encode(value) {
        Ok(payload) => payload,
        Err(PayloadError::TooLarge { bytes, .. }) => return Err(Failure::oversize(bytes, VALUE_BYTES_MAX)),
        Err(error) => return Err(Failure::undecodable("output", error.to_string())),
    };
    match payload.text().len() {
        bytes if bytes > VALUE_BYTES_MAX => Err(Failure::oversize(bytes, VALUE_BYTES_MAX)),
        _ => Ok(payload),
    }
}

/// A step as a definition holds it.
pub(crate) type SharedStep = Arc<dyn ErasedStep>;
