//! What workers tell of themselves, so that others know who is there, and how those went away who are not.
//!
//! Each worker keeps one head in the engine's own tenant: its lease is the sign of life, its summary says where the worker runs and
//! how it does, its journal what it takes. It is written when the worker begins, every
//! [`heartbeat_ms`](crate::EngineOptions::heartbeat_ms) and when it shuts down; no run waits for it. Workers that have been gone for a
//! week are forgotten, and so are the longest gone of more than a thousand.

pub mod view;

pub(crate) mod autopsy;
pub(crate) mod presence;
