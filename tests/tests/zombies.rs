//! A worker that was taken for dead writes nothing any more, whatever it believes.

use stepwell_tests::report::passes;

#[test]
fn a_worker_that_wakes_after_its_lease_is_refused_everything() {
    passes(env!("CARGO_BIN_EXE_zombies"), &[]);
}
