//! Stepwell on the command line: a client of the REST API, at a server's URL over HTTP or at a store's URL in the same process.
//!
//! The library part is for tests of what others say about the program: [`command`] is the whole of its grammar.
//!
//! # Rooms
//!
//! * `args`: what can be said, `command`: what is done then, one file for each thing operated on.
//! * `target`, `settings`, `called`: where runs are, which source said so, and how to say it again. `client`: the operations, over either way.
//! * `output`: tables, JSON, times. `confirm`: what is asked before something is taken away.
//! * `failure`, `exit`: how a command ends.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod args;
mod called;
mod client;
mod command;
mod confirm;
mod exit;
mod failure;
mod output;
mod settings;
mod target;

pub use args::grammar as command;
pub use command::main;
pub use exit::Exit;
