//! Lets writes and syncs of a store fail; see `harness::io_faults`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::io_faults;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    io_faults::main(&Arguments::of_process())
}
