//! What the example binaries share: the store flag, logging, signals, progress, the dashboard and how a program ends.
//!
//! The examples are programs, not libraries: they alone read flags, the environment and files of settings.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod exit;
pub mod logging;
pub mod progress;
pub mod serve;
pub mod signals;
pub mod store;
