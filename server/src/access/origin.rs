//! Where a request may come from. A page of another site can make a browser send requests to this host: what such a request
//! says of itself gives it away.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Uri};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// It calls this server by a name that it does not have.
    Host(String),
    /// A page of another site sent it.
    Origin(String),
}

/// The name that a request calls the server by, without the port.
#[must_use]
pub fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let named =
        headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(|a| a.as_str()));
    named.map(without_port)
}

fn without_port(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Whether a name is one of this host.
#[must_use]
pub fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Looks whether a request may be answered, by what it says of where it comes from.
///
/// # Errors
/// Why not.
pub fn check(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    hosts: &[String],
    any_host: bool,
) -> Result<(), Foreign> {
    let host = host_of(headers, uri).unwrap_or_default();
    let is_named = any_host || is_local(host) || hosts.iter().any(|name| name.eq_ignore_ascii_case(host));
    if !is_named {
        return Err(Foreign::Host(host.chars().take(100).collect()));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let said = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(origin) = said(&ORIGIN) {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        let own =
            headers.get(HOST).and_then(|host| host.to_str().ok()).or(uri.authority().map(|a| a.as_str()));
        if authority.is_none() || authority != own {
            return Err(Foreign::Origin(origin.chars().take(100).collect()));
        }
    }
    match said(&FETCH_SITE) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(site) => Err(Foreign::Origin(site.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("value")))
            .collect()
    }

    #[test]
    fn a_request_that_a_foreign_page_caused_is_told_apart() {
        let host = |host: &str| Err(Foreign::Host(host.to_owned()));
        let origin = |origin: &str| Err(Foreign::Origin(origin.to_owned()));
        type Row = (Method, &'static [(&'static str, &'static str)], Result<(), Foreign>);
        let rows: &[Row] = &[
            (Method::GET, &[("host", "localhost:8080")], Ok(())),
            (Method::GET, &[("host", "127.0.0.1:8080")], Ok(())),
            (Method::GET, &[("host", "[::1]:8080")], Ok(())),
            (Method::GET, &[("host", "flows.example")], Ok(())),
            (Method::GET, &[("host", "evil.example")], host("evil.example")),
            (Method::GET, &[("host", "localhost.evil.example")], host("localhost.evil.example")),
            (Method::GET, &[], host("")),
            (Method::POST, &[("host", "localhost:8080")], Ok(())),
            (Method::POST, &[("host", "localhost:8080"), ("origin", "http://localhost:8080")], Ok(())),
            (
                Method::POST,
                &[("host", "localhost:8080"), ("origin", "http://localhost:9")],
                origin("http://localhost:9"),
            ),
            (Method::POST, &[("host", "localhost"), ("origin", "null")], origin("null")),
            (Method::POST, &[("host", "localhost"), ("sec-fetch-site", "cross-site")], origin("cross-site")),
            (Method::POST, &[("host", "localhost"), ("sec-fetch-site", "same-origin")], Ok(())),
        ];
        for (method, pairs, expected) in rows {
            let hosts = ["flows.example".to_owned()];
            let found = check(method, &Uri::from_static("/"), &headers(pairs), &hosts, false);
            assert_eq!(&found, expected, "{method} {pairs:?}");
        }
        let any = check(&Method::GET, &Uri::from_static("/"), &headers(&[("host", "x.example")]), &[], true);
        assert_eq!(any, Ok(()));
    }
}
