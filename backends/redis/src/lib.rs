//! Stepwell runs in Redis, for many workers.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
