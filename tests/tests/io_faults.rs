//! A disk that fails or is full is told, never covered up, and costs nothing that was acknowledged.

use stepwell_tests::report::passes;

#[test]
fn a_failing_or_full_disk_loses_nothing_and_is_told() {
    passes(env!("CARGO_BIN_EXE_io_faults"), &[]);
}
