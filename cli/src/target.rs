//! Where runs are, and which source said so: a flag, else the environment, else the settings file, else `file:./data`.

use std::fmt;
use std::path::Path;

use reqwest::Url;
use stepwell_backends::StoreUrl;
use stepwell_backends::settings::{self, Origin, STORE_VARIABLE, SettingsError, Sources};

use crate::args::Place;
use crate::failure::Failure;
use crate::settings::Settings;

/// The environment variable that names a server.
pub(crate) const SERVER_VARIABLE: &str = "STEPWELL_SERVER";
/// The environment variable that holds the token for it.
pub(crate) const TOKEN_VARIABLE: &str = "STEPWELL_TOKEN";

/// Where runs are.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// In this store.
    Store { url: StoreUrl, origin: Origin },
    /// Behind this server.
    Server { url: Url, origin: &'static str, token: Option<Token> },
}

/// A token, which is never shown.
#[derive(Clone)]
pub(crate) struct Token {
    secret: String,
    pub(crate) origin: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Token {
    /// What is sent.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }
}

impl Target {
    /// Chooses where to look. A server that a flag or the environment names comes before a store of a weaker source.
    pub(crate) fn choose(place: &Place, settings: &Settings) -> Result<Self, Failure> {
        let server = match (&place.server, &place.store) {
            (Some(url), _) => Some((url.clone(), "--server")),
            (None, Some(_)) => None,
            (None, None) => variable(SERVER_VARIABLE).map(|url| (url, SERVER_VARIABLE)),
        };
        match server {
            Some((text, origin)) => {
                let url = server_url(&text).map_err(|why| Failure::usage(format!("{origin}: {why}")))?;
                Ok(Self::Server { url, origin, token: token(place.token_file.as_deref())? })
            }
            None => {
                let (url, origin) = store(place, settings)?;
                Ok(Self::Store { url, origin })
            }
        }
    }
}

/// The store, and which source named it.
pub(crate) fn store(place: &Place, settings: &Settings) -> Result<(StoreUrl, Origin), Failure> {
    let environment = variable(STORE_VARIABLE);
    let file = settings.file.as_ref().map(|file| (file.path.as_path(), file.text.as_str()));
    let sources = Sources { flag: place.store.as_deref(), environment: environment.as_deref(), file };
    let setting = settings::store(sources).map_err(|error: SettingsError| Failure::usage(error))?;
    Ok((setting.url, setting.origin))
}

/// A variable of the environment; empty counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

fn server_url(text: &str) -> Result<Url, String> {
    let meant = || format!("`{text}` is not the address of a server; write http://HOST:PORT");
    let mut url = Url::parse(text.trim()).map_err(|_| meant())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(meant());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "a token is not part of the address; put it into {TOKEN_VARIABLE} or --token-file"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(meant());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

fn token(file: Option<&Path>) -> Result<Option<Token>, Failure> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path);
        let text =
            text.map_err(|error| Failure::usage(format!("--token-file {}: {error}", path.display())))?;
        let secret = text.trim().to_owned();
        if secret.is_empty() || secret.contains(char::is_whitespace) {
            let why = format!("--token-file {}: it does not hold one token", path.display());
            return Err(Failure::usage(why));
        }
        return Ok(Some(Token { secret, origin: path.display().to_string() }));
    }
    let secret = variable(TOKEN_VARIABLE).map(|secret| secret.trim().to_owned());
    Ok(secret.map(|secret| Token { secret, origin: TOKEN_VARIABLE.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_of_a_server_is_refused_without_secrets() {
        for text in ["localhost:8080", "file:./data", "http://", "http://h/?q=1", "http://u:hunter2@h/"] {
            let why = server_url(text).expect_err(text);
            assert!(!why.contains("hunter2"), "{why}");
        }
        assert_eq!(server_url("http://h:1/stepwell/").expect("a prefix").path(), "/stepwell");
    }
}
