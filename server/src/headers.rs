//! What every answer tells the browser that shows it: load nothing from elsewhere, be framed by nobody, guess no media type. And
//! what is not sent again to those who have it.

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PROXY_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// For pages: scripts, styles and pictures of this server alone, and no script in the page itself.
const OF_PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                        connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// For all else: it is data, and a browser that shows it loads nothing.
const OF_DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// What depends on nothing but the run whose tag it has, so that whoever has it by that tag need not be sent it again. Other
/// answers with a tag say how things are now, or what this program knows of the workflow.
const OF_THE_TAG: [&str; 9] = [
    "/api/v1/runs/{run}",
    "/api/v1/runs/{run}/input",
    "/api/v1/runs/{run}/output",
    "/api/v1/runs/{run}/context",
    "/api/v1/runs/{run}/history",
    "/api/v1/runs/{run}/logs",
    "/api/v1/runs/{run}/diagnosis",
    "/api/v1/runs/{run}/steps/{step}/attempts",
    "/api/v1/runs/{run}/steps/{step}/output",
];

/// Whether what is at a route is the same as long as its tag is.
pub(crate) fn is_of_the_tag(route: &str) -> bool {
    OF_THE_TAG.iter().any(|known| route.ends_with(known))
}

/// Answers with the tag alone when the caller says that they have what it stands for.
pub(crate) async fn unchanged(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let asked = is_read && route.is_some_and(|route| is_of_the_tag(route.as_str()));
    let lines = request.headers().get_all(IF_NONE_MATCH).iter().filter(|_| asked);
    let known: Vec<HeaderValue> = lines.cloned().collect();
    let mut response = next.run(request).await;
    let Some(tag) = response.headers().get(ETAG).filter(|_| response.status() == StatusCode::OK) else {
        return response;
    };
    let is_it =
        |known: &str| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes();
    let mut known = known.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    if known.any(|known| is_it(known.trim())) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// Adds the headers that an answer has not set itself.
pub(crate) async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let (is_page, is_stream) = (media.starts_with("text/html"), media.starts_with("text/event-stream"));
    let rows = [
        (CONTENT_SECURITY_POLICY, if is_page { OF_PAGES } else { OF_DATA }),
        // A form of a page without any referrer would be sent with the origin `null`, which is refused.
        (REFERRER_POLICY, if is_page { "same-origin" } else { "no-referrer" }),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    if is_stream {
        // A proxy that collects an answer before it passes it on would keep events back.
        headers.insert(PROXY_BUFFERING, HeaderValue::from_static("no"));
    }
    for (name, value) in rows {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
