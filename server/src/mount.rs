//! Where the router is, in whatever router it was nested: links begin there.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{Extensions, Uri};

/// The path before that of a route: empty, or one that begins with `/` and does not end with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount(pub(crate) String);

impl Mount {
    /// What the path of a request had in front, before routers took it away.
    pub(crate) fn of(extensions: &Extensions, uri: &Uri) -> Self {
        let whole =
            extensions.get::<OriginalUri>().map_or_else(|| uri.path(), |OriginalUri(whole)| whole.path());
        // At the root itself the path may be without its last slash.
        let front = whole.strip_suffix(uri.path()).unwrap_or(if uri.path() == "/" { whole } else { "" });
        Self(front.trim_end_matches('/').to_owned())
    }
}

impl<S: Sync> FromRequestParts<S> for Mount {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions, &parts.uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_router_took_away_is_where_it_is() {
        let rows = [
            ("/runs", "/runs", ""),
            ("/", "/", ""),
            ("/stepwell", "/", "/stepwell"),
            ("/stepwell/", "/", "/stepwell"),
            ("/a/b/runs/x", "/runs/x", "/a/b"),
        ];
        for (whole, rest, expected) in rows {
            let mut extensions = Extensions::new();
            extensions.insert(OriginalUri(Uri::from_static(whole)));
            assert_eq!(Mount::of(&extensions, &Uri::from_static(rest)).0, expected, "{whole}");
        }
    }
}
