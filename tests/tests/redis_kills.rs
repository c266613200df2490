//! Redis and its clients may die at any moment: what was acknowledged is there.

use stepwell_tests::report::passes;

#[test]
fn what_redis_acknowledged_outlives_it_and_its_clients() {
    passes(env!("CARGO_BIN_EXE_redis_kills"), &[]);
}
