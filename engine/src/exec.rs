//! The moving parts: everything that waits, writes or spawns.

pub mod builder;
pub mod bulk;
pub mod engine;
pub mod fork;
pub mod handle;
pub mod limits;
pub mod outside;
pub mod retention;
pub mod runs;
pub mod signals;
pub mod start;
pub mod workers;

pub(crate) mod attempt;
pub(crate) mod committer;
pub(crate) mod core;
pub(crate) mod family;
pub(crate) mod groups;
pub(crate) mod heads;
pub(crate) mod held;
pub(crate) mod keeper;
pub(crate) mod lately;
pub(crate) mod left;
pub(crate) mod load;
pub(crate) mod outcome;
pub(crate) mod panics;
pub(crate) mod pool;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod registry;
pub(crate) mod requests;
pub(crate) mod runner;
pub(crate) mod slot;
pub(crate) mod stats;
pub(crate) mod witness;
pub(crate) mod worker;
