//! Kills workers at each system call by which a store changes the disk; see `harness::kill_points`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::kill_points;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    kill_points::main(&Arguments::of_process())
}
