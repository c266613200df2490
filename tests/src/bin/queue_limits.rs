//! Kills workers that share queues with limits; see `harness::queue_limits`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::queue_limits;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    queue_limits::main(&Arguments::of_process())
}
