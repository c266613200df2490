//! Promises of Stepwell, tested end to end on every backend.
#![forbid(unsafe_code)]
