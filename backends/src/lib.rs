//! Opens a store by its URL. What binaries, examples and tests use, and the only place that knows every backend.
//!
//! ```
//! # async fn open() -> Result<(), stepwell_backends::OpenError> {
//! let backend = stepwell_backends::open("memory:").await?;
//! # Ok(()) }
//! ```
//!
//! | URL | store | cargo feature |
//! |---|---|---|
//! | `memory:` | this process, until it ends | always there |
//! | `file:./data`, `file:///var/lib/app` | plain files in a folder | `file` |
//! | `sled:./data`, `sled:///var/lib/app` | a sled database in a folder | `sled` |
//! | `redis://user:password@host:6379/0?prefix=app`, `redis+unix:///sock` | Redis | `redis` |
//! | `rediss://…` | Redis over TLS | `redis-tls` |
//!
//! Options of `file:` and `sled:`: `?sync=false` acknowledges without waiting for the disk (level D1); `sled:` also
//! takes `cache_mib=64` to `256`. Paths are taken as they stand, without percent-encoding; a relative one is
//! relative to the working directory. The options of Redis are those of its own crate.
//!
//! [`settings`] is the rule by which a binary finds its URL.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod open;
pub mod settings;
mod url;

pub use open::{OpenError, is_there, open, open_url};
pub use url::{StoreUrl, UrlError};
