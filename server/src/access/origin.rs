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
    called(headers, uri).map(without_port)
}

fn called<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    headers.get(HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.authority().map(|a| a.as_str()))
}

/// Whether a page with this origin is one of the server that is called so: of the name and port that the request says, or, where
/// a proxy calls it by another name, of one of its names at the port that goes without saying.
fn is_own(origin: &str, called: &str, hosts: &[String]) -> bool {
    let (port, authority) = match origin.split_once("://") {
        Some(("https", authority)) => ("443", authority),
        Some(("http", authority)) => ("80", authority),
        _ => return false,
    };
    let name = without_port(authority);
    let port_of = |authority: &str| {
        authority.rsplit_once(':').map(|(_, port)| port.to_owned()).filter(|port| !port.ends_with(']'))
    };
    let own = port_of(authority).unwrap_or_else(|| port.to_owned());
    let is_called = name.eq_ignore_ascii_case(without_port(called))
        && port_of(called).unwrap_or_else(|| port.to_owned()) == own;
    is_called || own == port && hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
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
    if let Some(origin) = said(&ORIGIN)
        && !is_own(origin, called(headers, uri).unwrap_or_default(), hosts)
    {
        return Err(Foreign::Origin(origin.chars().take(100).collect()));
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
            // A proxy that ends TLS says the port, or calls by an inner name.
            (Method::POST, &[("host", "flows.example:443"), ("origin", "https://flows.example")], Ok(())),
            (Method::POST, &[("host", "Flows.Example"), ("origin", "https://flows.example")], Ok(())),
            (Method::POST, &[("host", "127.0.0.1:8080"), ("origin", "https://flows.example")], Ok(())),
            (Method::POST, &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")], Ok(())),
            (
                Method::POST,
                &[("host", "127.0.0.1:8080"), ("origin", "https://flows.example:9")],
                origin("https://flows.example:9"),
            ),
            (
                Method::POST,
                &[("host", "127.0.0.1:8080"), ("origin", "https://127.0.0.1")],
                origin("https://127.0.0.1"),
            ),
            (
                Method::POST,
                &[("host", "127.0.0.1:8080"), ("origin", "https://evil.example")],
                origin("https://evil.example"),
            ),
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
