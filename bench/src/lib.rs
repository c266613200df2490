//! What Stepwell costs, beside what a bare log costs.
#![forbid(unsafe_code)]
