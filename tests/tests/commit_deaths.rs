//! Whichever commit a process dies at, another one goes on with children, waits, reports, compensation and schedules.

use stepwell_tests::report::passes;

#[test]
fn a_process_that_dies_at_any_commit_leaves_all_it_began_to_the_next() {
    passes(env!("CARGO_BIN_EXE_commit_deaths"), &[]);
}
