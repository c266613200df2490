//! How the server is set.

use std::time::Duration;

use crate::access::token::TokenRule;

/// How the server is set. [`Default`] suits one machine: no tokens, so requests must come from this host and name it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Who may do what. Empty: whoever asks from this host may do all, by a name of this host, and nobody else is answered.
    pub tokens: Vec<TokenRule>,
    /// Without tokens: whether whoever asks may do all, from wherever. For a program that lets in itself whom it trusts.
    pub trust_everyone: bool,
    /// Names, beside those of this host, by which the server may be called: what the `Host` header may say. With tokens,
    /// or where everyone is trusted, and no names any name is answered.
    pub hosts: Vec<String>,
    /// The path under which it is mounted: empty, or `/` and a path without a slash at the end.
    pub prefix: String,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Longest time a request may take, in milliseconds; streams of events are not requests in that sense.
    pub request_timeout_ms: u64,
    /// Most connections at once, of a server that [`App::serve`](crate::App::serve) serves: more are told to come again. With
    /// what the store has open it has to stay below the system's limit of open files, which is 1024 in most places.
    pub connections_max: usize,
    /// How long a connection may stand still before it is cut, in milliseconds: without the head of a next request, or without
    /// taking what it is sent. Longer than a proxy in front keeps its connections: most keep them for a minute.
    pub stall_timeout_ms: u64,
    /// Most requests answered at once; more are told to come again. Where there are several tokens, the holder of one has at
    /// most half of them.
    pub requests_max: usize,
    /// Most streams of events open at once; each takes a connection. Where there are several tokens, the holder of one has at
    /// most half of them.
    pub streams_max: usize,
    /// How long requests may go on after the server was told to stop, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// Whether the cookie of the dashboard is sent over TLS only.
    pub secure_cookies: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            trust_everyone: false,
            hosts: Vec::new(),
            prefix: String::new(),
            body_bytes_max: 2 << 20,
            request_timeout_ms: 30_000,
            connections_max: 800,
            stall_timeout_ms: 75_000,
            requests_max: 512,
            streams_max: 500,
            shutdown_grace_ms: 10_000,
            secure_cookies: false,
        }
    }
}

/// Why a server was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The prefix is not a path: begin it with `/` and leave the last `/` out.
    #[error(
        "the prefix {0:?} is refused: it begins with `/`, does not end with it, and has letters, digits, `-`, `_` and `.`"
    )]
    Prefix(String),
    /// Two tokens have the same name, so that the audit log could not tell them apart.
    #[error("there are two tokens named {0:?}")]
    TokenTwice(String),
}

impl ServerOptions {
    /// Mounts it under a path.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Lets the holder of a token in.
    #[must_use]
    pub fn token(mut self, token: TokenRule) -> Self {
        self.tokens.push(token);
        self
    }

    /// Lets whoever asks do all, from wherever, where there are no tokens: for a router behind what lets in only those who may.
    #[must_use]
    pub fn trust_everyone(mut self) -> Self {
        self.trust_everyone = true;
        self
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// How long an operation may wait for others before it says what is so by then: it is to answer before its time is over.
    pub(crate) fn answers_within(&self) -> Duration {
        self.request_timeout() / 2
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let is_path = self.prefix.strip_prefix('/').is_some_and(|path| path.split('/').all(is_part));
        if !self.prefix.is_empty() && !is_path {
            return Err(OptionsError::Prefix(self.prefix.clone()));
        }
        let mut names: Vec<_> = self.tokens.iter().map(|token| token.name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(OptionsError::TokenTwice(pair[0].to_owned())),
            None => Ok(()),
        }
    }
}
