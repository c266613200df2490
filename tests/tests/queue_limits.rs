//! The limits of queues hold for all workers together, also while workers are killed.

use stepwell_tests::report::passes;

#[test]
fn never_one_more_than_the_limits_allow_while_workers_die() {
    passes(env!("CARGO_BIN_EXE_queue_limits"), &[]);
}
