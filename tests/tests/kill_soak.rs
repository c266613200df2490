//! Workers are killed, told to stop and put to sleep at random; every run ends and every guarded effect happens once.

use stepwell_tests::report::passes;

#[test]
fn workers_that_die_at_random_lose_nothing_and_repeat_no_guarded_effect() {
    passes(env!("CARGO_BIN_EXE_kill_soak"), &[]);
}
