//! The way over HTTP.

use std::time::Duration;

use axum::http::header;
use futures_util::StreamExt as _;
use reqwest::Url;

use crate::client::{Call, Reply};
use crate::failure::{Failure, chain};
use crate::target::Token;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longer than a verb waits for a worker's answer, and than streams of events are silent.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);

/// A server.
pub(super) struct Remote {
    http: reqwest::Client,
    base: Url,
    token: Option<Token>,
}

impl Remote {
    pub(super) fn new(base: Url, token: Option<Token>) -> Result<Self, Failure> {
        secure(&base)?;
        let is_here = match base.host_str() {
            Some(host) => host == "localhost" || is_loopback(host),
            None => false,
        };
        if token.is_some() && base.scheme() == "http" && !is_here {
            tracing::warn!("the token goes to {base} unencrypted; use https");
        }
        let http = reqwest::Client::builder();
        // What goes to this host goes to nobody else first.
        let http = if is_here { http.no_proxy() } else { http };
        let http = http
            .user_agent(concat!("stepwell/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_AT_MOST)
            // A redirect could carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::other(chain(&error)))?;
        Ok(Self { http, base, token })
    }

    pub(super) async fn send(&self, call: &Call) -> Result<Reply, Failure> {
        let url = format!("{}{}", self.base.as_str().trim_end_matches('/'), call.target());
        let mut request = self.http.request(call.method.clone(), url);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.secret());
        }
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|error| self.silent(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let base = self.base.clone();
        let stream = response.bytes_stream().map(move |chunk| chunk.map_err(|error| broken(&base, &error)));
        Ok(Reply::new((status, &headers), stream.boxed()))
    }

    fn silent(&self, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            return Failure::usage(chain(error));
        }
        let base = &self.base;
        Failure::Unreachable {
            what: format!("no server answers at {base}: {}", root(error)),
            fix: "start it with `stepwell serve`, or correct --server".to_owned(),
        }
    }
}

fn broken(base: &Url, error: &reqwest::Error) -> Failure {
    Failure::Unreachable {
        what: format!("the server at {base} stopped in the middle of its answer: {}", chain(error)),
        fix: "ask again".to_owned(),
    }
}

fn is_loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What an error comes down to: its own text repeats the address.
fn root(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

#[cfg(feature = "https")]
fn secure(_: &Url) -> Result<(), Failure> {
    // The client wants one also where it does not use it. A second call in the same process finds the first one's.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(())
}

#[cfg(not(feature = "https"))]
fn secure(base: &Url) -> Result<(), Failure> {
    if base.scheme() == "https" {
        return Err(Failure::usage("this build lacks https; rebuild with `--features https`"));
    }
    Ok(())
}
