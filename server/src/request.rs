//! What operations read of a request, strictly: what is not understood is refused by name, never passed over.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use stepwell::contract::{Head, RunId, RunKey, TenantId};

use crate::access::Access;
use crate::access::identify::Caller;
use crate::app::App;
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
        let Path(RunPart { run }) = Path::from_request_parts(parts, app).await.map_err(Problem::bad)?;
        let run = RunId::new(run).map_err(Problem::bad)?;
        Ok(Self(RunKey::new(who.tenant.unwrap_or_default(), run)))
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

/// A JSON body, with every name known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let media =
            request.headers().get(CONTENT_TYPE).map(|media| media.to_str().unwrap_or_default().to_owned());
        let bytes = Bytes::from_request(request, app).await?;
        match media.as_deref().map(|media| media.split(';').next().unwrap_or_default().trim()) {
            Some(media) if media.eq_ignore_ascii_case("application/json") => {}
            // A verb without reason and options needs no body.
            None if bytes.is_empty() => return read(b"{}"),
            Some(media) => {
                let detail = format!("the body is said to be {media:?}");
                return Err(Problem::new(Code::MediaType, detail));
            }
            None => return Err(Problem::new(Code::MediaType, "the request does not say what its body is")),
        }
        read(if bytes.is_empty() { b"{}" } else { &bytes })
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Problem> {
    serde_json::from_slice(bytes).map(Body).map_err(|error| Problem::bad(format!("the body: {error}")))
}

/// What a change was computed from: the ETag that `If-Match` names.
#[derive(Debug, Clone)]
pub(crate) struct IfMatch(Option<String>);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().map_err(|_| Problem::bad("`If-Match` is not text"))?;
        Ok(Self((text.trim() != "*").then(|| text.to_owned())))
    }
}

impl IfMatch {
    /// Looks whether the head is still the one that the caller has seen.
    ///
    /// # Errors
    /// [`Code::Changed`] when it is not.
    pub(crate) fn check(&self, head: &Head) -> Result<(), Problem> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let now = etag(head);
        if wanted.split(',').any(|tag| tag.trim() == now) {
            return Ok(());
        }
        Err(Problem::new(Code::Changed, format!("the run's ETag is {now}, not {wanted}")))
    }
}

/// The entity tag of a head.
#[must_use]
pub(crate) fn etag(head: &Head) -> String {
    format!("\"{}\"", head.version)
}
