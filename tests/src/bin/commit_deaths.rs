//! Lets processes die at every commit of an errand with one of everything; see `harness::commit_deaths`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use stepwell_tests::harness::commit_deaths;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    commit_deaths::main(&Arguments::of_process())
}
