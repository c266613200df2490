//! Injects labelled faults and asks for their diagnoses; see `harness::faults`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::faults;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    faults::main(&Arguments::of_process())
}
