//! Stepwell runs in plain files: an append-only journal of JSON lines.
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
mod state;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use backend::FileBackend;
pub use options::FileOptions;
