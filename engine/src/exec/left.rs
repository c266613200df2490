//! Why a run was left alone by its worker.

use stepwell_contract::{BackendError, FaultKind, RunKey};

use crate::error::Error;
use crate::exec::slot::WriteError;
use crate::run::state::{FoldError, IllegalTransition};

/// Why a run was left alone by this worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Left {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the journal cannot be read: {0}")]
    Store(#[from] stepwell_contract::BackendError),
    #[error("the journal does not make a state: {0}")]
    Fold(#[from] FoldError),
    #[error("the engine tried an illegal transition: {0}")]
    Illegal(#[from] IllegalTransition),
    #[error("an event has no stored form: {0}")]
    Payload(#[from] stepwell_contract::PayloadError),
    #[error("a panic while a step was dropped: {0}")]
    Panic(String),
}

impl Left {
    /// The same for a caller of the engine.
    pub(crate) fn into_error(self, key: &RunKey) -> Error {
        match self {
            Self::Store(error) => error.into(),
            Self::Fold(source) => Error::Journal { key: key.clone(), source },
            Self::Payload(error) => error.into(),
            Self::Write(WriteError::Store(error)) => error.into(),
            Self::Write(WriteError::Lost) | Self::Illegal(_) | Self::Panic(_) => {
                Error::Internal(self.to_string())
            }
        }
    }

    /// The same for a worker, of what somebody asked the engine on its behalf.
    pub(crate) fn from_error(error: Error) -> Self {
        match error {
            Error::Store(error) => WriteError::Store(error).into(),
            Error::Payload(error) => error.into(),
            Error::Journal { source, .. } => source.into(),
            other => Self::Panic(other.to_string()),
        }
    }

    /// Whether the run would come to the same point again, however often it is taken: only a person can help.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Payload(_) | Self::Illegal(_) => true,
            Self::Write(WriteError::Store(error)) => {
                matches!(**error, BackendError::Definite(_))
                    && matches!(error.kind(), FaultKind::TooLarge | FaultKind::Invalid)
            }
            Self::Write(WriteError::Lost) | Self::Store(_) | Self::Fold(_) | Self::Panic(_) => false,
        }
    }
}
