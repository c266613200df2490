//! The settings file `stepwell.toml`, read strictly: what is not known is refused by name, with the name that was probably meant.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use stepwell::contract::TenantId;
use stepwell_backends::settings::FILE_NAME;
use stepwell_server::ServerOptions;
use stepwell_server::access::Role;
use stepwell_server::access::token::{SecretHash, TokenRule};

use crate::failure::{Failure, LIKENESS_MIN};

/// The settings, and where they are from.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The file, when there is one.
    pub(crate) file: Option<SettingsFile>,
    /// What it says of the server.
    pub(crate) server: ServerSettings,
}

/// A settings file as it was read.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Read by the rule that chooses the store.
    #[serde(rename = "store")]
    _store: Option<String>,
    #[serde(default)]
    server: ServerSettings,
}

/// The table `[server]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSettings {
    /// Where it listens.
    pub(crate) bind: Option<SocketAddr>,
    /// Names, beside those of this host, by which it may be called.
    pub(crate) hosts: Option<Vec<String>>,
    /// The path under which it is.
    pub(crate) prefix: Option<String>,
    /// Whether the dashboard's cookie is sent over TLS only.
    pub(crate) secure_cookies: Option<bool>,
    /// Longest time a request may take, as in `30s`.
    #[serde(deserialize_with = "span")]
    pub(crate) request_timeout: Option<Duration>,
    /// Largest request body, in bytes.
    pub(crate) body_bytes_max: Option<usize>,
    /// Most connections at once.
    pub(crate) connections_max: Option<usize>,
    /// How long a connection may stand still, as in `75s`.
    #[serde(deserialize_with = "span")]
    pub(crate) stall_timeout: Option<Duration>,
    /// Most requests answered at once.
    pub(crate) requests_max: Option<usize>,
    /// Most streams of events at once.
    pub(crate) streams_max: Option<usize>,
    /// How long requests may go on after the server was told to stop, as in `10s`.
    #[serde(deserialize_with = "span")]
    pub(crate) shutdown_grace: Option<Duration>,
    /// Who may do what.
    pub(crate) tokens: Vec<TokenLine>,
}

/// One of `[[server.tokens]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenLine {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) tenant: Option<String>,
    #[serde(deserialize_with = "hash")]
    pub(crate) sha256: SecretHash,
}

fn span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

fn hash<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SecretHash, D::Error> {
    let text = String::deserialize(from)?;
    let wrong =
        || serde::de::Error::custom("sha256 is not the 64 hexadecimal digits that `token new` prints");
    SecretHash::from_hex(&text).ok_or_else(wrong)
}

impl Settings {
    /// Reads the file that the flag names, or the one in the working directory when it is there.
    pub(crate) fn read(flag: Option<&Path>) -> Result<Self, Failure> {
        let path = flag.unwrap_or_else(|| Path::new(FILE_NAME)).to_owned();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && flag.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(Failure::usage(format!("{}: {error}", path.display()))),
        };
        let server = parse(&path, &text)?.server;
        Ok(Self { file: Some(SettingsFile { path, text }), server })
    }
}

fn parse(path: &Path, text: &str) -> Result<Content, Failure> {
    toml::from_str(text).map_err(|error| {
        // The parser's own text quotes the line, and a line may hold a password: only its message is shown.
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = error.message();
        let meant = nearest(message).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Failure::usage(format!("{}:{line}: {message}{meant}", path.display()))
    })
}

/// Of an "unknown field `x`, expected `a` or `b`": which of those is most like `x`, if any is.
fn nearest(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let likeness = |name: &str| strsim::jaro_winkler(unknown, name);
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= LIKENESS_MIN).then_some(best)
}

impl ServerSettings {
    /// How the server is set.
    pub(crate) fn options(&self) -> Result<ServerOptions, Failure> {
        let mut options = ServerOptions::default();
        for line in &self.tokens {
            let tenant = line.tenant.as_deref().map(TenantId::new).transpose().map_err(Failure::usage)?;
            options = options.token(TokenRule {
                name: line.name.clone(),
                role: line.role,
                tenant,
                hash: line.sha256,
            });
        }
        options.hosts = self.hosts.clone().unwrap_or_default();
        options.prefix = self.prefix.clone().unwrap_or_default();
        options.secure_cookies = self.secure_cookies.unwrap_or(options.secure_cookies);
        options.body_bytes_max = self.body_bytes_max.unwrap_or(options.body_bytes_max);
        options.connections_max = self.connections_max.unwrap_or(options.connections_max);
        options.requests_max = self.requests_max.unwrap_or(options.requests_max);
        options.streams_max = self.streams_max.unwrap_or(options.streams_max);
        for (set, option_ms) in [
            (self.request_timeout, &mut options.request_timeout_ms),
            (self.stall_timeout, &mut options.stall_timeout_ms),
            (self.shutdown_grace, &mut options.shutdown_grace_ms),
        ] {
            if let Some(span) = set {
                *option_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_refused_with_its_line_and_the_nearest_name() {
        let rows = [
            ("stroe = \"memory:\"", "stepwell.toml:1: unknown field `stroe`", "did you mean `store`?"),
            ("\n[server]\nbnd = \"127.0.0.1:1\"", "stepwell.toml:3: ", "did you mean `bind`?"),
            ("[[server.tokens]]\nname = \"a\"\nrole = \"viewr\"\nsha256 = \"\"", ":3: ", "viewer"),
            ("[[server.tokens]]\nname = \"a\"\nrole = \"viewer\"\nsha256 = \"ab\"", ":4: ", "64 hexadecimal"),
            ("[server]\nrequest_timeout = \"soon\"", ":2: ", "number"),
        ];
        for (text, begins, holds) in rows {
            let said = match parse(Path::new(FILE_NAME), text) {
                Ok(content) => panic!("{text}: {content:?}"),
                Err(failure) => failure.text(),
            };
            assert!(said.contains(begins) && said.contains(holds), "{text}: {said}");
        }
    }

    #[test]
    fn the_tables_of_the_server_and_its_tokens_are_read() {
        let text = format!(
            "store = \"memory:\"\n[server]\nbind = \"127.0.0.1:9\"\nrequest_timeout = \"5s\"\n\
             stall_timeout = \"1m\"\nshutdown_grace = \"2s\"\nconnections_max = 3\nrequests_max = 4\nstreams_max = 5\n\
             [[server.tokens]]\nname = \"ci\"\nrole = \"operator\"\ntenant = \"acme\"\nsha256 = \"{}\"\n",
            SecretHash::of("swt_x")
        );
        let server =
            parse(Path::new(FILE_NAME), &text).map_err(|failure| failure.text()).expect("read").server;
        let options = server.options().map_err(|failure| failure.text()).expect("options");
        let times = (options.request_timeout_ms, options.stall_timeout_ms, options.shutdown_grace_ms);
        assert_eq!(times, (5_000, 60_000, 2_000));
        assert_eq!((options.connections_max, options.requests_max, options.streams_max), (3, 4, 5));
        assert_eq!(options.tokens[0].role, Role::Operator);
        assert!(options.tokens[0].hash.is(&SecretHash::of("swt_x")));
    }
}
