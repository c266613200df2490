//! What operations read of a request, strictly: what is not understood is refused by name, never passed over.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use serde_json::value::RawValue;
use stepwell::contract::{Head, RunId, RunKey, Seq, TenantId};
use stepwell::run::place::Place;
use utoipa::{IntoParams, ToSchema};

use crate::access::Access;
use crate::access::identify::Caller;
use crate::app::App;
use crate::literal;
use crate::problem::{Code, Problem};

/// The query parameter that names a tenant: read with the caller, so that no operation can forget to look whether it is theirs.
const TENANT: &str = "tenant";

/// Who asks, and about whose runs.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) access: Access,
    /// The tenant asked about; `None` for all of them.
    pub(crate) tenant: Option<TenantId>,
}

impl FromRequestParts<App> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(Caller::Known(access)) = parts.extensions.get::<Caller>() else {
            return Err(Problem::new(Code::Unauthorized, "nobody is known to ask"));
        };
        let asked = pairs(parts)?.into_iter().find(|(name, _)| name == TENANT);
        let asked = asked.map(|(_, tenant)| TenantId::new(tenant).map_err(Problem::bad)).transpose()?;
        let tenant = access.tenant(asked)?;
        Ok(Self { access: access.clone(), tenant })
    }
}

impl Who {
    /// The query behind the path of what they made, so that they find it: they are asked again which tenant they mean when they
    /// see all of them.
    pub(crate) fn query_of(&self, tenant: &TenantId) -> String {
        match &self.access.tenant {
            None if *tenant != TenantId::default() => format!("?{TENANT}={tenant}"),
            _ => String::new(),
        }
    }

    /// Lets nobody through who sees one tenant only: what they ask for is everyone's.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub(crate) fn needs_all(&self) -> Result<(), Problem> {
        match &self.access.tenant {
            None => Ok(()),
            Some(own) => {
                let name = &self.access.name;
                let detail =
                    format!("this is about the runs of all tenants; {name} sees those of {own} only");
                Err(Problem::new(Code::Forbidden, detail))
            }
        }
    }
}

/// The parts of the path, by their names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Path(at) = Path::from_request_parts(parts, app).await.map_err(Problem::bad)?;
        Ok(Self(at))
    }
}

/// The run that the path names, of the tenant that the caller or the request names.
#[derive(Debug, Clone)]
pub(crate) struct RunAt(pub(crate) RunKey);

#[derive(Debug, serde::Deserialize)]
struct RunPart {
    run: String,
}

impl FromRequestParts<App> for RunAt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, app).await?;
        let At(RunPart { run }) = At::from_request_parts(parts, app).await?;
        let run = RunId::new(run).map_err(Problem::bad)?;
        Ok(Self(RunKey::new(who.tenant.unwrap_or_default(), run)))
    }
}

/// The step that the path names, as in `pack` or `pack[2]`.
#[derive(Debug, Clone)]
pub(crate) struct StepAt(pub(crate) Place);

#[derive(Debug, serde::Deserialize)]
struct StepPart {
    step: String,
}

impl FromRequestParts<App> for StepAt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let At(StepPart { step }) = At::from_request_parts(parts, app).await?;
        Ok(Self(step.parse().map_err(Problem::bad)?))
    }
}

/// The query of a request, with every name known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let own: Vec<_> = pairs(parts)?.into_iter().filter(|(name, _)| name != TENANT).collect();
        let text = serde_urlencoded::to_string(own).map_err(Problem::bad)?;
        let params = serde_urlencoded::from_str(&text);
        params.map(Self).map_err(|error| Problem::bad(format!("the query of the path: {error}")))
    }
}

/// Nothing but, perhaps, the tenant in the query.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParams {}

/// Whether to say only what would be done, beside, perhaps, the tenant.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRun {
    /// `true`: says what it would do, and does nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()).map_err(Problem::bad)?;
    let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(Problem::bad(format!("the query of the path says `{}` twice", two[0]))),
        None => Ok(pairs),
    }
}

/// Why.
#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// Why, for the records.
    #[serde(default)]
    pub(crate) reason: String,
}

/// A JSON body, with every name known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let text = text(request, app, &["application/json"]).await?;
        // A list with values in the order of the fields would be read as the object.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::bad("the body is not a JSON object"));
        }
        read(&text).map(Self)
    }
}

/// A JSON merge patch (RFC 7396).
#[derive(Debug)]
pub(crate) struct Patch(pub(crate) Box<RawValue>);

impl FromRequest<App> for Patch {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        read(&text(request, app, &["application/merge-patch+json", "application/json"]).await?).map(Self)
    }
}

/// The text of a body; that of an object without fields when there is none.
async fn text(request: Request, app: &App, media: &[&str]) -> Result<Bytes, Problem> {
    let said = request.headers().get(CONTENT_TYPE);
    let said = said.map(|said| said.to_str().unwrap_or_default().to_owned());
    let bytes = Bytes::from_request(request, app).await?;
    let name = said.as_deref().map(|said| said.split(';').next().unwrap_or_default().trim());
    match name {
        Some(name) if media.iter().any(|media| media.eq_ignore_ascii_case(name)) => {}
        // A verb without reason and options needs no body.
        None if bytes.is_empty() => {}
        Some(_) => {
            let detail = format!("the body is said to be {:?}", said.unwrap_or_default());
            return Err(Problem::new(Code::MediaType, detail));
        }
        None => return Err(Problem::new(Code::MediaType, "the request does not say what its body is")),
    }
    Ok(if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes })
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let body = serde_json::from_slice(text).map_err(|error| Problem::bad(format!("the body: {error}")))?;
    // Values are taken as they are written, which the parser does not look into.
    literal::check(text).map_err(|flaw| Problem::bad(format!("the body: {flaw}")))?;
    Ok(body)
}

/// Longest span that a request may name, in milliseconds: ten years.
pub(crate) const SPAN_MS_MAX: u64 = 10 * 365 * 24 * 3_600_000;

/// Looks whether a span is one that can be meant.
///
/// # Errors
/// [`Code::Unprocessable`] when it is longer than [`SPAN_MS_MAX`].
pub(crate) fn span(name: &str, ms: u64) -> Result<(), Problem> {
    if ms <= SPAN_MS_MAX {
        return Ok(());
    }
    let detail = format!("`{name}` is {ms}; {SPAN_MS_MAX} ms, ten years, are the most");
    Err(Problem::new(Code::Unprocessable, detail))
}

/// Reads a value that is there: `null` is a value, and not the same as none.
///
/// # Errors
/// It is not JSON.
pub(crate) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// What a change was computed from: the ETags that `If-Match` names, any of which will do.
#[derive(Debug, Clone)]
pub(crate) struct IfMatch(Option<Vec<String>>);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for line in parts.headers.get_all(IF_MATCH) {
            let line = line.to_str().map_err(|_| Problem::bad("`If-Match` is not text"))?;
            tags.extend(line.split(',').map(|tag| tag.trim().to_owned()));
        }
        let is_any = tags.is_empty() || tags.iter().any(|tag| tag == "*");
        Ok(Self((!is_any).then_some(tags)))
    }
}

impl IfMatch {
    /// The last record that the caller has seen, when the head is still the one that it has seen; `None` when it does not say what
    /// it has seen. The engine acts only if the run has recorded nothing behind it: between this and that, too.
    ///
    /// # Errors
    /// [`Code::Changed`] when it is another head.
    pub(crate) fn seen(&self, head: &Head) -> Result<Option<Seq>, Problem> {
        let Some(wanted) = &self.0 else { return Ok(None) };
        let now = etag(head);
        if wanted.contains(&now) {
            return Ok(Some(Seq(head.next_seq.0.saturating_sub(1))));
        }
        Err(Problem::new(Code::Changed, format!("the run's ETag is {now}, not {}", wanted.join(", "))))
    }
}

/// The entity tag of a head.
#[must_use]
pub(crate) fn etag(head: &Head) -> String {
    format!("\"{}\"", head.version)
}
