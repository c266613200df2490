//! Whatever system call a process dies at, nothing acknowledged is lost and nothing done is done again.

use stepwell_tests::report::passes;

#[test]
fn a_process_killed_at_any_system_call_of_its_store_loses_nothing() {
    passes(env!("CARGO_BIN_EXE_kill_points"), &["--points", "270"]);
}
