//! What a user writes: steps, and workflows made of them.

pub mod builder;
mod change;
pub mod child;
pub mod classify;
pub mod context;
pub mod definition;
mod draft;
pub mod error;
pub mod failure;
pub mod graph;
pub(crate) mod links;
pub(crate) mod migrate;
pub(crate) mod nearest;
pub mod outline;
pub mod policy;
pub mod posted;
pub mod retry;
pub mod step;
pub mod suspend;

pub(crate) mod finite;
