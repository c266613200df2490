//! Stepwell runs in plain files: an append-only journal of JSON lines, readable with `tail -f`, `grep` and `jq`.
//!
//! One process has a store open at a time. It is not a database server and not a shared file system's friend: the
//! folder belongs on a local disk.
//!
//! ```text
//! lock                     held while the store is open; names the process
//! store.json               which store this is; its presence says that the store is complete
//! journal/00000001.jsonl   the truth: one line for each batch applied, checksum and length first
//! journal/00000002.jsonl   …64 MiB each by default
//! index.redb               an index of the journal, made again from it when it is missing, damaged or out of place
//! ```
//!
//! ```text
//! jq -c 'select((.key // .head.key).run == "order-1042") | .append[]?' journal/*.jsonl
//! ```
//!
//! # What happens to a commit
//!
//! The caller checks its batches and writes their lines (`request`). One thread takes whatever calls are waiting,
//! judges them (`group`), writes all lines at once, syncs once, shows the result to readers and answers (`writer`). So
//! a write is durable before it is visible and visible before it is answered, and the more callers wait, the more one
//! sync carries. After a failed sync nothing is written any more until the store is opened again; a full disk is
//! reported, the half-written line is cut back, and the store goes on once there is space.
//!
//! # What is where
//!
//! Unfinished runs are in memory: head, places of their lines, inbox (`run`, `state`). Finished ones move to the index
//! (`catalogue`, `pack`) a little later, on a thread of their own (`keeper`), and what removed runs leave behind is
//! cleared away there too (`rewrite`). Opening reads the unfinished runs from the index and the journal only behind
//! where the index ends (`opening`); how it tells a write that a crash tore from damage is told in `replay`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod backend;
mod catalogue;
mod disk;
mod entry;
mod fault;
mod files;
mod group;
mod identity;
mod keeper;
mod line;
mod lock;
mod opening;
mod options;
mod pack;
mod reader;
mod replay;
mod request;
mod rewrite;
mod run;
mod segment;
mod shelf;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use backend::FileBackend;
pub use options::FileOptions;
