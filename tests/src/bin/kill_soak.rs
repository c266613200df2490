//! Kills workers at random while they work; see `harness::kill_soak`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::kill_soak;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    kill_soak::main(&Arguments::of_process())
}
