//! What people ask of a run: one operation for all verbs, each with a dry run.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stepwell::contract::{Head, Payload, RunKey, Seq};
use stepwell::observe::values::edited_from;
use stepwell::run::place::Place;
use stepwell::{Ask, Error, OwnCode, Verb};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::{Access, Role};
use crate::api::runs::{Tagged, head};
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::request::{At, Body, DryRun, IfMatch, Params, RunAt, Who, etag, present};
use crate::routes::Routes;
use crate::view::preview::{Preview, RunOrPreview, path_word};
use crate::view::run::Run;

pub(super) fn routes() -> Routes {
    Routes::new().at(Role::Operator, routes!(ask))
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VerbName {
    Cancel,
    Pause,
    Interrupt,
    Resume,
    Retry,
    Undo,
    Terminate,
    Skip,
    SetOutput,
    Restart,
    EditInput,
}

impl From<VerbName> for Verb {
    fn from(name: VerbName) -> Self {
        match name {
            VerbName::Cancel => Self::Cancel,
            VerbName::Pause => Self::Pause,
            VerbName::Interrupt => Self::Interrupt,
            VerbName::Resume => Self::Resume,
            VerbName::Retry => Self::Retry,
            VerbName::Undo => Self::Undo,
            VerbName::Terminate => Self::Terminate,
            VerbName::Skip => Self::Skip,
            VerbName::SetOutput => Self::SetOutput,
            VerbName::Restart => Self::Restart,
            VerbName::EditInput => Self::EditInput,
        }
    }
}

/// What is said with a verb.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asking {
    /// Why, for the audit log.
    #[serde(default)]
    pub(crate) reason: String,
    /// The step, as in `pack` or `pack[2]`: for `skip`, `set-output` and `restart`.
    pub(crate) step: Option<String>,
    /// The output for `set-output` and `skip`, the input for `edit-input` and `restart`. Of an input that was shown without secrets
    /// what still reads as it was shown stays as it is stored; elsewhere `[redacted]` is refused.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) value: Option<Box<RawValue>>,
    /// What you call it, for `pause` and `interrupt`: 2 to 32 letters, digits, `-` or `_`, a letter first, and not beginning with
    /// `SW`. The run, its audit log and its reports tell it.
    #[serde(default)]
    #[schema(min_length = 2, max_length = 32, pattern = "^[A-Za-z][A-Za-z0-9_-]+$")]
    pub(crate) code: Option<String>,
    /// The last record that the decision rests on: nothing is asked of a run that has gone on since.
    #[serde(skip)]
    pub(crate) seen: Option<Seq>,
}

#[derive(Debug, Deserialize)]
struct VerbPart {
    verb: VerbName,
}

/// Asks something of a run, and answers with it once that was done. `202` when its worker has not answered yet: the request
/// stays in the run's inbox. With `If-Match` nothing is asked of a run that has changed since.
#[utoipa::path(post, path = "/api/v1/runs/{run}/{verb}", tag = "runs", operation_id = "askRun", request_body = Asking,
    params(DryRun, ("run" = String, Path, description = "Its id."), ("verb" = inline(VerbName), Path, description = "What is asked."),
        ("tenant" = Option<String>, Query, description = "Whose run it is."),
        ("If-Match" = Option<String>, Header, description = "The ETag of the run that the decision rests on.")),
    responses((status = 200, description = "The run, after it was done; or, for a dry run, what it would do.", body = RunOrPreview),
        (status = 202, description = "The request waits in the run's inbox.", body = Run)))]
async fn ask(
    State(app): State<App>,
    who: Who,
    RunAt(key): RunAt,
    At(VerbPart { verb }): At<VerbPart>,
    Params(DryRun { dry_run }): Params<DryRun>,
    if_match: IfMatch,
    Body(asking): Body<Asking>,
) -> Result<Response, Problem> {
    let head = head(&app, &key).await?;
    let asking = Asking { seen: if_match.seen(&head)?, ..asking };
    let outcome = carry_out(&app, &who.access, &key, verb.into(), asking, dry_run).await?;
    Ok(outcome.of_head(&head))
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing was done; this is what it would do.
    Previewed(Preview),
    /// It was done.
    Done(Box<Head>),
    /// Its worker has not answered: the request stays in the run's inbox.
    Waits(Box<Head>),
}

impl Outcome {
    /// The answer about a run that had this head before. What would be done carries its tag, so that a caller can do it only if
    /// nothing else has happened.
    pub(crate) fn of_head(self, before: &Head) -> Response {
        match self {
            Self::Previewed(preview) => Tagged(etag(before), preview).into_response(),
            Self::Done(head) => Tagged::run(&head).into_response(),
            Self::Waits(head) => (StatusCode::ACCEPTED, Tagged::run(&head)).into_response(),
        }
    }

    /// What an answer of the engine means.
    ///
    /// # Errors
    /// The request was refused or could not be sent.
    pub(crate) async fn of(app: &App, key: &RunKey, answer: Result<Head, Error>) -> Result<Self, Problem> {
        match answer {
            Ok(head) => Ok(Self::Done(Box::new(head))),
            Err(Error::NoAnswerYet { .. }) => Ok(Self::Waits(Box::new(head(app, key).await?))),
            Err(error) => Err(error.into()),
        }
    }
}

/// Asks it of the run, or says what that would do: the same for every surface.
pub(crate) async fn carry_out(
    app: &App,
    access: &Access,
    key: &RunKey,
    verb: Verb,
    asking: Asking,
    dry_run: bool,
) -> Result<Outcome, Problem> {
    let asking = Asking { value: meant(app, key, verb, asking.value).await?, ..asking };
    let ask = asking.ask(verb, access)?;
    if dry_run {
        return Ok(Outcome::Previewed(Preview::of(app.engine().dry_run(key, &ask).await?)));
    }
    let answer = in_time(app, key, app.engine().send(key, ask)).await;
    Outcome::of(app, key, answer).await
}

/// The value that goes with a verb. One that takes the place of what was shown without secrets has these again.
async fn meant(
    app: &App,
    key: &RunKey,
    verb: Verb,
    value: Option<Box<RawValue>>,
) -> Result<Option<Box<RawValue>>, Problem> {
    let (Some(edited), Verb::EditInput | Verb::MergeContext) = (&value, verb) else { return Ok(value) };
    let state = app.engine().state(key).await?;
    let stored = match verb {
        Verb::EditInput => state.created.input.clone(),
        _ => Payload::encode(&state.context).map_err(unprocessable)?,
    };
    unhidden(edited, Some(&stored)).map(Some)
}

/// A value with the secrets again that whoever edited it was not shown: those of what is stored, as far as that tells.
///
/// # Errors
/// [`Code::Unprocessable`] where it does not.
pub(super) fn unhidden(edited: &RawValue, stored: Option<&Payload>) -> Result<Box<RawValue>, Problem> {
    let encoded = |value: &RawValue| Payload::encode(value).map_err(unprocessable);
    let nothing = encoded(RawValue::NULL)?;
    let meant = edited_from(&encoded(edited)?, stored.unwrap_or(&nothing)).map_err(unprocessable)?;
    Ok(meant.raw().to_owned())
}

fn unprocessable(error: impl ToString) -> Problem {
    Problem::new(Code::Unprocessable, error.to_string())
}

/// The engine's answer, if it comes while the request may still be answered: what was asked stays in the run's inbox.
pub(crate) async fn in_time<T>(
    app: &App,
    key: &RunKey,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answered = tokio::time::timeout(app.options().answers_within(), asked).await;
    answered.unwrap_or_else(|_| Err(Error::NoAnswerYet { key: key.clone() }))
}

impl Asking {
    /// The request to the engine.
    ///
    /// # Errors
    /// [`Code::BadRequest`] without the step that the verb is about; [`Code::Unprocessable`] for a value with no stored form, and for
    /// a code that is none or of a verb that takes none.
    pub(crate) fn ask(self, verb: Verb, access: &Access) -> Result<Ask, Problem> {
        self.ask_of(None, verb, access)
    }

    /// The same to runs of a failure group: those that have gone on or met with something else refuse. A verb about a step is then
    /// about the one that failed, unless another is named.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask), but that no step has to be named.
    pub(crate) fn ask_of(self, group: Option<String>, verb: Verb, access: &Access) -> Result<Ask, Problem> {
        let mut ask = Ask { seen: self.seen, ..Ask::new(verb, access.actor(), self.reason) };
        match self.step {
            Some(step) => ask = ask.at(step.parse::<Place>().map_err(Problem::bad)?),
            None if verb.is_about_a_step() && group.is_none() => {
                return Err(Problem::bad(format!("`{}` needs a `step`", path_word(verb.as_str()))));
            }
            None => {}
        }
        if let Some(code) = self.code {
            if !matches!(verb, Verb::Pause | Verb::Interrupt) {
                let detail = format!("`{}` takes no `code`: `pause` and `interrupt` do", verb.as_str());
                return Err(Problem::new(Code::Unprocessable, detail));
            }
            let code = OwnCode::new(code);
            ask = ask.called(code.map_err(|error| Problem::new(Code::Unprocessable, error.to_string()))?);
        }
        if let Some(group) = group {
            ask = ask.of_group(group);
        }
        if let Some(value) = self.value {
            ask = ask.with(Payload::encode(&value).map_err(unprocessable)?);
        }
        Ok(ask)
    }
}
