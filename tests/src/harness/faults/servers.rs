//! Servers that do what servers do on a bad day, and a client that tells of it as clients do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stepwell::workflow::classify::{Classifiers, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a server takes a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// It resets it in the middle of the request.
    Resets,
    /// It closes it without an answer.
    HangsUp,
    /// It takes it and is silent.
    Silent,
    /// It answers with this status, and with the delay that it asks for in seconds.
    Answers(u16, Option<u64>),
    /// It sends what is no TLS.
    PlainText,
}

/// A port of this machine on which nothing listens.
pub(super) fn refusing() -> Result<SocketAddr, String> {
    let other = std::net::TcpListener::bind("127.0.0.1:0").and_then(|other| other.local_addr());
    other.map_err(|error| error.to_string())
}

/// A server that takes the connections one by one in these manners, and all that follow in the last. It lives as long as the
/// runtime.
pub(super) async fn server(manners: &[Manner]) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let at = listener.local_addr().map_err(|error| error.to_string())?;
    let manners = Mutex::new(VecDeque::from(manners.to_vec()));
    let last = Arc::new(manners);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take(stream, Arc::clone(&last)));
        }
    });
    Ok(at)
}

async fn take(mut stream: TcpStream, manners: Arc<Mutex<VecDeque<Manner>>>) {
    // Whoever only looks whether anybody is there says nothing, and does not count.
    let mut first = [0];
    if !matches!(stream.peek(&mut first).await, Ok(1..)) {
        return;
    }
    let manner = {
        let mut manners = manners.lock().unwrap_or_else(PoisonError::into_inner);
        if manners.len() > 1 { manners.pop_front() } else { manners.front().copied() }
    };
    match manner {
        // What was not read makes the close a reset.
        Some(Manner::Resets) | None => {}
        Some(Manner::HangsUp) => {
            let _ = stream.read(&mut [0; 4096]).await;
        }
        Some(Manner::Silent) => std::future::pending().await,
        Some(Manner::PlainText) => {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
        Some(Manner::Answers(status, retry_after)) => {
            let _ = stream.read(&mut [0; 4096]).await;
            let delay = retry_after.map(|secs| format!("retry-after: {secs}\r\n")).unwrap_or_default();
            let answer = format!("HTTP/1.1 {status} X\r\n{delay}content-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

/// What a client of a service says.
#[derive(Debug)]
pub(super) enum HttpError {
    /// No answer came.
    Broken { url: String, source: std::io::Error },
    /// The answer is no good one.
    Status { url: String, status: u16, retry_after: Option<Duration> },
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken { url, .. } => write!(f, "error sending request for url ({url})"),
            Self::Status { url, status, .. } => write!(f, "HTTP status {status} for url ({url})"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken { source, .. } => Some(source),
            Self::Status { .. } => None,
        }
    }
}

impl StatusCode for HttpError {
    fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Broken { .. } => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Broken { .. } => None,
        }
    }
}

/// What a program registers that uses this client.
pub(super) fn classifiers() -> Classifiers {
    Classifiers::default().with_status::<HttpError>()
}

/// Asks a server.
pub(super) async fn get(at: SocketAddr, path: &str) -> Result<String, HttpError> {
    let url = format!("http://{at}{path}");
    let broken = |source| HttpError::Broken { url: url.clone(), source };
    let mut stream = TcpStream::connect(at).await.map_err(broken)?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: {at}\r\n\r\n").as_bytes())
        .await
        .map_err(broken)?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    loop {
        let count = stream.read(&mut part).await.map_err(broken)?;
        if count == 0 && answer.is_empty() {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        answer.extend_from_slice(&part[..count]);
        if count == 0 || answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8_lossy(&answer).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let retry_after =
        head.split("retry-after: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    match status {
        200..=299 => Ok(head),
        _ => Err(HttpError::Status { url, status, retry_after: retry_after.map(Duration::from_secs) }),
    }
}

/// Shakes hands as a client of TLS does.
pub(super) async fn tls(at: SocketAddr) -> std::io::Result<()> {
    let shaking = tokio::task::spawn_blocking(move || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(std::io::Error::other)?;
        let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let name = rustls::pki_types::ServerName::from(at.ip());
        let mut client =
            rustls::ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let mut stream = std::net::TcpStream::connect(at)?;
        client.complete_io(&mut stream).map(|_| ())
    });
    shaking.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
