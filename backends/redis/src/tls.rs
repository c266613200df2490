//! TLS: the certificates that the options name, and what a handshake that failed means.

#[cfg(feature = "tls")]
use std::path::Path;

use redis::{Client, ConnectionInfo, RedisError};
#[cfg(feature = "tls")]
use redis::{ClientTlsConfig, TlsCertificates};
use stepwell_contract::{BackendError, FaultKind};

use crate::fault::{self, Stage};
use crate::options::RedisOptions;

/// What stands in a PEM file that holds a certificate, and in one that holds a private key.
#[cfg(feature = "tls")]
const CERTIFICATE: &str = "BEGIN CERTIFICATE";
#[cfg(feature = "tls")]
const KEY: &str = "PRIVATE KEY";

/// A client with the certificates of the options, which are read now and not again.
///
/// # Errors
/// `Definite(Refused)` names the file that cannot be read, or that holds no certificate or key.
#[cfg(feature = "tls")]
pub(crate) fn client(info: ConnectionInfo, options: &RedisOptions) -> Result<Client, BackendError> {
    // With two providers in the build rustls does not choose by itself. Who installed one before keeps it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root_cert = options.ca.as_deref().map(|path| read("ca", path, CERTIFICATE)).transpose()?;
    let client_tls = match &options.client_certificate {
        Some((cert, key)) => Some(ClientTlsConfig {
            client_cert: read("cert", cert, CERTIFICATE)?,
            client_key: read("key", key, KEY)?,
        }),
        None => None,
    };
    let opened = match (&root_cert, &client_tls) {
        (None, None) => Client::open(info),
        _ => Client::build_with_tls(info, TlsCertificates { client_tls, root_cert }),
    };
    opened.map_err(|error| fault::classify(error, Stage::Connecting))
}

/// A client for a build without TLS, where no option names a certificate.
#[cfg(not(feature = "tls"))]
pub(crate) fn client(info: ConnectionInfo, _options: &RedisOptions) -> Result<Client, BackendError> {
    Client::open(info).map_err(|error| fault::classify(error, Stage::Connecting))
}

/// The text of a PEM file that has to hold `part`. The client library takes one without a certificate for an empty list.
#[cfg(feature = "tls")]
fn read(option: &str, path: &Path, part: &str) -> Result<Vec<u8>, BackendError> {
    let refused =
        |why: String| fault::refused(format!("{option}= of the Redis URL names {}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let has_part = text.windows(part.len()).any(|bytes| bytes == part.as_bytes());
    if has_part { Ok(text) } else { Err(refused(format!("it has no line with {part:?}"))) }
}

/// What a handshake that failed says; `None` when the error is of another kind.
#[cfg(not(feature = "tls"))]
pub(crate) fn judge(_error: &RedisError) -> Option<(FaultKind, &'static str)> {
    None
}

/// What a handshake that failed says; `None` when the error is of another kind.
#[cfg(feature = "tls")]
pub(crate) fn judge(error: &RedisError) -> Option<(FaultKind, &'static str)> {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    Some(match cause(error)? {
        Error::InvalidCertificate(bad) => {
            let words = match bad {
                // A wrong signature is what another CA of the same name looks like.
                Bad::UnknownIssuer | Bad::BadSignature => {
                    "the certificate of Redis is signed by nobody who is trusted here: name its CA in the URL with \
                     ca=/path/to/ca.pem"
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    "the certificate of Redis is for another name: give the URL a host that stands in it"
                }
                Bad::Expired | Bad::ExpiredContext { .. } => "the certificate of Redis has expired: renew it",
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                    "the certificate of Redis is not valid yet: set the clock of this machine"
                }
                _ => "the certificate of Redis is not accepted",
            };
            (FaultKind::Refused, words)
        }
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => (
            FaultKind::Refused,
            "Redis wants another client certificate, or one at all: name it in the URL with cert= and key=",
        ),
        Error::InvalidMessage(_) => (
            FaultKind::Refused,
            "what answers there does not speak TLS: use redis://, or the TLS port of Redis",
        ),
        _ => (FaultKind::Unavailable, "the TLS handshake with Redis failed"),
    })
}

/// The TLS library's own error: what the client library wrapped, or what lies in the I/O error that it wrapped.
#[cfg(feature = "tls")]
fn cause(error: &RedisError) -> Option<&rustls::Error> {
    match fault::wrapped::<std::io::Error>(error) {
        Some(error) => error.get_ref()?.downcast_ref(),
        None => fault::wrapped(error),
    }
}
