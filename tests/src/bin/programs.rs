//! Runs random programs beside a model; see `harness::programs`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::programs;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    programs::main(&Arguments::of_process())
}
