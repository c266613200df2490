//! Stepwell runs in plain files: an append-only journal of JSON lines.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
