//! Requests that are repeated: whoever names one by an `Idempotency-Key` may send it again, and nothing happens twice.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use serde_json::Value;
use serde_json::value::RawValue;
use stepwell::Error;
use stepwell::contract::{RunKey, Seq};
use stepwell::run::event::{Event, RunCreated};
use uuid::Uuid;

use crate::access::token::SecretHash;
use crate::app::App;
use crate::problem::{Code, Problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The key that a request has, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct IdempotencyKey(Option<String>);

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let mut lines = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(line) = lines.next() else { return Ok(Self(None)) };
        if lines.next().is_some() {
            return Err(Problem::bad("there are several `Idempotency-Key`s"));
        }
        match line.to_str().map_err(|_| Problem::bad("`Idempotency-Key` is not text"))?.trim() {
            "" => Err(Problem::bad("`Idempotency-Key` is empty")),
            key => Ok(Self::of(Some(key))),
        }
    }
}

impl IdempotencyKey {
    /// The key that a form carries, if it carries one.
    pub(crate) fn of(key: Option<&str>) -> Self {
        Self(key.map(str::to_owned))
    }

    /// The id of the run that a request makes: the one that it names, or one that its key stands for, or a new one.
    ///
    /// # Errors
    /// [`Code::Unprocessable`] with both an id and a key: they could be of two requests.
    pub(super) fn run(&self, named: Option<String>) -> Result<String, Problem> {
        match (named, &self.0) {
            (Some(_), Some(_)) => Err(Problem::new(
                Code::Unprocessable,
                "`run` makes a repetition start nothing, and so does `Idempotency-Key`: send one of the two",
            )),
            (Some(run), None) => Ok(run),
            (None, Some(key)) => Ok(format!("key-{:.32}", SecretHash::of(key).to_string())),
            (None, None) => Ok(Uuid::now_v7().to_string()),
        }
    }

    /// Whether the request has one.
    pub(super) fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// What an error means for a request that has a key.
    pub(super) fn problem(&self, error: Error) -> Problem {
        match error {
            Error::Conflict { .. } if self.is_given() => Problem::new(Code::KeyReused, error.to_string()),
            error => error.into(),
        }
    }
}

/// The refusal of a request whose key was used for one that differs in this.
pub(super) fn reused(key: &RunKey, what: &str) -> Problem {
    Problem::new(
        Code::KeyReused,
        format!("the key stands for run {key}, which was asked for with another {what}"),
    )
}

/// What a run was made with.
pub(super) async fn beginning(app: &App, key: &RunKey) -> Result<RunCreated, Problem> {
    let first = app.engine().backend().journal(key, Seq::FIRST, 1).await.map_err(Error::from)?;
    let first = first.first().ok_or_else(|| Error::NoSuchRun(key.clone()))?;
    let read = Event::read(first);
    match read.map_err(|error| Error::Journal { key: key.clone(), source: error.into() })? {
        Event::RunCreated(created) => Ok(created),
        other => Err(Problem::new(Code::Unreadable, format!("run {key} begins with {}", other.kind()))),
    }
}

/// Whether a run was made with this input, however its fields are ordered.
pub(super) fn is_input(created: &RunCreated, input: &RawValue) -> bool {
    let before = created.input.decode::<Value>();
    let now = serde_json::from_str::<Value>(input.get());
    matches!((before, now), (Ok(before), Ok(now)) if before == now)
}
