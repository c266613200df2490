//! Stepwell runs in Redis, for many workers on many machines.
//!
//! ```no_run
//! # async fn open() -> Result<(), stepwell_contract::BackendError> {
//! use stepwell_redis::{RedisBackend, RedisOptions};
//! let backend =
//!     RedisBackend::open("redis://app:secret@10.0.0.7:6379/0?prefix=orders", RedisOptions::default()).await?;
//! # Ok(()) }
//! ```
//!
//! Needs Redis 6.2 or later, or a server that speaks like it, as one primary.
//!
//! # What it promises
//!
//! Level D2 (a power cut of the Redis host) with `appendonly yes` and `appendfsync always`; D1 with `everysec` or
//! `no`; D0 without an append-only file, which is refused unless allowed. Replication is asynchronous: a failover may
//! lose what was acknowledged, so D3 is never claimed. A server that may evict keys is refused unless allowed.
//!
//! A store that came back empty, or as another one, is never taken for a new one: each script first looks for the mark
//! of the store in the shard that it is about to write, and this opening ends as `Poisoned(IdentityLost)`. A process
//! that starts later knows what to expect only when told: by `id=UUID` in the URL
//! ([`RedisOptions::expect_id`]) or by a witness file (`witness=PATH`, [`RedisOptions::witness`]).
//!
//! # TLS
//!
//! `rediss://`, in a build with the feature `tls`, checks the server's certificate against the host of the URL and the CAs
//! that the system trusts, or against the ones in a PEM file: `ca=/path/to/ca.pem` ([`RedisOptions::ca`]). A server that
//! wants to know its clients gets `cert=` and `key=` ([`RedisOptions::client_certificate`]). There is no way to leave the
//! check out.
//!
//! # Rooms
//!
//! * `address`, [`RedisOptions`]: the URL and its options, the password kept out of every text.
//! * `layout`: keys, shards, and the texts that sort; `mark`: how a head is stored.
//! * `lua/`: the scripts. One script call writes all batches of a shard, checks first, writes last.
//! * `commit`, `claim`, `scan`, `read`, `tally`: the calls of the trait.
//! * `link`: the connection; `tls`: its certificates; `fault`: what each answer of the server means to the caller.
//! * `identity`: making and recognising a store; `server`: what the server's settings are worth.
//! * `hint`: word from other workers that there may be something to do.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod backend;
mod claim;
mod commit;
mod fault;
mod hint;
mod identity;
mod known;
mod layout;
mod link;
mod mark;
mod options;
mod read;
mod scan;
mod script;
mod server;
mod tally;
#[cfg(feature = "test-server")]
pub mod test_server;
mod tls;

pub use backend::RedisBackend;
pub use options::RedisOptions;
