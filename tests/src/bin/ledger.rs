//! The outside world of the kill soak: takes effects and drops those it knows; see `harness::ledger`.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use stepwell_tests::harness::ledger;
use stepwell_tests::report::Arguments;

fn main() -> ExitCode {
    match ledger::serve(Path::new(Arguments::of_process().needed("port-file"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the ledger cannot serve: {error}");
            ExitCode::FAILURE
        }
    }
}
