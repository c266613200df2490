//! Stepwell runs in an embedded sled database.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
