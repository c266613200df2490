//! How a store is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use stepwell_contract::StoreId;

/// How a store is opened. The URL may say the same things; where it does, the URL wins.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub(crate) prefix: String,
    pub(crate) shards: Option<u16>,
    pub(crate) allow_eviction: bool,
    pub(crate) allow_no_aof: bool,
    pub(crate) allow_unknown: bool,
    pub(crate) expect_id: Option<StoreId>,
    pub(crate) witness: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) response_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) clock_shift_ms: Arc<AtomicI64>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "stepwell".to_owned(),
            shards: None,
            allow_eviction: false,
            allow_no_aof: false,
            allow_unknown: false,
            expect_id: None,
            witness: None,
            ca: None,
            client_certificate: None,
            response_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            clock_shift_ms: Arc::default(),
        }
    }
}

impl RedisOptions {
    /// What every key of the store begins with, so that several stores can share a server. `stepwell` unless given;
    /// 1 to 64 ASCII letters, digits, `.`, `_` and `-`. URL: `prefix=`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many parts a new store has, 1 to 256: each is one slot of a Redis Cluster and one script call of a commit.
    /// 4 unless given. A store keeps the number it was made with; opening it with another one fails. URL: `shards=`.
    #[must_use]
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Opens the store also on a server that throws keys away when its memory is full. URL: `allow_eviction=yes`.
    #[must_use]
    pub fn allow_eviction(mut self) -> Self {
        self.allow_eviction = true;
        self
    }

    /// Opens the store also on a server without an append-only file, at level D0. URL: `allow_no_aof=yes`.
    #[must_use]
    pub fn allow_no_aof(mut self) -> Self {
        self.allow_no_aof = true;
        self
    }

    /// Opens the store also when the login may read neither `CONFIG` nor `INFO`, so that nothing can be told about
    /// eviction and durability; the level shown is then D0. URL: `allow_unknown=yes`.
    #[must_use]
    pub fn allow_unknown(mut self) -> Self {
        self.allow_unknown = true;
        self
    }

    /// Opens this store only: any other one, and an empty place, are refused. URL: `id=UUID`.
    #[must_use]
    pub fn expect_id(mut self, id: StoreId) -> Self {
        self.expect_id = Some(id);
        self
    }

    /// Keeps the store's id in this local file and refuses any other store, and an empty place, once it is written.
    /// Delete the file to begin anew. URL: `witness=PATH`.
    #[must_use]
    pub fn witness(mut self, path: impl Into<PathBuf>) -> Self {
        self.witness = Some(path.into());
        self
    }

    /// Over TLS, trusts a server whose certificate is signed by one of the CAs in this PEM file, and no other; without it
    /// those that the system trusts. Read once, when the store is opened. URL: `ca=PATH`.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Over TLS, shows the server this certificate, with the chain up to its CA, and proves it with this private key; both
    /// are PEM files. Redis asks for one unless it has `tls-auth-clients no`. Read once, when the store is opened. URL:
    /// `cert=PATH&key=PATH`.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// How long one call waits for the server; 3 s unless given. After it the outcome of a write is unknown.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How long one try to connect lasts; 2 s unless given.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Milliseconds to add to the server's clock, for tests that let time pass without waiting for it. Every opening
    /// of one store has to share it.
    #[doc(hidden)]
    #[must_use]
    pub fn clock_shift_ms(mut self, shift: Arc<AtomicI64>) -> Self {
        self.clock_shift_ms = shift;
        self
    }

    pub(crate) fn shift(&self) -> i64 {
        self.clock_shift_ms.load(Ordering::SeqCst)
    }
}
