//! Why a call of the engine failed, by what the caller can do.

use std::sync::Arc;

use stepwell_contract::{BackendError, IdError, PayloadError, RunKey, Status};

use crate::run::event::PauseReason;
use crate::run::place::Place;
use crate::run::said::Said;
use crate::run::state::{FoldError, IllegalTransition};
use crate::workflow::failure::Failure;
use crate::workflow::posted::Unpostable;

/// Why a call of the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed. Nothing is lost that was acknowledged; see [`BackendError`] for what to do.
    #[error("the store failed: {0}")]
    Store(#[source] Arc<BackendError>),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(RunKey),
    /// A run of that id was started with another workflow or input. Use another id, or look at that run.
    #[error("run {key} was started before with another {what}: use another run id, or ask for that run")]
    Conflict {
        /// The run.
        key: RunKey,
        /// What differs.
        what: &'static str,
    },
    /// No workflow of that name and version is registered with this engine, nor has another one told of it.
    #[error("no workflow {name:?} is registered with this engine{hint}")]
    UnknownWorkflow {
        /// The name asked for.
        name: String,
        /// What is there instead.
        hint: String,
    },
    /// The input is none that the workflow takes. Nothing was made: correct it and start again.
    #[error("workflow {workflow} does not take this input: {why}")]
    Input {
        /// The workflow.
        workflow: String,
        /// Which step reads it first, and what is wrong where.
        why: String,
    },
    /// The run's state does not allow what was asked.
    #[error("cannot {verb} run {key}: {why}")]
    Refused {
        /// The run.
        key: RunKey,
        /// What was asked.
        verb: &'static str,
        /// Where the run is.
        status: Status,
        /// Why not.
        why: String,
    },
    /// The run has recorded something since whoever asks has looked at it, and they asked only for the case that it had not. Nothing
    /// else was changed: look at it again.
    #[error("cannot {verb} run {key}: it has gone on since it was looked at")]
    Changed {
        /// The run.
        key: RunKey,
        /// What was asked.
        verb: &'static str,
    },
    /// The request is with the run's owner, which has not answered in time. It stays in the run's inbox and is answered by
    /// its owner, or by the next one.
    #[error(
        "the worker that has run {key} has not answered yet; the request stays in its inbox: look at the run again later"
    )]
    NoAnswerYet {
        /// The run.
        key: RunKey,
    },
    /// An id or name is not one.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A value has no stored form, or a stored value is not what was asked for.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The run's journal cannot be acted on by this version. Nothing was touched.
    #[error("the journal of run {key}: {source}")]
    Journal {
        /// The run.
        key: RunKey,
        /// What is wrong.
        source: FoldError,
    },
    /// Two workflows of the same name and version were registered.
    #[error("workflow {name} version {version} is registered twice")]
    RegisteredTwice {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
    },
    /// A workflow cannot be posted. Nothing was changed.
    #[error("workflow {name} version {version} cannot be posted: {why}")]
    Unpostable {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// Why not.
        why: Unpostable,
    },
    /// The settings contradict each other.
    #[error("{0}")]
    Options(String),
    /// The engine is shutting down. What is stored goes on after the restart.
    #[error("the engine is shutting down: runs go on, and new ones can be started, after the restart")]
    ShuttingDown,
    /// The operating system refused a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A fault in the engine. Please report it.
    #[error("a fault in the engine: {0}")]
    Internal(String),
}

impl From<IllegalTransition> for Error {
    fn from(error: IllegalTransition) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<Arc<BackendError>> for Error {
    fn from(error: Arc<BackendError>) -> Self {
        Self::Store(error)
    }
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It failed. A fixed cause and `retry`, or a new run.
    #[error("the run failed{}: {failure}{}", at(place.as_ref()), line(said.as_deref()))]
    Failed {
        /// The step that failed.
        place: Option<Place>,
        /// What went wrong.
        failure: Failure,
        /// What was said of it; [`Engine::diagnosis`](crate::Engine::diagnosis) has all of it.
        said: Option<Arc<Said>>,
    },
    /// It is held until a person moves it on. Nothing is lost.
    #[error("the run is paused: {message}{}", line(said.as_deref()))]
    Paused {
        /// Why.
        reason: PauseReason,
        /// The step that it is about.
        place: Option<Place>,
        /// What to do.
        message: String,
        /// The failure behind it.
        failure: Option<Failure>,
        /// What was said of it; [`Engine::diagnosis`](crate::Engine::diagnosis) has all of it.
        said: Option<Arc<Said>>,
    },
    /// It was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// The result is there and does not have the type asked for.
    #[error("the result does not have the type asked for: {0}")]
    Undecodable(Failure),
    /// It could not be found out.
    #[error(transparent)]
    Engine(#[from] Error),
}

fn at(place: Option<&Place>) -> String {
    place.map(|place| format!(" at {place}")).unwrap_or_default()
}

fn line(said: Option<&Said>) -> String {
    said.map(|said| format!("; {said}")).unwrap_or_default()
}
