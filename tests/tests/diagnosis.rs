//! What went wrong is said rightly, or not at all: faults of all kinds, each with the diagnosis it must have, and failures that
//! only resemble one.

use stepwell_tests::report::passes;

#[test]
fn injected_faults_are_diagnosed_rightly_and_nothing_is_claimed_without_evidence() {
    passes(env!("CARGO_BIN_EXE_faults"), &[]);
}
