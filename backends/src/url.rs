//! The grammar of store URLs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The schemes a URL can have.
pub(crate) const SCHEMES: [&str; 6] = ["memory", "file", "sled", "redis", "rediss", "redis+unix"];

/// Why a text is not the URL of a store. No message holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no text.
    #[error("the store URL is empty; the default is `file:./data`")]
    Empty,
    /// It is a path.
    #[error("`{text}` names no kind of store; did you mean `file:{text}`?")]
    BarePath {
        /// The path.
        text: String,
    },
    /// A host stands where a path is meant.
    #[error("`{scheme}://{rest}` names a host where a folder is meant; did you mean `{scheme}:./{rest}`?")]
    Host {
        /// The scheme.
        scheme: String,
        /// What follows the slashes.
        rest: String,
    },
    /// No folder is named.
    #[error("`{scheme}:` names no folder; write `{scheme}:./data` or `{scheme}:///var/lib/app`")]
    NoFolder {
        /// The scheme.
        scheme: String,
    },
    /// Something follows `memory:`.
    #[error("`memory:` takes nothing behind the colon")]
    NotOnlyMemory,
    /// No backend has this scheme.
    #[error("`{scheme}:` is no kind of store; known are {known}")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// Those there are, the nearest first.
        known: String,
    },
    /// No such option.
    #[error("`{scheme}:` has no option `{option}`; known are {known}")]
    UnknownOption {
        /// The scheme.
        scheme: String,
        /// The option.
        option: String,
        /// Those there are, the nearest first.
        known: String,
    },
    /// An option with a value that it cannot have.
    #[error("option `{option}` of `{scheme}:` is {expected}, not `{value}`")]
    Value {
        /// The scheme.
        scheme: String,
        /// The option.
        option: String,
        /// What it can be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    File { path: PathBuf, sync: bool },
    Sled { path: PathBuf, sync: bool, cache_mib: Option<u64> },
    Redis { tls: bool },
}

/// The URL of a store, checked as far as its grammar goes. Shown with its password masked, in every form.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    place: Place,
}

impl StoreUrl {
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The whole text, with the password.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn secret_text(&self) -> &str {
        &self.text
    }

    /// Its scheme: `file`, `redis`, ….
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.text.split(':').next().unwrap_or_default()
    }

    /// The folder that it is in, for a store of this machine's disk.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::File { path, .. } | Place::Sled { path, .. } => Some(path),
            Place::Memory | Place::Redis { .. } => None,
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.text))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return Err(UrlError::BarePath { text: masked(text) });
        };
        let place = match scheme.as_str() {
            "memory" if rest.is_empty() => Place::Memory,
            "memory" => return Err(UrlError::NotOnlyMemory),
            "file" => {
                let (path, options) = folder(&scheme, rest)?;
                let mut sync = true;
                for (option, value) in options {
                    match option {
                        "sync" => sync = truth(&scheme, option, value)?,
                        _ => return Err(unknown_option(&scheme, option, &["sync"])),
                    }
                }
                Place::File { path, sync }
            }
            "sled" => {
                let (path, options) = folder(&scheme, rest)?;
                let (mut sync, mut cache_mib) = (true, None);
                for (option, value) in options {
                    match option {
                        "sync" => sync = truth(&scheme, option, value)?,
                        "cache_mib" => cache_mib = Some(mebibytes(&scheme, option, value)?),
                        _ => return Err(unknown_option(&scheme, option, &["sync", "cache_mib"])),
                    }
                }
                Place::Sled { path, sync, cache_mib }
            }
            "redis" | "redis+unix" => Place::Redis { tls: false },
            "rediss" => Place::Redis { tls: true },
            _ => {
                let known = nearest_first(&scheme, &SCHEMES, |known| format!("`{known}:`"));
                return Err(UrlError::UnknownScheme { scheme, known });
            }
        };
        Ok(Self { text: format!("{scheme}:{rest}"), place })
    }
}

/// The scheme in lower case and what follows its colon; `None` for a path, also one with a drive letter.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

type Options<'a> = Vec<(&'a str, &'a str)>;

fn folder<'a>(scheme: &str, rest: &'a str) -> Result<(PathBuf, Options<'a>), UrlError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match path.strip_prefix("//") {
        Some(behind) if !behind.is_empty() && !behind.starts_with('/') => {
            let rest = behind.strip_prefix("./").unwrap_or(behind).to_owned();
            return Err(UrlError::Host { scheme: scheme.to_owned(), rest });
        }
        Some(behind) => behind,
        None => path,
    };
    if path.is_empty() {
        return Err(UrlError::NoFolder { scheme: scheme.to_owned() });
    }
    let options = query.split('&').filter(|option| !option.is_empty());
    Ok((PathBuf::from(path), options.map(|option| option.split_once('=').unwrap_or((option, ""))).collect()))
}

fn truth(scheme: &str, option: &str, value: &str) -> Result<bool, UrlError> {
    value.parse().map_err(|_| refused(scheme, option, "`true` or `false`", value))
}

fn mebibytes(scheme: &str, option: &str, value: &str) -> Result<u64, UrlError> {
    let parsed = value.parse().ok().filter(|mib| (64..=256).contains(mib));
    parsed.ok_or_else(|| refused(scheme, option, "a number from 64 to 256", value))
}

fn refused(scheme: &str, option: &str, expected: &'static str, value: &str) -> UrlError {
    let (scheme, option, value) = (scheme.to_owned(), option.to_owned(), value.to_owned());
    UrlError::Value { scheme, option, expected, value }
}

fn unknown_option(scheme: &str, option: &str, known: &[&str]) -> UrlError {
    let known = nearest_first(option, known, |known| format!("`{known}`"));
    UrlError::UnknownOption { scheme: scheme.to_owned(), option: option.to_owned(), known }
}

fn nearest_first(word: &str, known: &[&str], show: impl Fn(&str) -> String) -> String {
    let mut known = known.to_vec();
    known.sort_by_key(|known| strsim::damerau_levenshtein(word, known));
    known.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

/// The text without its password. It may be any text: where a login could be, more is masked rather than less.
pub(crate) fn masked(text: &str) -> String {
    const SECRET_OPTIONS: [&str; 5] = ["password", "passwd", "pass", "token", "secret"];
    let is_folder = split_scheme(text).is_some_and(|(scheme, _)| scheme == "file" || scheme == "sled");
    let mut shown = text.to_owned();
    if !is_folder {
        let login = shown.find("://").map_or(0, |at| at + 3);
        if let Some(end) = shown.rfind('@').filter(|end| *end > login)
            && let Some(colon) = shown[login..end].find(':')
        {
            shown.replace_range(login + colon + 1..end, "***");
        }
    }
    if let Some((before, query)) = shown.split_once('?') {
        let mask = |option: &str| match option.split_once('=') {
            Some((name, _)) if SECRET_OPTIONS.contains(&name.to_ascii_lowercase().as_str()) => {
                format!("{name}=***")
            }
            _ => option.to_owned(),
        };
        shown = format!("{before}?{}", query.split('&').map(mask).collect::<Vec<_>>().join("&"));
    }
    // A message is one line on a terminal, whatever the text holds.
    shown.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse::<StoreUrl>().unwrap_or_else(|error| panic!("{text}: {error}")).place
    }

    #[test]
    fn every_form_of_the_grammar_is_read() {
        let file = |path: &str, sync| Place::File { path: path.into(), sync };
        let sled = |path: &str, sync, cache_mib| Place::Sled { path: path.into(), sync, cache_mib };
        let rows = [
            ("memory:", Place::Memory),
            ("file:./data", file("./data", true)),
            ("file:data", file("data", true)),
            ("file:/var/lib/app", file("/var/lib/app", true)),
            ("file:///var/lib/app", file("/var/lib/app", true)),
            ("FILE:./Data", file("./Data", true)),
            ("file:./100%25 full", file("./100%25 full", true)),
            ("file:./data?sync=false", file("./data", false)),
            ("sled:./data", sled("./data", true, None)),
            ("sled:///d?cache_mib=64&sync=true", sled("/d", true, Some(64))),
            ("redis://user:pw@host:6379/0?prefix=app", Place::Redis { tls: false }),
            ("redis+unix:///run/redis.sock", Place::Redis { tls: false }),
            ("rediss://host", Place::Redis { tls: true }),
        ];
        for (text, expected) in rows {
            assert_eq!(place(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_url_is_refused_with_what_was_meant() {
        let rows = [
            ("", "the default is `file:./data`"),
            ("./data", "did you mean `file:./data`?"),
            ("/var/lib/app", "did you mean `file:/var/lib/app`?"),
            ("data", "did you mean `file:data`?"),
            ("file://data", "did you mean `file:./data`?"),
            ("sled://data/x", "did you mean `sled:./data/x`?"),
            ("file://./data", "did you mean `file:./data`?"),
            ("file:", "`file:` names no folder"),
            ("file://", "`file:` names no folder"),
            ("memory:x", "takes nothing behind the colon"),
            ("memory:?sync=true", "takes nothing behind the colon"),
            ("rdis://host", "known are `redis:`, "),
            ("files:./data", "known are `file:`, "),
            ("postgres://u:pw@host/db", "`postgres:` is no kind of store"),
            ("file:./data?snyc=false", "no option `snyc`; known are `sync`"),
            ("file:./data?cache_mib=64", "no option `cache_mib`"),
            ("sled:./data?cache_mb=64", "no option `cache_mb`; known are `cache_mib`, `sync`"),
            ("sled:./data?cache_mib=1", "a number from 64 to 256, not `1`"),
            ("file:./data?sync", "`true` or `false`, not ``"),
        ];
        for (text, expected) in rows {
            let error = text.parse::<StoreUrl>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let rows = [
            ("redis://user:hunter2@host/0", "redis://user:***@host/0"),
            ("redis://:hunter2@host", "redis://:***@host"),
            ("redis://user:hunter2/with@odd@host", "redis://user:***@host"),
            ("redis+unix:///sock?db=1&password=hunter2", "redis+unix:///sock?db=1&password=***"),
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("file:./a:b@c", "file:./a:b@c"),
        ];
        for (text, expected) in rows {
            let url: StoreUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), expected);
            assert_eq!(format!("{url:?}"), format!("StoreUrl({expected})"));
        }
        for text in ["user:hunter2@host", "://user:hunter2@host", "postgres://u:hunter2@host"] {
            let error = text.parse::<StoreUrl>().expect_err(text);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
