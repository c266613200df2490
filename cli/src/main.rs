//! The program `stepwell`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    stepwell_cli::main().into()
}
