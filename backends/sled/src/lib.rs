//! Stepwell runs in an embedded sled database: one folder, one process, level D2.
//!
//! sled 0.34 is kept safe by what surrounds it. Its `flush` does not sync, so the store syncs sled's file itself
//! before each acknowledgement ([`SledOptions`]); a failed sync closes it to writing. It pays by the record, so
//! everything that is queued becomes one packed value, and sled serves as a log with an index. It can be left
//! unable to open by a full disk or a torn settings file, so both are dealt with before sled is let in.
//!
//! # Rooms
//!
//! * `backend`: the trait over two threads; sled is called on no other.
//! * `folder`: the lock, how a store is made, what is mended before it is opened. `opening`: replay of the log.
//! * `writer`: group commit. `keeping`: checkpoints and freeing of space between groups. `reader`: reads.
//! * `frame`, `run`, `codec`, `parts`, `trees`, `segments`: what is stored, and in what form.
//! * `state`, `shared`: what is held in memory.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod backend;
mod codec;
mod failure;
mod folder;
mod frame;
mod keeping;
mod opening;
mod options;
mod parts;
#[cfg(test)]
mod pitfalls;
mod reader;
mod run;
mod segments;
mod shared;
mod shelf;
mod state;
mod trees;
mod writer;

pub use backend::SledBackend;
pub use options::SledOptions;
