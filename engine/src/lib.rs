//! Durable workflows made of Rust Step structs.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
