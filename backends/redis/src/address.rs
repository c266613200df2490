//! The URL of a store: where the server is, how to log in, which options.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use stepwell_contract::{BackendError, StoreId};
use url::Url;

use crate::fault::refused;
use crate::options::RedisOptions;

/// Never shown, whoever asks.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the server is and how to log in. Its text is the place alone.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    place: Place,
    user: Option<String>,
    password: Option<Secret>,
    db: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port, tls } => {
                write!(f, "{}://{host}:{port}/{}", if *tls { "rediss" } else { "redis" }, self.db)
            }
            Place::Unix(path) => write!(f, "redis+unix://{}?db={}", path.display(), self.db),
        }
    }
}

impl Address {
    /// Reads a URL, and the options in it over the given ones.
    ///
    /// # Errors
    /// `Definite(Refused)` says which part is wrong, and never repeats the login.
    pub(crate) fn parse(url: &str, mut options: RedisOptions) -> Result<(Self, RedisOptions), BackendError> {
        // The text of the parser's error holds no part of the URL.
        let url = Url::parse(url).map_err(|error| refused(format!("this is not a Redis URL: {error}")))?;
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut user = Some(decode(url.username())).filter(|user| !user.is_empty());
        let mut password = url.password().map(|text| Secret(decode(text)));
        let mut db = 0;
        let is_unix = match url.scheme() {
            "redis" | "rediss" => false,
            "redis+unix" => true,
            other => {
                return Err(refused(format!(
                    "scheme {other:?} is none of Redis: use redis://, rediss:// or redis+unix://"
                )));
            }
        };
        let place = if is_unix {
            if url.host_str().is_some_and(|host| !host.is_empty()) {
                return Err(refused(
                    "a Redis socket is named by its full path: redis+unix:///path/to/socket",
                ));
            }
            Place::Unix(PathBuf::from(decode(url.path())))
        } else {
            let host = url.host_str().filter(|host| !host.is_empty());
            let host = host.ok_or_else(|| refused("the Redis URL names no host"))?;
            let path = url.path().trim_matches('/');
            if !path.is_empty() {
                db = path
                    .parse()
                    .map_err(|_| refused("the path of a Redis URL is the number of a database"))?;
            }
            let tls = url.scheme() == "rediss";
            if tls && !cfg!(feature = "tls") {
                return Err(refused("rediss:// needs a build with the feature `tls` of stepwell-redis"));
            }
            let host = host.trim_matches(['[', ']']).to_owned();
            Place::Tcp { host, port: url.port().unwrap_or(6379), tls }
        };
        let (mut cert, mut key) = (None, None);
        for (name, value) in url.query_pairs() {
            let value = value.as_ref();
            match name.as_ref() {
                "prefix" => options.prefix = value.to_owned(),
                "shards" => options.shards = Some(number("shards", value)?),
                "allow_eviction" => options.allow_eviction = yes("allow_eviction", value)?,
                "allow_no_aof" => options.allow_no_aof = yes("allow_no_aof", value)?,
                "allow_unknown" => options.allow_unknown = yes("allow_unknown", value)?,
                "id" => {
                    let id = value.parse().map_err(|_| refused("id= in the Redis URL is not a UUID"))?;
                    options.expect_id = Some(StoreId(id));
                }
                "witness" => options.witness = Some(PathBuf::from(value)),
                "ca" => options.ca = Some(PathBuf::from(value)),
                "cert" => cert = Some(PathBuf::from(value)),
                "key" => key = Some(PathBuf::from(value)),
                "timeout_ms" => {
                    options.response_timeout = Duration::from_millis(number("timeout_ms", value)?);
                }
                "db" if is_unix => db = number("db", value)?,
                "user" if is_unix => user = Some(value.to_owned()),
                "password" if is_unix => password = Some(Secret(value.to_owned())),
                other => {
                    return Err(refused(format!(
                        "the Redis URL has an unknown option {other:?}; known are prefix, shards, allow_eviction, \
                         allow_no_aof, allow_unknown, id, witness, ca, cert, key, timeout_ms{}",
                        if is_unix { ", db, user, password" } else { "" }
                    )));
                }
            }
        }
        options.client_certificate = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => options.client_certificate,
            _ => return Err(refused("cert= and key= in the Redis URL belong together: give both")),
        };
        check_options(&options)?;
        let has_certificates = options.ca.is_some() || options.client_certificate.is_some();
        if has_certificates && !matches!(place, Place::Tcp { tls: true, .. }) {
            return Err(refused("certificates (ca=, cert=, key=) are for TLS: use rediss://"));
        }
        Ok((Self { place, user, password, db }, options))
    }

    /// What the client library needs to connect.
    ///
    /// # Errors
    /// `Definite(Refused)` when it does not take the place.
    pub(crate) fn connection_info(&self) -> Result<ConnectionInfo, BackendError> {
        let addr = match &self.place {
            Place::Tcp { host, port, tls: false } => ConnectionAddr::Tcp(host.clone(), *port),
            Place::Tcp { host, port, tls: true } => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
            Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let mut login = RedisConnectionInfo::default().set_db(self.db);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(Secret(password)) = &self.password {
            login = login.set_password(password);
        }
        let keepalive = redis::io::tcp::socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5))
            .with_retries(3);
        let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(Duration::from_secs(10));
        let info = addr
            .into_connection_info()
            .map_err(|error| refused(format!("Redis at {self} cannot be reached this way: {error}")))?;
        Ok(info.set_redis_settings(login).set_tcp_settings(tcp))
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, BackendError> {
    value.parse().map_err(|_| refused(format!("{name}= in the Redis URL is not such a number")))
}

fn yes(name: &str, value: &str) -> Result<bool, BackendError> {
    match value {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(refused(format!("{name}= in the Redis URL is neither yes nor no"))),
    }
}

fn check_options(options: &RedisOptions) -> Result<(), BackendError> {
    let prefix = &options.prefix;
    let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if prefix.is_empty() || prefix.len() > 64 || !plain {
        return Err(refused(
            "the prefix of a Redis store is 1 to 64 ASCII letters, digits, '.', '_' and '-'",
        ));
    }
    if options.shards.is_some_and(|shards| !(1..=256).contains(&shards)) {
        return Err(refused("a Redis store has 1 to 256 shards"));
    }
    if options.response_timeout.is_zero() {
        return Err(refused("timeout_ms= in the Redis URL is at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stepwell_contract::FaultKind;

    use super::*;

    fn parse(url: &str) -> Result<(Address, RedisOptions), BackendError> {
        Address::parse(url, RedisOptions::default())
    }

    #[test]
    fn a_url_names_place_login_and_options() {
        let (address, options) =
            parse("redis://app:s%40crt@[::1]:7000/3?prefix=orders&shards=8&allow_no_aof=yes").expect("good");
        assert_eq!(address.to_string(), "redis://::1:7000/3");
        assert_eq!(address.password, Some(Secret("s@crt".to_owned())));
        assert_eq!((options.prefix.as_str(), options.shards), ("orders", Some(8)));
        assert!(options.allow_no_aof && !options.allow_eviction);
        let (address, _) = parse("redis+unix:///run/redis.sock?db=2&password=x").expect("good");
        assert_eq!(address.to_string(), "redis+unix:///run/redis.sock?db=2");
    }

    #[test]
    fn what_a_url_cannot_mean_is_refused_without_showing_the_password() {
        for url in [
            "http://canary-pw@h/",
            "redis://u:canary-pw@h/?alow_eviction=yes",
            "redis://u:canary-pw@h/orders",
            "redis://u:canary-pw@h/?shards=0",
            "redis://u:canary-pw@h/?shards=many",
            "redis://u:canary-pw@h/?prefix={a}",
            "redis://u:canary-pw@h/?allow_no_aof=perhaps",
            "redis://u:canary-pw@h:99999/",
            "redis+unix://canary-pw/sock",
            "redis://u:canary-pw@h/?ca=/ca.pem",
            "rediss://u:canary-pw@h/?cert=/cert.pem",
        ] {
            let error = parse(url).expect_err(url);
            assert_eq!(error.kind(), FaultKind::Refused, "{url}");
            assert!(!format!("{error} {error:?}").contains("canary-pw"), "{error:?}");
        }
    }

    #[test]
    fn a_password_is_in_no_text() {
        let (address, options) = parse("redis://u:canary-pw@h/").expect("good");
        assert!(!format!("{address} {address:?} {options:?}").contains("canary-pw"));
    }
}
