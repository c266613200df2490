//! Worker binaries that show Stepwell, one idea each.
#![forbid(unsafe_code)]
