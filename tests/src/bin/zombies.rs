//! Stops workers for longer than their lease and wakes them; see `harness::zombies`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::zombies;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    zombies::main(&Arguments::of_process())
}
