//! The waist of Stepwell: what the engine asks of a store, and nothing else.
//!
//! It is not a database interface: there are no tables, no queries over payloads and no verbs of the workflow
//! domain. A store keeps runs; a run is one mutable [`Head`], an append-only journal of [`Record`]s and an inbox
//! of [`Message`]s. Everything is written by one method, [`Backend::commit`], and guarded by one comparison.
//!
//! Limits, in numbers: ids of at most 128 bytes, payloads of at most 1 MiB, batches of at most 4 MiB, pages of at
//! most 1000 items ([`limits`]).
//!
//! # Rooms
//!
//! * [`backend`]: the trait and its laws, numbered. Start here when you write a backend of your own.
//! * [`memory`]: the laws in code, as plainly as they can be written. The reference every backend is compared with.
//! * [`head`], [`record`], [`message`], [`batch`], [`query`]: what is stored and asked.
//! * [`index`]: which run is due and in what order, in memory, for stores that one process owns.
//! * [`tally`]: how many runs there are of each sort, counted along.
//! * [`pass_on`]: a store that stands before another one and says only what it does otherwise.
//! * [`fault`]: a decorator that fails, delays or drops a call, or carries it out and then reports a failure.
//! * `conformance` (feature `conformance`): one named test per law, for any backend, in one line.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod backend;
pub mod batch;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod error;
pub mod fault;
pub mod head;
pub mod index;
pub mod info;
pub mod key;
pub mod limits;
pub mod memory;
pub mod message;
pub mod pass_on;
pub mod query;
pub mod record;
pub mod seeded;
pub mod tally;

pub use async_trait::async_trait;
pub use backend::Backend;
pub use batch::{Batch, Guard, Judgement, Verdict};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use error::{BackendError, Fault, FaultKind};
pub use head::{Fence, Head, Lease, Status, Version};
pub use info::{Durability, Health, StoreId, StoreInfo};
pub use key::{IdError, MessageId, Name, RunId, RunKey, TenantId, WorkerId};
pub use memory::MemoryBackend;
pub use message::Message;
pub use query::{Claim, Cursor, Order, Page, Query, WorkflowRef};
pub use record::{Kind, Payload, PayloadError, Record, Seq};
pub use tally::Tally;
