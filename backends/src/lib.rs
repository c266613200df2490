//! Opens the backend that a URL names.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
