//! What every answer tells the browser that shows it: load nothing from elsewhere, be framed by nobody, guess no media type.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// For pages: scripts, styles and pictures of this server alone, and no script in the page itself.
const OF_PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                        connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// For all else: it is data, and a browser that shows it loads nothing.
const OF_DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// Adds the headers that an answer has not set itself.
pub(crate) async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let is_page = media.starts_with("text/html");
    let rows = [
        (CONTENT_SECURITY_POLICY, if is_page { OF_PAGES } else { OF_DATA }),
        // A form of a page without any referrer would be sent with the origin `null`, which is refused.
        (REFERRER_POLICY, if is_page { "same-origin" } else { "no-referrer" }),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in rows {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
