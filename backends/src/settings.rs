//! The rule by which a binary finds its store: flag, then environment, then `stepwell.toml`, then `file:./data`.
//!
//! A pure function: whoever calls it has read the flag, the environment and the file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::url::{StoreUrl, UrlError};

/// The environment variable that names the store.
pub const STORE_VARIABLE: &str = "STEPWELL_STORE";
/// The file, in the working directory, that may name the store as `store = "…"`. Its table `[server]` is for `stepwell serve`.
pub const FILE_NAME: &str = "stepwell.toml";
/// The store when nothing else names one.
pub const DEFAULT_STORE: &str = "file:./data";

/// What may name the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// What the flag says, when it is given.
    pub flag: Option<&'a str>,
    /// What [`STORE_VARIABLE`] says; empty counts as not set.
    pub environment: Option<&'a str>,
    /// Path and text of the settings file, when there is one.
    pub file: Option<(&'a Path, &'a str)>,
}

/// Which source named the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The flag.
    Flag,
    /// The environment.
    Environment,
    /// The settings file at this path.
    File(PathBuf),
    /// None of them.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("--store"),
            Self::Environment => f.write_str(STORE_VARIABLE),
            Self::File(path) => path.display().fmt(f),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// The store to open, and which source named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSetting {
    /// Where it is.
    pub url: StoreUrl,
    /// Who said so.
    pub origin: Origin,
}

/// Why no store could be chosen. No message holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The source names something that is no store.
    #[error("{origin}: {source}")]
    Url {
        /// The source.
        origin: Origin,
        /// What is wrong with it.
        source: UrlError,
    },
    /// The settings file cannot be read: mend the line. It is refused whole, so that no misspelt setting is passed
    /// over.
    #[error("{}:{line}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    store: Option<String>,
    /// Of `stepwell serve`, which reads it as strictly.
    #[serde(rename = "server")]
    _server: Option<serde::de::IgnoredAny>,
}

/// Chooses the store. The settings file is checked also when it is not what decides.
///
/// # Errors
/// [`SettingsError`] names the source, and the line in a file. A source that is wrong is never passed over in favour
/// of the next.
pub fn store(sources: Sources<'_>) -> Result<StoreSetting, SettingsError> {
    let in_file = match sources.file {
        None => None,
        Some((path, text)) => read(path, text)?.store.map(|store| (path, store)),
    };
    let environment = sources.environment.filter(|text| !text.trim().is_empty());
    let (text, origin) = if let Some(flag) = sources.flag {
        (flag, Origin::Flag)
    } else if let Some(environment) = environment {
        (environment, Origin::Environment)
    } else if let Some((path, store)) = &in_file {
        (store.as_str(), Origin::File(path.to_path_buf()))
    } else {
        (DEFAULT_STORE, Origin::Default)
    };
    match text.parse() {
        Ok(url) => Ok(StoreSetting { url, origin }),
        Err(source) => Err(SettingsError::Url { origin, source }),
    }
}

fn read(path: &Path, text: &str) -> Result<Settings, SettingsError> {
    toml::from_str(text).map_err(|error| {
        // The parser's own text quotes the line, and a line may hold a password: only its message is shown.
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        SettingsError::File { path: path.to_owned(), line, why: error.message().to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "stepwell.toml";

    fn choose(
        flag: Option<&str>,
        environment: Option<&str>,
        file: Option<&str>,
    ) -> Result<StoreSetting, SettingsError> {
        store(Sources { flag, environment, file: file.map(|text| (Path::new(FILE), text)) })
    }

    #[test]
    fn the_first_source_that_names_a_store_wins() {
        let file = "# where runs are kept\nstore = \"sled:./s\"\n";
        let in_file = || Origin::File(FILE.into());
        let rows = [
            (Some("memory:"), Some("file:./e"), Some(file), "memory:", Origin::Flag),
            (None, Some("file:./e"), Some(file), "file:./e", Origin::Environment),
            (None, Some(""), Some(file), "sled:./s", in_file()),
            (None, None, Some(file), "sled:./s", in_file()),
            (
                None,
                None,
                Some("store = \"sled:./s\"\n[server]\nbind = \"[::1]:80\"\n"),
                "sled:./s",
                in_file(),
            ),
            (None, None, Some(""), "file:./data", Origin::Default),
            (None, None, None, "file:./data", Origin::Default),
        ];
        for (flag, environment, file, url, origin) in rows {
            let setting = choose(flag, environment, file).expect(url);
            assert_eq!((setting.url.to_string().as_str(), setting.origin), (url, origin));
        }
    }

    #[test]
    fn a_wrong_source_is_named_and_never_passed_over() {
        let rows = [
            (Some("./data"), None, None, "--store: `./data` names no kind of store"),
            (Some(""), None, None, "--store: the store URL is empty"),
            (None, Some("file://data"), None, "STEPWELL_STORE: `file://data` names a host"),
            (None, None, Some("store = \"data\""), "stepwell.toml: `data` names no kind of store"),
            (None, None, Some("# a\n\nstroe = \"memory:\"\n"), "stepwell.toml:3: unknown field `stroe`"),
            (
                Some("memory:"),
                None,
                Some("store = \"memory:\"\nbind = 1"),
                "stepwell.toml:2: unknown field `bind`",
            ),
            (None, None, Some("store = 5"), "stepwell.toml:1: invalid type"),
            (None, None, Some("\nstore = \"memory:"), "stepwell.toml:2: "),
        ];
        for (flag, environment, file, expected) in rows {
            let error = choose(flag, environment, file).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_broken_line_is_not_quoted() {
        let error = choose(None, None, Some("store = \"redis://u:hunter2@host\n")).expect_err("no quote");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
