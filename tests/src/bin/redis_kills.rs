//! Kills Redis and its clients at random moments; see `harness::redis_kills`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::redis_kills;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    redis_kills::main(&Arguments::of_process())
}
