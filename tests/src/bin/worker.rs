//! The process that the harnesses kill, stop and starve. What it does and is told goes to its witness file.
//!
//! It ends with 0 when its work is done, 3 when the store has told that it must not be written any more, 4 when it
//! gave up waiting, 74 when the store did not open.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::work;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    work::run(&Arguments::of_process())
}
