//! The import is killed, told to stop and put to sleep at random, three processes at once on Redis and one each on files and
//! sled; every session ends with the right counts, nothing is lost and nothing copied twice.

use std::path::Path;
use std::process::ExitCode;

#[test]
fn imports_that_die_at_random_lose_nothing_and_copy_nothing_twice() -> ExitCode {
    stepwell_tests::harness::import_soak::main(Path::new(env!("CARGO_BIN_EXE_import")))
}
